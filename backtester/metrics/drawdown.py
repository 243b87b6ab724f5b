"""Falls from a peak."""

from __future__ import annotations


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
