"""Real minute bars in the oracle's shape."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path

import polars as pl

from tests.oracle.generate import exact
from tests.oracle.scenario import Action, Bar, Script, signal_bars
from tests.support.shared_data import SHARED

FOLDER = SHARED / "data" / "candles" / "binance_um"
PRICE_STEP = Decimal("0.1")


def real_path(symbol: str) -> Path:
    """Where the minutes of a symbol are."""
    return FOLDER / f"{symbol}_1m.parquet"


@cache
def real_frame(symbol: str) -> pl.DataFrame:
    """All minutes of a symbol with the columns the engine asks for."""
    return pl.read_parquet(real_path(symbol)).rename({"open_time_ms": "start_ms"})


def real_bars(symbol: str, first: int = 0, count: int | None = None) -> list[Bar]:
    """`count` minutes from row `first` on."""
    rows = real_frame(symbol).slice(first, count).rows()
    return [Bar(start_ms, start_ms + 60_000, *(exact(value) for value in values)) for start_ms, *values in rows]


def sma_script(symbol: str, bars: list[Bar], signal_ms: int, *, fast: int, slow: int, lots: int) -> Script:
    """Long while the fast average of the closes is above the slow one, flat otherwise."""
    actions: dict[tuple[str, int], list[Action]] = {}
    closes: list[Fraction] = []
    held = False
    for index, (_, close) in enumerate(signal_bars(bars, signal_ms)):
        closes.append(close)
        above = len(closes) >= slow and sum(closes[-fast:]) * slow > sum(closes[-slow:]) * fast
        if above != held:
            actions[symbol, index] = [Action("market", f"o{index}", above, lots)]
            held = above
    return Script(actions, {})
