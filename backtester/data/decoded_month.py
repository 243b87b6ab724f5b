"""A month of candles as bare numbers beside its file: what runs read again and again is decoded once (ADR 007).

    <...>/year=2025/BTCUSDT-1m-2025-01.parquet                  the month
    <...>/year=2025/.decoded/BTCUSDT-1m-2025-01.columns         a head of 512 bytes, then its six columns, little-endian

The parquet file is the truth. Its copy counts only for the very file it was made of (size and time of change, as for the manifest)
and while its own checksums hold, one of the head, one of the columns; otherwise it is made anew. It may be deleted at any time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from backtester.data.columns import CandleColumns
from backtester.data.series import Series

DIRECTORY = ".decoded"
_HEAD_BYTES = 512
_CHECK_BYTES = 8
"""The head ends in its own crc32, in hexadecimal digits."""
_VALUE_BYTES = 8
_TYPES = ("<i8", *["<f8"] * (len(CandleColumns._fields) - 1))


class FileVersion(NamedTuple):
    """What tells a file from the one that takes its place."""

    size: int
    mtime_ns: int


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`unbroken`: the first and the last start, where no bar between them is missing and something was traded in every one."""

    series: str
    version: FileVersion
    rows: int
    crc32: int
    unbroken: tuple[int, int] | None


def file_version(path: Path) -> FileVersion | None:
    """The version of the file that stands at `path` now; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return FileVersion(facts.st_size, facts.st_mtime_ns)


def load_decoded(path: Path, series: Series, version: FileVersion) -> CandleColumns | None:
    """The candles of the month file at `path`, bit for bit; None where there is no copy of this version that can be believed."""
    try:
        whole = np.fromfile(_place(path), dtype=np.uint8)
    except OSError:
        return None
    head = _head(whole[:_HEAD_BYTES].tobytes(), series, version)
    if head is None:
        return None
    values = whole[_HEAD_BYTES:]
    values.flags.writeable = False
    column_bytes = head.rows * _VALUE_BYTES
    if len(values) != len(_TYPES) * column_bytes:
        return None
    if crc32(values.data) != head.crc32:
        return None
    cut = (values[index * column_bytes : (index + 1) * column_bytes] for index in range(len(_TYPES)))
    return CandleColumns(*(part.view(kind) for part, kind in zip(cut, _TYPES, strict=True)))


def unbroken_span(path: Path, series: Series) -> tuple[int, int] | None:
    """The starts of the first and the last bar of the month file at `path`, where its copy says that none is missing between them
    and that something was traded in every one; None where there is a gap, or no copy of the file as it is now.
    """
    version = file_version(path)
    if version is None:
        return None
    try:
        with _place(path).open("rb", buffering=0) as file:
            head = _head(file.read(_HEAD_BYTES), series, version)
    except OSError:
        return None
    return None if head is None else head.unbroken


def _head(text: bytes, series: Series, version: FileVersion) -> _Head | None:
    """The head of a copy; None where it is damaged, or that of another file."""
    facts, check = text[:-_CHECK_BYTES], text[-_CHECK_BYTES:]
    if _check_of(facts) != check:
        return None
    try:
        head = msgspec.json.decode(facts, type=_Head)
    except msgspec.MsgspecError:
        return None
    return head if (head.series, head.version) == (str(series), version) else None


def _check_of(facts: bytes) -> bytes:
    return b"%08x" % crc32(facts)


def is_decoded_again(path: Path, version: FileVersion) -> bool:
    """Whether this process has decoded this version before: a run reads its candles twice, and what is kept the second time costs
    the run itself nothing.
    """
    before = _DECODED.get(str(path))
    _DECODED[str(path)] = version
    return before == version


_DECODED: dict[str, FileVersion] = {}
"""What this process has decoded."""


def keep_decoded(path: Path, series: Series, version: FileVersion, columns: CandleColumns) -> None:
    """The candles of all of a month file, which had this version before it was read, stand beside it from now on.

    Nothing happens where nothing can be written: a catalog may belong to others.
    """
    values = [np.ascontiguousarray(column, dtype=kind).data for column, kind in zip(columns, _TYPES, strict=True)]
    check = 0
    for column in values:
        check = crc32(column, check)
    head = _Head(str(series), version, len(columns.start_ms), check, _unbroken(columns, series.length_ms))
    facts = msgspec.json.encode(head).ljust(_HEAD_BYTES - _CHECK_BYTES)
    place = _place(path)
    temporary = place.with_name(f".{place.name}.{os.getpid()}-{get_ident()}")
    try:
        place.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            file.writelines((facts, _check_of(facts), *values))
        temporary.replace(place)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unbroken(columns: CandleColumns, length_ms: int) -> tuple[int, int] | None:
    starts_ms = columns.start_ms
    is_unbroken = len(starts_ms) and bool((np.diff(starts_ms) == length_ms).all() and (columns.volume > 0).all())
    return (int(starts_ms[0]), int(starts_ms[-1])) if is_unbroken else None


def _place(path: Path) -> Path:
    return path.parent / DIRECTORY / f"{path.stem}.columns"
