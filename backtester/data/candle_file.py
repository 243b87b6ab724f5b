"""Months of candles as columns, bit for bit: the short way from parquet files to a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from backtester.data.columns import VALUE_NAMES, CandleColumns
from backtester.data.file_parts import FilePart, groups_between, numbers_of, parts_of, read_parts, reading
from backtester.data.kinds import CANDLES
from backtester.data.series import Series
from backtester.data.series_file import open_series_file, written_facts

STORED_NAMES = ("start_ms", *VALUE_NAMES)


def read_candle_files(
    paths: Iterable[Path], series: Series, *, start_ms: int | None = None, end_ms: int | None = None
) -> Iterator[CandleColumns]:
    """The candles of the files, in order, in parts of bounded size, each decoded while the one before it is used.

    Row groups that lie outside [start_ms, end_ms) are left out; a part may reach beyond the range.
    Raises DataError naming the file; of one that cannot be opened, already at the part before it.
    """
    parts = (part for path in paths for part in _parts(path, series, start_ms, end_ms))
    for part in read_parts(parts, STORED_NAMES):
        yield CandleColumns(*(numbers_of(part.table, name, where=part.path) for name in STORED_NAMES))


def _parts(path: Path, series: Series, start_ms: int | None, end_ms: int | None) -> list[FilePart]:
    with reading(path), open_series_file(path, CANDLES) as file:
        written_facts(file, path, series)
        return parts_of(file, path, groups_between(file, "start_ms", start_ms, end_ms))
