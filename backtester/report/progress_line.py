"""How far a long piece of work is, on one line of a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from time import perf_counter
from typing import Protocol, TextIO

from backtester.domain.timeframe import iso_text

_QUIET_S = 2.0
"""Work that takes less than this shows no progress."""
_REFRESH_S = 0.2


class ProgressLine:
    """One line that is rewritten in place, at most five times a second, and only once the work has taken a while."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = perf_counter) -> None:
        self._stream = stream
        self._clock = clock
        self._began_s = clock()
        self._shown_s = self._began_s + _QUIET_S - _REFRESH_S
        self._width = 0

    def due_s(self) -> float | None:
        """The seconds that the work has taken, where the line is to be written anew; None where it is not yet."""
        now_s = self._clock()
        if now_s - self._shown_s < _REFRESH_S:
            return None
        self._shown_s = now_s
        return now_s - self._began_s

    def show(self, text: str) -> None:
        """The line is `text`, cut to the width of the terminal."""
        self._write(text[: shutil.get_terminal_size().columns - 1])

    def close(self) -> None:
        """The line is gone."""
        if self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


class Moment(Protocol):
    """Where a run stands in simulated time."""

    @property
    def now_ms(self) -> int:
        """Simulated time."""

    @property
    def start_ms(self) -> int:
        """Where the run began."""

    @property
    def end_ms(self) -> int:
        """Where it will end."""

    @property
    def candles(self) -> int:
        """Execution candles so far."""


class RunProgress(ProgressLine):
    """Simulated time, share, candles per second, time left."""

    def update(self, moment: Moment) -> None:
        """The line shows `moment`, when it is due."""
        took_s = self.due_s()
        if took_s is None:
            return
        span_ms = moment.end_ms - moment.start_ms
        done = min(max((moment.now_ms - moment.start_ms) / span_ms, 0.0), 1.0) if span_ms > 0 else 1.0
        left = f", {duration_text(took_s / done - took_s)} left" if done > 0 else ""
        self.show(f"{iso_text(moment.now_ms)[:16]} UTC  {done:4.0%}  {moment.candles / took_s:,.0f} candles/s{left}")


def duration_text(seconds: float) -> str:
    """A time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
