"""The order by which the engine itself closes a position, or part of it: a switch, a liquidation, the end of a run."""

from __future__ import annotations

from backtester.domain.legs import split_leg
from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import OrderType, Side, TimeInForce

ENGINE_OWNERS = frozenset(("risk", "end", "liq"))
"""Who sends such orders: what stands, as else a strategy's name, in front of the dash and the number of their ids."""


def closing_order(
    leg: str, held_lots: int, *, time_ms: int, order_id: str, strategy_id: str, reduce_only: bool, reason: str, qty_lots: int = 0
) -> SanitizedOrder:
    """A market order against `held_lots` (signed) of a position, for all of them or for `qty_lots`.

    `leg` is the name of the position; one of a side closes only, whatever `reduce_only` says: of a side it is what the strategy
    holds itself.
    """
    symbol, position_side = split_leg(leg)
    return SanitizedOrder(
        time_ms=time_ms,
        order_id=order_id,
        strategy_id=strategy_id,
        symbol=symbol,
        side=Side.SELL if held_lots > 0 else Side.BUY,
        order_type=OrderType.MARKET,
        qty_lots=qty_lots or abs(held_lots),
        price_ticks=0,
        tif=TimeInForce.GTC,
        reduce_only=reduce_only or position_side is not None,
        budget_e8=0,
        reason=reason,
        position_side=position_side,
    )
