"""How many orders a venue lets stand at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backtester.domain.instruments import SymbolSpec
from backtester.domain.vocabulary import TimeInForce
from backtester.sim.standing_orders import StandingOrders
from backtester.sim.working_order import WorkingOrder


class Excess(NamedTuple):
    """Why one more may not stand: in words, and whether it is those that wait for a trigger that are too many."""

    detail: str
    is_waiting: bool


class OpenOrderLimits:
    """A venue's own limits, for orders that would stand when they arrive: all but market orders, IOC and FOK.

    They hold for what only reduces too, as at the venue; a market order always gets out. Exits that the venue has attached to a
    fill or a position count, and are never rejected themselves; an OCO counts as two, one of which waits (exchange_semantics.md,
    sections 1.2, 1.4 and 2).
    """

    def __init__(self, *, standing: StandingOrders, specs: Mapping[str, SymbolSpec]) -> None:
        self._standing = standing
        self._specs = specs

    def excess(self, arriving: WorkingOrder) -> Excess | None:
        """Why the venue does not take an order beside those that stand; None where it does, or has no known limit."""
        order = arriving.order
        rules = self._standing.rules_of(order.symbol)
        if rules.open_orders_max is None or order.tif in (TimeInForce.IOC, TimeInForce.FOK):
            return None
        is_pair = order.oco_trigger_ticks > 0
        symbols = self._counted_with(order.symbol) if rules.open_orders_of == "coin" else (order.symbol,)
        waiting = sum(len(self._standing.triggers.waiting(symbol)) for symbol in symbols)
        resting = sum(len(self._standing.resting[symbol]) for symbol in symbols)
        if resting + waiting + 1 + is_pair > rules.open_orders_max:
            return Excess(f"{rules.name} lets {rules.open_orders_max} orders of a {rules.open_orders_of} stand at once", False)
        waits = is_pair or arriving.conditional
        if waits and rules.waiting_orders_max is not None and waiting >= rules.waiting_orders_max:
            detail = f"{rules.name} lets {rules.waiting_orders_max} orders of a {rules.open_orders_of} wait for a trigger at once"
            return Excess(detail, True)
        return None

    def _counted_with(self, symbol: str) -> Sequence[str]:
        """All symbols of the run on the same coin."""
        coin = self._specs[symbol].base
        return [other for other, spec in self._specs.items() if spec.base == coin]
