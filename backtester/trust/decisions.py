"""What a strategy decided: the intents of its journal, and where two lists of them part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from backtester.audit.journal import JournalLine
from backtester.domain.timeframe import iso_text
from backtester.engine.topics import T_ORDERS_INTENT

_OWNERS_OF_THE_ENGINE = frozenset({"risk", "end"})
_SHOWN = ("symbol", "side", "qty", "price", "trigger_price", "distance", "trail_bps", "take_profit", "stop_loss", "order_id")


class Decision(msgspec.Struct, frozen=True, gc=False):
    """One intent. `prompted` is False where market data or a timer led to it, True where an order's fate did."""

    time_ms: int
    prompted: bool
    raw: bytes

    def fields(self) -> dict[str, Any]:
        """The intent's fields, `type` being its kind."""
        fields: dict[str, Any] = msgspec.json.decode(self.raw)
        return fields

    def text(self) -> str:
        """`2025-01-01T00:05:00: market_order BTCUSDT buy qty 0.1`."""
        fields = self.fields()
        words = [str(fields.get("type", "intent"))]
        for name in _SHOWN:
            value = fields.get(name)
            if value not in {None, ""}:
                words.append(str(value) if name in {"symbol", "side"} else f"{name} {value}")
        return f"{iso_text(self.time_ms)} UTC: {' '.join(words)}"


class Parting(msgspec.Struct, frozen=True):
    """The first decision that is not the same: how many were equal before it, and both sides (None: there is none)."""

    position: int
    left: Decision | None
    right: Decision | None

    @property
    def time_ms(self) -> int:
        """When the two part."""
        return min(one.time_ms for one in (self.left, self.right) if one is not None)

    def text(self, left_name: str, right_name: str) -> str:
        """Both sides in words."""
        sides = ((left_name, self.left), (right_name, self.right))
        told = "; ".join(f"{name} {one.text() if one is not None else 'nothing more'}" for name, one in sides)
        return f"decision {self.position + 1} differs: {told}"


class _Stamp(msgspec.Struct, gc=False):
    time_ms: int
    strategy_id: str = ""


_decode_stamp = msgspec.json.Decoder(_Stamp).decode


def decisions_of(lines: Iterable[JournalLine]) -> list[Decision]:
    """The intents of all strategies, in order; those by which risk or the end of a run close positions are none."""
    found: list[Decision] = []
    for line in lines:
        if line.topic == T_ORDERS_INTENT.name:
            stamp = _decode_stamp(line.raw)
            if stamp.strategy_id not in _OWNERS_OF_THE_ENGINE:
                found.append(Decision(stamp.time_ms, line.cause != 0, line.raw))
    return found


def known_by(decisions: Iterable[Decision], time_ms: int) -> list[Decision]:
    """The decisions that were made before anything after `time_ms` can honestly have been known.

    At that very instant an order that arrives without latency meets the bar that opens then: what its fate leads to is left out.
    """
    return [one for one in decisions if one.time_ms < time_ms or (one.time_ms == time_ms and not one.prompted)]


def first_parting(
    left: Sequence[Decision], right: Sequence[Decision], *, key: Callable[[Decision], object] = lambda one: one.raw
) -> Parting | None:
    """Where two lists of decisions part by `key`; None where they are equal."""
    for position, (one, other) in enumerate(zip_longest(left, right)):
        if one is None or other is None or (one.raw != other.raw and key(one) != key(other)):
            return Parting(position, one, other)
    return None


def timeless(decision: Decision, *, moved_ms: int = 0) -> tuple[tuple[str, Any], ...]:
    """What was decided, moved back in time by `moved_ms`; without texts of the strategy's own, which may hold a time."""
    fields = decision.fields()
    for name in ("time_ms", "good_till_ms"):
        if fields.get(name):
            fields[name] -= moved_ms
    return tuple((name, value) for name, value in sorted(fields.items()) if name not in {"order_id", "reason"})
