"""Falls from a peak: how deep, from when to when, how long under water."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_NEARLY = 1.0 - 1e-12
_CANDIDATES = 64


class DeepestFall:
    """The deepest fall, as a fraction of its peak, of the values seen so far. Ties keep the earliest."""

    def __init__(self, first: int) -> None:
        self._peak = self._low = first
        self._deepest = (first, first)

    def see(self, value: int) -> None:
        """Count the next value in."""
        if value > self._peak:
            self._settle()
            self._peak = self._low = value
        elif value < self._low:
            self._low = value

    def peak_and_low(self) -> tuple[int, int]:
        """Both ends of the deepest fall; equal when there was none."""
        self._settle()
        return self._deepest

    def _settle(self) -> None:
        peak, low = self._deepest
        if (self._peak - self._low) * peak > (peak - low) * self._peak:
            self._deepest = (self._peak, self._low)


def max_drawdown(peak: int, low: int) -> float | None:
    """The fall from `peak` to `low` as a fraction of the peak; None without a positive peak."""
    return (peak - low) / peak if peak > 0 else None


class Fall(NamedTuple):
    """When a fall began at its peak, reached its low and was made good; `recovery_ms` is None while it is not."""

    peak_ms: int
    low_ms: int
    recovery_ms: int | None

    def duration_ms(self, end_ms: int) -> int:
        """From the peak to the recovery, or to `end_ms` where there was none."""
        return (end_ms if self.recovery_ms is None else self.recovery_ms) - self.peak_ms

    def time_to_recover_ms(self) -> int | None:
        """From the low to the recovery; None where there was none."""
        return None if self.recovery_ms is None else self.recovery_ms - self.low_ms


class _Episode:
    """From one peak to the instant at which it is reached again. `own_low` is in the row of the peak: before or after it."""

    __slots__ = ("low", "low_ms", "own_low", "peak", "peak_ms", "recovery_ms")

    def __init__(self, peak: float, peak_ms: int, *, own_low: float, low: float) -> None:
        self.peak = peak
        self.peak_ms = self.low_ms = peak_ms
        self.own_low = own_low
        self.low = low
        self.recovery_ms: int | None = None

    def sure_fall(self) -> float:
        return (self.peak - self.low) / self.peak if self.peak > 0 else 0.0

    def possible_fall(self) -> float:
        return (self.peak - min(self.low, self.own_low)) / self.peak if self.peak > 0 else 0.0


class Underwater:
    """When equity was below an earlier peak: rows of time, low, high and last value go in, in order; the first value is above 0.

    Rows hold extremes and not their order, so an instant is known to its row.
    """

    def __init__(self, start_ms: int, first: float) -> None:
        self._now = _Episode(first, start_ms, own_low=first, low=first)
        self._past: list[_Episode] = []
        self._room = _CANDIDATES
        self._deepest = 0.0
        self._longest_ms = 0

    def see(self, time_ms: int, low: float, high: float, last: float) -> None:
        """Count the next row in."""
        now = self._now
        if low < now.low:
            now.low, now.low_ms = low, time_ms
        if high < now.peak:
            return
        if now.low < now.peak or now.own_low < now.peak:
            self._end(now, time_ms)
        self._now = _Episode(high, time_ms, own_low=low, low=last)

    def fall(self, peak: float, low: float) -> Fall | None:
        """The first fall with these two ends; None when there was no such fall."""
        if low >= peak:
            return None
        for one in (*self._past, self._now):
            if one.peak == peak and low in (one.low, one.own_low):
                return Fall(one.peak_ms, one.low_ms if one.low == low else one.peak_ms, one.recovery_ms)
        return None

    def longest_ms(self, end_ms: int) -> int:
        """The longest time from a peak until it was reached again; one that is still open counts to `end_ms`."""
        now = self._now
        return max(self._longest_ms, end_ms - now.peak_ms if now.low < now.peak else 0)

    def _end(self, episode: _Episode, time_ms: int) -> None:
        episode.recovery_ms = time_ms
        if episode.low < episode.peak:
            self._longest_ms = max(self._longest_ms, time_ms - episode.peak_ms)
        self._deepest = max(self._deepest, episode.sure_fall())
        self._past.append(episode)
        if len(self._past) > self._room:
            self._past = [one for one in self._past if one.possible_fall() >= self._deepest * _NEARLY]
            self._room = 2 * len(self._past) + _CANDIDATES


def deepest_fall(points: Sequence[tuple[int, int]]) -> Fall | None:
    """Instants of the deepest fall of (time, value) points, values above 0 up to the peak; None when nothing fell."""
    if not points:
        return None
    deepest = DeepestFall(points[0][1])
    for _, value in points[1:]:
        deepest.see(value)
    return underwater(points).fall(*deepest.peak_and_low())


def longest_underwater_ms(points: Sequence[tuple[int, int]]) -> int:
    """The longest time from a peak to the point that reaches it again, or to the last point; 0 when nothing fell."""
    return underwater(points).longest_ms(points[-1][0]) if points else 0


def underwater(points: Sequence[tuple[int, int]]) -> Underwater:
    """What `Underwater` knows of at least one (time, value) point."""
    seen = Underwater(*points[0])
    for time_ms, value in points[1:]:
        seen.see(time_ms, value, value, value)
    return seen


def ulcer_index(equity: Sequence[int]) -> float | None:
    """Root mean square of the percent below the peak so far, over all values, in percent; None without a positive peak.

    Source: Martin 1987.
    """
    if not equity or equity[0] <= 0:
        return None
    peak = equity[0]
    below: list[float] = []
    for value in equity:
        peak = max(peak, value)
        below.append(100 * (peak - value) / peak)
    return math.sqrt(math.fsum(value * value for value in below) / len(below))
