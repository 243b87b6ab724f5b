"""Tick and drain: every consequence of an instant is settled before the next one exists (ADR 021)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from heapq import heappop
from time import perf_counter
from typing import Any

from backtester.domain.borrowing import InterestDue
from backtester.domain.candle import Candle
from backtester.domain.delivery import Expiry
from backtester.domain.errors import BacktesterError, RunAbortedError, StrategyError
from backtester.domain.orders import OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.rule_changes import RuleChange
from backtester.domain.run_events import LogEvent
from backtester.domain.settlement import Settlement
from backtester.domain.timeframe import DAY_MS
from backtester.domain.vocabulary import RejectReason
from backtester.engine.bus import Bus
from backtester.engine.clock import Clock
from backtester.engine.intake import Intake
from backtester.engine.last_prices import LastPrices
from backtester.engine.ports import BooksPort, Decider, MarketDataSource, RulesPort, VenuePort
from backtester.engine.routes import Routes
from backtester.engine.schedule import HOOK_DAY, HOOK_FILL, HOOK_REJECT, Schedule
from backtester.engine.timers import TimerDue, Timers
from backtester.engine.topics import T_LOG, T_ORDERS_INTENT

YIELD_S = 0.02
"""Wall time between two yields to asyncio's own work; never per event."""

NEW_DAY = object()
KILL = object()


class Loop:
    """Drives one run. Stages of a tick: marks, venue, books, decide, snapshot; each starts and ends with an empty queue.

    A tick on which nothing is due takes the short path in `run`; any other takes `_full_tick`. Both do the same stages in
    the same order: what differs is only what there is to look at.
    """

    def __init__(
        self,
        *,
        feed: MarketDataSource,
        bus: Bus,
        clock: Clock,
        schedule: Schedule,
        routes: Routes,
        marks: LastPrices,
        account: BooksPort,
        venue: VenuePort,
        deciders: Sequence[Decider],
        start_ms: int,
        end_ms: int,
        snapshot_every_ms: int,
        settlements: Sequence[RuleChange | Settlement | Expiry | InterestDue] = (),
        rule_book: RulesPort | None = None,
        kill_at_ms: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._feed = feed
        self._bus = bus
        self._clock = clock
        self._schedule = schedule
        self._routes = routes
        self._marks = marks
        self._account = account
        self._venue = venue
        self._deciders = tuple(deciders)
        self._by_id = {decider.strategy_id: decider for decider in self._deciders}
        self._tick_enders = tuple(decider for decider in self._deciders if decider.has_tick_end)
        self._intake = Intake(clock=clock)
        self._timers = Timers(schedule)
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._snapshot_every_ms = snapshot_every_ms
        self._on_progress = on_progress
        self._settlements = iter(settlements)
        self._rule_book = rule_book
        self._kill_at_ms = kill_at_ms
        self._kill = False
        self._warming = True
        self._stop = False
        self.discarded_count = 0
        """Intents returned during warm-up."""

    def request_stop(self) -> None:
        """Finish the tick that is running, then end the run as interrupted. Safe to call from a signal handler."""
        self._stop = True
        self._schedule.hold()

    def request_kill(self) -> None:
        """Throw the kill switch at the run's start or, while it goes on, one millisecond after the tick at which the loop next
        looks (every few hundred). Safe to call from a signal handler.
        """
        self._kill = True

    async def run(self) -> str:
        """Deliver the whole feed; returns the reason of the end: `data`, `bankrupt` or `interrupted`.

        Raises RunAbortedError around whatever a handler or a hook raised.
        """
        try:
            self._schedule.hold()
            self._warming = False
            for decider in self._deciders:
                self._call(decider, "on_start")
            self._warming = True
            await self._deliver_feed()
            if not self._stop and not self._account.bankrupt:
                self._settle_before(self._end_ms + 1)
            return "interrupted" if self._stop else "bankrupt" if self._account.bankrupt else "data"
        except Exception as error:  # every failure ends the run and is wrapped with the event that did it
            raise self._aborted(error) from error

    async def _deliver_feed(self) -> None:
        schedule, clock, routes, marks = self._schedule, self._clock, self._routes, self._marks
        decider = self._deciders[0]
        on_candle, outbox = decider.on_candle, decider.outbox
        keep = decider.keep
        careful = len(self._deciders) > 1 or len(decider.timeframes) > 1 or bool(self._tick_enders)
        yielded_s = perf_counter()
        for batch in self._feed.batches():
            marks.see(marks.bars)
            is_even = self._feed.is_even()
            for time_ms, bars, others in batch:
                if time_ms >= schedule.halt_ms or careful:
                    if 0 <= schedule.next_ms < time_ms:
                        self._settle_before(time_ms)
                    if schedule.halt_ms <= time_ms or careful:
                        self._full_tick(time_ms, bars, bars if others is None else others)
                        if self._stop or self._account.bankrupt:
                            return
                        continue
                    if self._account.bankrupt:
                        return
                clock.now_ms = time_ms
                if is_even:
                    marks.bars = bars
                else:
                    marks.see(bars)
                signals = bars if others is None else others
                if signals:
                    keep(signals)
                if routes.any:
                    self._meet(bars)
                    if self._account.bankrupt:
                        return
                    if schedule.halt_ms <= time_ms:
                        self._deliver_due(time_ms)
                for candle in signals:
                    try:
                        returned = on_candle(candle)
                        if not returned:
                            continue
                    except (Exception, SystemExit) as error:  # the user's code may raise anything
                        raise self._strategy_failed(decider, "on_candle", error) from error
                    self._submit(decider, returned, "on_candle", cause=0, depth=0)
                if outbox:
                    self._empty_outbox(decider)
                if schedule.next_ms <= time_ms:
                    self._finish_tick(time_ms)
                    if self._account.bankrupt:
                        return
            for each in self._deciders:
                each.fold_history()
            if self._kill and not self._warming:
                self._kill = False
                schedule.hook(clock.now_ms + 1, hook_class=HOOK_DAY, item=KILL)
            now_s = perf_counter()
            if now_s - yielded_s > YIELD_S:
                yielded_s = now_s
                if self._bus.has_tapped:
                    await self._bus.flush_taps()
                await asyncio.sleep(0)
                if self._on_progress is not None:
                    self._on_progress(clock.now_ms, self._feed.candle_count())
                if self._stop:
                    return
        if self._bus.has_tapped:
            await self._bus.flush_taps()

    # -- ticks -------------------------------------------------------------------------------------------------------

    def _full_tick(self, time_ms: int, bars: Sequence[Candle], signals: Sequence[Candle]) -> None:
        """All stages of a tick on which something is, or may be, due."""
        if self._stop:
            return
        if self._warming:
            if time_ms <= self._start_ms:
                self._warm_tick(time_ms, bars, signals)
                return
            self._end_warm_up()
        self._settle_before(time_ms)
        if self._account.bankrupt:
            return
        self._clock.advance(time_ms)
        self._marks.see(bars)
        self._meet(bars)
        if self._account.bankrupt:
            return
        schedule = self._schedule
        if schedule.next_ms <= time_ms:
            self._deliver_due(time_ms)
        for decider in self._deciders:
            self._keep(decider, signals)
        for candle in signals:
            for decider in self._deciders:
                if candle.timeframe in decider.timeframes:
                    self._call(decider, "on_candle", candle)
        if signals and self._tick_enders:
            self._deliver_due(time_ms)
            for decider in self._tick_enders:
                self._call(decider, "on_tick_end")
        self._finish_tick(time_ms)

    def _finish_tick(self, time_ms: int) -> None:
        """Hooks still due, the snapshot, then what arrives at this very instant and meets the bar that opens now."""
        schedule = self._schedule
        hooks = schedule.hooks
        if hooks and hooks[0][0] <= time_ms:
            self._deliver_due(time_ms)
        if schedule.snapshot_ms <= time_ms:
            self._snapshot(time_ms)
        if schedule.next_ms <= time_ms:
            self._settle_before(time_ms + 1)

    def _settle_before(self, time_ms: int) -> None:
        """Everything due before `time_ms`, instant by instant: arrivals at the venue, books, hooks, snapshot."""
        bus, schedule, clock, account = self._bus, self._schedule, self._clock, self._account
        arrivals, hooks, on_arrival = schedule.arrivals, schedule.hooks, self._venue.on_arrival
        while (now_ms := schedule.next_ms) < time_ms and not self._stop and not account.bankrupt:
            if now_ms > clock.now_ms:
                clock.now_ms = now_ms
            else:
                clock.advance(now_ms)
            if arrivals and arrivals[0][0] <= now_ms:
                if self._routes.margin:
                    self._check_margin_at_open(now_ms)
                    if account.bankrupt:
                        return
                while arrivals and arrivals[0][0] <= now_ms:
                    _, _, _, _, item, cause, depth = heappop(arrivals)
                    bus.hand(on_arrival, item, cause, depth)
                bus.drain()
            if hooks and hooks[0][0] <= now_ms:
                self._deliver_due(now_ms)
            else:
                schedule.refresh()
            if schedule.snapshot_ms <= now_ms:
                self._snapshot(now_ms)

    def _meet(self, bars: Sequence[Candle]) -> None:
        """Stages venue and books: bars that end now meet what has business with them."""
        bus, venue = self._bus, self._routes.venue
        if self._routes.margin:
            self._check_margin(bars)
        if venue:
            for bar in bars:
                route = venue.get(bar.symbol)
                if route is not None and not (route[1] < bar.low and bar.high < route[2]):
                    published = route[0](bar)
                    if published:
                        bus.post(published)
            if bus.queue:
                bus.drain()
            if self._routes.margin:
                self._check_margin(bars)
        books = self._routes.books
        if books:
            for bar in bars:
                route = books.get(bar.symbol)
                if route is not None and not route[1] < bar.close < route[2]:
                    published = route[0](bar)
                    if published:
                        bus.post(published)
            if bus.queue:
                bus.drain()

    def _check_margin(self, bars: Sequence[Candle], *, at_open: bool = False) -> None:
        """What a bar beyond its band liquidates has traded, and all that follows is settled."""
        margin, bus = self._routes.margin, self._bus
        for bar in bars:
            band = margin.get(bar.symbol)
            if band is not None and not (band[0] < bar.low and bar.high < band[1]):
                while published := self._account.on_margin(bars, at_open=at_open):
                    bus.post(published)
                    bus.drain()
                return

    def _check_margin_at_open(self, time_ms: int) -> None:
        """Positions that the open of the bars of now has left without margin are gone before anything else arrives."""
        bars = [self._feed.bar_from(symbol, time_ms) for symbol in self._routes.margin]
        self._check_margin([bar for bar in bars if bar is not None and bar.start_ms <= time_ms], at_open=True)

    def _snapshot(self, time_ms: int) -> None:
        """The account says what it is, on the grid, where its invariants are checked too."""
        self._bus.post(self._account.on_snapshot_due())
        self._bus.drain()
        every_ms = self._snapshot_every_ms
        self._schedule.snapshot_at(time_ms // every_ms * every_ms + every_ms)

    @staticmethod
    def _keep(decider: Decider, signals: Sequence[Candle]) -> None:
        """The candles of its timeframes are in the strategy's history before any hook of this instant runs."""
        own = tuple(candle for candle in signals if candle.timeframe in decider.timeframes)
        if own:
            decider.keep(own)

    # -- warm-up -----------------------------------------------------------------------------------------------------

    def _warm_tick(self, time_ms: int, bars: Sequence[Candle], signals: Sequence[Candle]) -> None:
        """Candles before the start: seen by the strategies, their intents discarded."""
        self._clock.advance(time_ms)
        self._marks.see(bars)
        for decider in self._deciders:
            self._keep(decider, signals)
        for candle in signals:
            for decider in self._deciders:
                if candle.timeframe in decider.timeframes:
                    decider.set_warming(True)
                    self._call(decider, "on_candle", candle)
                    decider.set_warming(False)

    def _end_warm_up(self) -> None:
        self._warming = False
        self._schedule.postpone_hooks(self._start_ms)
        every_ms = self._snapshot_every_ms
        self._schedule.snapshot_at(-(-self._start_ms // every_ms) * every_ms)
        self._schedule.release()
        self._clock.advance(self._start_ms)
        if self._account.has_daily_floor:
            self._schedule.hook(self._start_ms // DAY_MS * DAY_MS + DAY_MS, hook_class=HOOK_DAY, item=NEW_DAY)
        if self._kill:
            self._kill, self._kill_at_ms = False, self._start_ms
        if self._kill_at_ms is not None:
            self._schedule.hook(max(self._kill_at_ms, self._start_ms), hook_class=HOOK_DAY, item=KILL)
        self._await_settlement()

    # -- hooks -------------------------------------------------------------------------------------------------------

    def _deliver_due(self, time_ms: int) -> None:
        """Hooks due by now, in order; what one returns is settled before the next runs."""
        schedule = self._schedule
        hooks = schedule.hooks
        while hooks and hooks[0][0] <= time_ms:
            _, hook_class, _, item, cause, depth = heappop(hooks)
            if hook_class == HOOK_FILL:
                if self._intake.retries:
                    self._intake.settled(item.order_id)
                self._call(self._by_id[item.strategy_id], "on_fill", item, cause=cause, depth=depth)
            elif item is NEW_DAY:
                self._bus.post(self._account.on_day())
                self._bus.drain()
                schedule.hook(time_ms // DAY_MS * DAY_MS + DAY_MS, hook_class=HOOK_DAY, item=NEW_DAY)
            elif item is KILL:
                self._bus.post(self._account.on_kill())
                self._bus.drain()
            elif item.__class__ is RuleChange and self._rule_book is not None:
                self._bus.post(self._rule_book.on_change(item))
                self._bus.drain()
                self._await_settlement()
            elif hook_class == HOOK_DAY:
                self._bus.post(self._account.on_settlement(item))
                self._bus.drain()
                self._await_settlement()
            elif hook_class == HOOK_REJECT:
                self._deliver_refusal(item, cause, depth)
            else:
                self._deliver_timer(item, time_ms)
        schedule.refresh()

    def _await_settlement(self) -> None:
        """The next settlement, of funding, of interest or of a contract that ends, or change of rules, is on the schedule."""
        following = next(self._settlements, None)
        if following is not None:
            self._schedule.hook(following.time_ms, hook_class=HOOK_DAY, item=following)

    def _deliver_refusal(self, message: OrderRefused | OrderRejected | OrderCanceled, cause: int, depth: int) -> None:
        decider = self._by_id[message.strategy_id]
        if isinstance(message, OrderCanceled):
            self._intake.settled(message.order_id)
            self._call(decider, "on_cancel", message, cause=cause, depth=depth)
        else:
            retries = self._intake.retries_of(message.order_id, reason=message.reason.value)
            self._call(decider, "on_reject", message, cause=cause, depth=depth, retries=retries)

    def _deliver_timer(self, due: TimerDue, time_ms: int) -> None:
        if self._timers.fire(due, now_ms=time_ms):
            self._call(self._by_id[due.strategy_id], "on_timer", due.name)

    def _call(self, decider: Decider, hook: str, *args: Any, cause: int = 0, depth: int = 0, retries: int = 0) -> None:
        """Call one hook and settle what it returns. Raises StrategyError around what the user's code raised."""
        try:
            returned = decider.hooks[hook](*args)
            has_intents = returned and True
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise self._strategy_failed(decider, hook, error) from error
        if has_intents:
            self._submit(decider, returned, hook, cause=cause, depth=depth, retries=retries)
        if decider.outbox:
            self._empty_outbox(decider)

    def _submit(self, decider: Decider, returned: Any, hook: str, *, cause: int, depth: int, retries: int = 0) -> None:
        """Each intent is settled before the next is looked at, so that limits and ids see those before it in the list."""
        warming, bus = self._warming, self._bus
        if returned.__class__ is list and len(returned) == 1 and not warming:  # by far the most frequent
            only = self._intake.only(decider.strategy_id, returned[0], hook=hook, retries=retries)
            bus.publish(T_ORDERS_INTENT, only, cause=cause, depth=depth)
            bus.drain()
            return
        intents = self._intake.intents(decider.strategy_id, returned, hook=hook, retries=retries, discard=warming)
        while True:
            try:
                intent = next(intents, None)
            except BacktesterError:
                raise
            except (Exception, SystemExit) as error:  # a generator of the user's may raise anything
                raise self._strategy_failed(decider, hook, error) from error
            if intent is None:
                return
            if warming:
                self.discarded_count += 1
                continue
            bus.publish(T_ORDERS_INTENT, intent, cause=cause, depth=depth)
            bus.drain()

    def _empty_outbox(self, decider: Decider) -> None:
        """Timers and notes that a hook asked for."""
        now_ms = self._clock.now_ms
        waiting, decider.outbox[:] = tuple(decider.outbox), []
        for request in waiting:
            if hasattr(request, "event"):
                note = LogEvent(time_ms=now_ms, strategy_id=decider.strategy_id, event=request.event, facts=dict(request.facts))
                self._bus.note(T_LOG, note)
            else:
                self._timers.set(decider.strategy_id, request.name, now_ms=now_ms, at_ms=request.at_ms, every_ms=request.every_ms)

    # -- endings -----------------------------------------------------------------------------------------------------

    def expire_orders(self, reason: RejectReason) -> None:
        """Every working order ends; nothing can be ordered any more."""
        self._bus.post(self._venue.expire_all(reason))
        self._bus.drain()

    def end_strategies(self) -> None:
        """Call `on_end` of every strategy; what it returns is ignored."""
        for decider in self._deciders:
            try:
                decider.hooks["on_end"]()
            except (Exception, SystemExit) as error:  # the user's code may raise anything
                raise self._aborted(self._strategy_failed(decider, "on_end", error)) from error
            if decider.outbox:
                self._empty_outbox(decider)

    def _strategy_failed(self, decider: Decider, hook: str, error: BaseException) -> BacktesterError:
        if isinstance(error, BacktesterError):
            return error
        return StrategyError(f"strategy {decider.strategy_id} raised {type(error).__name__} in {hook}: {error}{place_of(error)}")

    def _aborted(self, error: Exception) -> RunAbortedError:
        bus = self._bus
        return RunAbortedError(error, seq=bus.seq, time_ms=self._clock.now_ms, topic=bus.current[0].name)


def place_of(error: BaseException) -> str:
    """` (file:line)` of the innermost frame that raised; empty when there is none."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
