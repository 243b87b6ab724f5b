"""How many orders may stand in random worlds (`simulate.py`)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import Fill, OrderAck, OrderAttached, OrderCanceled, OrderRejected, OrderTriggered, SanitizedOrder
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import OrderType, TimeInForce

Broken = tuple[Any, ...]
"""A rule and the facts that break it; empty where every rule holds."""


def with_few_standing(seed: int, rules: VenueRules) -> VenueRules:
    """The rules of a venue; in a fifth of the worlds so few orders may stand that it matters."""
    draw = random.Random(f"{seed} standing")
    if draw.random() >= 0.2:
        return rules
    return replace(rules, open_orders_max=draw.choice([3, 8]), waiting_orders_max=draw.choice([None, 1, 3]))


def broken_standing_rule(messages: Sequence[Any], *, rules: VenueRules, specs: Mapping[str, SymbolSpec]) -> Broken:
    """The venue takes no order that would stand beside more of its symbol, or coin, than it lets stand, or wait for a trigger."""
    orders: dict[str, SanitizedOrder] = {}
    standing: dict[str, tuple[str, bool]] = {}
    for message in messages:
        if isinstance(message, (SanitizedOrder, OrderAttached)):
            order = message.order if isinstance(message, OrderAttached) else message
            orders[order.order_id] = order
            if order is not message:
                standing[order.order_id] = _scope(order, rules, specs), True
        elif isinstance(message, OrderAck) and (order := orders[message.order_id]).order_type is not OrderType.MARKET:
            scope, pair = _scope(order, rules, specs), order.oco_trigger_ticks > 0
            own = [waits for other, waits in standing.values() if other == scope]
            standing[message.order_id] = scope, message.is_waiting
            if order.tif in (TimeInForce.IOC, TimeInForce.FOK) or rules.open_orders_max is None:
                continue
            if len(own) + 1 + pair > rules.open_orders_max:
                return "no more orders stand than the venue lets stand", message, len(own)
            if (pair or message.is_waiting) and sum(own) >= (rules.waiting_orders_max or len(own) + 1):
                return "no more orders wait than the venue lets wait", message, sum(own)
        elif isinstance(message, OrderTriggered):
            scope, _ = standing.pop(message.order_id)
            if orders[message.order_id].price_ticks:
                standing[message.order_id] = scope, False
        elif (
            isinstance(message, OrderCanceled)
            or (isinstance(message, OrderRejected) and message.ends_order)
            or (isinstance(message, Fill) and not message.open_lots)
        ):
            standing.pop(message.order_id, None)
    return ()


def _scope(order: SanitizedOrder, rules: VenueRules, specs: Mapping[str, SymbolSpec]) -> str:
    """What orders are counted with."""
    return specs[order.symbol].base if rules.open_orders_of == "coin" else order.symbol
