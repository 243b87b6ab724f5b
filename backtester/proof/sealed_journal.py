"""The journal read and its seals recomputed, by what docs/run_directory.md says of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = 256


class Event(NamedTuple):
    """One message of a journal: its line, its number, its topic and its fields (numbers with a point as text)."""

    line: int
    seq: int
    topic: str
    fields: dict[str, Any]


class SealedJournal:
    """One pass over a journal; `digest` is known when it is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = ""

    def events(self) -> Iterator[Event]:
        """All messages but logs, in order. Raises ValueError at the first line or block that is not as it was written."""
        running, last = hashlib.sha256(), hashlib.sha256(b"backtester journal").digest()
        logs, offset, held, seq, final = b"", 0, 0, 0, False
        with self._path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if final:
                    raise ValueError(f"line {number}: there is a line after the last seal")
                if not raw.endswith(b"\n"):
                    raise ValueError(f"line {number}: it is cut off")
                fields = self._parsed(raw, number)
                if "seal" in fields:
                    last = hashlib.sha256(last + running.digest() + logs).digest()
                    if fields != {"seal": last.hex(), "lines": held} or not held:
                        raise ValueError(f"lines {number - held} to {number}: the seal is not that of these lines and those before")
                    logs, offset, held, final = b"", 0, 0, held < BLOCK
                    continue
                held += 1
                if held > BLOCK:
                    raise ValueError(f"line {number}: a seal is missing before it")
                if fields.get("topic") == "logs":
                    logs += str(offset).encode() + b" " + raw
                else:
                    running.update(raw)
                    seq += 1
                    if fields.get("seq") != seq:
                        raise ValueError(f"line {number}: event {fields.get('seq')} stands where {seq} belongs")
                    yield Event(number, seq, str(fields["topic"]), fields["event"])
                offset += len(raw)
        if held:
            raise ValueError(f"its last {held} messages have no seal")
        self.digest = running.hexdigest()

    @staticmethod
    def _parsed(raw: bytes, number: int) -> dict[str, Any]:
        try:
            fields = json.loads(raw, parse_float=str)
        except ValueError as error:
            raise ValueError(f"line {number}: it is no JSON ({error})") from None
        if not isinstance(fields, dict) or not (
            {"seal", "lines"} == set(fields) or {"seq", "cause", "topic", "event"} == set(fields)
        ):
            raise ValueError(f"line {number}: it is neither a message nor a seal")
        return fields
