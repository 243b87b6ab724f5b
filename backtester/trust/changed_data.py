"""A run's market data, changed: its future replaced, or all of it moved in time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

import numpy as np

from backtester.app.market_data import ColumnsReader, MarketData
from backtester.data.columns import CandleColumns, join_columns, slice_columns
from backtester.domain.timeframe import DAY_MS

SHIFT_MS = 28 * 1461 // 4 * DAY_MS
"""28 years, which are 1,461 whole weeks: the day of the week, of the month and leap years stay (1901 to 2099)."""
_NOISE = 2e-4
"""Standard deviation of the noise in each replaced bar's log price, so that a market that stands still moves too."""


def scrambled(
    market: MarketData, *, from_ms: int, until_ms: int | None = None, only: Collection[str] | None = None, seed: int
) -> MarketData:
    """Bars that start in [from_ms, until_ms) are others: each rise is a fall of the same size, with noise, volumes at random.

    Everything before `from_ms` is as it was. `only` names the symbols that change (default: all).
    """

    def change(symbol: str, read: ColumnsReader) -> ColumnsReader:
        if only is not None and symbol not in only:
            return read
        return lambda start_ms, end_ms: _scramble(read(start_ms, end_ms), symbol, from_ms, until_ms, seed)

    return market.through(change)


def held(market: MarketData, *, start_ms: int, end_ms: int) -> MarketData:
    """As `market`, with the bars of [start_ms, end_ms) read once and then kept in memory."""

    def change(symbol: str, read: ColumnsReader) -> ColumnsReader:
        whole: list[CandleColumns] = []

        def kept(first_ms: int, last_ms: int) -> Iterator[CandleColumns]:
            if first_ms < start_ms or last_ms > end_ms:
                yield from read(first_ms, last_ms)
                return
            if not whole:
                whole.append(join_columns(*read(start_ms, end_ms)))
            first, last = whole[0].start_ms.searchsorted((first_ms, last_ms)).tolist()
            if first < last:
                yield slice_columns(whole[0], first, last)

        return kept

    return market.through(change)


def shifted(market: MarketData, *, by_ms: int) -> MarketData:
    """Every bar, and what is finer than bars, starts `by_ms` later."""

    def change(symbol: str, read: ColumnsReader) -> ColumnsReader:
        def moved(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
            for columns in read(start_ms - by_ms, end_ms - by_ms):
                yield columns._replace(start_ms=columns.start_ms + by_ms)

        return moved

    return market.through(change, finer_too=True)


def _scramble(
    pieces: Iterator[CandleColumns], symbol: str, from_ms: int, until_ms: int | None, seed: int
) -> Iterator[CandleColumns]:
    key = hashlib.sha256(f"{seed}\x1f{symbol}".encode()).digest()
    random = np.random.default_rng(list(key))
    anchor, drift = 0.0, 0.0
    for columns in pieces:
        starts = columns.start_ms
        first = int(starts.searchsorted(from_ms))
        last = len(starts) if until_ms is None else int(starts.searchsorted(until_ms))
        if first:
            anchor = float(columns.close[first - 1])
            yield slice_columns(columns, 0, first)
        if first < last:
            rows = slice_columns(columns, first, last)
            anchor = anchor or float(rows.open[0])
            noise = drift + np.cumsum(random.standard_normal(last - first)) * _NOISE
            drift = float(noise[-1])
            square = anchor * anchor * np.exp(noise)
            volume = rows.volume * random.uniform(0.25, 4.0, last - first)
            yield CandleColumns(
                rows.start_ms, square / rows.open, square / rows.low, square / rows.high, square / rows.close, volume
            )
        if last < len(starts):
            yield slice_columns(columns, max(first, last), len(starts))
