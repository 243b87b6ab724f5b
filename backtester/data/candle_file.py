"""Months of candles as columns, bit for bit: the short way from parquet files to a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from backtester.data.columns import VALUE_NAMES, CandleColumns
from backtester.data.decoded_month import file_version, is_decoded_again, keep_decoded, load_decoded
from backtester.data.file_parts import FilePart, Room, groups_between, numbers_of, parts_of, read_parts, reading
from backtester.data.kinds import CANDLES
from backtester.data.object_store import is_remote
from backtester.data.series import Series
from backtester.data.series_file import open_series_file, written_facts

STORED_NAMES = ("start_ms", *VALUE_NAMES)


def read_candle_files(
    paths: Iterable[Path], series: Series, *, start_ms: int | None = None, end_ms: int | None = None
) -> Iterator[CandleColumns]:
    """The candles of the files, in order, in parts of bounded size; those of an object store are fetched a part ahead.

    Row groups that lie outside [start_ms, end_ms) are left out where a file must be decoded; a part may reach beyond the range.
    Raises DataError naming the file; of one of an object store that cannot be opened, already at the part before it.
    """
    files = list(paths)
    if any(map(is_remote, files)):
        yield from _columns(part for path in files for part in _parts(path, series, start_ms, end_ms))
        return
    room = Room()
    for path in files:
        version = file_version(path)
        decoded = load_decoded(path, series, version) if version is not None else None
        if decoded is not None:
            yield decoded
            continue
        parts = _parts(path, series, start_ms, end_ms)
        is_whole = len(parts) == 1 and 1 < len(parts[0].row_groups) == parts[0].footer.num_row_groups
        for columns in _columns(parts, room):
            if is_whole and version is not None and is_decoded_again(path, version):
                keep_decoded(path, series, version, columns)
            yield columns


def _columns(parts: Iterable[FilePart], room: Room | None = None) -> Iterator[CandleColumns]:
    for part in read_parts(parts, STORED_NAMES, room):
        yield CandleColumns(*(numbers_of(part.table, name, where=part.path) for name in STORED_NAMES))


def _parts(path: Path, series: Series, start_ms: int | None, end_ms: int | None) -> list[FilePart]:
    with reading(path), open_series_file(path, CANDLES) as file:
        written_facts(file, path, series)
        return parts_of(file, path, groups_between(file, "start_ms", start_ms, end_ms))
