"""What a download asked for, received, verified and stored, one JSON line each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from backtester.domain.errors import StorageError

AUDIT_FILE = "audit.jsonl"


class DownloadAudit:
    """Lines added to `<log_dir>/<download_run_id>/audit.jsonl`; the file appears with the first. Several threads may tell.

    `unread`: the files that the last parsing could not read, in words; a strict writer refuses to leave them out.
    """

    def __init__(self, directory: Path, *, run_id: str, now_ms: Callable[[], int]) -> None:
        self.path = directory / AUDIT_FILE
        self.unread: tuple[str, ...] = ()
        self._run_id = run_id
        self._now_ms = now_ms
        self._lock = threading.Lock()

    def tell(self, event: str, **about: object) -> None:
        """`event` and what it is about stand in the file. Raises StorageError."""
        line = json.dumps({"time_ms": self._now_ms(), "run_id": self._run_id, "event": event, **about}, default=str)
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:
                raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from error

    def failed(self, what: str, error: Exception) -> str:
        """The failure is told; it in words."""
        self.tell("failed", what=what, error=str(error))
        return f"{what}: {error}"

    def __repr__(self) -> str:
        return f"DownloadAudit({str(self.path)!r})"
