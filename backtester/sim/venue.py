"""The simulated venue: orders arrive after a latency and meet bars by the rules of docs/simulation.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_e8, price_e8, size_from_e8
from backtester.domain.orders import Fill, OrderAck, OrderCanceled, OrderRejected, SanitizedCancel, SanitizedOrder
from backtester.domain.rounding import lots_decimal
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
from backtester.sim.latency import Latency
from backtester.sim.liquidity import BarLiquidity
from backtester.sim.pricing import FillPricing
from backtester.sim.working_order import WorkingOrder

CLASS_MARKET = 2
CLASS_LIMIT = 3
CLASS_CANCEL = 4
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
    ) -> None:
        self._specs = specs
        self._index = {symbol: index for index, symbol in enumerate(specs)}
        self._bars = bars
        self._pricing = pricing
        self._liquidity = liquidity
        self._latency = latency
        self._schedule = schedule
        self._routes = routes
        self._clock = clock
        self._marks = marks
        self._quote = quote
        self._touch = touch
        self._carry = carry
        self._work_bars = work_bars
        self._orders: dict[str, WorkingOrder] = {}
        self._resting: dict[str, list[WorkingOrder]] = {symbol: [] for symbol in specs}
        self._lots: dict[str, int] = dict.fromkeys(specs, 0)

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

    def on_arrival(self, item: WorkingOrder | SanitizedCancel) -> list[Published]:
        """What the venue reports of an order, a cancel or a market order's next bar, all due now."""
        if isinstance(item, SanitizedCancel):
            return self._on_cancel(item)
        order = item.order
        order_id, symbol, now_ms = order.order_id, order.symbol, self._clock.now_ms
        if self._orders.get(order_id) is not item:
            return []
        reports: list[Published] = []
        if item.arrived_ms < 0:
            item.arrived_ms = now_ms
            ack = OrderAck(now_ms, order_id, order.strategy_id, symbol)
            reports.append((T_ORDERS_ACK, ack))
        bar = self._bars.bar_from(symbol, now_ms)
        if order.order_type is OrderType.MARKET:
            self._work_market(item, bar, reports)
        else:
            self._place_limit(item, bar, reports)
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
        symbol = working.order.symbol
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
                lots, over = self._allowed(working, bar)
                ticks = working.order.price_ticks
                paid_lots = self._affordable(working, lots, ticks, Liquidity.MAKER)
                if paid_lots:
                    self._fill(working, bar, paid_lots, ticks, Liquidity.MAKER, reports, over_share=over, bar_fill=True)
                if paid_lots < lots:
                    self._end(working, RejectReason.INSUFFICIENT, reports)
                self._end_if_pointless(working, reports)
        return reports

    # -- filling -----------------------------------------------------------------------------------------------------

    def _take(self, working: WorkingOrder, bar: Candle, reports: list[Published]) -> None:
        """Trade at the bar's open as taker: as much as share, position and budget allow."""
        lots, over = self._allowed(working, bar)
        order = working.order
        if lots:
            ticks = self._pricing.taker_ticks(
                symbol=order.symbol, side=order.side, lots=lots, bar=bar, reference=bar.open, over_share=over
            )
            if order.price_ticks:
                ticks = min(ticks, order.price_ticks) if order.side is Side.BUY else max(ticks, order.price_ticks)
            paid_lots = lots if working.budget_e8 is None else self._affordable(working, lots, ticks, Liquidity.TAKER)
            if paid_lots:
                self._fill(working, bar, paid_lots, ticks, Liquidity.TAKER, reports, over_share=over, bar_fill=False)
            if paid_lots < lots:
                self._end(working, RejectReason.INSUFFICIENT, reports)
                return
        if working.closes_only and working.open_lots:
            self._end_if_pointless(working, reports)

    def _allowed(self, working: WorkingOrder, bar: Candle) -> tuple[int, bool]:
        """(lots, over share): what may trade now. Reduce-only is never more than the position, and never held back."""
        order = working.order
        left = self._liquidity.left_lots(bar, self._specs[order.symbol])
        lots = working.open_lots
        if working.closes_only:
            held = self._lots[order.symbol]
            lots = min(lots, max(0, -held if order.side is Side.BUY else held))
        if order.reduce_only:
            return lots, left is not None and lots > left
        return (lots if left is None else min(lots, left)), False

    def _affordable(self, working: WorkingOrder, lots: int, ticks: int, liquidity: Liquidity) -> int:
        """A spot buy spends at most what was reserved for it (value and fee)."""
        if working.budget_e8 is None:
            return lots
        symbol = working.order.symbol
        while lots:
            cost_e8 = self._cost_e8(symbol, ticks, lots, liquidity)
            if cost_e8 <= working.budget_e8:
                return lots
            lots = min(lots - 1, lots * working.budget_e8 // cost_e8)
        return 0

    def _cost_e8(self, symbol: str, ticks: int, lots: int, liquidity: Liquidity) -> int:
        spec = self._specs[symbol]
        value = ticks * spec.tick_e8 * lots * spec.lot_e8
        return -(-value // 10**8) + self._pricing.fee_e8(symbol=symbol, ticks=ticks, lots=lots, liquidity=liquidity)

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
        order = working.order
        symbol, side = order.symbol, order.side
        spec = self._specs[symbol]
        fee_e8 = self._pricing.fee_e8(symbol=symbol, ticks=ticks, lots=lots, liquidity=liquidity)
        if working.budget_e8 is not None:
            working.budget_e8 -= self._cost_e8(symbol, ticks, lots, liquidity)
        self._liquidity.use(bar, lots)
        working.open_lots -= lots
        working.fills += 1
        held = self._lots[symbol] = self._lots[symbol] + (lots if side is Side.BUY else -lots)
        fill = Fill(
            self._clock.now_ms,
            symbol,
            side,
            size_from_e8(lots * spec.lot_e8),
            decimal_from_e8(ticks * spec.tick_e8),
            decimal_from_e8(fee_e8),
            self._quote,
            liquidity,
            order.order_id,
            f"{order.order_id}-f{working.fills}",
            order.strategy_id,
            order.reason,
            order.order_type,
            bar_fill,
            working.note,
            over_share,
            ticks,
            lots,
            fee_e8,
            working.open_lots,
        )
        reports.append((T_FILLS, fill))
        if not working.open_lots:
            self._forget(working)
        if not held and self._resting[symbol]:
            for resting in tuple(self._resting[symbol]):
                self._end_if_pointless(resting, reports)

    def _end_if_pointless(self, working: WorkingOrder, reports: list[Published]) -> None:
        """End an order that may only close when nothing is left to close: reduce-only, or a sale on spot."""
        order = working.order
        if not working.closes_only or not working.open_lots or order.order_id not in self._orders:
            return
        held = self._lots[order.symbol]
        if (held if order.side is Side.SELL else -held) <= 0:
            self._end(working, RejectReason.REDUCE_ONLY if order.reduce_only else RejectReason.INSUFFICIENT, reports)

    # -- endings -----------------------------------------------------------------------------------------------------

    def _end(self, working: WorkingOrder, reason: RejectReason, reports: list[Published]) -> None:
        order = working.order
        canceled = OrderCanceled(
            time_ms=self._clock.now_ms,
            order_id=order.order_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            status=OrderStatus.CANCELED if reason is RejectReason.USER else OrderStatus.EXPIRED,
            reason=reason,
            open_qty=lots_decimal(working.open_lots, self._specs[order.symbol]),
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
