"""Moving average convergence / divergence."""

from __future__ import annotations

from typing import NamedTuple

from backtester.domain.errors import ConfigError
from backtester.strategy.indicators.ema import EMA


class MACDValue(NamedTuple):
    """`macd` = fast - slow average, `signal` its own average, `histogram` = macd - signal."""

    macd: float
    signal: float
    histogram: float


class MACD:
    """Difference of two exponential averages and its own average.

    Each average is started with the mean of its own first values: the fast one does not wait for the slow one (TA-Lib starts
    both at the slow one's, so the first values differ from it and approach it).
    """

    __slots__ = ("_fast", "_signal", "_slow", "depth", "value")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        self._fast = EMA(fast)
        self._slow = EMA(slow)
        self._signal = EMA(signal)
        if fast >= slow:
            raise ConfigError(f"MACD: fast must be below slow, was {fast} and {slow}")
        self.depth = slow + signal - 1
        self.value: MACDValue | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    def update(self, value: float) -> MACDValue | None:
        """The three lines that include `value`; None until `depth` values have come."""
        fast = self._fast.update(value)
        slow = self._slow.update(value)
        if fast is not None and slow is not None:
            macd = fast - slow
            signal = self._signal.update(macd)
            if signal is not None:
                self.value = MACDValue(macd, signal, macd - signal)
        return self.value
