"""Parquet files in parts of bounded size; those of an object store are fetched a part ahead of their reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import SEEK_END
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtester.data.object_store import is_remote, parquet_source
from backtester.domain.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

RESTORE = "delete it and import or download that month again"
PART_ROWS = 65_536
"""Rows of a part, at least one row group: what is held of a file at a time. A month of minutes is one part."""

WHOLE_BYTES = 4_000_000
"""A file up to this size, such as a month of minutes, is read at once rather than a column of a row group at a time."""


class FilePart(NamedTuple):
    """Consecutive row groups of one file, whose footer has been read."""

    path: Path
    row_groups: tuple[int, ...]
    rows: int
    footer: pq.FileMetaData


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
            parts.append(FilePart(path, tuple(groups), rows, file.metadata))
            groups, rows = [], 0
        groups.append(index)
        rows += group_rows
    return [*parts, FilePart(path, tuple(groups), rows, file.metadata)] if rows else parts


def read_parts(parts: Iterable[FilePart], columns: Sequence[str], room: Room | None = None) -> Iterator[PartRows]:
    """The rows of each part, in order; page checksums are verified. `room` is what to read files into, where there is one already.

    Raises DataError naming the file that cannot be read, or whose part holds another number of rows than its footer says.
    """
    for part, decoded in _decodings(iter(parts), list(columns), room or Room()):
        with reading(part.path):
            table = decoded()
        if table.num_rows != part.rows:
            raise DataError(unreadable(part.path, f"{table.num_rows} rows were found where its footer says {part.rows}"))
        yield PartRows(part.path, table)


def _decodings(parts: Iterator[FilePart], names: list[str], room: Room) -> Iterator[tuple[FilePart, Callable[[], pa.Table]]]:
    """Each part with what decodes it. One of an object store is on its way while the part before it is used; of a local file
    decoding takes less than handing it to another thread and back (docs/performance.md).
    """
    first = next(parts, None)
    if first is None:
        return
    everything = chain((first,), parts)
    if not is_remote(first.path):
        yield from ((part, partial(_decode, part, names, room)) for part in everything)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        coming = ((part, thread.submit(_decode, part, names)) for part in everything)
        current = next(coming, None)
        while current is not None:
            following = next(coming, None)
            yield current[0], current[1].result
            current = following


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


def _decode(part: FilePart, columns: list[str], room: Room | None = None) -> pa.Table:
    """The rows of a part. With `room` a local file of moderate size is read into that at once; nothing of it stays in use."""
    import pyarrow.parquet as pq

    source = parquet_source(part.path)
    if room is not None and part.path.stat().st_size <= WHOLE_BYTES:
        source = room.filled_with(part.path)
    with pq.ParquetFile(source, metadata=part.footer, pre_buffer=is_remote(part.path), page_checksum_verification=True) as file:
        return file.read_row_groups(list(part.row_groups), columns=columns, use_threads=False).combine_chunks()


class Room:
    """Memory that local files are read into, one after another: fresh memory costs more than reading does."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def filled_with(self, path: Path) -> pa.BufferReader:
        """The bytes of the file, until the next one is asked for."""
        import pyarrow as pa

        with path.open("rb", buffering=0) as file:
            size = file.seek(0, SEEK_END)
            if size > len(self._memory):
                self._memory = bytearray(size)
            file.seek(0)
            held = memoryview(self._memory)[:size]
            if file.readinto(held) != size:
                raise OSError(f"it became shorter than {size} bytes while it was read")
        return pa.BufferReader(pa.py_buffer(held))


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
