"""The journal: every message of a run in order, one JSON line each, hash-chained.

A line is `{"seq":n,"cause":c,"topic":"fills","event":{...},"chain":"<16 hex>"}`. With `body` the bytes before `,"chain"`:

    events   h_n = sha256(h_{n-1} + body), chain = first 16 hex digits of h_n; the last h is the digest of the run
    logs     g_n = sha256(g_{n-1} + current h + body): bound to their place, but outside the digest

What is chained cannot be changed, removed, added or moved unnoticed, except at the very end; the manifest's file hash covers that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from backtester.audit.events import JournaledMessage, decode_event
from backtester.domain.errors import BacktesterError, JournalError, StorageError, StrategyError
from backtester.domain.intents import Intent
from backtester.domain.run_events import LogEvent

JOURNAL_NAME = "journal.jsonl"
LOG_TOPIC = "logs"
"""The one topic outside the digest."""

_GENESIS = sha256(b"backtester journal 1").digest()
_TAIL = b',"chain":"0123456789abcdef"}\n'
_TOKEN_BYTES = 8
_LINES_PER_WRITE = 256


class JournalLine(msgspec.Struct, frozen=True, gc=False):
    """One recorded message; `raw` is the event's JSON, decoded on demand."""

    seq: int
    cause: int
    topic: str
    raw: bytes

    def event(self) -> JournaledMessage:
        """The message as it was published."""
        return decode_event(self.raw)


class MemoryJournal:
    """A journal kept in memory."""

    def __init__(self) -> None:
        self._event_hash = _GENESIS
        self._log_hash = _GENESIS
        self._lines: list[bytes] = []
        self._lines_max = sys.maxsize
        self._heads: dict[str, bytes] = {}

    def append(self, seq: int, cause: int, topic: str, message: JournaledMessage) -> None:
        """Record one message, encoded now: later changes to the object change nothing.

        Raises StrategyError for an intent or log whose values are not JSON, JournalError for any other such message, and
        StorageError when a file takes no more.
        """
        try:
            head = self._heads.get(topic) or self._head(topic)
            body = b'{"seq":%d,"cause":%d%b%b' % (seq, cause, head, _encode(message))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _unwritable(message, topic, seq, error) from error
        if topic == LOG_TOPIC:
            token = self._log_hash = sha256(self._log_hash + self._event_hash + body).digest()
        else:
            token = self._event_hash = sha256(self._event_hash + body).digest()
        lines = self._lines
        lines.append(b'%b,"chain":"%b"}\n' % (body, token[:_TOKEN_BYTES].hex().encode()))
        if len(lines) >= self._lines_max:
            self.flush()

    def flush(self) -> None:
        """Nothing is left to hand over."""

    def digest(self) -> str:
        """Hex digest of the event stream so far (logs excluded)."""
        return self._event_hash.hex()

    def lines(self) -> Iterator[JournalLine]:
        """Everything recorded so far, in order."""
        return _parsed(self._lines, where="journal in memory")

    def _head(self, topic: str) -> bytes:
        head = self._heads[topic] = b',"topic":%b,"event":' % msgspec.json.encode(topic)
        return head


class FileJournal(MemoryJournal):
    """A journal that grows in a new file, a few hundred lines at a time: after a crash it is readable up to there."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError when the file exists or cannot be made."""
        super().__init__()
        self.path = path
        self._lines_max = _LINES_PER_WRITE
        self._failed = False
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise StorageError(f"cannot create {path}: {error.strerror}; choose another --output") from error

    def flush(self) -> None:
        """Hand everything appended to the operating system. Raises StorageError when it takes no more."""
        if self._failed:
            raise StorageError(f"{self.path} is incomplete: an earlier write failed")
        if not self._lines:
            return
        block = memoryview(b"".join(self._lines))
        self._lines.clear()
        try:
            while block:
                block = block[self._file.write(block) :]
        except OSError as error:
            self._failed = True
            raise StorageError(f"cannot write {self.path}: {error.strerror}; make room or choose another --output") from error

    def lines(self) -> Iterator[JournalLine]:
        """Everything recorded so far, in order, read back from the file."""
        self.flush()
        return read_journal(self.path)

    def close(self) -> None:
        """Flush what can be flushed and close the file; safe to call twice and after a failure."""
        if self._file.closed:
            return
        try:
            if not self._failed:
                self.flush()
        finally:
            self._file.close()


def read_journal(path: Path) -> Iterator[JournalLine]:
    """The lines of a journal in order, streamed and checked against their chain; a line cut off by a crash at the end is left out.

    Raises StorageError when it cannot be read, JournalError naming the first line that is not as it was written.
    """
    try:
        with path.open("rb") as file:
            yield from _parsed(file, where=str(path))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


class _Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The layout of a line."""

    seq: int
    cause: int
    topic: str
    event: msgspec.Raw
    chain: str


def _parsed(lines: Iterable[bytes], *, where: str) -> Iterator[JournalLine]:
    event_hash = log_hash = _GENESIS
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return
        try:
            parsed = _decode_line(line)
        except (msgspec.DecodeError, ValueError) as error:
            raise JournalError(f"{where}, line {number}: not a journal line ({error})") from error
        body = line[: -len(_TAIL)]
        if parsed.topic == LOG_TOPIC:
            token = log_hash = sha256(log_hash + event_hash + body).digest()
        else:
            token = event_hash = sha256(event_hash + body).digest()
        if token[:_TOKEN_BYTES].hex() != parsed.chain:
            raise JournalError(
                f"{where}, line {number}: the chain does not match: this line was changed, "
                "or lines before it were removed, added or moved"
            )
        yield JournalLine(parsed.seq, parsed.cause, parsed.topic, bytes(parsed.event))


def _foreign_value(value: object) -> str:
    """Stands for a value that no message may carry: its type's name (a repr could hold an address)."""
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


_encode = msgspec.json.Encoder(order="deterministic", enc_hook=_foreign_value).encode
_decode_line = msgspec.json.Decoder(_Line).decode


def _unwritable(message: object, topic: str, seq: int, error: Exception) -> BacktesterError:
    kind = type(message).__name__
    if isinstance(message, (Intent, LogEvent)):
        return StrategyError(f"{kind} holds a value that cannot be recorded: {error}; use text, numbers or Decimal")
    return JournalError(f"event {seq} on {topic}: {kind} cannot be recorded: {error}")
