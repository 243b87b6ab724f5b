"""A month of candles as bare numbers beside its file: what runs read again and again is decoded once (ADR 007).

    <...>/year=2025/BTCUSDT-1m-2025-01.parquet                  the month
    <...>/year=2025/.decoded/BTCUSDT-1m-2025-01.columns         a head of 512 bytes, then its six columns, little-endian

The parquet file is the truth. Its copy counts only for the very file it was made of (size and time of change, as for the manifest)
and while its own checksum holds; otherwise it is made anew. It may be deleted at any time.
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
_VALUE_BYTES = 8
_TYPES = ("<i8", *["<f8"] * (len(CandleColumns._fields) - 1))


class FileVersion(NamedTuple):
    """What tells a file from the one that takes its place."""

    size: int
    mtime_ns: int


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    series: str
    version: FileVersion
    rows: int
    crc32: int


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
        head = msgspec.json.decode(whole[:_HEAD_BYTES].tobytes(), type=_Head)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    values = whole[_HEAD_BYTES:]
    values.flags.writeable = False
    column_bytes = head.rows * _VALUE_BYTES
    if (head.series, head.version) != (str(series), version) or len(values) != len(_TYPES) * column_bytes:
        return None
    if crc32(values.data) != head.crc32:
        return None
    cut = (values[index * column_bytes : (index + 1) * column_bytes] for index in range(len(_TYPES)))
    return CandleColumns(*(part.view(kind) for part, kind in zip(cut, _TYPES, strict=True)))


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
    head = msgspec.json.encode(_Head(str(series), version, len(columns.start_ms), check))
    place = _place(path)
    temporary = place.with_name(f".{place.name}.{os.getpid()}-{get_ident()}")
    try:
        place.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            file.writelines((head.ljust(_HEAD_BYTES), *values))
        temporary.replace(place)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _place(path: Path) -> Path:
    return path.parent / DIRECTORY / f"{path.stem}.columns"
