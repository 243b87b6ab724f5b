"""Lowest and highest of a window, and the channel between them."""

from __future__ import annotations

from collections import deque

from backtester.strategy.indicators.bollinger import Bands
from backtester.strategy.indicators.window import scaled, whole


class _RollingExtreme:
    """Keeps only values that may yet be the extreme, in order: each enters and leaves once, so an update is O(1) on average."""

    __slots__ = ("_candidates", "_seen", "_sign", "depth", "value")

    def __init__(self, length: int, sign: int) -> None:
        self.depth = whole("length", length)
        self._sign = sign
        self._seen = 0
        self._candidates: deque[tuple[int, float]] = deque()
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` values have come."""
        return self.value is not None

    def update(self, value: float) -> float | None:
        """The extreme of the window that includes `value`; None until `depth` values have come."""
        scaled(value)  # refuses what is not finite: NaN compares with nothing and would stay for ever
        candidates, sign = self._candidates, self._sign
        while candidates and sign * candidates[-1][1] <= sign * value:
            candidates.pop()
        candidates.append((self._seen, value))
        if candidates[0][0] <= self._seen - self.depth:
            candidates.popleft()
        self._seen += 1
        if self._seen >= self.depth:
            self.value = candidates[0][1]
        return self.value


class RollingMin(_RollingExtreme):
    """The lowest of the last `length` values."""

    __slots__ = ()

    def __init__(self, length: int) -> None:
        super().__init__(length, -1)


class RollingMax(_RollingExtreme):
    """The highest of the last `length` values."""

    __slots__ = ()

    def __init__(self, length: int) -> None:
        super().__init__(length, 1)


class Donchian:
    """Lowest low and highest high of the last `length` candles, the newest included, and the price halfway.

    To ask whether a candle broke out, compare it with `value` before `update`.
    """

    __slots__ = ("_highest", "_lowest", "depth", "value")

    def __init__(self, length: int = 20) -> None:
        self._lowest = RollingMin(length)
        self._highest = RollingMax(length)
        self.depth = length
        self.value: Bands | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` candles have come."""
        return self.value is not None

    def update(self, high: float, low: float) -> Bands | None:
        """The channel that includes this candle; None until `depth` candles have come."""
        upper = self._highest.update(high)
        lower = self._lowest.update(low)
        if upper is not None and lower is not None:
            self.value = Bands(lower, (lower + upper) / 2, upper)
        return self.value
