"""What a strategy asks for. Fields left out are stamped by the engine."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from backtester.domain.vocabulary import Side, TimeInForce

Number = Decimal | int | float | str


class Intent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all intents. `order_id`, `strategy_id` and `time_ms` are stamped when left out."""

    symbol: str
    order_id: str = ""
    strategy_id: str = ""
    time_ms: int = 0


class MarketOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="market_order"):
    """Buy or sell `qty` at the price the market has when the order arrives.

    `reason` is carried to the fills and, when the order closes a trade, becomes its close reason.
    """

    side: Side
    qty: Number
    reduce_only: bool = False
    tif: TimeInForce = TimeInForce.GTC
    reason: str = "SIGNAL"


class LimitOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="limit_order"):
    """Buy at `price` or lower, sell at `price` or higher; rests until filled or cancelled (GTC), met once (IOC, FOK), or a date.

    `good_till_ms` is that date (GTD). `post_only`: it never takes; where it would, it ends unfilled as the venue has it.
    """

    side: Side
    qty: Number
    price: Number
    reduce_only: bool = False
    post_only: bool = False
    tif: TimeInForce = TimeInForce.GTC
    good_till_ms: int = 0
    reason: str = "SIGNAL"


class CancelOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="cancel_order"):
    """Cancel the working order `order_id`; a fill may still win."""


class CancelAllIntent(Intent, frozen=True, kw_only=True, gc=False, tag="cancel_all"):
    """Cancel every working order of the strategy on `symbol`; `symbol` left empty means all symbols."""

    symbol: str = ""


OrderIntent = MarketOrderIntent | LimitOrderIntent
AnyIntent = MarketOrderIntent | LimitOrderIntent | CancelOrderIntent | CancelAllIntent
INTENT_TYPES = (MarketOrderIntent, LimitOrderIntent, CancelOrderIntent, CancelAllIntent)
