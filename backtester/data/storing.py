"""Rows into the month files of a series: compared with all that is stored first, written only if nothing contradicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backtester.data.batch import Batch
from backtester.data.file_parts import reading
from backtester.data.kinds import CANDLES, Kind, VolumeUnit, kind_named
from backtester.data.merging import Contradiction, Merged, first_repeated_key, is_in_order, merge_in_pieces
from backtester.data.months import MonthFile, month_files, month_path, split_by_month, times_of, units_per_ms
from backtester.data.series import Series
from backtester.data.series_file import FileFacts, open_series_file, read_series_files, write_series_file, written_facts
from backtester.domain.errors import DataQualityError, SchemaMismatchError
from backtester.domain.timeframe import iso_text

if TYPE_CHECKING:
    import pyarrow as pa

WITHOUT_VOLUME = frozenset({"mark", "index", "premium", "funding", "volatility_index"})
"""Kinds without a column that a volume unit could be about."""


class StoreReport(NamedTuple):
    """What a store changed: rows that are new or got a value that was unknown before, and rows that were stored before.

    `conflicts` is 0: rows that contradict stored ones are refused. `files` is how many month files were written.
    """

    rows_written: int
    rows_already_stored: int
    conflicts: int
    files: int


class Stored(NamedTuple):
    """The report, the facts of the files written, and the files in which the rows stand now."""

    report: StoreReport
    written: tuple[tuple[Path, FileFacts], ...]
    touched: tuple[Path, ...]


class _Month(NamedTuple):
    """A month to be stored: the rows given, the path, and whether a file is there already."""

    path: Path
    rows: pa.Table
    stored: bool


def check_batch(batch: Batch) -> None:
    """Returns if the batch is as `Batch` promises. Raises SchemaMismatchError or DataQualityError that names the origin."""
    kind = kind_named(batch.series.kind)
    table, where = batch.table, batch.origin.name
    if not table.schema.equals(kind.schema()):
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        raise SchemaMismatchError(f"{where}: these are no columns of {kind.name}: {found}")
    for column in kind.columns:
        if column.required and table.column(column.name).null_count:
            raise DataQualityError(f"{where}: column {column.name} has empty values")
    if not is_in_order(kind, table):
        raise DataQualityError(f"{where}: the rows of {batch.series} are not in order of time")
    repeated = first_repeated_key(kind, table)
    if repeated is not None:
        shown = ", ".join(f"{name} {table.column(name)[repeated].as_py()}" for name in kind.key)
        raise DataQualityError(f"{where}: two rows of {batch.series} have the key {shown}; keep one")


def store_table(base: Path, series: Series, table: pa.Table, volume_unit: VolumeUnit) -> Stored:
    """The rows are stored, as `Catalog.store` says; the caller holds the catalog's lock."""
    kind = kind_named(series.kind)
    files = {file.first_ms: file for file in month_files(base, series)}
    unit = VolumeUnit.BASE if kind.name in WITHOUT_VOLUME else volume_unit
    _check_unit(series, kind, list(files.values()), unit)
    changed: list[_Month] = []
    touched: list[Path] = []
    rows_written = contradictions = 0
    first: Contradiction | None = None
    for month_ms, rows in split_by_month(table, kind):
        file = files.get(month_ms)
        month = _Month(file.path if file else month_path(base, series, month_ms), rows, file is not None)
        touched.append(month.path)
        news = 0
        for piece in _compared(series, kind, month):
            news += piece.added + piece.filled
            contradictions += piece.contradictions
            first = first or piece.first
        if news:
            changed.append(month)
            rows_written += news
    if first is not None:
        what = "candle" if kind is CANDLES else "row"
        raise DataQualityError(
            f"{series}: the {what} of {iso_text(first.time // units_per_ms(kind))} UTC {first} ({contradictions:,} {what}s "
            "differ); nothing was written; find out which source is right and keep only that one"
        )
    written = tuple(
        (month.path, write_series_file(month.path, series, _united(series, kind, month), volume_unit=unit)) for month in changed
    )
    return Stored(StoreReport(rows_written, table.num_rows - rows_written, 0, len(changed)), written, tuple(touched))


def _compared(series: Series, kind: Kind, month: _Month) -> Iterator[Merged]:
    """The rows given against the stored rows of the same time; the rest of the month is not read."""
    times = times_of(month.rows, kind)
    stored = _stored(series, month, int(times[0]), int(times[-1]) + 1)
    return merge_in_pieces(kind, stored, month.rows)


def _united(series: Series, kind: Kind, month: _Month) -> Iterator[pa.Table]:
    """All rows that the month has from now on."""
    for piece in merge_in_pieces(kind, _stored(series, month), month.rows):
        yield piece.table


def _stored(series: Series, month: _Month, start: int | None = None, end: int | None = None) -> Iterator[pa.Table]:
    return read_series_files([month.path] if month.stored else [], series, start=start, end=end)


def _check_unit(series: Series, kind: Kind, files: list[MonthFile], unit: VolumeUnit) -> None:
    """Returns if what is stored of the series counts volumes in `unit`, or nothing is. One month tells: all have one unit."""
    if not files:
        return
    path = files[0].path
    with reading(path), open_series_file(path, kind) as file:
        facts = written_facts(file, path, series)
    if facts is not None and facts.volume_unit is not unit:
        raise DataQualityError(
            f"{series}: stored volumes count {facts.volume_unit.value}, those given count {unit.value}; state the unit that they "
            "have with --volume-unit, or convert them; nothing was written"
        )
