"""The candle: what is known of a stretch of trading, once it has closed."""

from __future__ import annotations

import msgspec


class Candle(msgspec.Struct, frozen=True, gc=False):
    """Prices [quote] and volume [base] of `symbol` over [start_ms, end_ms); exists for a strategy only from `end_ms` on.

    `n` counts the execution bars it was built from; `complete` is False when some of them were missing.
    """

    symbol: str
    timeframe: str
    start_ms: int
    end_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    n: int = 1
    complete: bool = True
