"""Coarser candles from finer ones: a bucket is what was traded in it, no more."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from backtester.data.columns import CandleColumns, IntColumn
from backtester.data.gaps import BoolColumn
from backtester.domain.candle import Candle
from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import bucket_offset_ms, timeframe_text


def can_be_joined(bars_ms: int, length_ms: int) -> bool:
    """Whether bars of one length make up candles of another: it is a multiple, and they begin on the same grid."""
    return length_ms % bars_ms == 0 and (bucket_offset_ms(length_ms) - bucket_offset_ms(bars_ms)) % bars_ms == 0


def coarser_columns(
    pieces: Iterable[CandleColumns], symbol: str, *, length_ms: int, bars_ms: int, end_ms: int
) -> Iterator[CandleColumns]:
    """Candles of `length_ms` that end by `end_ms`, as columns, from bars of `bars_ms` in order; see `BucketStream`."""
    bucket = BucketStream(symbol, length_ms=length_ms, execution_ms=bars_ms)
    for piece in pieces:
        if len(piece.start_ms):
            bucket.add(piece)
            yield from _as_columns(bucket.take_until(min(int(piece.start_ms[-1]), end_ms)))
    yield from _as_columns(bucket.take_until(end_ms))


def _as_columns(candles: list[Candle]) -> Iterator[CandleColumns]:
    if candles:
        starts = np.array([candle.start_ms for candle in candles], dtype=np.int64)
        values = np.array([(row.open, row.high, row.low, row.close, row.volume) for row in candles], dtype=np.float64)
        yield CandleColumns(starts, *(np.ascontiguousarray(column) for column in values.T))


class BucketStream:
    """Candles of one symbol on one coarser timeframe, from its execution bars in any pieces.

    A bucket [b, b + length) holds the bars that start in it: first open, highest high, lowest low, last close, exact sum of
    volumes rounded once; `n` counts them and `complete` says whether none is missing. The first bucket counts only if its
    first bar starts with it: what was traded before the data begins is not known. No decision needs a later bar. Bars that were
    put in where there are none make a bucket like others, but `n` does not count them and `complete` takes them as missing.

    Raises: ConfigError - the length is no multiple of the execution timeframe, or its grid lies between the bars.
    """

    def __init__(self, symbol: str, *, length_ms: int, execution_ms: int) -> None:
        offset_ms = bucket_offset_ms(length_ms)
        if not can_be_joined(execution_ms, length_ms):
            raise ConfigError(
                f"candles of {timeframe_text(length_ms)} cannot be built from bars of {timeframe_text(execution_ms)}; choose a "
                "timeframe that is a multiple of the bars'"
            )
        self.length_ms = length_ms
        self._symbol = symbol
        self._timeframe = timeframe_text(length_ms)
        self._offset_ms = offset_ms
        self._bars_whole = length_ms // execution_ms
        self._closed: deque[Candle] = deque()
        self._started = False
        self._skipping = False
        self._start_ms = 0
        self._prices = (0.0, 0.0, 0.0, 0.0)
        self._volumes: list[float] = []
        self._put_in = 0

    def add(self, columns: CandleColumns, filled: BoolColumn | None = None) -> None:
        """The bars, which follow all bars added before, are in their buckets; `filled` says which of them were put in."""
        start_ms = columns.start_ms
        if not len(start_ms):
            return
        starts_ms, edges = self._buckets(start_ms)
        firsts = np.array(edges[:-1])
        highs = np.maximum.reduceat(columns.high, firsts).tolist()
        lows = np.minimum.reduceat(columns.low, firsts).tolist()
        opens = columns.open[firsts].tolist()
        closes = columns.close[np.array(edges[1:]) - 1].tolist()
        volumes = columns.volume.tolist()
        put_in = None if filled is None else np.add.reduceat(filled.astype(np.int64), firsts).tolist()
        if not self._started:
            self._started = True
            self._skipping = int(start_ms[0]) != starts_ms[0]
            self._start_ms = starts_ms[0]
        for index, bucket_ms in enumerate(starts_ms):
            if bucket_ms != self._start_ms:
                self._close()
                self._start_ms = bucket_ms
            prices = (opens[index], highs[index], lows[index], closes[index])
            if self._volumes:
                open_, high, low, _ = self._prices
                prices = (open_, max(high, prices[1]), min(low, prices[2]), prices[3])
                self._volumes += volumes[edges[index] : edges[index + 1]]
            else:
                self._volumes = volumes[edges[index] : edges[index + 1]]
            self._prices = prices
            if put_in is not None:
                self._put_in += put_in[index]

    def take_until(self, time_ms: int) -> list[Candle]:
        """Candles that end by `time_ms` and were not taken before, in order; all bars that start before it must be added."""
        if self._volumes and self._start_ms + self.length_ms <= time_ms:
            self._close()
        closed = self._closed
        taken: list[Candle] = []
        while closed and closed[0].end_ms <= time_ms:
            taken.append(closed.popleft())
        return taken

    def _buckets(self, start_ms: IntColumn) -> tuple[list[int], list[int]]:
        """Start of each bucket that has bars, and the rows at which they begin, with the number of rows at the end."""
        buckets_ms = (start_ms - self._offset_ms) // self.length_ms
        edges = [0, *(np.flatnonzero(buckets_ms[1:] != buckets_ms[:-1]) + 1).tolist()]
        starts_ms = (buckets_ms[edges] * self.length_ms + self._offset_ms).tolist()
        return starts_ms, [*edges, len(start_ms)]

    def _close(self) -> None:
        """The bucket that was open is a candle; nothing is open."""
        volumes, self._volumes = self._volumes, []
        bars, self._put_in = len(volumes) - self._put_in, 0
        if not volumes:
            return
        if self._skipping:
            self._skipping = False
            return
        self._closed.append(
            Candle(
                self._symbol,
                self._timeframe,
                self._start_ms,
                self._start_ms + self.length_ms,
                *self._prices,
                math.fsum(volumes),
                bars,
                bars == self._bars_whole,
            )
        )
