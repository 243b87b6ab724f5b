"""SIGINT and SIGTERM while a run is at work."""

from __future__ import annotations

import signal
import threading
from time import perf_counter
from types import FrameType, TracebackType
from typing import Self

from backtester.engine.loop import Loop

INSIST_S = 1.0
"""A second signal this long after the first one means: now. Sooner, it is the first one, passed on by a parent process."""


class StopSignals:
    """While inside, the first signal finishes the tick and ends the run as interrupted; a later one stops it where it is.

    Without a loop to finish (before the run, while a strategy's code hangs) KeyboardInterrupt is raised. Only the main thread
    may listen to signals: in any other nothing changes.
    """

    def __init__(self) -> None:
        self._loop: Loop | None = None
        self._asked_s: float | None = None
        self._before: dict[int, object] = {}

    def finish(self, loop: Loop) -> None:
        """From now on a signal asks `loop` to finish its tick."""
        self._loop = loop

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not installed from Python and cannot be put back by it.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type] # as it was given

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now_s = perf_counter()
        if self._loop is None or (self._asked_s is not None and now_s - self._asked_s >= INSIST_S):
            raise KeyboardInterrupt
        if self._asked_s is None:
            self._asked_s = now_s
            self._loop.request_stop()
