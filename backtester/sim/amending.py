"""What happens when a request to amend an order reaches the venue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec.structs import replace

from backtester.domain.candle import Candle
from backtester.domain.money import FEE_STEP, price_e8
from backtester.domain.orders import OrderRejected, SanitizedAmend, SanitizedExits, SanitizedOrder
from backtester.domain.vocabulary import OrderStatus, RejectReason, Side
from backtester.engine.clock import Clock
from backtester.engine.topics import T_ORDERS_REJECTED, Published, on
from backtester.sim.standing_orders import StandingOrders
from backtester.sim.working_order import WorkingOrder, holding_of

BEYOND = "the market is beyond the trigger already"

PlaceLimit = Callable[[WorkingOrder, Candle | None, list[Published]], None]
"""Takes what a limit crosses now, and has the rest stand."""


class MayAmend(Protocol):
    """Whether the account has the margin of an amended order."""

    def __call__(self, changed: SanitizedOrder, open_lots: int, *, waits: bool) -> int | None:
        """Money units that are held for what is open of it from now on; None when they are not there."""


class Amending:
    """Changes standing orders, by exchange_semantics.md, sections 1.2 ("Amend") and 5.11 (golden G17).

    A quantity that is only lowered keeps the order's place where the venue has it so. Any other change makes it an order that
    arrives now: behind all others, and as taker where it crosses the market.
    """

    def __init__(
        self,
        *,
        standing: StandingOrders,
        clock: Clock,
        marks: Mapping[str, float],
        place_limit: PlaceLimit,
        may_amend: MayAmend,
    ) -> None:
        self._standing = standing
        self._clock = clock
        self._marks = marks
        self._place_limit = place_limit
        self._may_amend = may_amend

    def on_amend(self, amend: SanitizedAmend, working: WorkingOrder, bar: Candle | None) -> list[Published]:
        """The order is amended and may trade at once, or the request is rejected and the order stands as it did.

        `bar` is the one that is open, or the next one.
        """
        reports: list[Published] = []
        order = working.order
        changed = replace(
            order,
            qty_lots=amend.qty_lots or order.qty_lots,
            price_ticks=amend.price_ticks or order.price_ticks,
            trigger_ticks=amend.trigger_ticks or order.trigger_ticks,
        )
        misfit = self._standing.misfit_of(amend)
        if misfit is not None:
            self.reject(amend, misfit, "rules changed while it was on its way", reports)
            return reports
        open_lots = working.open_lots + changed.qty_lots - order.qty_lots
        rules = self._standing.rules_of(order.symbol)
        if open_lots <= 0:
            if rules.amend_below_filled is OrderStatus.CANCELED:
                self._standing.end(working, RejectReason.AMEND_BELOW_FILLED, reports, status=OrderStatus.CANCELED)
            else:
                self.reject(amend, RejectReason.AMEND_BELOW_FILLED, "that much is filled already", reports)
            return reports
        if amend.trigger_ticks and not working.waiting:
            self.reject(amend, RejectReason.TOO_LATE, "the order has been triggered already", reports)
            return reports
        same = changed.price_ticks == order.price_ticks and changed.trigger_ticks == order.trigger_ticks
        if same and changed.qty_lots <= order.qty_lots:
            if working.budget_e8 is not None:
                working.budget_e8 = working.budget_e8 * open_lots // working.open_lots
            keeps = rules.amend_keeps_place or working.waiting or open_lots == working.open_lots
        else:
            if amend.trigger_ticks and self._is_beyond(working, changed, bar):
                self.reject(amend, RejectReason.TRIGGER_SIDE, BEYOND, reports, is_low=not working.rises)
                return reports
            held = self._may_amend(changed, open_lots, waits=working.waiting)
            if held is None:
                self.reject(amend, RejectReason.INSUFFICIENT, "there is not enough margin for it", reports)
                return reports
            if working.budget_e8 is not None:
                working.budget_e8 = held // FEE_STEP
            keeps = False
        working.amend(changed)
        self._standing.report_amended(working, reports, keeps_place=keeps)
        if working.waiting:
            self._wait_anew(working, bar, moved=bool(amend.trigger_ticks))
        elif not keeps:
            self._arrive_anew(working, bar, reports)
        return reports

    def on_exits(self, exits: SanitizedExits, bar: Candle | None) -> list[Published]:
        """The position has its new exits, or the request is rejected and it keeps those that it had.

        They meet bars as orders that arrive now: the stop-loss the whole of this one, the take-profit those from the next on.
        """
        reports: list[Published] = []
        symbol, now_ms = exits.symbol, self._clock.now_ms
        if self._standing.filling.lots[holding_of(exits)] * exits.side.sign >= 0:
            self.reject(exits, RejectReason.REDUCE_ONLY, "there is no position that they would close", reports)
            return reports
        price = self._standing.triggers.market_of(exits, self._price_now(symbol, bar), now_ms)
        tick_e8 = self._standing.tick_e8(symbol)
        if price is None or not _is_between(price_e8(price), exits, tick_e8):
            self.reject(exits, RejectReason.TRIGGER_SIDE, BEYOND, reports)
            return reports
        fresh = bar is None or bar.start_ms >= now_ms
        from_ms = {"sl": now_ms, "tp": now_ms} if fresh or bar is None else {"sl": bar.start_ms, "tp": bar.end_ms}
        self._standing.exits.replace_pair(exits, from_ms, reports)
        return reports

    def reject(
        self,
        amend: SanitizedAmend | SanitizedExits,
        reason: RejectReason,
        detail: str,
        reports: list[Published],
        *,
        is_low: bool = False,
    ) -> None:
        """The request is rejected; the order, where there is one, stands as it did. `is_low`: see `VenueRules.code_of`."""
        rejected = OrderRejected(
            time_ms=self._clock.now_ms,
            order_id=amend.order_id,
            strategy_id=amend.strategy_id,
            symbol=amend.symbol,
            reason=reason,
            detail=detail,
            code=self._standing.code_of(amend.symbol, reason, is_low=is_low),
            is_amend=True,
        )
        reports.append(on(T_ORDERS_REJECTED, rejected))

    def _price_now(self, symbol: str, bar: Candle | None) -> float | None:
        return bar.open if bar is not None and bar.start_ms <= self._clock.now_ms else self._marks.get(symbol)

    def _is_beyond(self, working: WorkingOrder, changed: SanitizedOrder, bar: Candle | None) -> bool:
        """Whether the market has passed the new trigger already."""
        price = self._standing.triggers.market_of(changed, self._price_now(changed.symbol, bar), self._clock.now_ms)
        trigger_e8 = changed.trigger_ticks * working.tick_e8
        return price is None or (price_e8(price) >= trigger_e8 if working.rises else price_e8(price) <= trigger_e8)

    def _wait_anew(self, working: WorkingOrder, bar: Candle | None, *, moved: bool) -> None:
        """A trigger that moved waits as one that arrives now: a stop meets this whole bar, a take-profit the next ones."""
        now_ms = self._clock.now_ms
        if moved and bar is not None and bar.start_ms < now_ms:
            working.meets_from_ms = bar.start_ms if working.order.order_type.is_stop else bar.end_ms
        elif moved:
            working.meets_from_ms = now_ms
        self._standing.watch(working.order.symbol)

    def _arrive_anew(self, working: WorkingOrder, bar: Candle | None, reports: list[Published]) -> None:
        """The order goes behind all others; one that may not take and now would is cancelled (section 1.2, "PostOnly")."""
        self._standing.lift(working)
        working.arrived_ms = self._clock.now_ms
        price = self._price_now(working.order.symbol, bar)
        if working.order.post_only and price is not None and working.is_marketable(price_e8(price)):
            self._standing.end(working, RejectReason.POST_ONLY, reports, status=OrderStatus.CANCELED)
            return
        self._place_limit(working, bar, reports)


def _is_between(price: int, exits: SanitizedExits, tick_e8: int) -> bool:
    """Whether the market, in 1e-8, lies between the two exits, beyond neither."""
    sells = exits.side is Side.SELL
    low, high = (exits.stop_loss_ticks, exits.take_profit_ticks) if sells else (exits.take_profit_ticks, exits.stop_loss_ticks)
    return low * tick_e8 < price and (not high or price < high * tick_e8)
