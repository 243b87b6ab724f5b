"""The kill switch as a file: while a run goes on, its appearance throws the switch."""

from __future__ import annotations

from pathlib import Path

from backtester.engine.loop import Loop


class KillFile:
    """Looks for the file of `risk.kill_file` whenever the loop yields, every few milliseconds of wall time.

    When it throws the switch depends on the wall clock, so such a run cannot be repeated; `risk.kill_at` with the time that its
    journal names does the same at the same instant.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        self._loop: Loop | None = None

    def guard(self, loop: Loop) -> None:
        """The switch of `loop` is thrown from now on, at once where the file is there already."""
        self._loop = loop
        self.look()

    def look(self) -> None:
        """The switch is thrown if the file is there."""
        if self._loop is not None and self._path.exists():
            self._loop.request_kill()
            self._loop = None
