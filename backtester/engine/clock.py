"""Simulated time: moved by the loop, read by everyone."""

from __future__ import annotations

from backtester.domain.errors import ClockMovedBackError


class Clock:
    """`now_ms` is the time of the tick being handled, UTC epoch milliseconds."""

    __slots__ = ("now_ms",)

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms

    def advance(self, time_ms: int) -> None:
        """Set the time; raises ClockMovedBackError when it would decrease."""
        if time_ms < self.now_ms:
            raise ClockMovedBackError(f"time would move back from {self.now_ms} to {time_ms} ms")
        self.now_ms = time_ms
