"""Volume weighted average price, rolling and by UTC day."""

from __future__ import annotations

from backtester.domain.timeframe import DAY_MS
from backtester.strategy.indicators.window import ExactSum, RollingSum, Scaled, quotient, scaled


def typical_price(high: float, low: float, close: float) -> float:
    """(high + low + close) / 3."""
    return (high + low + close) / 3


def _weighted(price: float, volume: float) -> tuple[Scaled, Scaled]:
    (price_number, price_bits), (volume_number, volume_bits) = scaled(price), scaled(volume)
    return (price_number * volume_number, price_bits + volume_bits), (volume_number, volume_bits)


class VWAP:
    """sum(typical price * volume) / sum(volume) of the last `length` candles; None while none of them traded."""

    __slots__ = ("_values", "_volumes", "depth", "value")

    def __init__(self, length: int) -> None:
        self._values = RollingSum(length)
        self._volumes = RollingSum(length)
        self.depth = length
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether `depth` candles have come and any of the window traded."""
        return self.value is not None

    def update(self, high: float, low: float, close: float, volume: float) -> float | None:
        """The average that includes this candle; None until `depth` candles have come."""
        value, weight = _weighted(typical_price(high, low, close), volume)
        self._values.push(*value)
        self._volumes.push(*weight)
        if self._volumes.full:
            self.value = quotient(self._values, self._volumes)
        return self.value


class SessionVWAP:
    """The same over the candles that start on one UTC day; begins anew at 00:00 UTC."""

    __slots__ = ("_day", "_value", "_volume", "depth", "value")

    def __init__(self) -> None:
        self._day: int | None = None
        self._value = ExactSum()
        self._volume = ExactSum()
        self.depth = 1
        self.value: float | None = None

    @property
    def ready(self) -> bool:
        """Whether anything traded today."""
        return self.value is not None

    def update(self, high: float, low: float, close: float, volume: float, *, start_ms: int) -> float | None:
        """The day's average that includes the candle that starts at `start_ms`; None while nothing traded."""
        if start_ms // DAY_MS != self._day:
            self._day = start_ms // DAY_MS
            self._value, self._volume = ExactSum(), ExactSum()
        value, weight = _weighted(typical_price(high, low, close), volume)
        self._value.add(*value)
        self._volume.add(*weight)
        self.value = quotient(self._value, self._volume)
        return self.value
