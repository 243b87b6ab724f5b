"""One symbol's execution bars as the feed walks over them: checked, cut to the range, remembered as digests and gaps."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from backtester.data.columns import NO_CANDLES, CandleColumns, IntColumn, join_columns, slice_columns, take_rows
from backtester.data.gaps import BoolColumn, FilledPiece, GapReport, GapScan, fill_gaps, flat_rows
from backtester.data.quality import check_candles
from backtester.data.resample import BucketStream
from backtester.domain.candle import Candle
from backtester.domain.timeframe import timeframe_text

PIECE_ROWS = 8_192
"""Rows taken from a stream at a time, so that a long array costs no more memory than a file read in pieces."""
_NONE_FILLED: BoolColumn = np.empty(0, dtype=np.bool_)


class SymbolStream(NamedTuple):
    """Bars of one symbol of a run: its key there, its candles in order, and their origin in words for error messages."""

    symbol: str
    columns: Iterator[CandleColumns]
    source: str


class SymbolCursor:
    """Rows [0, taken) of the held piece are delivered; the rest, and what the stream still has, is to come.

    With `fill`, gaps are filled as `gaps.fill_gaps` says. What is put in is delivered and no more: digests and gaps are those of
    the stream, and a candle that was put in has n 0 and is not complete.
    """

    def __init__(
        self,
        stream: SymbolStream,
        *,
        execution_ms: int,
        start_ms: int,
        end_ms: int,
        buckets: tuple[BucketStream, ...],
        fill: bool = False,
    ) -> None:
        self.symbol = stream.symbol
        self.buckets = buckets
        self.filled_count = 0
        self.window_ms: IntColumn = NO_CANDLES.start_ms
        """Starts of the bars of the current window."""
        self._timeframe = timeframe_text(execution_ms)
        self._execution_ms = execution_ms
        pieces = _pieces(stream, execution_ms=execution_ms, start_ms=start_ms, end_ms=end_ms)
        self._pieces: Iterator[FilledPiece] = (
            fill_gaps(pieces, length_ms=execution_ms, end_ms=end_ms) if fill else (FilledPiece(piece, None) for piece in pieces)
        )
        self._held = NO_CANDLES
        self._filled: BoolColumn | None = _NONE_FILLED if fill else None
        """Which rows held were put in; None where none ever is."""
        self._taken = 0
        self._remembered = 0
        self._scan = GapScan(execution_ms)
        self._hashes = tuple(hashlib.sha256() for _ in CandleColumns._fields)
        self.times_ms: tuple[list[int], list[int]] = ([], [])
        """Starts and ends of the window's bars; known once its candles are made."""
        self._candles: list[Candle] = []

    # -- the window --------------------------------------------------------------------------------------------------

    def next_start_ms(self) -> int | None:
        """Start of the first bar that is not delivered; None when there is none."""
        if self._taken == len(self._held.start_ms) and not self._hold_more():
            return None
        return int(self._held.start_ms[self._taken])

    def move_window(self, until_ms: int) -> None:
        """The window holds the bars that start before `until_ms` and were not in one before; they count as delivered."""
        while not len(self._held.start_ms) or int(self._held.start_ms[-1]) < until_ms:
            if not self._hold_more():
                break
        starts_ms = self._held.start_ms
        first, last = self._taken, int(starts_ms.searchsorted(until_ms))
        self.window_ms = starts_ms[first:last]
        self._taken = last

    def bars(self, shared: SymbolCursor | None = None) -> list[Candle]:
        """The candles of the window, made before more is held. `shared`: a cursor whose window has the same times, made before."""
        last = self._taken
        _, *values = slice_columns(self._held, last - len(self.window_ms), last)
        if shared is not None:
            starts, ends = shared.times_ms
        else:
            starts, ends = _starts_and_ends(self.window_ms, self._execution_ms)
        opens, highs, lows, closes, volumes = [column.tolist() for column in values]
        self.times_ms = (starts, ends)
        columns: tuple[list[Any], ...] = (starts, ends, opens, highs, lows, closes, volumes)
        if self._filled is not None:
            own = ~self._filled[last - len(self.window_ms) : last]
            columns = (*columns, own.astype(np.int64).tolist(), own.tolist())
        self._candles = list(map(Candle, repeat(self.symbol), repeat(self._timeframe), *columns))
        return self._candles

    def bar_from(self, time_ms: int) -> Candle | None:
        """The first bar of the window or after it that ends after `time_ms`: one that nobody was given yet."""
        try:
            return self._candles[bisect_right(self.times_ms[1], time_ms)]
        except IndexError:  # past the window
            return self._bar_ahead(time_ms)

    def _bar_ahead(self, time_ms: int) -> Candle | None:
        after_ms = time_ms - self._execution_ms
        while (row := max(self._taken, int(self._held.start_ms.searchsorted(after_ms, side="right")))) == len(self._held.start_ms):
            if not self._hold_more():
                return None
        start_ms = int(self._held.start_ms[row])
        open_, high, low, close, volume = (float(column[row]) for column in self._held[1:])
        own = self._filled is None or not self._filled[row]
        end_ms = start_ms + self._execution_ms
        return Candle(self.symbol, self._timeframe, start_ms, end_ms, open_, high, low, close, volume, int(own), own)

    def _hold_more(self) -> bool:
        """Another piece of the stream is held behind what is not delivered; False when the stream has ended."""
        more = next(self._pieces, None)
        if more is None:
            return False
        piece, filled = more
        for bucket in self.buckets:
            bucket.add(piece, filled)
        self.remember()
        rest = slice_columns(self._held, self._taken, len(self._held.start_ms))
        self._held = join_columns(rest, piece) if len(rest.start_ms) else piece
        if self._filled is not None:
            put_in = np.zeros(len(piece.start_ms), dtype=np.bool_) if filled is None else filled
            self._filled = np.concatenate((self._filled[self._taken :], put_in))
        self._taken = self._remembered = 0
        return True

    # -- what was delivered ------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Digests and gaps cover all that is delivered."""
        rows = slice_columns(self._held, self._remembered, self._taken)
        if self._filled is not None:
            put_in = self._filled[self._remembered : self._taken]
            if put_in.any():
                self.filled_count += int(put_in.sum())
                rows = take_rows(rows, ~put_in)
        self._remembered = self._taken
        if not len(rows.start_ms):
            return
        for digest, column in zip(self._hashes, _little_endian(rows), strict=True):
            digest.update(column)
        self._scan.add(rows.start_ms, flat_rows(rows))

    def gap_report(self) -> GapReport:
        """Gaps between what was delivered, and outages in it."""
        self.remember()
        return self._scan.report()

    def column_digests(self) -> tuple[str, ...]:
        """sha256 of the bytes of each column delivered, in the order of `CandleColumns`; of what was put in, nothing."""
        self.remember()
        return tuple(digest.hexdigest() for digest in self._hashes)


def _starts_and_ends(starts_ms: IntColumn, length_ms: int) -> tuple[list[int], list[int]]:
    """Starts and ends of bars in order; where none is missing, an end is the very object that the next start is."""
    first_ms, last_ms = int(starts_ms[0]), int(starts_ms[-1])
    if last_ms - first_ms == (len(starts_ms) - 1) * length_ms:
        edges = list(range(first_ms, last_ms + length_ms + 1, length_ms))
        return edges[:-1], edges[1:]
    return starts_ms.tolist(), (starts_ms + length_ms).tolist()


def _little_endian(columns: CandleColumns) -> Iterator[memoryview]:
    """The bytes of each column, the same on every machine."""
    yield np.ascontiguousarray(columns.start_ms, dtype="<i8").data
    for values in columns[1:]:
        yield np.ascontiguousarray(values, dtype="<f8").data


def _pieces(stream: SymbolStream, *, execution_ms: int, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
    """The stream's rows that start from `start_ms` on and end by `end_ms`, checked, in pieces of bounded size."""
    after_ms: int | None = None
    first_row = 1
    for columns in stream.columns:
        for first in range(0, len(columns.start_ms), PIECE_ROWS):
            piece = slice_columns(columns, first, first + PIECE_ROWS)
            check_candles(piece, source=stream.source, length_ms=execution_ms, after_ms=after_ms, first_row=first_row)
            after_ms = int(piece.start_ms[-1])
            first_row += len(piece.start_ms)
            inside = piece.start_ms.searchsorted((start_ms, end_ms - execution_ms + 1)).tolist()
            if inside[0] < inside[1]:
                yield slice_columns(piece, *inside)
