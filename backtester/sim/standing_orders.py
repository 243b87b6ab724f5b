"""The orders that stand at the simulated venue: resting, waiting for a trigger, or on their way; how they trade and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import OrderAmended, OrderCanceled, OrderRejected, SanitizedAmend
from backtester.domain.rounding import lots_decimal
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import Liquidity, OrderStatus, RejectReason, SelfTrade, Side, TriggerBy
from backtester.engine.clock import Clock
from backtester.engine.routes import Routes
from backtester.engine.topics import T_FILLS, T_ORDERS_AMENDED, T_ORDERS_CANCELED, T_ORDERS_REJECTED, Published, on
from backtester.sim.exits import Exits
from backtester.sim.filling import Filling
from backtester.sim.limit_fill import TouchFill
from backtester.sim.trigger_prices import TriggerPrices
from backtester.sim.triggers import Triggers
from backtester.sim.working_order import WorkingOrder

BarHandler = Callable[[Candle], Sequence[Published]]


class StandingOrders:
    """Orders by id, in the order they were sent; what happens to one is appended to `reports`.

    `meet` is called with the bars that reach the next price that matters; it is set once, by whoever matches bars.
    """

    meet: BarHandler

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        filling: Filling,
        clock: Clock,
        routes: Routes,
        rules: Mapping[str, VenueRules],
        touch: bool,
        touch_fill: TouchFill | None = None,
        trigger_prices: TriggerPrices,
    ) -> None:
        self.by_id: dict[str, WorkingOrder] = {}
        self.resting: dict[str, list[WorkingOrder]] = {symbol: [] for symbol in specs}
        self.triggers = Triggers(specs, prices=trigger_prices)
        self.exits = Exits(standing=self, specs=specs, clock=clock)
        self.index: Mapping[str, int] = {symbol: index for index, symbol in enumerate(specs)}
        self.touch = touch
        self.filling = filling
        self.touch_fill = touch_fill
        self._specs = specs
        self._clock = clock
        self._routes = routes
        self._rules = rules

    def rules_of(self, symbol: str) -> VenueRules:
        """How the symbol's venue treats orders."""
        return self._rules.get(symbol, GENERIC)

    def code_of(self, symbol: str, reason: RejectReason, *, is_low: bool = False) -> str:
        """The venue's own word for a reason; `is_low` as in `VenueRules.code_of`."""
        return self.rules_of(symbol).code_of(reason, is_low=is_low)

    def tick_e8(self, symbol: str) -> int:
        """The price of one tick, in 1e-8."""
        return self._specs[symbol].tick_e8

    def on_rules(self, symbol: str) -> None:
        """The rules of `symbol` are other ones now: its orders keep prices and sizes, and go by the new tick."""
        for working in self.by_id.values():
            if working.order.symbol == symbol:
                working.on_rules(self._specs[symbol])
        self.watch(symbol)

    def misfit_of(self, amend: SanitizedAmend) -> RejectReason | None:
        """TICK or LOT_STEP where a request was made by other rules than those in force, and does not fit these."""
        spec = self._specs[amend.symbol]
        if amend.price_ticks % spec.tick_step or amend.trigger_ticks % spec.tick_step:
            return RejectReason.TICK
        return RejectReason.LOT_STEP if amend.qty_lots % spec.lot_step else None

    def is_sure(self, working: WorkingOrder, price: float) -> bool:
        """Whether a trade at `price` fills this limit whatever chance and queue say."""
        return working.is_reached(price) and (self.touch_fill is None or self.touch_fill.is_through(working, price))

    def rest(self, working: WorkingOrder) -> None:
        """The order rests at its limit from now on."""
        working.resting = True
        self.resting[working.order.symbol].append(working)
        self.watch(working.order.symbol)

    def lift(self, working: WorkingOrder) -> None:
        """The order rests no longer; it has not ended."""
        working.resting = False
        self.resting[working.order.symbol].remove(working)
        self.watch(working.order.symbol)

    def wait(self, working: WorkingOrder) -> None:
        """The order waits for its trigger from now on."""
        working.waiting = True
        self.triggers.add(working)
        self.watch(working.order.symbol)

    def trade(
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
        row: Candle | None = None,
    ) -> None:
        """The trade is made and reported; what is filled whole, or has nothing left to close, is over.

        `row` is the part of the bar in which it was made, where finer data told.
        """
        order = working.order
        reports.append((T_FILLS, self.filling.fill(working, bar, lots, ticks, liquidity, over_share=over_share, bar_fill=bar_fill)))
        if not working.open_lots:
            self.forget(working)
        if order.take_profit_ticks or order.stop_loss_ticks:
            inside = row or bar
            self.exits.protect(working, inside.start_ms, inside.end_ms, lots, reports)
        if working.counterpart is not None:
            self.end_counterpart(working, reports)
        if not self.by_id:
            return
        symbol, holding = order.symbol, working.holding
        self.exits.after_trade(holding, reports, row or bar)
        if 0 <= self.filling.lots[holding] * order.side.sign < lots:  # what was held is gone, or turned
            for other in (*self.resting[symbol], *self.triggers.waiting(symbol)):
                if other.holding == holding:
                    self.end_if_pointless(other, reports)

    def rival_of(self, stop: WorkingOrder, bar: Candle) -> WorkingOrder | None:
        """The nearest order that this bar reaches too and that leaves a stop nothing to do, or the other way round.

        That is its counterpart, or an order of its side that may only close, where the stop may only close as well. Where one of
        them waits for mark or index, nobody knows what came first: then the stop has no rival.
        """
        if stop.order.trigger_by is not TriggerBy.LAST:
            return None
        nearest: WorkingOrder | None = None
        side, symbol = stop.order.side, stop.order.symbol
        for other in (*self.triggers.waiting(symbol), *self.resting[symbol]):
            if other.order.side is not side or other.meets_from_ms > bar.start_ms or other.order.order_type.is_stop:
                continue
            if other.order.trigger_by is not TriggerBy.LAST or (
                other is not stop.counterpart and not (stop.closes_only and other.closes_only and other.holding == stop.holding)
            ):
                continue
            far = bar.high if side is Side.SELL else bar.low
            if not (other.is_triggered_by(far) if other.waiting else other.is_reached(far)):
                continue
            if nearest is None or (other.level - nearest.level) * side.sign > 0:
                nearest = other
        return nearest

    def end_counterpart(self, working: WorkingOrder, reports: list[Published]) -> None:
        """What was to happen instead of this order ends, if it still stands."""
        other, working.counterpart = working.counterpart, None
        if other is None:
            return
        other.counterpart = None
        if self.by_id.get(other.order.order_id) is other:
            self.end(other, RejectReason.OCO, reports, status=OrderStatus.CANCELED)

    def ends_by_self_trade(self, working: WorkingOrder, ticks: int, reports: list[Published]) -> bool:
        """Whether an order that reaches to `ticks` would trade with others of the account, and ends for it.

        Otherwise those may have ended. The order that comes decides how it is; one that only closes is never the one that goes
        (exchange_semantics.md, section 1.2, "STP"; golden G15).
        """
        order = working.order
        sign = order.side.sign
        crossed = [
            other
            for other in self.resting[order.symbol]
            if other.order.side is not order.side and (ticks - other.order.price_ticks) * sign >= 0
        ]
        how = order.stp or self.rules_of(order.symbol).stp
        if not crossed or how is SelfTrade.NONE:
            return False
        if how is not SelfTrade.CANCEL_TAKER or order.reduce_only:
            for other in crossed:
                if other.order.order_id in self.by_id:
                    self.end(other, RejectReason.SELF_TRADE, reports)
        if how is SelfTrade.CANCEL_MAKER or order.reduce_only:
            return False
        self.end(working, RejectReason.SELF_TRADE, reports)
        return True

    def end_if_pointless(self, working: WorkingOrder, reports: list[Published]) -> None:
        """End an order that may only close when nothing is left to close: reduce-only, or a sale on spot."""
        order = working.order
        if not working.closes_only or not working.open_lots or order.order_id not in self.by_id:
            return
        held = self.filling.lots[working.holding]
        if (held if order.side is Side.SELL else -held) <= 0:
            self.end(working, RejectReason.REDUCE_ONLY if order.reduce_only else RejectReason.INSUFFICIENT, reports)

    def reject(
        self, working: WorkingOrder, reason: RejectReason, detail: str, reports: list[Published], *, is_low: bool = False
    ) -> None:
        """The order never was one. `is_low` as in `VenueRules.code_of`."""
        order = working.order
        code = self.code_of(order.symbol, reason, is_low=is_low)
        rejected = OrderRejected(self._clock.now_ms, order.order_id, order.strategy_id, order.symbol, reason, detail, code=code)
        reports.append(on(T_ORDERS_REJECTED, rejected))
        self.forget(working)

    def end(
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
            code=self.code_of(order.symbol, reason),
        )
        reports.append(on(T_ORDERS_CANCELED, canceled))
        self.forget(working)
        if working.counterpart is not None and (order.oco_id or order.oco_trigger_ticks):
            self.end_counterpart(working, reports)

    def report_amended(self, working: WorkingOrder, reports: list[Published], *, keeps_place: bool) -> None:
        """Say what an order is now."""
        order = working.order
        amended = OrderAmended(
            time_ms=self._clock.now_ms,
            order_id=order.order_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            qty_lots=order.qty_lots,
            open_lots=working.open_lots,
            price_ticks=order.price_ticks,
            trigger_ticks=order.trigger_ticks,
            keeps_place=keeps_place,
        )
        reports.append(on(T_ORDERS_AMENDED, amended))

    def forget(self, working: WorkingOrder) -> None:
        """The order stands no longer."""
        order = working.order
        del self.by_id[order.order_id]
        if not (working.resting or working.waiting):
            return
        symbol = order.symbol
        if working.resting:
            self.resting[symbol].remove(working)
        else:
            working.waiting = False
            self.triggers.remove(working)
        self.watch(symbol)

    def watch(self, symbol: str) -> None:
        """Be called with the bars that reach the next price that matters: one between those of both sides fills nothing."""
        resting = self.resting[symbol]
        below, above = self.triggers.band(symbol)
        if not resting and not self.triggers.waiting(symbol):
            self._routes.leave_venue(symbol)
            return
        for working in resting:
            if working.order.side is Side.BUY:
                below = max(below, working.through_price)
            else:
                above = min(above, working.through_price)
        self._routes.enter_venue(symbol, self.meet, (below, above))
