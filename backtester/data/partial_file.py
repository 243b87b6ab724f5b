"""A file on its way: bytes gather beside the place where it belongs and take it only when all are there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_CHUNK_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class Validators(NamedTuple):
    """How a server names one revision of a file: ETag and Last-Modified, empty where it gives none."""

    etag: str
    last_modified: str

    def unless_changed(self) -> dict[str, str]:
        """Headers of a request that is answered with 304 while the revision is the same; empty where nothing names it."""
        headers = {}
        if self.etag:
            headers["If-None-Match"] = self.etag
        if self.last_modified:
            headers["If-Modified-Since"] = self.last_modified
        return headers


class PartialFile:
    """`<target>.part` and, beside it, the revision that its bytes are of: only a part of the same revision is gone on with."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    def resume_headers(self) -> dict[str, str]:
        """Headers that ask for the rest if the revision is the same, for all of it otherwise; empty where nothing was begun."""
        try:
            size = self._part.stat().st_size
            etag, last_modified = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        # A weak ETag names the meaning, not the bytes: pieces of two of them do not fit together.
        revision = etag if etag and not etag.startswith("W/") else last_modified
        return {"Range": f"bytes={size}-", "If-Range": revision} if size and revision else {}

    def continues(self, content_range: str) -> bool:
        """Whether a partial answer begins where the part ends."""
        match = _CONTENT_RANGE.fullmatch(content_range.strip())
        return match is not None and self._part.is_file() and int(match[1]) == self._part.stat().st_size

    @contextmanager
    def writing(self, *, append: bool, validators: Validators) -> Iterator[Callable[[bytes], object]]:
        """A function that adds bytes, behind those there are or from the beginning; what was added stays if the rest fails."""
        self._part.parent.mkdir(parents=True, exist_ok=True)
        if not append:
            self.discard()
            self._note.write_text(json.dumps(validators))
        with self._part.open("ab") as file:
            yield file.write

    def finish(self) -> tuple[str, int]:
        """The target is the whole file; its sha256 and size in bytes."""
        digest, size = digest_of(self._part)
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self._target)
        self._note.unlink(missing_ok=True)
        sync_directory(self._target.parent)
        return digest, size

    def discard(self) -> None:
        """Nothing is begun."""
        self._note.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)


def digest_of(path: Path) -> tuple[str, int]:
    """sha256 and size in bytes of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def write_whole(path: Path, content: bytes) -> None:
    """`path` holds exactly `content`; a kill at any moment leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Renames in `directory` survive a loss of power."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
