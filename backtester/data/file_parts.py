"""Parquet files in parts of bounded size, each on its way while the one before it is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from backtester.data.object_store import is_remote, parquet_source
from backtester.domain.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

T = TypeVar("T")
RESTORE = "delete it and import or download that month again"
PART_ROWS = 65_536
"""Rows of a part, at least one row group: what is held of a file at a time. A month of minutes is one part."""


class FilePart(NamedTuple):
    """Consecutive row groups of one file, and what its columns are."""

    path: Path
    row_groups: tuple[int, ...]
    rows: int
    schema: pa.Schema


class PartRows(NamedTuple):
    """A part that has been read; each column is one chunk."""

    path: Path
    table: pa.Table


def groups_between(file: pq.ParquetFile, time_name: str, start: int | None, end: int | None) -> tuple[int, ...]:
    """The row groups that may hold a time in [start, end), by their statistics; None is no bound."""
    everything = range(file.metadata.num_row_groups)
    if start is None and end is None:
        return tuple(everything)
    column = file.schema_arrow.get_field_index(time_name)
    chosen: list[int] = []
    for index in everything:
        known: Any = file.metadata.row_group(index).column(column).statistics
        unknown = known is None or not known.has_min_max
        if unknown or ((start is None or known.max >= start) and (end is None or known.min < end)):
            chosen.append(index)
    return tuple(chosen)


def parts_of(file: pq.ParquetFile, path: Path, row_groups: Iterable[int] | None = None) -> list[FilePart]:
    """The parts of an open file, in order, of all its row groups or of those named; none of an empty one."""
    parts: list[FilePart] = []
    groups: list[int] = []
    rows = 0
    for index in range(file.metadata.num_row_groups) if row_groups is None else row_groups:
        group_rows = file.metadata.row_group(index).num_rows
        if groups and rows + group_rows > PART_ROWS:
            parts.append(FilePart(path, tuple(groups), rows, file.schema_arrow))
            groups, rows = [], 0
        groups.append(index)
        rows += group_rows
    return [*parts, FilePart(path, tuple(groups), rows, file.schema_arrow)] if rows else parts


def read_parts(parts: Iterable[FilePart], columns: Sequence[str]) -> Iterator[PartRows]:
    """The rows of each part, in order, decoded while the part before it is used; page checksums are verified. Columns that a file
    lacks are left out.

    Raises DataError naming the file that cannot be read, or whose part holds another number of rows than its footer says.
    """
    for part, scan in one_ahead((part, _scan(part, columns)) for part in parts):
        with reading(part.path):
            table = scan.read_all().combine_chunks()
        if table.num_rows != part.rows:
            raise DataError(unreadable(part.path, f"{table.num_rows} rows were found where its footer says {part.rows}"))
        yield PartRows(part.path, table)


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each asked for while the one before it is used."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def _scan(part: FilePart, columns: Sequence[str]) -> pa.RecordBatchReader:
    """The rows of a part, which threads of Arrow decode from now on; the interpreter goes on meanwhile (docs/performance.md)."""
    import pyarrow as pa
    from pyarrow import dataset, fs

    remote = is_remote(part.path)
    schema = pa.schema([part.schema.field(name) for name in columns if name in part.schema.names])
    options = dataset.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=remote)
    parquet = dataset.ParquetFileFormat(default_fragment_scan_options=options)
    with reading(part.path):
        source = parquet_source(part.path) if remote else str(part.path)
        system = None if remote else fs.LocalFileSystem()
        fragment = parquet.make_fragment(source, filesystem=system, row_groups=list(part.row_groups))
        rows = dataset.FileSystemDataset([fragment], schema, parquet, system)
        return rows.scanner(batch_size=PART_ROWS, batch_readahead=len(part.row_groups), fragment_readahead=1).to_reader()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever Arrow raises inside becomes a DataError that names the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(unreadable(path, error)) from error


def unreadable(path: Path, reason: Exception | str) -> str:
    """The message that `path` cannot be read, why, and what to do."""
    lines = str(reason).splitlines()
    return f"{path} cannot be read ({lines[0] if lines else type(reason).__name__}); {RESTORE}"


def numbers_of(table: pa.Table, name: str, *, where: object) -> npt.NDArray[Any]:
    """The numbers of a column of int64 or float64, as they lie in its buffer. Raises DataError, naming `where`, for empty ones.

    `to_numpy` would do the same, and import pandas first where that is installed: half a second of a run.
    """
    column = table.column(name)
    if column.null_count:
        raise DataError(f"{where}: column {name} has {column.null_count} empty values; {RESTORE}")
    pieces = [
        np.frombuffer(
            memoryview(chunk.buffers()[1] or b""), dtype=np.dtype(str(chunk.type)), count=len(chunk), offset=8 * chunk.offset
        )
        for chunk in column.chunks
        if len(chunk)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.empty(0, np.dtype(str(column.type)))])
