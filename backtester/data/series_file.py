"""One month of a series of any kind in one parquet file: written atomically, its facts in the footer, read in parts."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from backtester.data.content_hash import ContentHash
from backtester.data.file_parts import PART_ROWS, RESTORE, FilePart, groups_between, parts_of, read_parts, reading, unreadable
from backtester.data.kinds import Kind, VolumeUnit, kind_named
from backtester.data.months import times_of, units_per_ms
from backtester.data.object_store import is_remote, open_store, parquet_source
from backtester.data.series import Series
from backtester.domain.errors import DataError, SchemaMismatchError, StorageError
from backtester.domain.timeframe import DAY_MS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SCHEMA_VERSION = 2
"""1 were candle files of six columns; 0 stands for files that another program wrote."""
ROW_GROUP_ROWS = PART_ROWS
SPARSE_ROWS = 1_000
"""A row group of ticks that has fewer goes on with the next day."""
_FACTS = "backtester.series"
_FACTS_OF_VERSION_1 = "candles.v1"


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. `first` and `last` are times of rows in the kind's unit; `gaps` are stretches of missing bars inside.

    `content_sha256` is that of `content_hash`; None where the writer did not know it.
    """

    series: str
    schema_version: int
    volume_unit: VolumeUnit
    rows: int
    first: int
    last: int
    gaps: int
    content_sha256: str | None


def gap_limit(series: Series) -> int:
    """Rows further apart than this, in the unit of the kind's time, have a gap between them; 0 where there are no gaps.

    Bars stand on a grid; the stamps of periodic measurements may be late by some seconds, so half a step is allowed there.
    """
    kind = kind_named(series.kind)
    if not kind.periodic:
        return 0
    length = series.length_ms * units_per_ms(kind)
    return length if kind.time == "start_ms" else length + length // 2


# -- writing -------------------------------------------------------------------------------------------------------------


def write_series_file(path: Path, series: Series, tables: Iterable[pa.Table], *, volume_unit: VolumeUnit) -> FileFacts:
    """`path` holds exactly these rows (the kind's schema, canonical order); a failure or a kill leaves what was there before.

    The bytes depend on the rows only, not on how they are cut into tables.
    Raises: StorageError - no space, no permission, a file where a directory should be. DataError - there are no rows.
    """
    kind = kind_named(series.kind)
    try:
        with _replacing(path) as file:
            return _write(file, series, kind, tables, volume_unit)
    except OSError as error:
        reason = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}; nothing stored before was changed by this write") from error


def _write(file: BinaryIO, series: Series, kind: Kind, tables: Iterable[pa.Table], volume_unit: VolumeUnit) -> FileFacts:
    import pyarrow.parquet as pq

    content = ContentHash(kind)
    texts: Any = [column.name for column in kind.columns if column.type == "string"]
    limit = gap_limit(series)
    rows = gaps = first = last = 0
    with pq.ParquetWriter(
        file,
        kind.schema(),
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,
        column_encoding={column.name: _ENCODINGS[column.type] for column in kind.columns if column.type in _ENCODINGS},
        write_page_checksum=True,
    ) as writer:
        for group in _row_groups(tables, kind, day_groups=series.length_ms < DAY_MS):
            writer.write_table(group, row_group_size=group.num_rows)
            content.update(group)
            times = times_of(group, kind)
            if not rows:
                first = last = int(times[0])
            gaps += int((np.diff(times, prepend=last) > limit).sum()) if limit else 0
            rows, last = rows + len(times), int(times[-1])
        facts = FileFacts(
            series=str(series),
            schema_version=SCHEMA_VERSION,
            volume_unit=volume_unit,
            rows=rows,
            first=first,
            last=last,
            gaps=gaps,
            content_sha256=content.hexdigest(),
        )
        writer.add_key_value_metadata({_FACTS: msgspec.json.encode(facts).decode()})
    if not rows:
        raise DataError(f"a month of {series} without rows cannot be stored")
    return facts


_ENCODINGS = {"int64": "DELTA_BINARY_PACKED", "float64": "BYTE_STREAM_SPLIT"}


def _row_groups(tables: Iterable[pa.Table], kind: Kind, *, day_groups: bool) -> Iterator[pa.Table]:
    """The rows cut at `ROW_GROUP_ROWS`, and before that where a UTC day begins, so that a day is read without its month.

    Bars of a day or more share one, and what comes seldom, such as funding, fills one with whole days (ADR 007).
    """
    import pyarrow as pa

    day = DAY_MS * units_per_ms(kind)
    held: list[pa.Table] = []
    least = 1 if kind.periodic else SPARSE_ROWS
    held_rows, held_day = 0, 0
    for table in tables:
        days = times_of(table, kind) // day if day_groups else np.zeros(table.num_rows, dtype=np.int64)
        edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), table.num_rows]
        for begin, end in zip(edges, edges[1:], strict=False):
            first = begin
            while first < end:
                if held and (held_rows == ROW_GROUP_ROWS or (days[first] != held_day and held_rows >= least)):
                    yield pa.concat_tables(held).combine_chunks()
                    held, held_rows = [], 0
                last = min(end, first + ROW_GROUP_ROWS - held_rows)
                held.append(table.slice(first, last - first))
                held_rows, held_day, first = held_rows + last - first, int(days[first]), last
    if held:
        yield pa.concat_tables(held).combine_chunks()


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """What is written inside stands at `path` afterwards, forced to disk: readers see the old file or the new one, whole."""
    remote = is_remote(path)
    if not remote:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=None if remote else path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # a temporary file is private; the catalog is as readable as its directory
        if not remote:
            _stamp_apart(temporary, path)
        open_store(path).write_whole(str(path), temporary)
    finally:
        temporary.unlink(missing_ok=True)


def _stamp_apart(temporary: Path, path: Path) -> None:
    """The new file's time of change is another than the old one's, however coarse the clock: so a change is always seen."""
    try:
        old_ns = path.stat().st_mtime_ns
    except FileNotFoundError:
        return
    if temporary.stat().st_mtime_ns <= old_ns:
        os.utime(temporary, ns=(old_ns + 1, old_ns + 1))


# -- reading -------------------------------------------------------------------------------------------------------------


def open_series_file(path: Path, kind: Kind) -> pq.ParquetFile:
    """The file, open, with at least the required columns and none of another type. Raises SchemaMismatchError; Arrow's own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(parquet_source(path), pre_buffer=is_remote(path))
    schema = file.schema_arrow
    found = {field.name: pa.string() if pa.types.is_large_string(field.type) else field.type for field in schema}
    for column, field in zip(kind.columns, kind.schema(), strict=True):
        if (column.required or field.name in found) and found.get(field.name) != field.type:
            file.close()
            has = ", ".join(f"{one.name} {one.type}" for one in schema)
            wanted = ", ".join(f"{one.name} {one.type}" for one in kind.schema())
            raise SchemaMismatchError(f"{path} is no file of {kind.name}: its columns are {has}; expected {wanted}; {RESTORE}")
    return file


def written_facts(file: pq.ParquetFile, path: Path, series: Series) -> FileFacts | None:
    """The facts written with the file; None where another program wrote it.

    Raises: DataError - the footer is damaged, or the file was written for another series: a renamed file is not believed.
    """
    metadata = file.metadata.metadata or {}
    if (written := metadata.get(_FACTS.encode())) is not None:
        try:
            facts = msgspec.json.decode(written, type=FileFacts)
        except msgspec.MsgspecError as error:
            raise DataError(unreadable(path, f"its footer is damaged: {error}")) from None
    elif (old := metadata.get(_FACTS_OF_VERSION_1.encode())) is not None:
        numbers = old.split()
        if len(numbers) != 4:
            raise DataError(unreadable(path, "its footer is damaged"))
        rows, first, last, gaps = map(int, numbers)
        facts = FileFacts(
            series=str(series),
            schema_version=1,
            volume_unit=VolumeUnit.BASE,
            rows=rows,
            first=first,
            last=last,
            gaps=gaps,
            content_sha256=None,
        )
    else:
        return None
    if facts.rows != file.metadata.num_rows:
        raise DataError(unreadable(path, f"it was written with {facts.rows} rows and has {file.metadata.num_rows}"))
    if facts.series != str(series):
        raise DataError(f"{path} was written as {facts.series} and lies where {series} belongs; move it back")
    return facts


def file_facts(path: Path, series: Series) -> FileFacts:
    """What the file holds: from its footer, or by reading its times where another program wrote it. Raises DataError."""
    kind = kind_named(series.kind)
    with reading(path), open_series_file(path, kind) as file:
        facts = written_facts(file, path, series)
        parts = parts_of(file, path) if facts is None else []
    if facts is not None:
        return facts
    pieces = [np.asarray(part.table.column(kind.time).to_numpy()) for part in read_parts(parts, (kind.time,))]
    if not pieces:
        raise DataError(f"{path} holds no {kind.name}; delete it")
    times = np.concatenate(pieces)
    limit = gap_limit(series)
    return FileFacts(
        series=str(series),
        schema_version=0,
        volume_unit=VolumeUnit.BASE,
        rows=len(times),
        first=int(times[0]),
        last=int(times[-1]),
        gaps=int((np.diff(times) > limit).sum()) if limit else 0,
        content_sha256=None,
    )


def facts_with_content(path: Path, series: Series) -> FileFacts:
    """As `file_facts`, with the hash of the content, for which the file is read where its footer has none."""
    facts = file_facts(path, series)
    if facts.content_sha256 is not None:
        return facts
    content = ContentHash(kind_named(series.kind))
    for table in read_series_files([path], series):
        content.update(table)
    return msgspec.structs.replace(facts, content_sha256=content.hexdigest())


def read_series_files(
    paths: Iterable[Path], series: Series, *, start: int | None = None, end: int | None = None, names: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """The rows of the files, in order, whose time is in [start, end) (in the kind's unit), in parts of bounded size.

    Row groups outside the range are not decoded. A column that an older file lacks is empty. `names` are the columns wanted,
    all where there are none. Raises DataError naming the file; of one that cannot be opened, already at the part before it.
    """
    kind = kind_named(series.kind)
    wanted = tuple(names) or kind.names
    columns = tuple(dict.fromkeys((kind.time, *wanted)))
    parts = (part for path in paths for part in _parts(path, series, kind, start, end))
    for part in read_parts(parts, columns):
        table = conform(part.table, kind, part.path, columns)
        times = times_of(table, kind)
        if (times[1:] < times[:-1]).any():
            raise DataError(unreadable(part.path, "its rows are not in order of time"))
        first = 0 if start is None else int(times.searchsorted(start))
        last = len(times) if end is None else int(times.searchsorted(end))
        if last > first:
            yield table.slice(first, last - first).select(list(wanted))


def _parts(path: Path, series: Series, kind: Kind, start: int | None, end: int | None) -> list[FilePart]:
    with reading(path), open_series_file(path, kind) as file:
        written_facts(file, path, series)
        return parts_of(file, path, groups_between(file, kind.time, start, end))


def conform(table: pa.Table, kind: Kind, path: Path, names: Sequence[str]) -> pa.Table:
    """The named columns in the types of the kind; one that the file lacks is empty. Raises DataError at a required empty value."""
    import pyarrow as pa

    required = {column.name: column.required for column in kind.columns}
    schema = pa.schema([kind.schema().field(name) for name in names])
    arrays: list[Any] = []
    for field in schema:
        if field.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
            continue
        values = table.column(field.name)
        if required[field.name] and values.null_count:
            raise DataError(f"{path}: column {field.name} has {values.null_count} empty values; {RESTORE}")
        arrays.append(values if values.type == field.type else values.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
