"""Latency of the three legs: order, cancel and response."""

from __future__ import annotations

from typing import Protocol


class RandomStream(Protocol):
    """What is needed of a seeded stream."""

    def randint(self, a: int, b: int) -> int:
        """A whole number between a and b, both included."""


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
