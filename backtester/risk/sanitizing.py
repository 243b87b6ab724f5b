"""The order that leaves the gate, of the intent that has passed it."""

from __future__ import annotations

from msgspec.structs import replace

from backtester.domain.intents import LimitOrderIntent, MarketOrderIntent, OcoOrderIntent, OrderIntent, order_type_of
from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import ExitSize, OrderType
from backtester.risk.order_validation import Rounded


def bare_order(intent: OrderIntent, order_type: OrderType, rounded: Rounded, now_ms: int, budget_e8: int) -> SanitizedOrder:
    """What every order has, and all that an order at the market has which asks for a quantity and no more."""
    return SanitizedOrder(
        now_ms,
        intent.order_id,
        intent.strategy_id,
        intent.symbol,
        intent.side,
        order_type,
        rounded.qty_lots,
        rounded.price_ticks,
        intent.tif,
        bool(intent.reduce_only),
        budget_e8,
        str(intent.reason),
    )


def sanitized_order(intent: OrderIntent, rounded: Rounded, *, now_ms: int, budget_e8: int) -> SanitizedOrder:
    """The intent as an order in whole lots and ticks; `budget_e8` bounds what a spot buy may cost, in 1e-8 quote."""
    order = bare_order(intent, order_type_of(intent), rounded, now_ms, budget_e8)
    if intent.position_side is not None:
        order = replace(order, position_side=intent.position_side)
    if isinstance(intent, MarketOrderIntent) and intent.take_profit is None and intent.stop_loss is None:
        if not rounded.quote_e8 and intent.stp is None:
            return order
        return replace(order, quote_e8=rounded.quote_e8, stp=intent.stp)
    if isinstance(intent, OcoOrderIntent):
        return replace(
            order,
            good_till_ms=intent.good_till_ms,
            post_only=True,
            oco_trigger_ticks=rounded.oco_trigger_ticks,
            oco_price_ticks=rounded.oco_price_ticks,
            oco_reason=str(intent.stop_reason),
        )
    return replace(
        order,
        post_only=isinstance(intent, LimitOrderIntent) and intent.post_only,
        exits_whole=isinstance(intent, (MarketOrderIntent, LimitOrderIntent)) and intent.exit_size is ExitSize.WHOLE,
        good_till_ms=0 if isinstance(intent, MarketOrderIntent) else intent.good_till_ms,
        trigger_ticks=rounded.trigger_ticks,
        trail_ticks=rounded.trail_ticks,
        trail_e8=rounded.trail_e8,
        take_profit_ticks=rounded.take_profit_ticks,
        stop_loss_ticks=rounded.stop_loss_ticks,
        follows_position=rounded.follows_position,
        stp=intent.stp if isinstance(intent, (MarketOrderIntent, LimitOrderIntent)) else None,
        quote_e8=rounded.quote_e8,
        trigger_by=rounded.trigger_by,
    )
