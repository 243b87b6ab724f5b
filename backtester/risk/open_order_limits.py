"""How many orders a venue lets stand at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import CONDITIONAL_TYPES, MarketOrderIntent, OcoOrderIntent, OrderIntent
from backtester.domain.orders import OpenOrder
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import MARKET_ORDER, OrderStatus, RejectReason, TimeInForce
from backtester.risk.order_validation import Refusal
from backtester.risk.readers import OrderReader

_BEFORE_TRIGGER = (OrderStatus.SUBMITTED, OrderStatus.UNTRIGGERED)


@final
class OpenOrderLimits:
    """A venue's own limits, for orders that may stand: all but market orders, IOC and FOK, also where they only reduce.

    Exits that the venue has attached to a fill or a position count, and are never refused themselves; an OCO counts as two
    (exchange_semantics.md, sections 1.2, 1.4 and 2).
    """

    def __init__(self, *, specs: Mapping[str, SymbolSpec], orders: OrderReader) -> None:
        self._specs = specs
        self._orders = orders

    def refusal(self, intent: OrderIntent, rules: VenueRules) -> Refusal | None:
        """MAX_OPEN_ORDERS where the venue would not take one more; `is_low` where it is those that wait that are too many."""
        if rules.open_orders_max is None or isinstance(intent, MarketOrderIntent):
            return None
        pair = isinstance(intent, OcoOrderIntent)
        waits = pair or isinstance(intent, CONDITIONAL_TYPES)
        total, most = self._orders.count() + 1 + pair, rules.waiting_orders_max if waits else None
        if (total <= rules.open_orders_max and (most is None or total <= most)) or intent.tif in (TimeInForce.IOC, TimeInForce.FOK):
            return None
        standing = [order for order in self._orders.working() if self._counts(order, intent.symbol, rules)]
        if len(standing) + 1 + pair > rules.open_orders_max:
            detail = f"{rules.name} lets {rules.open_orders_max} orders of a {rules.open_orders_of} stand at once"
            return Refusal(RejectReason.MAX_OPEN_ORDERS, detail)
        waiting = sum(order.order_type.is_conditional and order.status in _BEFORE_TRIGGER for order in standing)
        if most is not None and waiting >= most:
            detail = f"{rules.name} lets {most} orders of a {rules.open_orders_of} wait for a trigger at once"
            return Refusal(RejectReason.MAX_OPEN_ORDERS, detail, is_low=True)
        return None

    def _counts(self, order: OpenOrder, symbol: str, rules: VenueRules) -> bool:
        if order.order_type is MARKET_ORDER:
            return False
        if rules.open_orders_of == "coin":
            return self._specs[order.symbol].base == self._specs[symbol].base
        return order.symbol == symbol
