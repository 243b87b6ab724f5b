"""Exponential moving average."""

from __future__ import annotations

from backtester.strategy.indicators.seeded_average import SeededAverage


class EMA(SeededAverage):
    """Exponential average with weight 2 / (length + 1), started with the mean of the first `length` values.

    e' = e + weight * (value - e). Two runs agree from the same first value on; an average has no other memory of its start.
    """

    __slots__ = ("_weight",)

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._weight = 2.0 / (length + 1)

    def _moved(self, before: float, value: float) -> float:
        return before + self._weight * (value - before)
