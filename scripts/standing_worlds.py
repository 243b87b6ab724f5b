"""How many orders may stand in random worlds (`simulate.py`)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import Fill, OrderAttached, OrderCanceled, OrderRejected, OrderTriggered, SanitizedOrder
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
    """No order is sent that would stand beside more of its symbol, or coin, than the venue lets stand, or wait for a trigger."""
    standing: dict[str, tuple[str, bool]] = {}
    for message in messages:
        if isinstance(message, (SanitizedOrder, OrderAttached)):
            order = message.order if isinstance(message, OrderAttached) else message
            if order.order_type is OrderType.MARKET:
                continue
            scope = specs[order.symbol].base if rules.open_orders_of == "coin" else order.symbol
            standing[order.order_id] = scope, order.order_type.is_conditional
            pair = order.oco_trigger_ticks > 0
            if message is not order or order.tif in (TimeInForce.IOC, TimeInForce.FOK) or rules.open_orders_max is None:
                continue
            own = [waits for other, waits in standing.values() if other == scope]
            if len(own) + pair > rules.open_orders_max:
                return "no more orders stand than the venue lets stand", message, len(own)
            if (pair or order.order_type.is_conditional) and sum(own) + pair > (rules.waiting_orders_max or len(own) + pair):
                return "no more orders wait than the venue lets wait", message, sum(own)
        elif isinstance(message, OrderTriggered):
            standing[message.order_id] = standing[message.order_id][0], False
        elif (
            isinstance(message, OrderCanceled)
            or (isinstance(message, OrderRejected) and message.ends_order)
            or (isinstance(message, Fill) and not message.open_lots)
        ):
            standing.pop(message.order_id, None)
    return ()
