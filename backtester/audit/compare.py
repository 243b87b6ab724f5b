"""Where two event streams part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import msgspec

from backtester.audit.journal import LOG_TOPIC, JournalLine


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first event that is not the same on both sides; None where a side has already ended."""

    position: int
    """How many events were equal before it."""
    left: JournalLine | None
    right: JournalLine | None

    @property
    def seq(self) -> int:
        """Sequence number of the event, of the left side where it has one."""
        line = self.left or self.right
        return line.seq if line is not None else 0

    @property
    def topic(self) -> str:
        """Topic of the event, of the left side where it has one."""
        line = self.left or self.right
        return line.topic if line is not None else ""

    def describe(self, left_name: str, right_name: str) -> str:
        """Both sides in words, a line each after the heading, with the fields that differ."""
        heading = f"first difference at event {self.seq} on {self.topic} ({self.position} events are equal)"
        return f"{heading}\n  {left_name}: {_side(self.left, self.right)}\n  {right_name}: {_side(self.right, self.left)}"


def first_difference(left: Iterable[JournalLine], right: Iterable[JournalLine]) -> Difference | None:
    """The first event in which two journals differ, logs left out; None when they are equal."""
    for position, (one, other) in enumerate(zip_longest(_events(left), _events(right))):
        if one != other:
            return Difference(position=position, left=one, right=other)
    return None


def _events(lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
    return (line for line in lines if line.topic != LOG_TOPIC)


def _side(line: JournalLine | None, other: JournalLine | None) -> str:
    if line is None:
        return "has ended"
    mine = _fields(line)
    if other is None:
        shown = mine
    else:
        theirs = _fields(other)
        always = {"event", "time_ms"}
        shown = {name: value for name, value in mine.items() if name in always or name not in theirs or theirs[name] != value}
        lacking = [name for name in theirs if name not in mine]
        shown.update(dict.fromkeys(lacking, "(absent)"))
    return " ".join(f"{name}={value}" for name, value in shown.items())


def _fields(line: JournalLine) -> dict[str, str]:
    event: dict[str, Any] = msgspec.json.decode(line.raw)
    fields = {"event": str(event.pop("type", "?")), "seq": str(line.seq), "cause": str(line.cause), "topic": line.topic}
    fields.update((name, _text(value)) for name, value in event.items())
    return fields


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
