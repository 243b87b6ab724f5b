"""Bollinger bands."""

from __future__ import annotations

from typing import NamedTuple

from backtester.domain.errors import ConfigError
from backtester.strategy.indicators.deviation import StandardDeviation


class Bands(NamedTuple):
    """A channel of prices."""

    lower: float
    middle: float
    upper: float


class BollingerBands:
    """Mean of the last `length` values, and `width` standard deviations (of the population) below and above it."""

    __slots__ = ("_deviation", "_width", "depth", "value")

    def __init__(self, length: int = 20, width: float = 2.0) -> None:
        if not 0 < width < float("inf"):
            raise ConfigError(f"width must be above 0, was {width!r}")
        self._deviation = StandardDeviation(length)
        self._width = width
        self.depth = length
        self.value: Bands | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    def update(self, value: float) -> Bands | None:
        """The bands that include `value`; None until `depth` values have come."""
        deviation = self._deviation.update(value)
        middle = self._deviation.mean
        if deviation is not None and middle is not None:
            self.value = Bands(middle - self._width * deviation, middle, middle + self._width * deviation)
        return self.value
