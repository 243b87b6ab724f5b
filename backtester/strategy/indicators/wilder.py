"""Wilder's smoothing, and the two indicators built on it: relative strength and average true range."""

from __future__ import annotations

from backtester.strategy.indicators.seeded_average import SeededAverage
from backtester.strategy.indicators.window import scaled


class WilderAverage(SeededAverage):
    """Exponential average with weight 1 / length: a' = (a * (length - 1) + value) / length, started with a mean."""

    __slots__ = ()

    def _moved(self, before: float, value: float) -> float:
        return (before * (self.depth - 1) + value) / self.depth


class RSI:
    """Relative strength, 0..100: the share of rises in Wilder's averages of rises and falls; 50 where nothing moved."""

    __slots__ = ("_falls", "_last", "_rises", "depth", "value")

    def __init__(self, length: int = 14) -> None:
        self._rises = WilderAverage(length)
        self._falls = WilderAverage(length)
        self._last: float | None = None
        self.depth = length + 1
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    def update(self, value: float) -> float | None:
        """The strength that includes `value`; None until `depth` values (one more than `length`) have come."""
        change = 0.0 if self._last is None else value - self._last
        first, self._last = self._last is None, value
        if first:
            scaled(value)
            return None
        rise = self._rises.update(max(change, 0.0))
        fall = self._falls.update(max(-change, 0.0))
        if rise is not None and fall is not None:
            moved = rise + fall
            self.value = 100.0 * (rise / moved) if moved > 0 else 50.0
        return self.value


class ATR:
    """Average true range: Wilder's average of max(high - low, |high - last close|, |low - last close|)."""

    __slots__ = ("_average", "_close", "depth", "value")

    def __init__(self, length: int = 14) -> None:
        self._average = WilderAverage(length)
        self._close: float | None = None
        self.depth = length + 1
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` candles have come."""
        return self.value is not None

    def update(self, high: float, low: float, close: float) -> float | None:
        """The range that includes this candle; None until `depth` candles have come (the first only gives its close)."""
        last, self._close = self._close, close
        if last is not None:
            self.value = self._average.update(max(high - low, abs(high - last), abs(low - last)))
        return self.value
