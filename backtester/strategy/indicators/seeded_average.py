"""Exponential averages that start with a mean."""

from __future__ import annotations

from abc import abstractmethod

from backtester.strategy.indicators.window import ExactSum, scaled, whole


class SeededAverage:
    """An average that is the mean of the first `length` values, and from then on moves with each value as `_moved` says."""

    __slots__ = ("_seed", "_seen", "depth", "value")

    def __init__(self, length: int) -> None:
        self.depth = whole("length", length)
        self._seed = ExactSum()
        self._seen = 0
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    def update(self, value: float) -> float | None:
        """The average that includes `value`; None until `depth` values have come."""
        term = scaled(value)
        if self.value is not None:
            self.value = self._moved(self.value, value)
            return self.value
        self._seed.add(*term)
        self._seen += 1
        if self._seen == self.depth:
            self.value = self._seed.total / (self.depth << self._seed.bits)
        return self.value

    @abstractmethod
    def _moved(self, before: float, value: float) -> float:
        """The average after `value`, from that before it."""
