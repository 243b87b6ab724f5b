"""Where a bar does not tell in which order things happened in it, and something hangs on that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backtester.domain.candle import Candle
from backtester.domain.money import PRICE_ONE
from backtester.domain.vocabulary import Side, TriggerBy
from backtester.sim.standing_orders import StandingOrders
from backtester.sim.working_order import WorkingOrder


class UncertainExit(NamedTuple):
    """An exit of `lots` at `price` that the bar reaches, before or after the order was there to be met."""

    working: WorkingOrder
    price: float
    lots: int


def is_path_asked(standing: StandingOrders, bar: Candle) -> bool:
    """Whether the path decides in this bar: stop and target are both reached, or a trailing stop is moved and hit."""
    for working in standing.triggers.waiting(bar.symbol):
        order = working.order
        if working.meets_from_ms > bar.start_ms or not order.order_type.is_stop or order.trigger_by is not TriggerBy.LAST:
            continue
        if working.trail is not None and working.trail.possible(bar, stood_before=working.arrived_ms <= bar.start_ms) is not None:
            return True
        is_reached = working.is_triggered_by(bar.high if working.rises else bar.low)
        if is_reached and not working.is_triggered_by(bar.open) and standing.rival_of(working, bar) is not None:
            return True
    return False


def uncertain_exits(standing: StandingOrders, bar: Candle) -> list[UncertainExit]:
    """What the bar reaches of orders that came while it was open, and the take-profits that entries inside it bring.

    The stop of a limit entry is not among them: the price passes the entry on its way there.
    """
    found: list[UncertainExit] = []
    targets: dict[str, WorkingOrder] = {}
    for working in standing.triggers.waiting(bar.symbol):
        is_stop = working.order.order_type.is_stop
        came_inside = bar.start_ms < working.arrived_ms + (not is_stop) and working.arrived_ms < bar.end_ms
        meets = working.meets_from_ms <= bar.start_ms
        by_last = working.order.trigger_by is TriggerBy.LAST
        if not by_last or not working.is_triggered_by(bar.high if working.rises else bar.low):
            continue
        if came_inside and meets is is_stop:
            found.append(UncertainExit(working, working.stop_price, working.open_lots))
        elif working.order.follows_position and meets and not is_stop:
            targets.setdefault(working.holding, working)
            added = standing.exits.added_in(working.holding, bar)
            if added is not None:
                found.append(UncertainExit(working, working.stop_price, min(added.lots, working.open_lots)))
    for working in standing.resting[bar.symbol]:
        order, buys = working.order, working.order.side is Side.BUY
        if working.meets_from_ms > bar.start_ms or not (order.take_profit_ticks or targets):
            continue
        if order.take_profit_ticks and order.trigger_by is TriggerBy.LAST:
            target = order.take_profit_ticks * working.tick_e8 / PRICE_ONE
            is_paid = bar.high >= target if buys else bar.low <= target
        else:
            standing_one = targets.get(working.holding)
            is_paid = standing_one is not None and standing_one.order.side is not order.side
            target = standing_one.stop_price if standing_one is not None else 0.0
        if is_paid and working.is_reached(bar.low if buys else bar.high):
            found.append(UncertainExit(working, target, working.open_lots))
    return found


def waits_for_other_prices(standing: StandingOrders, symbol: str) -> bool:
    """Whether something waits for mark or index, or will once it is filled: no finer trade tells when those got there."""
    standing_now = (*standing.triggers.waiting(symbol), *standing.resting[symbol])
    return any(working.order.trigger_by is not TriggerBy.LAST for working in standing_now)


def meet_from(standing: StandingOrders, symbol: str, rows: Sequence[Candle]) -> None:
    """Orders that came within these rows meet them from their arrival on, no longer by the rule of the bar around them.

    In the row of its arrival the rule holds on: a stop meets it, a take-profit the rows from the next on, a resting limit what its
    half of the row says. None meets earlier than before, but a take-profit.
    """
    start_ms, end_ms = rows[0].start_ms, rows[-1].end_ms
    for working in standing.triggers.waiting(symbol):
        if working.order.follows_position:
            standing.exits.meet_added_from(working.holding, rows)
    for working in (*standing.triggers.waiting(symbol), *standing.resting[symbol]):
        if not start_ms <= working.arrived_ms < end_ms:
            continue
        arrived_ms = working.arrived_ms
        row = next(row for row in rows if row.end_ms > arrived_ms)
        is_early = working.order.order_type.is_stop if working.waiting else 2 * arrived_ms < row.start_ms + row.end_ms
        from_ms = arrived_ms if row.start_ms > arrived_ms else row.start_ms if is_early else row.end_ms
        working.meets_from_ms = from_ms if working.waiting else max(working.meets_from_ms, from_ms)
