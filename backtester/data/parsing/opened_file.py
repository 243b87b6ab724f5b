"""A file as it was received, opened with distrust: its one member is streamed, and every claim about sizes is checked."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import msgspec

from backtester.domain.errors import DataError, DataUnavailableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MEMBER_LIMIT_BYTES = 64 * 2**30
"""More than any published day or month unpacks to; a claim beyond it is refused before anything is unpacked."""
RATIO_MAX = 250
"""How many times its packed size a member may have once it is past `RATIO_FREE_BYTES`: market data packs 3 to 30 times."""
RATIO_FREE_BYTES = 64 * 2**20
DEFLATE_RATIO = 1_032
"""No deflated byte unpacks to more than this, so a larger claim is a lie."""
MEMBER_SUFFIXES = (".csv", ".data", ".json", ".jsonl", ".ndjson", ".txt", ".log", ".gz")
_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_GZIP_LAYERS = 4
_BUFFER_BYTES = 2**16
_LFS = b"version https://git-lfs"
_WEB = (b"<!doctype", b"<html", b"<?xml", b"<error")
_AGAIN = "get the file anew"


class OpenedFile(msgspec.Struct, frozen=True):
    """A file that exists: the name its publisher gave it (with folders), where it lies, and the sha256 of its bytes."""

    name: str
    path: Path
    sha256: str
    limit_bytes: int = MEMBER_LIMIT_BYTES

    def head(self, length: int) -> bytes:
        """The first bytes of what `stream` gives; fewer where there are fewer. Raises DataError."""
        with self.stream() as stream:
            return stream.read(length)

    def stream(self) -> BinaryIO:
        """The unpacked bytes of a zip's only member of data, of a gzip (also one in another), or of the file itself.

        Raises DataError, here or while it is read: damaged, cut off, larger than it says or than `limit_bytes`, packed beyond
        all measure, several members, members with paths, a pointer or a web page in place of the data.
        """
        with ExitStack() as opened, _damage(self.name):
            raw = opened.enter_context(self.path.open("rb"))
            magic = raw.read(4)
            raw.seek(0)
            declared: int | None = None
            source: IO[bytes] = raw
            if magic in _ZIP:
                archive = opened.enter_context(zipfile.ZipFile(raw))
                member = _only_member(archive, self.name, self.limit_bytes)
                declared = member.file_size
                source = opened.enter_context(archive.open(member))
            elif PurePosixPath(self.name).suffix.lower() == ".zip" or self.path.suffix.lower() == ".zip":
                raise DataError(f"{self.name} {_what_it_is(raw.read(512))}, not a zip archive; {_AGAIN}")
            checked = _Checked(source, name=self.name, raw=raw, limit_bytes=self.limit_bytes, declared=declared)
            stream: io.BufferedReader = io.BufferedReader(checked, _BUFFER_BYTES)
            for _ in range(_GZIP_LAYERS):
                if stream.peek(2)[:2] != _GZIP:
                    break
                layer = cast("IO[bytes]", gzip.GzipFile(fileobj=stream, mode="rb"))
                checked = _Checked(layer, name=self.name, raw=raw, limit_bytes=self.limit_bytes, declared=None)
                stream = io.BufferedReader(checked, _BUFFER_BYTES)
            beginning = stream.peek(512)[:512]
            if not beginning:
                raise DataError(f"{self.name} is empty; {_AGAIN}")
            if beginning.startswith(_LFS) or beginning.lstrip()[:9].lower().startswith(_WEB):
                raise DataError(f"{self.name} {_what_it_is(beginning)}, not data; {_AGAIN}")
            checked.closes = opened.pop_all()
        return stream


def open_file(path: Path, *, name: str | None = None, limit_bytes: int = MEMBER_LIMIT_BYTES) -> OpenedFile:
    """The file at `path` with the digest of its bytes. Raises: DataUnavailableError - no such file. DataError - unreadable."""
    shown = name or path.as_posix()
    if not path.is_file():
        raise DataUnavailableError(f"there is no file {path}")
    with _damage(shown), path.open("rb") as file:
        return OpenedFile(shown, path, hashlib.file_digest(file, "sha256").hexdigest(), limit_bytes)


class _Checked(io.RawIOBase):
    """A stream whose errors are ours, and that ends with one where sizes are not what was said."""

    closes: ExitStack | None = None

    def __init__(self, source: IO[bytes], *, name: str, raw: BinaryIO, limit_bytes: int, declared: int | None) -> None:
        super().__init__()
        self._source, self._raw, self._name = source, raw, name
        self._limit_bytes, self._declared = limit_bytes, declared
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        with _damage(self._name):
            data = self._source.read(len(room))
        self._count += len(data)
        if self._count > self._limit_bytes:
            raise DataError(f"{self._name} unpacks to more than {self._limit_bytes:,} bytes, the most that is read; {_AGAIN}")
        if self._count > RATIO_FREE_BYTES and self._count > RATIO_MAX * max(self._raw.tell(), 1):
            raise DataError(f"{self._name} unpacks to more than {RATIO_MAX} times its size, as no market data does; {_AGAIN}")
        if not data and self._declared is not None and self._count != self._declared:
            raise DataError(f"{self._name} is damaged: it says {self._declared:,} bytes and holds {self._count:,}; {_AGAIN}")
        room[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self.closes is not None:
                self.closes.close()


def _only_member(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> zipfile.ZipInfo:
    """The one member that can hold data. Raises DataError."""
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if not path.parts:
            raise DataError(f"{name} is damaged: it has a member without a name; {_AGAIN}")
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise DataError(f"{name} has a member named {member.filename!r}, which points outside of it; do not use this file")
    found = [
        member
        for member in members
        if member.filename.lower().endswith(MEMBER_SUFFIXES) and not PurePosixPath(member.filename).name.startswith(".")
    ]
    if len(found) != 1:
        listed = ", ".join(repr(member.filename) for member in (found or members)[:5]) or "nothing"
        raise DataError(f"{name} must hold one file of data ({' '.join(MEMBER_SUFFIXES)}); it holds {listed}")
    member = found[0]
    if member.file_size > limit_bytes:
        raise DataError(
            f"{name} says that it unpacks to {member.file_size:,} bytes; no more than {limit_bytes:,} are read; {_AGAIN}"
        )
    if member.compress_type == zipfile.ZIP_DEFLATED and member.file_size > DEFLATE_RATIO * (member.compress_size + 16):
        raise DataError(
            f"{name} is damaged: it says that {member.compress_size:,} bytes unpack to {member.file_size:,}, "
            f"which cannot be; {_AGAIN}"
        )
    return member


def _what_it_is(beginning: bytes) -> str:
    """What a file is that is not what its name says, as the end of a sentence."""
    if beginning.startswith(_LFS):
        return "is a pointer of Git LFS (the file itself was never fetched: `git lfs pull` does that)"
    if beginning.lstrip()[:9].lower().startswith(_WEB):
        return "is a web page or a server's error message"
    return f"begins with {beginning[:16]!r}" if beginning else "is empty"


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Whatever unpacking raises inside becomes a DataError that names the file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, OverflowError, struct.error) as error:
        raise DataError(f"{name} is damaged ({_first_line(error)}); {_AGAIN}") from error
    except RuntimeError as error:  # how zipfile refuses encryption and packing it does not know
        raise DataError(f"{name} cannot be unpacked ({_first_line(error)}); unpack it and take the file inside") from error


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
