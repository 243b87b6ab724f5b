"""Latency of the three legs: order, cancel and response."""

from __future__ import annotations

from math import ceil
from typing import Literal, Protocol

from backtester.domain.latency_series import LatencySeries
from backtester.engine.clock import Clock

Distribution = Literal["uniform", "lognormal", "gamma"]


class RandomStream(Protocol):
    """What is needed of a seeded stream."""

    def randint(self, a: int, b: int) -> int:
        """A whole number between a and b, both included."""

    def uniform(self, a: float, b: float) -> float:
        """A number between a and b."""

    def lognormvariate(self, mu: float, sigma: float) -> float:
        """e to the power of a normal number of that mean and deviation."""

    def gammavariate(self, alpha: float, beta: float) -> float:
        """A number of the gamma distribution of that shape and scale."""


class LatencyModel(Protocol):
    """How long each leg takes, asked once for each message."""

    def order_ms(self) -> int:
        """From the decision to the arrival of an order at the venue."""

    def cancel_ms(self) -> int:
        """From the decision to the arrival of a cancel at the venue."""

    def response_ms(self) -> int:
        """From the venue's event to its report at the strategy."""


class Latency:
    """Constant legs plus, where asked for, a uniform jitter of 0..jitter_ms from a seeded stream."""

    def __init__(
        self, *, order_ms: int, cancel_ms: int, response_ms: int, jitter_ms: int = 0, stream: RandomStream | None = None
    ) -> None:
        self._order_ms = order_ms
        self._cancel_ms = cancel_ms
        self._response_ms = response_ms
        self._jitter_ms = jitter_ms
        self._stream = stream if jitter_ms else None

    def order_ms(self) -> int:
        """From the decision to the arrival of an order at the venue."""
        return self._order_ms if self._stream is None else self._order_ms + self._stream.randint(0, self._jitter_ms)

    def cancel_ms(self) -> int:
        """From the decision to the arrival of a cancel at the venue."""
        return self._cancel_ms if self._stream is None else self._cancel_ms + self._stream.randint(0, self._jitter_ms)

    def response_ms(self) -> int:
        """From the venue's event to its report at the strategy."""
        return self._response_ms if self._stream is None else self._response_ms + self._stream.randint(0, self._jitter_ms)


class DrawnLatency:
    """Legs drawn anew for each message around those that are configured, from a seeded stream, rounded up to a millisecond.

    uniform: leg x (1 - spread .. 1 + spread). lognormal: the leg is the median, spread the deviation of the logarithm.
    gamma: the leg is the mean, spread the deviation divided by it.
    """

    def __init__(
        self,
        *,
        order_ms: int,
        cancel_ms: int,
        response_ms: int,
        distribution: Distribution,
        spread_frac: float,
        stream: RandomStream,
    ) -> None:
        """`spread_frac` is above 0, and at most 1 for uniform."""
        self._order_ms = order_ms
        self._cancel_ms = cancel_ms
        self._response_ms = response_ms
        self._distribution = distribution
        self._spread = spread_frac
        self._stream = stream

    def order_ms(self) -> int:
        """From the decision to the arrival of an order at the venue."""
        return self._drawn(self._order_ms)

    def cancel_ms(self) -> int:
        """From the decision to the arrival of a cancel at the venue."""
        return self._drawn(self._cancel_ms)

    def response_ms(self) -> int:
        """From the venue's event to its report at the strategy."""
        return self._drawn(self._response_ms)

    def _drawn(self, leg_ms: int) -> int:
        spread, stream = self._spread, self._stream
        if self._distribution == "uniform":
            times = stream.uniform(1 - spread, 1 + spread)
        elif self._distribution == "lognormal":
            times = stream.lognormvariate(0.0, spread)
        else:
            times = stream.gammavariate(1 / spread**2, spread**2)
        return ceil(leg_ms * times)


class RecordedLatency:
    """Legs of recorded orders at the run's times; outside the recording it is played over and over.

    Cancels travel as orders do. Linear between the orders around a time (exchange_semantics.md, section 5.6; golden J06).
    """

    def __init__(self, series: LatencySeries, *, clock: Clock, factor: float = 1.0) -> None:
        self._series = series
        self._clock = clock
        self._factor = factor

    def order_ms(self) -> int:
        """As the orders around this time took to the venue."""
        return ceil(self._series.entry(self._series.repeated(self._clock.now_ms)).latency_ms * self._factor)

    def cancel_ms(self) -> int:
        """As an order."""
        return self.order_ms()

    def response_ms(self) -> int:
        """As the answers to the orders around this time took."""
        return ceil(self._series.answer_ms(self._series.repeated(self._clock.now_ms)) * self._factor)
