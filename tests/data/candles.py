"""Candles made by hand for the tests of this package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from backtester.data.columns import CandleColumns, slice_columns

MINUTE = 60_000
MONDAY = 1_736_121_600_000  # 2025-01-06 00:00 UTC


def candles_at(starts_ms: Sequence[int], *, salt: int = 0) -> CandleColumns:
    """Plausible candles at these times; values differ from row to row and depend on time and `salt` only."""
    rows = np.array(starts_ms, dtype=np.int64)
    wave = ((rows // 1000 + salt * 7919) * 2_654_435_761) % 1000 / 8.0
    close = 1000.0 + wave[::-1] if not len(rows) else 1000.0 + ((rows // 1000 + salt * 104_729) * 40_503 % 997) / 8.0
    open_ = 1000.0 + wave
    high, low = np.maximum(open_, close) + 0.25, np.minimum(open_, close) - 0.25
    volume = ((rows // 1000 + salt) * 31 % 101) / 10.0
    return CandleColumns(rows, open_, high, low, close, volume)


def minutes(count: int, *, first_ms: int = MONDAY, salt: int = 0) -> CandleColumns:
    """`count` one-minute candles in a row."""
    return candles_at([first_ms + index * MINUTE for index in range(count)], salt=salt)


def in_pieces(columns: CandleColumns, sizes: Sequence[int]) -> Iterator[CandleColumns]:
    """The rows cut into pieces of these sizes, over and over."""
    first = turn = 0
    while first < len(columns.start_ms):
        last = first + sizes[turn % len(sizes)]
        yield slice_columns(columns, first, last)
        first, turn = last, turn + 1


def replace_value(columns: CandleColumns, name: str, row: int, value: float) -> CandleColumns:
    """A copy with one value changed."""
    values = getattr(columns, name).copy()
    values[row] = value
    return columns._replace(**{name: values})
