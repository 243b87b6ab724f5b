"""What happens when something reaches the venue: an order, a cancel, a date, or a market order's next bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec.structs import replace

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import price_e8
from backtester.domain.orders import OrderAck, OrderRejected, SanitizedAmend, SanitizedCancel, SanitizedExits
from backtester.domain.vocabulary import FOK, GTD, MARKET_ORDER, SELL, TAKER, FillNote, OrderStatus, RejectReason, TimeInForce
from backtester.engine.clock import Clock
from backtester.engine.schedule import Schedule
from backtester.engine.topics import T_ORDERS_ACK, T_ORDERS_REJECTED, Published, on
from backtester.sim.amending import Amending, MayAmend
from backtester.sim.filling import Filling
from backtester.sim.open_order_limits import OpenOrderLimits
from backtester.sim.standing_orders import StandingOrders
from backtester.sim.working_order import GoodTill, WorkingOrder

CLASS_STOP = 1
CLASS_MARKET = 2
CLASS_LIMIT = 3
CLASS_CANCEL = 4
CLASS_EXPIRY = 5
"""Order of what arrives at the same instant on the same symbol (0, liquidations, come before)."""


class BarSource(Protocol):
    """What only the venue may ask: the bar that is open at an instant, or the next one."""

    def bar_from(self, symbol: str, time_ms: int) -> Candle | None:
        """See `engine.ports.MarketDataSource.bar_from`."""


class Arrivals:
    """Meets what arrives with the open of the bar that contains the arrival."""

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        standing: StandingOrders,
        filling: Filling,
        bars: BarSource,
        schedule: Schedule,
        clock: Clock,
        marks: Mapping[str, float],
        carry: bool,
        work_bars: int,
        may_amend: MayAmend,
    ) -> None:
        self._standing = standing
        self._limits = OpenOrderLimits(standing=standing, specs=specs)
        self._amending = Amending(standing=standing, clock=clock, marks=marks, place_limit=self._place_limit, may_amend=may_amend)
        self._filling = filling
        self._bars = bars
        self._schedule = schedule
        self._clock = clock
        self._marks = marks
        self._carry = carry
        self._work_bars = work_bars

    def on_arrival(self, item: WorkingOrder | SanitizedExits | SanitizedAmend | SanitizedCancel | GoodTill) -> list[Published]:
        """What the venue reports of an order, a request, a date or a market order's next bar, all due now."""
        if not isinstance(item, WorkingOrder):
            return self._on_request(item)
        order = item.order
        if self._standing.by_id.get(order.order_id) is not item:
            return []
        now_ms = self._clock.now_ms
        bar = self._bars.bar_from(order.symbol, now_ms)
        reports: list[Published] = []
        is_market = order.order_type is MARKET_ORDER
        if item.arrived_ms < 0:
            item.arrived_ms = now_ms
            if is_market and order.tif is not FOK:
                if order.reduce_only and self._is_too_large(item, reports):
                    return reports
            elif not self._begins(item, bar, reports):
                return reports
            reports.append((T_ORDERS_ACK, OrderAck(now_ms, order.order_id, order.strategy_id, order.symbol)))
        if not is_market:
            self._place_limit(item, bar, reports)
        elif bar is None or bar.start_ms > now_ms or bar.volume <= 0:
            self._await_trades(item, bar, reports)
        elif not order.quote_e8 or self._size_by_value(item, bar, reports):
            self._take(item, bar, reports)
            if item.open_lots:
                self._carry_over(item, bar, reports)
        return reports

    def _on_request(self, item: SanitizedExits | SanitizedAmend | SanitizedCancel | GoodTill) -> list[Published]:
        if isinstance(item, SanitizedCancel):
            return self._on_cancel(item)
        if isinstance(item, SanitizedAmend):
            return self._on_amend(item)
        if isinstance(item, GoodTill):
            return self._on_good_till(item.working)
        return self._amending.on_exits(item, self._bars.bar_from(item.symbol, self._clock.now_ms))

    def _begins(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> bool:
        """Whether an order goes on as one that works now: not rejected, not ended, and not one that waits."""
        order = working.order
        if order.tif is GTD and order.good_till_ms <= self._clock.now_ms:
            self._standing.reject(working, RejectReason.GOOD_TILL, "its date had passed before it arrived", reports)
        elif (excess := self._limits.excess(working)) is not None:
            reason = RejectReason.MAX_OPEN_ORDERS
            self._standing.reject(working, reason, excess.detail, reports, is_low=excess.is_waiting)
        elif order.reduce_only and not working.conditional and self._is_too_large(working, reports):
            pass
        elif working.conditional:
            self._begin_waiting(working, bar, reports)
        elif order.oco_trigger_ticks:
            self._begin_oco(working, bar, reports)
        else:
            return not ((order.post_only or order.tif is FOK) and self._ends_at_arrival(working, bar, reports))
        return False

    def _is_too_large(self, working: WorkingOrder, reports: list[Published]) -> bool:
        """Whether a reduce-only order is larger than its position at a venue that then rejects it: it is rejected."""
        order = working.order
        held = self._filling.lots[working.holding]
        if working.open_lots <= (held if order.side is SELL else -held):
            return False
        if not self._standing.rules_of(order.symbol).rejects_larger_reduce_only:
            return False
        self._standing.reject(working, RejectReason.REDUCE_ONLY, "it is larger than the position", reports)
        return True

    def _size_by_value(self, working: WorkingOrder, bar: Candle, reports: list[Published]) -> bool:
        """An order by value has its lots from now on: what the value is worth at the price of its fill, rounded down.

        exchange_semantics.md, section 1.1 ("spot market by value"). Without a whole minimum order it ends; then the answer is no.
        """
        lots = self._filling.lots_for_value(working, bar)
        if not lots:
            self._standing.end(working, RejectReason.MIN_QTY, reports)
            return False
        changed = lots != working.open_lots
        working.amend(replace(working.order, qty_lots=lots, quote_e8=0))
        if changed:
            self._standing.report_amended(working, reports, keeps_place=True)
        return True

    def _begin_waiting(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> None:
        """A conditional order waits from now on, unless the market has passed its trigger already: then it is rejected.

        A stop meets the whole bar in which it arrives, a take-profit the bars from the next on: the worse side of not knowing
        what came first (exchange_semantics.md, sections 1.1 and 5.11; golden H07).
        """
        order, now_ms = working.order, self._clock.now_ms
        open_now = bar is not None and bar.start_ms <= now_ms
        price = bar.open if bar is not None and open_now else self._marks.get(order.symbol)
        if price is not None:
            price = self._standing.triggers.market_of(order, price, now_ms)
        if price is None or (working.trail is None and working.is_triggered_by(price)):
            detail = "the market is beyond the trigger already"
            self._standing.reject(working, RejectReason.TRIGGER_SIDE, detail, reports, is_low=not working.rises)
            return
        if order.follows_position and self._standing.filling.lots[working.holding] * order.side.sign >= 0:
            self._standing.reject(working, RejectReason.REDUCE_ONLY, "there is no position that it would close", reports)
            return
        ack = OrderAck(now_ms, order.order_id, order.strategy_id, order.symbol, is_waiting=True)
        reports.append(on(T_ORDERS_ACK, ack))
        if bar is None or not open_now or bar.start_ms == now_ms:
            working.meets_from_ms = now_ms
        else:
            working.meets_from_ms = bar.start_ms if order.order_type.is_stop else bar.end_ms
        if working.trail is not None:
            working.trail.start(price)
        self._standing.wait(working)
        if order.follows_position:
            self._standing.exits.follow(working)
            self._standing.exits.after_trade(working.holding, reports)
        self._end_at_date(working)

    def _begin_oco(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> None:
        """The limit rests and its stop waits, where the market lies between them; else neither ever was an order.

        exchange_semantics.md, section 1.2 ("OCO").
        """
        order, now_ms = working.order, self._clock.now_ms
        open_now = bar is not None and bar.start_ms <= now_ms
        price = bar.open if bar is not None and open_now else self._marks.get(order.symbol)
        trigger_e8 = order.oco_trigger_ticks * working.tick_e8
        if price is None or not (price_e8(price) - trigger_e8) * -order.side.sign > 0 or working.is_marketable(price_e8(price)):
            detail = "the market does not lie between the prices of the OCO"
            self._standing.reject(working, RejectReason.TRIGGER_SIDE, detail, reports)
            return
        reports.append(on(T_ORDERS_ACK, OrderAck(now_ms, order.order_id, order.strategy_id, order.symbol)))
        self._place_limit(working, bar, reports)
        if self._standing.by_id.get(order.order_id) is working:
            meets_from_ms = bar.start_ms if bar is not None and open_now else now_ms
            self._standing.exits.stop_of_oco(working, meets_from_ms, reports)

    def _end_at_date(self, working: WorkingOrder) -> None:
        order = working.order
        if order.tif is TimeInForce.GTD:
            self._schedule.arrive(
                order.good_till_ms, symbol_index=working.symbol_index, order_class=CLASS_EXPIRY, item=GoodTill(working)
            )

    def _ends_at_arrival(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> bool:
        """Whether a post-only order would take, or a fill-or-kill cannot be filled whole: then it has ended, as the venue has it.

        exchange_semantics.md, section 1.2 (golden G01, G05).
        """
        order = working.order
        symbol, rules = order.symbol, self._standing.rules_of(order.symbol)
        open_now = bar is not None and bar.start_ms <= self._clock.now_ms
        price = bar.open if bar is not None and open_now else self._marks.get(symbol)
        crosses = price is not None and working.is_marketable(price_e8(price))
        if order.post_only:
            if not crosses:
                return False
            reason, outcome = RejectReason.POST_ONLY, rules.post_only_crossing
        else:
            if bar is not None and open_now and bar.volume > 0 and crosses and self._filling.fits_whole(working, bar):
                return False
            reason, outcome = RejectReason.FOK, rules.fok_short
        if outcome is OrderStatus.REJECTED:
            detail = "it would take at once" if order.post_only else "it cannot be filled whole at once"
            self._standing.reject(working, reason, detail, reports)
        else:
            reports.append(on(T_ORDERS_ACK, OrderAck(self._clock.now_ms, order.order_id, order.strategy_id, symbol)))
            self._standing.end(working, reason, reports, status=outcome)
        return True

    def _on_good_till(self, working: WorkingOrder) -> list[Published]:
        """The date has come: what still works ends before anything at this time can fill it (section 1.2)."""
        reports: list[Published] = []
        if self._standing.by_id.get(working.order.order_id) is working:
            self._standing.end(working, RejectReason.GOOD_TILL, reports, status=OrderStatus.EXPIRED)
        return reports

    def _await_trades(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> None:
        """A market order finds nothing to trade in now: it meets the next bar, or ends (IOC)."""
        if working.order.tif is TimeInForce.IOC:
            self._standing.end(working, RejectReason.NO_LIQUIDITY, reports)
        elif bar is not None:
            in_gap = bar.start_ms > self._clock.now_ms
            if working.note is FillNote.NONE or working.note is FillNote.CARRIED:
                working.note = FillNote.GAP if in_gap else FillNote.ZERO_VOLUME
            self._wake(working, bar.start_ms if in_gap else self._next_start_ms(bar))

    def _carry_over(self, working: WorkingOrder, bar: Candle, reports: list[Published]) -> None:
        """What a bar has left open of a market order, if it still stands, meets the next one, or ends."""
        if working.order.order_id not in self._standing.by_id:
            return
        if working.order.tif is TimeInForce.IOC:
            self._standing.end(working, RejectReason.NO_LIQUIDITY, reports)
        elif not self._carry or working.bars_worked >= self._work_bars:
            self._standing.end(working, RejectReason.CAPACITY, reports)
        else:
            working.bars_worked += 1
            working.note = FillNote.CARRIED
            self._wake(working, self._next_start_ms(bar))

    def _take(self, working: WorkingOrder, bar: Candle, reports: list[Published]) -> None:
        """Trade at the bar's open as taker: as much as share, position and budget allow."""
        standing, filling = self._standing, self._filling
        lots, over = filling.allowed(working, bar)
        if lots:
            ticks = filling.pricing.taker_ticks(working.order, lots, bar, bar.open, over)
            if standing.resting[bar.symbol] and standing.ends_by_self_trade(working, ticks, reports):
                return
            paid_lots = lots
            if working.budget_e8 is not None or filling.covers is not None:
                paid_lots = filling.affordable(working, lots, ticks, TAKER)
            if paid_lots:
                standing.trade(working, bar, paid_lots, ticks, TAKER, reports, over_share=over, bar_fill=False)
            if paid_lots < lots:
                standing.end(working, RejectReason.INSUFFICIENT, reports)
                return
        if working.open_lots and working.closes_only:
            standing.end_if_pointless(working, reports)

    def _next_start_ms(self, bar: Candle) -> int | None:
        following = self._bars.bar_from(bar.symbol, bar.end_ms)
        return following.start_ms if following is not None else None

    def _wake(self, working: WorkingOrder, time_ms: int | None) -> None:
        """The order meets the market again at `time_ms`; with no further bar it waits for the end of the run."""
        if time_ms is not None:
            self._schedule.arrive(
                time_ms,
                symbol_index=working.symbol_index,
                order_class=CLASS_MARKET,
                item=working,
                sequence=working.sequence,
            )

    def _place_limit(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> None:
        """Take what the limit crosses at its arrival; what is left rests, or ends (IOC)."""
        now_ms = self._clock.now_ms
        open_now = bar is not None and bar.start_ms <= now_ms
        if bar is not None and open_now and bar.volume > 0 and working.is_marketable(price_e8(bar.open)):
            self._take(working, bar, reports)
            if working.order.order_id not in self._standing.by_id:
                return
        if working.order.tif is TimeInForce.IOC:
            self._standing.end(working, RejectReason.NO_LIQUIDITY, reports)
            return
        if self._standing.ends_by_self_trade(working, working.order.price_ticks, reports):
            return
        self._standing.end_if_pointless(working, reports)
        if working.order.order_id not in self._standing.by_id:
            return
        if bar is not None and open_now:
            first_half = 2 * (now_ms - bar.start_ms) < bar.end_ms - bar.start_ms
            working.meets_from_ms = bar.start_ms if first_half else bar.end_ms
        else:
            working.meets_from_ms = now_ms
        self._end_at_date(working)
        self._standing.rest(working)

    def _on_cancel(self, cancel: SanitizedCancel) -> list[Published]:
        reports: list[Published] = []
        working = self._standing.by_id.get(cancel.order_id)
        if working is None or working.arrived_ms < 0 or self._loses_to_fill(working):
            reason = RejectReason.TOO_LATE if working is None or working.arrived_ms >= 0 else RejectReason.UNKNOWN_ORDER
            reports.append(
                on(
                    T_ORDERS_REJECTED,
                    OrderRejected(
                        time_ms=self._clock.now_ms,
                        order_id=cancel.order_id,
                        strategy_id=cancel.strategy_id,
                        symbol=cancel.symbol,
                        reason=reason,
                        detail="the order is filled or ended already" if reason is RejectReason.TOO_LATE else "not there yet",
                        is_cancel=True,
                        code=self._standing.code_of(cancel.symbol, reason),
                    ),
                )
            )
        else:
            self._standing.end(working, RejectReason.USER, reports)
        return reports

    def _on_amend(self, amend: SanitizedAmend) -> list[Published]:
        """A request to amend loses to a fill exactly where one to cancel does."""
        working = self._standing.by_id.get(amend.order_id)
        if working is not None and (working.resting or working.waiting) and not self._loses_to_fill(working):
            return self._amending.on_amend(amend, working, self._bars.bar_from(amend.symbol, self._clock.now_ms))
        reports: list[Published] = []
        if working is not None and working.arrived_ms < 0:
            self._amending.reject(amend, RejectReason.UNKNOWN_ORDER, "not there yet", reports)
        else:
            self._amending.reject(amend, RejectReason.TOO_LATE, "the order is filled or ended already", reports)
        return reports

    def _loses_to_fill(self, working: WorkingOrder) -> bool:
        """A request is too late when the bar in which it arrives opened already through an order that stood before."""
        now_ms = self._clock.now_ms
        if not (working.resting or working.waiting) or working.arrived_ms >= now_ms:
            return False
        bar = self._bars.bar_from(working.order.symbol, now_ms)
        return (
            bar is not None
            and bar.start_ms <= now_ms
            and bar.volume > 0
            and working.arrived_ms < bar.start_ms
            and working.meets_from_ms <= bar.start_ms
            and (
                self._standing.triggers.is_through_at_open(working, bar)
                if working.waiting
                else self._standing.is_sure(working, bar.open)
            )
        )
