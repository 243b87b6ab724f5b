"""run.log: commentary on a run for people, one JSON object a line. The journal is truth; nothing is rebuilt from here."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import msgspec
import structlog

from backtester.domain.errors import StorageError, require

_EVENT = re.compile(r"[a-z][a-z0-9_]*")
_encode = msgspec.json.Encoder(enc_hook=str).encode


class RunLog:
    """The log of one run; every line carries its id. Without a path it says nothing."""

    def __init__(self, path: Path | None, *, run_id: str, debug: bool = False) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        if path is None:
            return
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise _refused(path, error) from error
        self._logger = structlog.wrap_logger(
            structlog.BytesLogger(self._file),
            processors=[
                _with_static_event,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                _rendered,
            ],
            wrapper_class=structlog.make_filtering_bound_logger("debug" if debug else "info"),
            cache_logger_on_first_use=True,
        ).bind(run_id=run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def debug(self, event: str, **facts: Any) -> None:
        """A message of the run; kept only by a log opened for debugging."""
        self._write("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """A step of the run's life."""
        self._write("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Something a person should look at."""
        self._write("warning", event, facts)

    def error(self, event: str, *, cause: BaseException | None = None, **facts: Any) -> None:
        """The run ends; `cause` is kept with its traceback."""
        self._write("error", event, facts if cause is None else {**facts, "exc_info": cause})

    def close(self) -> None:
        """Nothing more is written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            getattr(self._logger, level)(event, **facts)
        except OSError as error:
            raise _refused(cast("Path", self._path), error) from error


def _with_static_event(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Events are names to search for; what varies belongs into the facts."""
    require(_EVENT.fullmatch(line["event"]) is not None, "log event %r is no snake_case name", line["event"])
    return line


def _rendered(_: Any, __: str, line: MutableMapping[str, Any]) -> bytes:
    return _encode(dict(line))


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {path}: {error.strerror}; make room or choose another --output")
