"""What happened inside a bar: the shorter candles, or the trades, of just that bar, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from backtester.data.columns import NO_CANDLES, CandleColumns, join_columns, slice_columns, take_rows
from backtester.data.kinds import TICK
from backtester.domain.candle import Candle
from backtester.domain.timeframe import timeframe_text
from backtester.engine.ports import TRADE_MS

ReadColumns = Callable[[int, int], Iterator[CandleColumns]]
"""Rows of one symbol that start in [start_ms, end_ms), in order, in chunks."""

ROWS_HELD = 50_000
"""Candles are read in stretches of so many, of which the last one is kept: bars that are asked about are often near."""


class FinerSource(NamedTuple):
    """Candles of one length, or trades: `length_ms` is 0, and a row has one price."""

    length_ms: int
    read: ReadColumns


class FinerBars:
    """Implements `engine.ports.FinerData`. Of several sources the finest candles that tell a whole bar are taken, then trades.

    A source tells a bar where its rows leave no gap and have the bar's open, high, low and close; of trades no gap can be seen.
    """

    def __init__(self, sources: Mapping[str, Sequence[FinerSource]]) -> None:
        ordered = {symbol: sorted(held, key=lambda one: one.length_ms or float("inf")) for symbol, held in sources.items()}
        self._sources = {symbol: [_Stretch(source) for source in held] for symbol, held in ordered.items()}
        self._hash = sha256()
        self._asked = 0

    def finer(self, bar: Candle) -> Sequence[Candle] | None:
        """See `engine.ports.FinerData`."""
        self._asked += 1
        for source in self._sources.get(bar.symbol, ()):
            columns = source.within(bar)
            if columns is not None:
                self._hash.update(f"{bar.symbol} {bar.start_ms} {bar.end_ms} {source.length_ms} {len(columns.start_ms)}\n".encode())
                for values in columns:
                    self._hash.update(np.ascontiguousarray(values).tobytes())
                return _candles(columns, bar.symbol, source.length_ms)
        self._hash.update(f"{bar.symbol} {bar.start_ms} {bar.end_ms} none\n".encode())
        return None

    def fingerprint(self) -> str:
        """sha256 over every bar asked about and the rows that told it; empty where none was asked about."""
        return self._hash.hexdigest() if self._asked else ""


class _Stretch:
    """A source with the stretch of its candles that was read last."""

    def __init__(self, source: FinerSource) -> None:
        self.length_ms = source.length_ms
        self._read = source.read
        self._held = NO_CANDLES
        self._from_ms = self._to_ms = 0

    def within(self, bar: Candle) -> CandleColumns | None:
        """The rows that tell the bar; None where it is not longer than they are, or where they do not tell it."""
        length_ms, bar_ms = self.length_ms, bar.end_ms - bar.start_ms
        if not length_ms:
            if bar_ms <= TRADE_MS:
                return None
            rows = join_columns(*self._read(bar.start_ms, bar.end_ms))
        elif length_ms >= bar_ms or bar.start_ms % length_ms or bar_ms % length_ms:
            return None
        else:
            rows = self._candles(bar)
            if len(rows.start_ms) * length_ms != bar_ms:
                return None
        return rows if _tells(rows, bar) else None

    def _candles(self, bar: Candle) -> CandleColumns:
        if not self._from_ms <= bar.start_ms or not bar.end_ms <= self._to_ms:
            stretch_ms = ROWS_HELD * self.length_ms
            self._from_ms = bar.start_ms // stretch_ms * stretch_ms
            self._to_ms = max(self._from_ms + stretch_ms, bar.end_ms)
            self._held = join_columns(*self._read(self._from_ms, self._to_ms))
        first, last = self._held.start_ms.searchsorted((bar.start_ms, bar.end_ms)).tolist()
        return slice_columns(self._held, first, last)


def _tells(rows: CandleColumns, bar: Candle) -> bool:
    """Whether the rows have the bar's prices, with those without volume or without them: venues differ in that."""
    traded = take_rows(rows, rows.volume > 0)
    return len(traded.start_ms) > 0 and any(_prices(held) == (bar.open, bar.high, bar.low, bar.close) for held in (rows, traded))


def _prices(rows: CandleColumns) -> tuple[float, float, float, float]:
    return float(rows.open[0]), float(rows.high.max()), float(rows.low.min()), float(rows.close[-1])


def _candles(columns: CandleColumns, symbol: str, length_ms: int) -> list[Candle]:
    timeframe = timeframe_text(length_ms) if length_ms else TICK
    lasts_ms = length_ms or TRADE_MS
    return [
        Candle(symbol, timeframe, start_ms, start_ms + lasts_ms, *values)
        for start_ms, *values in zip(*(column.tolist() for column in columns), strict=True)
    ]
