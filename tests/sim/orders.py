"""Orders as the venue gets them."""

from __future__ import annotations

from typing import Any

from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import OrderType, Side, TimeInForce
from tests.sim.small_run import A


def market_order(side: Side, symbol: str = A, *, lots: int = 1, **facts: Any) -> SanitizedOrder:
    """A market order of strategy s."""
    return SanitizedOrder(0, "o", "s", symbol, side, OrderType.MARKET, lots, 0, TimeInForce.GTC, False, 0, "SIGNAL", **facts)
