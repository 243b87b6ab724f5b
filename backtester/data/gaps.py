"""Gaps as facts: bars that are missing, bars that only say that nothing happened, and bars put in where a run asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.data.columns import NO_CANDLES, CandleColumns, IntColumn
from backtester.data.decoded_month import unbroken_span
from backtester.data.file_parts import numbers_of, reading
from backtester.data.object_store import parquet_source
from backtester.data.series import Series
from backtester.domain.timeframe import MINUTE_MS, iso_text

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BoolColumn = npt.NDArray[np.bool_]

OUTAGE_MS = MINUTE_MS
"""Flat bars without volume are an outage from this length on: one bar of a minute or longer, sixty of a second.

A futures exchange fills an outage with them, where a spot exchange leaves bars out. A minute in which nobody happened to
trade looks the same and counts as well: nothing in the data tells them apart.
"""
STRETCHES_KEPT = 1_000
FILL_ROWS = 8_192
"""Rows of a piece in which gaps are filled, however long they are."""


class Stretch(NamedTuple):
    """`bars` bars in [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    bars: int

    def __str__(self) -> str:
        return f"{iso_text(self.from_ms)} to {iso_text(self.to_ms)} UTC ({self.bars:,} {'bar' if self.bars == 1 else 'bars'})"


class Stretches(NamedTuple):
    """How many stretches in `total`, how many `bars` in all of them, and the first thousand in order of time."""

    total: int
    bars: int
    first: tuple[Stretch, ...]


class GapReport(NamedTuple):
    """What is not there of one series: `missing` bars, and `outages`, which are bars that are flat and without volume."""

    missing: Stretches
    outages: Stretches

    @property
    def earliest(self) -> Stretch | None:
        """The first stretch of either; None where there is none."""
        return min((found.first[0] for found in self if found.first), default=None)


class GapScan:
    """Finds the gaps of a series that is handed over in pieces; the same however it is cut, and in constant memory."""

    def __init__(self, length_ms: int) -> None:
        self._length_ms = length_ms
        self._next_ms: int | None = None
        """Where the bar after the last one would start."""
        self._missing = _Tally()
        self._outages = _Tally()
        self._open: Stretch | None = None
        """Flat bars up to the last bar: more may follow."""

    def add(self, start_ms: IntColumn, flat: BoolColumn | None = None) -> None:
        """These bars follow those added before; `flat` says which have one price and no volume (None: none has)."""
        if not len(start_ms):
            return
        length_ms = self._length_ms
        self._jump(int(start_ms[0]))
        steps = np.diff(start_ms)
        for row in np.flatnonzero(steps > length_ms).tolist():
            self._missing.add(self._stretch(int(start_ms[row]) + length_ms, int(start_ms[row + 1])))
        if flat is None or not flat.any():
            self._close()
        else:
            self._add_flat(start_ms, flat, steps == length_ms)
        self._next_ms = int(start_ms[-1]) + length_ms

    def pass_over(self, first_ms: int, last_ms: int) -> None:
        """Bars from the one that starts at `first_ms` to that of `last_ms` follow, all there and none flat."""
        self._jump(first_ms)
        self._close()
        self._next_ms = last_ms + self._length_ms

    def report(self) -> GapReport:
        """What was found so far."""
        open_run = (self._open,) if self._open is not None and self._is_outage(self._open) else ()
        return GapReport(self._missing.stretches(), self._outages.stretches(*open_run))

    def _stretch(self, from_ms: int, to_ms: int) -> Stretch:
        return Stretch(from_ms, to_ms, (to_ms - from_ms) // self._length_ms)

    def _jump(self, to_ms: int) -> None:
        """The next bar starts at `to_ms`."""
        from_ms = self._next_ms
        if from_ms is not None and to_ms > from_ms:
            self._close()
            self._missing.add(self._stretch(from_ms, to_ms))

    def _add_flat(self, start_ms: IntColumn, flat: BoolColumn, joined: BoolColumn) -> None:
        goes_on = flat[1:] & flat[:-1] & joined
        firsts = start_ms[flat & ~np.concatenate(([False], goes_on))].tolist()
        lasts = start_ms[flat & ~np.concatenate((goes_on, [False]))].tolist()
        for first_ms, last_ms in zip(firsts, lasts, strict=True):
            to_ms = last_ms + self._length_ms
            if self._open is not None and self._open.to_ms == first_ms:
                self._open = self._stretch(self._open.from_ms, to_ms)
            else:
                self._close()
                self._open = self._stretch(first_ms, to_ms)
        if not flat[-1]:
            self._close()

    def _close(self) -> None:
        """The open run of flat bars, if any, is as long as it will be."""
        if self._open is not None and self._is_outage(self._open):
            self._outages.add(self._open)
        self._open = None

    def _is_outage(self, run: Stretch) -> bool:
        return run.to_ms - run.from_ms >= OUTAGE_MS


class _Tally:
    def __init__(self) -> None:
        self._count = 0
        self._bars = 0
        self._first: list[Stretch] = []

    def add(self, stretch: Stretch) -> None:
        self._count += 1
        self._bars += stretch.bars
        if len(self._first) < STRETCHES_KEPT:
            self._first.append(stretch)

    def stretches(self, *more: Stretch) -> Stretches:
        bars = self._bars + sum(stretch.bars for stretch in more)
        return Stretches(self._count + len(more), bars, (*self._first, *more)[:STRETCHES_KEPT])


def flat_rows(columns: CandleColumns) -> BoolColumn | None:
    """Which candles have one price and no volume; None where none has."""
    idle: BoolColumn = columns.volume == 0
    if not idle.any():
        return None
    idle &= columns.high == columns.low
    return idle


def scan_candles(pieces: Iterable[CandleColumns], *, length_ms: int) -> GapReport:
    """The gaps in candles that come in order."""
    scan = GapScan(length_ms)
    for piece in pieces:
        scan.add(piece.start_ms, flat_rows(piece))
    return scan.report()


def scan_files(paths: Iterable[Path], series: Series, *, start_ms: int, end_ms: int) -> GapReport:
    """The gaps between candles of these files of a series, in order, that start in [start_ms, end_ms).

    A file stays closed whose decoded copy says that nothing is missing and something was traded in every bar, and so do row groups
    whose statistics say it: a month without gaps costs a millisecond, with its copy a tenth. Raises DataError naming the file.
    """
    import pyarrow.parquet as pq

    length_ms = series.length_ms
    scan = GapScan(length_ms)
    for path in paths:
        span = unbroken_span(path, series)
        if span is not None and start_ms <= span[0] and span[1] < end_ms:
            scan.pass_over(*span)
            continue
        with reading(path), pq.ParquetFile(parquet_source(path)) as file:
            names = file.schema_arrow.names
            columns = names.index("start_ms"), names.index("volume")
            for group in range(file.metadata.num_row_groups):
                _scan_group(file, path, group, columns, scan, length_ms=length_ms, start_ms=start_ms, end_ms=end_ms)
    return scan.report()


_SCANNED = ("start_ms", "high", "low", "volume")


def _scan_group(
    file: pq.ParquetFile,
    path: Path,
    group: int,
    columns: tuple[int, int],
    scan: GapScan,
    *,
    length_ms: int,
    start_ms: int,
    end_ms: int,
) -> None:
    """`columns` are the places of start_ms and volume."""
    facts = file.metadata.row_group(group)
    first_ms, last_ms = _bounds(facts.column(columns[0]).statistics)
    if first_ms is not None and last_ms is not None:
        if last_ms < start_ms or first_ms >= end_ms:
            return
        inside = start_ms <= first_ms and last_ms < end_ms
        least, _ = _bounds(facts.column(columns[1]).statistics)
        traded = least is not None and least > 0
        if inside and traded and (last_ms - first_ms) // length_ms + 1 == facts.num_rows:
            scan.pass_over(first_ms, last_ms)
            return
    table = file.read_row_group(group, columns=list(_SCANNED), use_threads=False)
    starts_ms, high, low, volume = (numbers_of(table, name, where=path) for name in _SCANNED)
    first, last = starts_ms.searchsorted((start_ms, end_ms))
    flat = (volume == 0) & (high == low)
    scan.add(starts_ms[first:last], flat[first:last])


def _bounds(statistics: pq.Statistics | None) -> tuple[Any, Any]:
    return (None, None) if statistics is None or not statistics.has_min_max else (statistics.min, statistics.max)


class FilledPiece(NamedTuple):
    """Candles of which `filled` says which were put in; None where none was."""

    columns: CandleColumns
    filled: BoolColumn | None


def fill_gaps(pieces: Iterable[CandleColumns], *, length_ms: int, end_ms: int) -> Iterator[FilledPiece]:
    """From the first candle on, one at every step that ends by `end_ms`: where there is none, flat at the last close, volume 0.

    So no candle depends on whether another one follows it, and a shorter run sees the first part of a longer one. Pieces are
    bounded, however long a gap is; the candles themselves are handed on bit for bit.
    """
    after: tuple[int, float] | None = None
    for piece in pieces:
        if not len(piece.start_ms):
            continue
        yield from _filled(piece, after, int(piece.start_ms[-1]), length_ms)
        after = int(piece.start_ms[-1]), float(piece.close[-1])
    if after is not None:
        last_ms = after[0] + (end_ms - length_ms - after[0]) // length_ms * length_ms
        yield from _filled(NO_CANDLES, after, last_ms, length_ms)


def _filled(piece: CandleColumns, after: tuple[int, float] | None, last_ms: int, length_ms: int) -> Iterator[FilledPiece]:
    """The candles of `piece`, which follow the one `after` (start, close), with every step up to `last_ms` filled."""
    first_ms = int(piece.start_ms[0]) if after is None else after[0] + length_ms
    total = (last_ms - first_ms) // length_ms + 1
    if total <= len(piece.start_ms):
        if total > 0:
            yield FilledPiece(piece, None)
        return
    held = (piece.start_ms - first_ms) // length_ms
    closes = np.concatenate(([0.0 if after is None else after[1]], piece.close))
    for first in range(0, total, FILL_ROWS):
        steps = np.arange(first, min(first + FILL_ROWS, total))
        rows = np.searchsorted(held, steps, side="right")  # one more than the last candle that is there by then
        filled = np.ones(len(steps), dtype=np.bool_)
        there = rows > 0
        filled[there] = held[rows[there] - 1] != steps[there]
        own = rows[~filled] - 1
        start_ms = first_ms + steps * length_ms
        last_close = closes[rows]
        open_, high, low, close = (_merged(column, own, filled, last_close) for column in piece[1:5])
        volume = _merged(piece.volume, own, filled, np.zeros(len(steps)))
        columns = CandleColumns(start_ms, open_, high, low, close, volume)
        yield FilledPiece(columns, filled if filled.any() else None)


def _merged(
    column: npt.NDArray[np.float64], own: npt.NDArray[np.intp], filled: BoolColumn, instead: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    merged = instead.copy()
    merged[~filled] = column[own]
    return merged
