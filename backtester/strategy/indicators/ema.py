"""Exponential moving average."""

from __future__ import annotations

from backtester.strategy.indicators.window import ExactSum, scaled, whole


class EMA:
    """Exponential average with weight 2 / (length + 1), started with the mean of the first `length` values.

    e' = e + weight * (value - e). Two runs agree from the same first value on; an average has no other memory of its start.
    """

    __slots__ = ("_seed", "_seen", "_weight", "depth", "value")

    def __init__(self, length: int) -> None:
        self.depth = whole("length", length)
        self._weight = 2.0 / (length + 1)
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
            self.value += self._weight * (value - self.value)
            return self.value
        self._seed.add(*term)
        self._seen += 1
        if self._seen == self.depth:
            self.value = self._seed.total / (self.depth << self._seed.bits)
        return self.value
