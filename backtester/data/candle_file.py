"""One month of candles in one parquet file: written atomically, read bit for bit."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.data.columns import VALUE_NAMES, CandleColumns, IntColumn, join_columns
from backtester.data.quality import gap_rows
from backtester.data.read_ahead import RESTORE, FilePart, parts_of, read_parts, reading, unreadable
from backtester.domain.errors import DataError, SchemaMismatchError, StorageError
from backtester.domain.timeframe import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

STORED_NAMES = ("start_ms", *VALUE_NAMES)
_FACTS = "candles.v1"


class CandleFileFacts(NamedTuple):
    """What a file holds: `first_ms` and `last_ms` are starts of candles, `gaps` are inside the file."""

    rows: int
    first_ms: int
    last_ms: int
    gaps: int


def read_candle_files(paths: Iterable[Path]) -> Iterator[CandleColumns]:
    """The candles of the files, in order, in parts of bounded size, each decoded while the one before it is used.

    Raises DataError naming the file; of one that cannot be opened, already at the part before it.
    """
    parts = (part for path in paths for part in _parts(path))
    for part in read_parts(parts, STORED_NAMES):
        yield _columns_of(part.table, part.path)


def _parts(path: Path) -> list[FilePart]:
    with reading(path), _open(path) as file:
        _stored_facts(file, path)
        return parts_of(file, path)


def candle_file_facts(path: Path, *, length_ms: int) -> CandleFileFacts:
    """What the file holds: from its footer, or by reading it where another program wrote it. Raises DataError."""
    with reading(path), _open(path) as file:
        facts = _stored_facts(file, path)
    if facts is not None:
        return facts
    pieces = list(read_candle_files([path]))
    if not pieces:
        raise DataError(f"{path} holds no candles; delete it")
    return _facts_of(join_columns(*pieces), length_ms)


def write_candle_file(path: Path, columns: CandleColumns, *, length_ms: int) -> None:
    """`path` holds exactly these candles; a failure or a kill at any moment leaves what was there before.

    Raises: StorageError - no space, no permission, a file where a directory should be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = " ".join(map(str, _facts_of(columns, length_ms)))
    table = pa.table(dict(zip(STORED_NAMES, columns, strict=True))).replace_schema_metadata({_FACTS: facts})
    buffer = pa.BufferOutputStream()
    encodings = {"start_ms": "DELTA_BINARY_PACKED", **dict.fromkeys(VALUE_NAMES, "BYTE_STREAM_SPLIT")}
    with pq.ParquetWriter(
        buffer,
        table.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        column_encoding=encodings,
        write_page_checksum=True,
    ) as writer:
        edges = _row_group_edges(columns.start_ms, length_ms)
        for first, last in zip(edges, edges[1:], strict=False):
            writer.write_table(table.slice(first, last - first), row_group_size=last - first)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, memoryview(buffer.getvalue()))
    except OSError as error:
        reason = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}; nothing stored before was changed by this write") from error


def _row_group_edges(start_ms: IntColumn, length_ms: int) -> list[int]:
    """Rows at which row groups begin, and the end: one a UTC day, so that a day is read without the rest of its month.

    A row group costs 0.1 ms to open, so bars longer than a minute, of which even a month is small, are in one (ADR 007).
    """
    if length_ms > MINUTE_MS:
        return [0, len(start_ms)]
    days = start_ms // DAY_MS
    return [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(start_ms)]


def _replace(path: Path, content: memoryview) -> None:
    """Write beside `path`, force to disk, then rename: readers see the old file or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # a temporary file is private; the catalog is as readable as its directory
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    fields: list[pa.Field[Any]] = [pa.field("start_ms", pa.int64()), *(pa.field(name, pa.float64()) for name in VALUE_NAMES)]
    expected = pa.schema(fields)
    if not schema.equals(expected):
        file.close()
        found = ", ".join(f"{field.name} {field.type}" for field in schema)
        wanted = ", ".join(f"{field.name} {field.type}" for field in expected)
        raise SchemaMismatchError(f"{path} is no candle file: its columns are {found}; expected {wanted}; {RESTORE}")
    return file


def _columns_of(table: pa.Table, path: Path) -> CandleColumns:
    arrays: list[Any] = []
    for name, column in zip(STORED_NAMES, table.columns, strict=True):
        if column.null_count:
            raise DataError(f"{path}: column {name} has {column.null_count} empty values; {RESTORE}")
        arrays.append(column.to_numpy())
    return CandleColumns(*arrays)


def _facts_of(columns: CandleColumns, length_ms: int) -> CandleFileFacts:
    start_ms = columns.start_ms
    return CandleFileFacts(len(start_ms), int(start_ms[0]), int(start_ms[-1]), len(gap_rows(start_ms, length_ms)))


def _stored_facts(file: pq.ParquetFile, path: Path) -> CandleFileFacts | None:
    """The facts written with the file; None where another program wrote it. Raises DataError when they are not its own."""
    stored = (file.metadata.metadata or {}).get(_FACTS.encode())
    if stored is None:
        return None
    numbers = stored.split()
    if len(numbers) != len(CandleFileFacts._fields):
        raise DataError(unreadable(path, "its footer is damaged"))
    facts = CandleFileFacts(*map(int, numbers))
    if facts.rows != file.metadata.num_rows:
        raise DataError(unreadable(path, f"it was written with {facts.rows} candles and has {file.metadata.num_rows}"))
    return facts


def same_candles(columns: CandleColumns, other: CandleColumns) -> npt.NDArray[np.bool_]:
    """For each row, whether both hold the same bits."""
    same = np.equal(columns.start_ms, other.start_ms)
    for mine, theirs in zip(columns[1:], other[1:], strict=True):
        same &= mine.view(np.int64) == theirs.view(np.int64)
    return same
