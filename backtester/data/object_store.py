"""Where a catalog's files stand: a local directory, or a bucket of an object store that speaks S3.

A path of an object store is a Path as well: `Path("s3://bucket/prefix")`, so that all that names files works on both. What
touches them goes through a `Store`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from backtester.domain.errors import ConfigError, DataError, StorageError

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

_SCHEME = "s3:"
_TIMEOUT_S = 20.0
ENDPOINT = "AWS_ENDPOINT_URL"
"""The environment variable with the address of an object store that is not Amazon's, such as http://127.0.0.1:9000."""


class Entry(NamedTuple):
    """What a directory holds; `size` and `mtime_ns` are 0 of a directory."""

    name: str
    is_directory: bool
    size: int
    mtime_ns: int


class Store(Protocol):
    """Files under full paths. All raise StorageError where nothing can be written, DataError where a listing fails."""

    def entries(self, directory: str) -> list[Entry]:
        """What stands directly in `directory`, by name; nothing where there is no such directory."""

    def files(self, directory: str) -> Iterator[tuple[str, Entry]]:
        """All files below `directory`, with their paths, in order; hidden directories are passed over."""

    def source(self, path: str) -> Any:
        """What Arrow reads the file from, by ranges. Raises OSError where there is none."""

    def write_whole(self, path: str, content: Path) -> None:
        """The file holds what the local file `content` holds; nobody ever sees a part of it."""

    def delete(self, path: str) -> None:
        """There is no such file."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""


def is_remote(path: Path | str) -> bool:
    """Whether this names a place in an object store."""
    return str(path).startswith(_SCHEME)


def shown(path: Path | str) -> str:
    """The path as a user writes it: `s3://bucket/prefix`, which a Path makes shorter."""
    text = str(path)
    return f"{_SCHEME}//{text.removeprefix(_SCHEME).lstrip('/')}" if is_remote(text) else text


def open_store(path: Path | str) -> Store:
    """The store in which `path` lies. Raises ConfigError for an address of an object store that cannot be one."""
    return _s3_store(os.environ.get(ENDPOINT, ""), os.environ.get("AWS_REGION", "")) if is_remote(path) else _LOCAL


def parquet_source(path: Path) -> Any:
    """What `pyarrow.parquet.ParquetFile` opens `path` by."""
    return open_store(path).source(str(path)) if is_remote(path) else path


def index_directory(base: Path) -> Path:
    """Where the index of a catalog stands and its writers lock each other out: in it, or on this machine for an object store's."""
    if not is_remote(base):
        return base
    place = f"{os.environ.get(ENDPOINT, '')} {shown(base)}"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = caches / "backtester" / hashlib.sha256(place.encode()).hexdigest()[:16]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {directory}, where the index of {shown(base)} stands: {error.strerror}") from error
    return directory


class LocalStore:
    """Files of this machine."""

    def entries(self, directory: str) -> list[Entry]:
        """See `Store`."""
        try:
            with os.scandir(directory) as found:
                return sorted(_local_entry(entry) for entry in found)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self, directory: str) -> Iterator[tuple[str, Entry]]:
        """See `Store`."""
        for entry in self.entries(directory):
            path = f"{directory}/{entry.name}"
            if not entry.is_directory:
                yield path, entry
            elif not entry.name.startswith("."):
                yield from self.files(path)

    def source(self, path: str) -> Any:
        """See `Store`."""
        return path

    def write_whole(self, path: str, content: Path) -> None:
        """See `Store`. `content` is moved, so it must be on the same file system and on the disk. Raises OSError as it comes."""
        content.replace(path)
        directory = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def delete(self, path: str) -> None:
        """See `Store`."""
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror}") from error

    def exists(self, path: str) -> bool:
        """See `Store`."""
        return Path(path).exists()


_LOCAL = LocalStore()


def _local_entry(entry: os.DirEntry[str]) -> Entry:
    if entry.is_dir():
        return Entry(entry.name, True, 0, 0)
    stat = entry.stat()
    return Entry(entry.name, False, stat.st_size, stat.st_mtime_ns)


class S3Store:
    """Files of a bucket, through Arrow's own client. A file appears when its upload ends, so it is whole at every moment."""

    def __init__(self, system: S3FileSystem) -> None:
        self._system = system

    def entries(self, directory: str) -> list[Entry]:
        """See `Store`."""
        return sorted(entry for _, entry in self._listed(directory, recursive=False))

    def files(self, directory: str) -> Iterator[tuple[str, Entry]]:
        """See `Store`; one listing for all that is there."""
        prefix = _key(directory)
        for path, entry in sorted(self._listed(directory, recursive=True)):
            folders = path.removeprefix(prefix).strip("/").split("/")[:-1]
            if not entry.is_directory and not any(name.startswith(".") for name in folders):
                yield f"{directory}/{path.removeprefix(prefix).strip('/')}", entry

    def source(self, path: str) -> Any:
        """See `Store`."""
        return self._system.open_input_file(_key(path))

    def write_whole(self, path: str, content: Path) -> None:
        """See `Store`."""
        import mmap

        with (
            _told(path, "written", StorageError),
            content.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
            self._system.open_output_stream(_key(path)) as stream,
        ):
            stream.write(whole)  # in one call: an upload that is closed early would be complete

    def delete(self, path: str) -> None:
        """See `Store`."""
        with _told(path, "removed", StorageError):
            if self.exists(path):
                self._system.delete_file(_key(path))

    def exists(self, path: str) -> bool:
        """See `Store`."""
        from pyarrow import fs

        with _told(path, "looked for", DataError):
            return bool(self._system.get_file_info(_key(path)).type == fs.FileType.File)

    def _listed(self, directory: str, *, recursive: bool) -> list[tuple[str, Entry]]:
        from pyarrow import fs

        with _told(directory, "listed", DataError):
            found = self._system.get_file_info(fs.FileSelector(_key(directory), recursive=recursive, allow_not_found=True))
        return [
            (one.path, Entry(one.base_name, False, one.size or 0, one.mtime_ns or 0))
            if one.type == fs.FileType.File
            else (one.path, Entry(one.base_name, True, 0, 0))
            for one in found
        ]


@contextmanager
def _told(path: str, what: str, error: type[StorageError | DataError]) -> Iterator[None]:
    """Whatever the client raises inside is told with the address and what can be done."""
    try:
        yield
    except OSError as fault:
        first = (str(fault).splitlines() or [type(fault).__name__])[0]
        where = f" at {os.environ[ENDPOINT]}" if os.environ.get(ENDPOINT) else ""
        raise error(
            f"{shown(path)} cannot be {what}{where} ({first}); look at the bucket's name, the credentials "
            f"(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), AWS_REGION and {ENDPOINT}"
        ) from fault


def _key(path: str) -> str:
    """`bucket/key`, as Arrow names it. Raises ConfigError where there is no bucket."""
    key = path.removeprefix(_SCHEME).strip("/")
    if not key:
        raise ConfigError(f"{shown(path)} names no bucket; write s3://bucket or s3://bucket/prefix")
    return key


@cache
def _s3_store(endpoint: str, region: str) -> S3Store:
    """One client for each endpoint; credentials come from where Amazon's tools look for them."""
    from pyarrow import fs

    address = urlsplit(endpoint)
    if endpoint and (address.scheme not in {"http", "https"} or not address.netloc):
        raise ConfigError(f"{ENDPOINT} must be an address such as http://127.0.0.1:9000; it is {endpoint!r}")
    given: dict[str, Any] = {"endpoint_override": address.netloc, "scheme": address.scheme} if endpoint else {}
    if region or endpoint:
        given["region"] = region or "us-east-1"
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=5)
    return S3Store(fs.S3FileSystem(request_timeout=_TIMEOUT_S, connect_timeout=_TIMEOUT_S, retry_strategy=retries, **given))
