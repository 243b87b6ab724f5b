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
    if not samples:
        raise DomainError("a latency series needs at least one sample")
    sent = [sample.request_ms for sample in samples]
    if any(later <= earlier for earlier, later in zip(sent, sent[1:], strict=False)):
        raise DomainError("latency samples must be in order of sending")
    after = bisect_right(sent, time_ms)
    first, second = samples[max(0, after - 1)], samples[min(after, len(samples) - 1)]
    rejected = first.venue_ms is None or second.venue_ms is None
    start, end = (_leg(sample, to_answer=rejected) for sample in (first, second))
    span = second.request_ms - first.request_ms
    if span <= 0:
        return EntryLatency(start, rejected)
    change = (end - start) * (time_ms - first.request_ms)
    step = change // span if change >= 0 else -(-change // span)
    return EntryLatency(start + step, rejected)


def _leg(sample: LatencySample, *, to_answer: bool) -> int:
    end_ms = sample.response_ms if to_answer or sample.venue_ms is None else sample.venue_ms
    if end_ms < sample.request_ms:
        raise DomainError(f"the order sent at {sample.request_ms} ends before it was sent")
    return end_ms - sample.request_ms
