"""Files as they were received, kept by their whole address, so that nothing is fetched twice."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from backtester.data.http_client import Downloaded, HttpClient
from backtester.data.object_store import index_directory
from backtester.data.partial_file import Validators, digest_of, write_whole
from backtester.domain.errors import ChecksumError, ConfigError, StorageError

CACHE_DIRECTORY = ".cache"
_NAME_LETTERS = "!$&'()+,;=@~"
"""Letters that stay as they are in names of files, besides letters, digits and `_.-`."""


class CachedFile(NamedTuple):
    """A file that is held whole. `fetched`: its bytes came from the network just now."""

    url: str
    path: Path
    sha256: str
    size: int
    fetched: bool


class DownloadCache:
    """`<base>/.cache/<host>/<path>` and, beside each file, `.json` with its sha256, ETag and Last-Modified.

    For a catalog in an object store it stands beside the index, on this machine. The same file name under two directories of an
    archive is two files, since the whole address is the key. A file without its note, or whose bytes are not those that the note
    describes, is not held: it is fetched again.
    """

    def __init__(self, base: Path | str) -> None:
        self.root = index_directory(Path(base)) / CACHE_DIRECTORY

    def path_of(self, url: str) -> Path:
        """Where the file of this address lies. Raises ConfigError for an address that leads out of the cache."""
        parts = urlsplit(url)
        names = [unquote(name) for name in parts.path.split("/") if name]
        if parts.query:
            names[-1:] = [f"{''.join(names[-1:])}@{parts.query}"]
        if not parts.hostname or not names or any(name in {".", ".."} or "\0" in name for name in names):
            raise ConfigError(f"{url!r} is not the address of a file")
        host = parts.hostname if parts.port is None else f"{parts.hostname}_{parts.port}"
        return self.root.joinpath(_file_name(host), *map(_file_name, names))

    def held(self, url: str) -> CachedFile | None:
        """The file if it is held; its bytes were compared with the recorded sha256 just now."""
        path = self.path_of(url)
        known = _noted(path)
        if known is None:
            return None
        try:
            digest = digest_of(path)
        except OSError:
            return None
        return CachedFile(url, path, known.sha256, known.size, False) if digest == (known.sha256, known.size) else None

    def fetch(self, http: HttpClient, url: str, *, sha256: str | None = None) -> CachedFile:
        """The file, from the network only where it is not held or, as far as can be told, was replaced there.

        Args:   sha256 - what the publisher says its bytes hash to. Without it a held file is asked about by its ETag or
                Last-Modified; one that has neither is taken as it is. Without network a held file is always taken.
        Raises: ChecksumError - other bytes came, twice; what was held before stays. Also what `HttpClient.download` raises.
        """
        path = self.path_of(url)
        with _locked(path):
            held = self.held(url)
            known = None
            if held is not None:
                if sha256 == held.sha256 or not http.allow_net:
                    return held
                noted = _noted(path)
                if sha256 is None:
                    if noted is None or not noted.validators.unless_changed():
                        return held
                    known = noted
            received = self._received(http, url, path, sha256=sha256, known=known)
            if received is known and held is not None:
                return held
            return CachedFile(url, path, received.sha256, received.size, True)

    def discard(self, url: str) -> None:
        """The file is not held: the next `fetch` asks for it again."""
        path = self.path_of(url)
        _note_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def note_absent(self, url: str) -> None:
        """The server had nothing at `url`; to be known again where it cannot be asked."""
        path = _absent_path(self.path_of(url))
        with _storing(path):
            write_whole(path, b"")

    def known_absent(self, url: str) -> bool:
        """Whether the server had nothing at `url` when it was asked last."""
        return _absent_path(self.path_of(url)).exists()

    @staticmethod
    def _received(http: HttpClient, url: str, path: Path, *, sha256: str | None, known: Downloaded | None) -> Downloaded:
        fresh = path.with_name(f"{path.name}.new")
        for last in (False, True):
            received = http.download(url, fresh, known=known)
            if received is known:
                return received
            if sha256 in {None, received.sha256}:
                break
            fresh.unlink(missing_ok=True)
            if last:
                raise ChecksumError(
                    f"{url}: the publisher's checksum is {sha256}, the bytes received have {received.sha256} (asked twice); "
                    "nothing of it was used. The publisher may be replacing the file: try again later"
                )
        note = {"url": url, "sha256": received.sha256, "size": received.size, **received.validators._asdict()}
        with _storing(path):
            # Without a note the file counts as absent: a kill between the two renames costs a download, never trust.
            _note_path(path).unlink(missing_ok=True)
            fresh.replace(path)
            write_whole(_note_path(path), json.dumps(note, indent=1).encode())
            _absent_path(path).unlink(missing_ok=True)
        return received


def _file_name(name: str) -> str:
    """A name that every file system takes, different for different names."""
    return quote(name, safe=_NAME_LETTERS)


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _absent_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.absent")


def _noted(path: Path) -> Downloaded | None:
    try:
        note = json.loads(_note_path(path).read_bytes())
        return Downloaded(note["url"], note["sha256"], note["size"], Validators(note["etag"], note["last_modified"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """No other process or thread receives this file meanwhile; they find it held afterwards."""
    lock = path.with_name(f"{path.name}.lock")
    handle = -1
    with _storing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                if os.fstat(handle).st_ino == lock.stat().st_ino:
                    break
            except FileNotFoundError:
                pass  # its last holder has removed it: lock the one that stands there now
            os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)
