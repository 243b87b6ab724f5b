"""Latency read from recorded orders: linear between samples, and what it means where the venue refused."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from backtester.domain.errors import DomainError


class LatencySample(msgspec.Struct, frozen=True):
    """One recorded order, UTC ms: sent, processed by the venue (None when it refused for technical reasons), answered."""

    request_ms: int
    venue_ms: int | None
    response_ms: int


class EntryLatency(msgspec.Struct, frozen=True):
    """How long an order takes to the venue; when rejected, how long until the refusal is known."""

    latency_ms: int
    is_rejected: bool


def entry_latency(samples: Sequence[LatencySample], *, time_ms: int) -> EntryLatency:
    """Latency of an order sent at `time_ms`: linear between the samples around it, that of the end sample outside them.

    Rejected when either neighbour was; the time is then that to the answer. Rounded toward the earlier sample's value.
    Raises DomainError without samples, or when they are not in order of sending.
    Source: exchange_semantics.md, section 5.6 ("Latency").
    """
    return LatencySeries(samples).entry(time_ms)


class LatencySeries:
    """Recorded orders, checked once and asked often."""

    def __init__(self, samples: Sequence[LatencySample]) -> None:
        """Raises DomainError without samples, or when they are not in order of sending, or one ends before it was sent."""
        if not samples:
            raise DomainError("a latency series needs at least one sample")
        self._sent = [sample.request_ms for sample in samples]
        if any(later <= earlier for earlier, later in zip(self._sent, self._sent[1:], strict=False)):
            raise DomainError("latency samples must be in order of sending")
        for sample in samples:
            _leg(sample, to_answer=False)
            if sample.venue_ms is not None and sample.response_ms < sample.venue_ms:
                raise DomainError(f"the order sent at {sample.request_ms} was answered before the venue had it")
        self._samples = samples

    def entry(self, time_ms: int) -> EntryLatency:
        """See `entry_latency`."""
        first, second = self._around(time_ms)
        rejected = first.venue_ms is None or second.venue_ms is None
        start_ms, end_ms = (_leg(sample, to_answer=rejected) for sample in (first, second))
        return EntryLatency(_between(first, second, time_ms, start_ms, end_ms), rejected)

    def answer_ms(self, time_ms: int) -> int:
        """How long the answer to an order sent at `time_ms` is on its way back; 0 from where the venue refused."""
        first, second = self._around(time_ms)
        start_ms, end_ms = (0 if sample.venue_ms is None else sample.response_ms - sample.venue_ms for sample in (first, second))
        return _between(first, second, time_ms, start_ms, end_ms)

    def repeated(self, time_ms: int) -> int:
        """`time_ms` inside the recording; outside, where it falls when the recording is played over and over."""
        first_ms = self._sent[0]
        return first_ms + (time_ms - first_ms) % max(1, self._sent[-1] - first_ms + 1)

    def _around(self, time_ms: int) -> tuple[LatencySample, LatencySample]:
        after = bisect_right(self._sent, time_ms)
        return self._samples[max(0, after - 1)], self._samples[min(after, len(self._samples) - 1)]


def _between(first: LatencySample, second: LatencySample, time_ms: int, start_ms: int, end_ms: int) -> int:
    span_ms = second.request_ms - first.request_ms
    if span_ms <= 0:
        return start_ms
    change = (end_ms - start_ms) * (time_ms - first.request_ms)
    return start_ms + (change // span_ms if change >= 0 else -(-change // span_ms))


def _leg(sample: LatencySample, *, to_answer: bool) -> int:
    end_ms = sample.response_ms if to_answer or sample.venue_ms is None else sample.venue_ms
    if end_ms < sample.request_ms:
        raise DomainError(f"the order sent at {sample.request_ms} ends before it was sent")
    return end_ms - sample.request_ms
