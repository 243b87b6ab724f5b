"""Simple moving average."""

from __future__ import annotations

from backtester.strategy.indicators.window import RollingSum, scaled


class SMA:
    """The mean of the last `length` values, rounded once from the exact sum: no drift, O(1) an update."""

    __slots__ = ("_window", "depth", "value")

    def __init__(self, length: int) -> None:
        self._window = RollingSum(length)
        self.depth = length
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    def update(self, value: float) -> float | None:
        """The mean that includes `value`; None until `depth` values have come."""
        window = self._window
        window.push(*scaled(value))
        if window.full:
            self.value = window.total / (window.length << window.bits)
        return self.value
