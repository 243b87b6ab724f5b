"""Standard deviation."""

from __future__ import annotations

from math import sqrt

from backtester.strategy.indicators.window import RollingSum, scaled, whole


class StandardDeviation:
    """Standard deviation of the last `length` values: of the population (divided by n), or of a sample (by n - 1).

    The variance is rounded once from exact sums, so nothing cancels even where prices are large and hardly move.
    """

    __slots__ = ("_divisor", "_squares", "_values", "depth", "value")

    def __init__(self, length: int, *, sample: bool = False) -> None:
        self.depth = whole("length", length, least=2 if sample else 1)
        self._values = RollingSum(length)
        self._squares = RollingSum(length)
        self._divisor = length * (length - 1) if sample else length * length
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    @property
    def mean(self) -> float | None:
        """The mean of the same values; None until there are enough."""
        return self._values.mean() if self.ready else None

    def update(self, value: float) -> float | None:
        """The deviation that includes `value`; None until `depth` values have come."""
        number, bits = scaled(value)
        self._values.push(number, bits)
        self._squares.push(number * number, 2 * bits)
        if self._values.full:
            total, squares = self._values, self._squares
            # n * sum(x^2) - sum(x)^2, on the scale of the squares: their bits are always twice the values'.
            spread = self.depth * squares.total - total.total * total.total
            self.value = sqrt(spread / (self._divisor << squares.bits))
        return self.value
