"""The simulated venue: orders arrive after a latency and meet bars by the rules of docs/simulation.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import price_e8
from backtester.domain.orders import OrderAck, OrderCanceled, OrderRejected, SanitizedCancel, SanitizedOrder
from backtester.domain.rounding import lots_decimal
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import (
    FillNote,
    Liquidity,
    OrderStatus,
    OrderType,
    RejectReason,
    Side,
    TimeInForce,
)
from backtester.engine.clock import Clock
from backtester.engine.routes import Routes
from backtester.engine.schedule import Schedule
from backtester.engine.topics import T_FILLS, T_ORDERS_ACK, T_ORDERS_CANCELED, T_ORDERS_REJECTED, Published, on
from backtester.sim.filling import Filling
from backtester.sim.latency import Latency
from backtester.sim.liquidity import BarLiquidity
from backtester.sim.pricing import FillPricing
from backtester.sim.working_order import GoodTill, WorkingOrder

CLASS_MARKET = 2
CLASS_LIMIT = 3
CLASS_CANCEL = 4
CLASS_EXPIRY = 5
"""Order of what arrives at the same instant on the same symbol (0 liquidations and 1 stops come before)."""


class BarSource(Protocol):
    """What only the venue may ask: the bar that is open at an instant, or the next one."""

    def bar_from(self, symbol: str, time_ms: int) -> Candle | None:
        """See `engine.ports.MarketDataSource.bar_from`."""


class SimulatedVenue:
    """Matches the run's orders on bars. Subscribed as the gateway of the order manager; reports are returned as messages."""

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        bars: BarSource,
        pricing: FillPricing,
        liquidity: BarLiquidity,
        latency: Latency,
        schedule: Schedule,
        routes: Routes,
        clock: Clock,
        marks: Mapping[str, float],
        quote: str,
        touch: bool = False,
        carry: bool = True,
        work_bars: int = 60,
        rules: Mapping[str, VenueRules] | None = None,
    ) -> None:
        self._specs = specs
        self._index = {symbol: index for index, symbol in enumerate(specs)}
        self._bars = bars
        self._filling = Filling(specs=specs, pricing=pricing, liquidity=liquidity, clock=clock, quote=quote)
        self._pricing = pricing
        self._latency = latency
        self._schedule = schedule
        self._routes = routes
        self._clock = clock
        self._marks = marks
        self._touch = touch
        self._carry = carry
        self._work_bars = work_bars
        self._rules = rules or {}
        self._orders: dict[str, WorkingOrder] = {}
        self._resting: dict[str, list[WorkingOrder]] = {symbol: [] for symbol in specs}

    # -- gateway: requests on their way ------------------------------------------------------------------------------

    def send(self, order: SanitizedOrder) -> None:
        """The order arrives after the order latency."""
        working = WorkingOrder(order, symbol_index=self._index[order.symbol], spec=self._specs[order.symbol], touch=self._touch)
        self._orders[order.order_id] = working
        working.sequence = self._schedule.arrive(
            self._clock.now_ms + self._latency.order_ms(),
            symbol_index=working.symbol_index,
            order_class=CLASS_MARKET if order.order_type is OrderType.MARKET else CLASS_LIMIT,
            item=working,
        )

    def cancel(self, cancel: SanitizedCancel) -> None:
        """The request to cancel arrives after the cancel latency."""
        self._schedule.arrive(
            self._clock.now_ms + self._latency.cancel_ms(),
            symbol_index=self._index.get(cancel.symbol, 0),
            order_class=CLASS_CANCEL,
            item=cancel,
        )

    # -- arrivals ----------------------------------------------------------------------------------------------------

    def on_arrival(self, item: WorkingOrder | SanitizedCancel | GoodTill) -> list[Published]:
        """What the venue reports of an order, a cancel, a date or a market order's next bar, all due now."""
        if isinstance(item, SanitizedCancel):
            return self._on_cancel(item)
        if isinstance(item, GoodTill):
            return self._on_good_till(item.working)
        order = item.order
        order_id, symbol, now_ms = order.order_id, order.symbol, self._clock.now_ms
        if self._orders.get(order_id) is not item:
            return []
        reports: list[Published] = []
        bar = self._bars.bar_from(symbol, now_ms)
        if item.arrived_ms < 0:
            item.arrived_ms = now_ms
            if (order.post_only or order.tif is TimeInForce.FOK) and self._ends_at_arrival(item, bar, reports):
                return reports
            ack = OrderAck(now_ms, order_id, order.strategy_id, symbol)
            reports.append((T_ORDERS_ACK, ack))
        if order.order_type is OrderType.MARKET:
            self._work_market(item, bar, reports)
        else:
            self._place_limit(item, bar, reports)
        return reports

    def _ends_at_arrival(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> bool:
        """Whether a post-only order would take, or a fill-or-kill cannot be filled whole: then it has ended, as the venue has it.

        exchange_semantics.md, section 1.2 (golden G01, G05).
        """
        order = working.order
        symbol, rules = order.symbol, self._rules.get(order.symbol, GENERIC)
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
            rejected = OrderRejected(
                self._clock.now_ms, order.order_id, order.strategy_id, symbol, reason, detail, code=rules.code_of(reason)
            )
            reports.append(on(T_ORDERS_REJECTED, rejected))
            self._forget(working)
        else:
            reports.append(on(T_ORDERS_ACK, OrderAck(self._clock.now_ms, order.order_id, order.strategy_id, symbol)))
            self._end(working, reason, reports, status=outcome)
        return True

    def _on_good_till(self, working: WorkingOrder) -> list[Published]:
        """The date has come: what still works ends before anything at this time can fill it (section 1.2)."""
        reports: list[Published] = []
        if self._orders.get(working.order.order_id) is working:
            self._end(working, RejectReason.GOOD_TILL, reports, status=OrderStatus.EXPIRED)
        return reports

    def _work_market(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> None:
        """Fill at the open of the bar there is now; wait for the next bar where there is none to trade in."""
        now_ms = self._clock.now_ms
        if bar is None or bar.start_ms > now_ms or bar.volume <= 0:
            if working.order.tif is TimeInForce.IOC:
                self._end(working, RejectReason.NO_LIQUIDITY, reports)
            elif bar is not None:
                in_gap = bar.start_ms > now_ms
                if working.note is FillNote.NONE or working.note is FillNote.CARRIED:
                    working.note = FillNote.GAP if in_gap else FillNote.ZERO_VOLUME
                self._wake(working, bar.start_ms if in_gap else self._next_start_ms(bar))
            return
        self._take(working, bar, reports)
        if not working.open_lots or working.order.order_id not in self._orders:
            return
        if working.order.tif is TimeInForce.IOC:
            self._end(working, RejectReason.NO_LIQUIDITY, reports)
        elif not self._carry or working.bars_worked >= self._work_bars:
            self._end(working, RejectReason.CAPACITY, reports)
        else:
            working.bars_worked += 1
            working.note = FillNote.CARRIED
            self._wake(working, self._next_start_ms(bar))

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
            if working.order.order_id not in self._orders:
                return
        if working.order.tif is TimeInForce.IOC:
            self._end(working, RejectReason.NO_LIQUIDITY, reports)
            return
        self._end_if_pointless(working, reports)
        if working.order.order_id not in self._orders:
            return
        if bar is not None and open_now:
            first_half = 2 * (now_ms - bar.start_ms) < bar.end_ms - bar.start_ms
            working.meets_from_ms = bar.start_ms if first_half else bar.end_ms
        else:
            working.meets_from_ms = now_ms
        working.resting = True
        order = working.order
        symbol = order.symbol
        if order.tif is TimeInForce.GTD:
            self._schedule.arrive(
                order.good_till_ms, symbol_index=working.symbol_index, order_class=CLASS_EXPIRY, item=GoodTill(working)
            )
        self._resting[symbol].append(working)
        self._watch(symbol)

    def _on_cancel(self, cancel: SanitizedCancel) -> list[Published]:
        reports: list[Published] = []
        working = self._orders.get(cancel.order_id)
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
                        code=self._rules.get(cancel.symbol, GENERIC).code_of(reason),
                    ),
                )
            )
        else:
            self._end(working, RejectReason.USER, reports)
        return reports

    def _loses_to_fill(self, working: WorkingOrder) -> bool:
        """A cancel is too late when the bar in which it arrives opened already through an order that stood before."""
        now_ms = self._clock.now_ms
        if not working.resting or working.arrived_ms >= now_ms:
            return False
        bar = self._bars.bar_from(working.order.symbol, now_ms)
        return (
            bar is not None
            and bar.start_ms <= now_ms
            and bar.volume > 0
            and working.arrived_ms < bar.start_ms
            and working.meets_from_ms <= bar.start_ms
            and working.is_reached(bar.open)
        )

    # -- bars --------------------------------------------------------------------------------------------------------

    def on_bar(self, bar: Candle) -> Sequence[Published]:
        """Resting limits that the closed bar traded through are filled at their price, in order of arrival."""
        if bar.volume <= 0:
            return ()
        reports: list[Published] = []
        for working in tuple(self._resting[bar.symbol]):
            if working.meets_from_ms > bar.start_ms or working.order.order_id not in self._orders:
                continue
            if working.is_reached(bar.low if working.order.side is Side.BUY else bar.high):
                lots, over = self._filling.allowed(working, bar)
                ticks = working.order.price_ticks
                paid_lots = self._filling.affordable(working, lots, ticks, Liquidity.MAKER)
                if paid_lots:
                    self._fill(working, bar, paid_lots, ticks, Liquidity.MAKER, reports, over_share=over, bar_fill=True)
                if paid_lots < lots:
                    self._end(working, RejectReason.INSUFFICIENT, reports)
                self._end_if_pointless(working, reports)
        return reports

    # -- filling -----------------------------------------------------------------------------------------------------

    def _take(self, working: WorkingOrder, bar: Candle, reports: list[Published]) -> None:
        """Trade at the bar's open as taker: as much as share, position and budget allow."""
        lots, over = self._filling.allowed(working, bar)
        if lots:
            ticks = self._filling.taker_ticks(working, bar, lots, over_share=over)
            paid_lots = lots if working.budget_e8 is None else self._filling.affordable(working, lots, ticks, Liquidity.TAKER)
            if paid_lots:
                self._fill(working, bar, paid_lots, ticks, Liquidity.TAKER, reports, over_share=over, bar_fill=False)
            if paid_lots < lots:
                self._end(working, RejectReason.INSUFFICIENT, reports)
                return
        if working.closes_only and working.open_lots:
            self._end_if_pointless(working, reports)

    def _fill(
        self,
        working: WorkingOrder,
        bar: Candle,
        lots: int,
        ticks: int,
        liquidity: Liquidity,
        reports: list[Published],
        *,
        over_share: bool,
        bar_fill: bool,
    ) -> None:
        """The trade is made and reported; what is filled whole, or has nothing left to close, is over."""
        filling = self._filling
        reports.append((T_FILLS, filling.fill(working, bar, lots, ticks, liquidity, over_share=over_share, bar_fill=bar_fill)))
        if not working.open_lots:
            self._forget(working)
        symbol = working.order.symbol
        if not filling.lots[symbol] and self._resting[symbol]:
            for resting in tuple(self._resting[symbol]):
                self._end_if_pointless(resting, reports)

    def _end_if_pointless(self, working: WorkingOrder, reports: list[Published]) -> None:
        """End an order that may only close when nothing is left to close: reduce-only, or a sale on spot."""
        order = working.order
        if not working.closes_only or not working.open_lots or order.order_id not in self._orders:
            return
        held = self._filling.lots[order.symbol]
        if (held if order.side is Side.SELL else -held) <= 0:
            self._end(working, RejectReason.REDUCE_ONLY if order.reduce_only else RejectReason.INSUFFICIENT, reports)

    # -- endings -----------------------------------------------------------------------------------------------------

    def _end(
        self, working: WorkingOrder, reason: RejectReason, reports: list[Published], *, status: OrderStatus | None = None
    ) -> None:
        """The order is over with what is open unfilled; CANCELED when the user asked, EXPIRED otherwise, or as `status` says."""
        order = working.order
        by_rule = OrderStatus.CANCELED if reason is RejectReason.USER else OrderStatus.EXPIRED
        canceled = OrderCanceled(
            time_ms=self._clock.now_ms,
            order_id=order.order_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            status=status or by_rule,
            reason=reason,
            open_qty=lots_decimal(working.open_lots, self._specs[order.symbol]),
            code=self._rules.get(order.symbol, GENERIC).code_of(reason),
        )
        reports.append(on(T_ORDERS_CANCELED, canceled))
        self._forget(working)

    def _forget(self, working: WorkingOrder) -> None:
        del self._orders[working.order.order_id]
        if working.resting:
            symbol = working.order.symbol
            self._resting[symbol].remove(working)
            if self._resting[symbol]:
                self._watch(symbol)
            else:
                self._routes.leave_venue(symbol)

    def _watch(self, symbol: str) -> None:
        """Be called with the bars that reach the next price that matters: one between those of both sides fills nothing."""
        resting = self._resting[symbol]
        highest_buy = max((w.trigger for w in resting if w.order.side is Side.BUY), default=float("-inf"))
        lowest_sell = min((w.trigger for w in resting if w.order.side is Side.SELL), default=float("inf"))
        self._routes.enter_venue(symbol, self.on_bar, (highest_buy, lowest_sell))

    def expire_all(self, reason: RejectReason) -> list[Published]:
        """Every order that still works ends now, in the order they were sent."""
        reports: list[Published] = []
        for working in tuple(self._orders.values()):
            self._end(working, reason, reports)
        return reports

    def close_out(self) -> list[Published]:
        """Orders sent to close the run trade at the last closes, with a taker's costs and without a volume cap."""
        reports: list[Published] = []
        for working in tuple(self._orders.values()):
            order = working.order
            mark = self._marks[order.symbol]
            working.arrived_ms = now_ms = self._clock.now_ms
            ack = OrderAck(time_ms=now_ms, order_id=order.order_id, strategy_id=order.strategy_id, symbol=order.symbol)
            reports.append(on(T_ORDERS_ACK, ack))
            bar = Candle(order.symbol, "", now_ms, now_ms, mark, mark, mark, mark, 0.0)
            ticks = self._pricing.taker_ticks(
                symbol=order.symbol, side=order.side, lots=working.open_lots, bar=bar, reference=mark, over_share=False
            )
            lots = working.open_lots
            self._fill(working, bar, lots, ticks, Liquidity.TAKER, reports, over_share=False, bar_fill=False)
        return reports
