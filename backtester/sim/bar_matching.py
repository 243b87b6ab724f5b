"""What a closed bar does to standing orders: stops first, then resting limits, then take-profits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backtester.domain.candle import Candle
from backtester.domain.money import price_e8
from backtester.domain.orders import OrderTriggered, SanitizedOrder
from backtester.domain.vocabulary import FillNote, Liquidity, OrderStatus, RejectReason, Side, TimeInForce, TriggerBy
from backtester.engine.clock import Clock
from backtester.engine.ports import TRADE_MS
from backtester.engine.topics import T_ORDERS_TRIGGERED, Published, on
from backtester.sim.filling import Filling
from backtester.sim.intrabar import Intrabar
from backtester.sim.limit_fill import TouchFill
from backtester.sim.open_order import is_path_asked, meet_from, uncertain_exits, waits_for_other_prices
from backtester.sim.standing_orders import StandingOrders
from backtester.sim.working_order import WorkingOrder

MayTrigger = Callable[[SanitizedOrder, int], bool]
"""Whether a triggered order at this price (1e-8 quote) has its margin; it is held from then on."""


class BarMatching:
    """Matches bars against the orders of one run, by the table of exchange_semantics.md, section 5.11.

    A bar whose order of events decides something is gone through in finer data, where there is some: that tells what came first.
    Costs, and the share of the volume that may be taken, stay those of the bar.
    """

    def __init__(
        self,
        *,
        standing: StandingOrders,
        filling: Filling,
        clock: Clock,
        may_trigger: MayTrigger,
        intrabar: Intrabar,
    ) -> None:
        self._standing = standing
        self._filling = filling
        self._clock = clock
        self._may_trigger = may_trigger
        self._intrabar = standing.triggers.intrabar = intrabar
        self._touched: set[str] = set()

    def on_bar(self, bar: Candle) -> Sequence[Published]:
        """What the bar reaches trades; in the order of the finer rows where it matters and they are there."""
        if bar.volume <= 0:
            return ()
        reports: list[Published] = []
        rows = self._told(bar)
        if rows:
            self._intrabar.enter(bar)
            self._touched.clear()
            self._intrabar.leave(with_trades=self._go_through(rows, bar, reports))
        else:
            self._match(bar, bar, reports)
        if self._standing.triggers.waiting(bar.symbol):
            self._standing.triggers.have_met(bar)
            self._standing.watch(bar.symbol)  # a trailing stop may have moved
        return reports

    def _told(self, bar: Candle) -> Sequence[Candle] | None:
        """The finer rows of a bar whose order of events matters; None without, and then what hangs on it is counted."""
        uncertain = uncertain_exits(self._standing, bar)
        finer = self._intrabar.finer
        if finer is not None and (uncertain or is_path_asked(self._standing, bar)):
            rows = None if waits_for_other_prices(self._standing, bar.symbol) else finer.finer(bar)
            if rows:
                return rows
        for working, price, lots in uncertain:
            self._intrabar.count_exit(bar, working, price, lots)
        return None

    def _go_through(self, rows: Sequence[Candle], whole: Candle, reports: list[Published]) -> bool:
        """The rows are matched one after the other, each in rows finer still where its own order matters; were there trades?"""
        meet_from(self._standing, whole.symbol, rows)
        with_trades = rows[0].end_ms - rows[0].start_ms == TRADE_MS
        for row in rows:
            if row.volume <= 0:
                continue
            parts = self._told(row)
            if parts:
                with_trades |= self._go_through(parts, whole, reports)
            else:
                self._match(row, whole, reports)
        return with_trades

    def _match(self, bar: Candle, whole: Candle, reports: list[Published]) -> None:
        """Stops it reached trade, then limits it traded through, at their price, then take-profits; each in order of arrival.

        `whole` is the bar that this is a part of, or itself.
        """
        late: list[tuple[WorkingOrder, float]] = []
        for working, reference in self._standing.triggers.reached(bar, stops=True):
            if self._comes_late(working, bar, reference):
                late.append((working, reference))
            else:
                self._trigger(working, bar, whole, reference, reports)
        for working in tuple(self._standing.resting[bar.symbol]):
            if working.meets_from_ms > bar.start_ms or working.order.order_id not in self._standing.by_id:
                continue
            if working.is_reached(bar.low if working.order.side is Side.BUY else bar.high):
                lots, over = self._filling.allowed(working, whole)
                if self._standing.touch_fill is not None:
                    lots = self._touch_lots(self._standing.touch_fill, working, bar, whole, lots)
                ticks = working.order.price_ticks
                paid_lots = self._filling.affordable(working, lots, ticks, Liquidity.MAKER)
                if paid_lots:
                    self._trade(working, bar, whole, paid_lots, ticks, reports, liquidity=Liquidity.MAKER, over_share=over)
                if paid_lots < lots:
                    self._standing.end(working, RejectReason.INSUFFICIENT, reports)
                self._standing.end_if_pointless(working, reports)
        if reports:  # an entry of this bar may have brought a stop that this bar reaches
            for working, reference in self._standing.triggers.reached(bar, stops=True, fresh_ms=whole.end_ms):
                self._trigger(working, bar, whole, reference, reports)
        for working, reference in (*self._standing.triggers.reached(bar, stops=False, whole=whole), *late):
            self._trigger(working, bar, whole, reference, reports)

    def _touch_lots(self, touch_fill: TouchFill, working: WorkingOrder, bar: Candle, whole: Candle, lots: int) -> int:
        """Chance and queue are asked once for each order and bar: at the first part that is through the limit, or touches it."""
        order = working.order
        if bar is whole:
            return touch_fill.lots(working, whole, lots)
        low_first = order.side is Side.BUY
        if touch_fill.is_through(working, whole.low if low_first else whole.high):
            return lots if touch_fill.is_through(working, bar.low if low_first else bar.high) else 0
        if order.order_id in self._touched:
            return 0
        self._touched.add(order.order_id)
        return touch_fill.lots(working, whole, lots)

    def _trade(
        self,
        working: WorkingOrder,
        bar: Candle,
        whole: Candle,
        lots: int,
        ticks: int,
        reports: list[Published],
        *,
        liquidity: Liquidity,
        over_share: bool,
    ) -> None:
        """The trade is made with the costs of the whole bar; its note says where finer data told when."""
        note = working.note
        if bar is not whole and note is FillNote.NONE:
            working.note = FillNote.RESOLVED
        self._standing.trade(working, whole, lots, ticks, liquidity, reports, over_share=over_share, bar_fill=True, row=bar)
        working.note = note

    def _comes_late(self, stop: WorkingOrder, bar: Candle, reference: float) -> bool:
        """Whether what is to happen instead of this stop is reached too, and came first on the run's path."""
        rival = self._standing.rival_of(stop, bar)
        return rival is not None and not self._intrabar.is_stop_first(bar, stop, reference, rival)

    def stops_before(self, bar: Candle, price: float, leg: str, side: Side) -> list[Published]:
        """Market stops that close a position and that the bar reaches before `price`, its liquidation price, have traded.

        The position is that of `leg` (`domain/legs.py`), which orders of `side` close.

        The nearest first. One that the bar's open has passed trades there, and only if that is still before `price`.
        """
        symbol = bar.symbol
        adverse = bar.low if side is Side.SELL else bar.high
        found: list[tuple[float, WorkingOrder, float]] = []
        for working in self._standing.triggers.waiting(symbol):
            order, stop = working.order, working.stop_price
            if order.side is not side or order.leg != leg or order.price_ticks or not order.order_type.is_stop or not stop:
                continue
            if not self._filling.only_closes(working) or working.meets_from_ms > bar.start_ms or bar.volume <= 0:
                continue
            if order.trigger_by is not TriggerBy.LAST:  # what index and mark did first, nobody knows
                met = self._standing.triggers.before_mark(working, bar, price) if order.trigger_by is TriggerBy.MARK else None
                if met is not None:
                    found.append((met[0], working, met[1]))
                continue
            if not working.is_triggered_by(adverse):
                continue
            reference = min(bar.open, stop) if side is Side.SELL else max(bar.open, stop)
            if (reference > price) if side is Side.SELL else (reference < price):
                found.append((reference, working, reference))
        reports: list[Published] = []
        for _, working, reference in sorted(found, key=lambda row: -row[0] if side is Side.SELL else row[0]):
            self._trigger(working, bar, bar, reference, reports)
        return reports

    def _trigger(self, working: WorkingOrder, bar: Candle, whole: Candle, reference: float, reports: list[Published]) -> None:
        """A waiting order becomes a market order, which trades whole, or a limit order.

        A limit trades in the bar of its trigger only if the close confirms it, as taker, at the worst price between its limit and
        the bar; else it rests (exchange_semantics.md, sections 5.4 and 5.11).
        """
        order = working.order
        if self._standing.by_id.get(order.order_id) is not working:
            return
        if order.follows_position and not self._standing.exits.spare_added(working, bar, reports):
            return
        self._standing.triggers.remove(working)
        working.waiting = False
        self._standing.end_counterpart(working, reports)
        if not self._may_trigger(order, price_e8(reference)):
            self._standing.end(working, RejectReason.INSUFFICIENT, reports, status=OrderStatus.CANCELED)
            self._standing.watch(order.symbol)
            return
        by = order.trigger_by
        if by is not TriggerBy.LAST:
            working.note = FillNote(by.value)
        triggered = OrderTriggered(self._clock.now_ms, order.order_id, order.strategy_id, order.symbol, by)
        reports.append(on(T_ORDERS_TRIGGERED, triggered))
        lots, over = self._filling.allowed(working, whole)
        if not order.price_ticks:
            ticks = self._filling.pricing.taker_ticks(order, lots, whole, reference, over) if lots else 0
        else:
            confirmed = self._standing.is_sure(working, bar.close)
            lots, ticks = (lots if confirmed else 0), self._limit_inside(working, bar)
            if order.tif is TimeInForce.FOK and lots < working.open_lots:
                lots = 0
        if lots:
            lots = self._filling.affordable(working, lots, ticks, Liquidity.TAKER)
        if lots:
            self._trade(working, bar, whole, lots, ticks, reports, liquidity=Liquidity.TAKER, over_share=over)
        if order.order_id in self._standing.by_id:
            self._after_trigger(working, bar, reports)
        self._standing.watch(order.symbol)

    def _limit_inside(self, working: WorkingOrder, bar: Candle) -> int:
        """Ticks of the limit, or of the bar's extreme where the limit lies beyond it."""
        tick_e8 = working.tick_e8
        if working.order.side is Side.BUY:
            return min(working.order.price_ticks, price_e8(bar.high) // tick_e8)
        return max(working.order.price_ticks, -(-price_e8(bar.low) // tick_e8))

    def _after_trigger(self, working: WorkingOrder, bar: Candle, reports: list[Published]) -> None:
        """What a triggered order has left open rests at its limit, or ends."""
        order = working.order
        self._standing.end_if_pointless(working, reports)
        if order.order_id not in self._standing.by_id:
            return
        if not order.price_ticks:
            self._standing.end(working, RejectReason.INSUFFICIENT, reports)
        elif order.tif in (TimeInForce.IOC, TimeInForce.FOK):
            self._standing.end(working, RejectReason.FOK if order.tif is TimeInForce.FOK else RejectReason.NO_LIQUIDITY, reports)
        elif not self._standing.ends_by_self_trade(working, order.price_ticks, reports):
            working.meets_from_ms = bar.end_ms
            self._standing.rest(working)
