"""The journal: every message of a run in order, one JSON line each, sealed in blocks.

    {"seq":12,"cause":11,"topic":"fills","event":{...}}    a message
    {"seal":"<64 hex>","lines":256}                        after every 256 messages, and after the last

The digest of a run is the sha256 of its event lines: without seals, and without the lines on topic `logs`. A seal is

    sha256(the seal before it + the digest so far + for each log of the block: its offset in the block, a space, its line)

with hashes as 32 bytes, so that events are hashed once. No byte can be changed and no line or block removed, added or moved
unnoticed, except at the very end; the manifest's file hash covers that. Where blocks end depends on the number of messages alone:
the journal's bytes are a function of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from backtester.audit.events import JournaledMessage, decode_event
from backtester.domain.errors import BacktesterError, JournalError, StorageError, StrategyError
from backtester.domain.intents import Intent
from backtester.domain.run_events import LogEvent
from backtester.engine.topics import T_LOG

if TYPE_CHECKING:
    from hashlib import _Hash

JOURNAL_NAME = "journal.jsonl"
LOG_TOPIC = T_LOG.name
"""The one topic outside the digest."""
BLOCK_LINES = 256
"""Messages in a block; only the last block of a journal may hold fewer."""

_FIRST_SEAL = sha256(b"backtester journal").digest()
_SEAL_HEAD = b'{"seal":'
_LOG_FIELD = b'"topic":"%b"' % LOG_TOPIC.encode()


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
        self._lines: list[bytes] = []
        """The open block."""
        self._room_for = BLOCK_LINES
        self._event_hash = sha256()
        self._last_seal = _FIRST_SEAL
        self._closed = False
        self._blocks: list[bytes] = []

    def append(self, seq: int, cause: int, topic: str, message: JournaledMessage) -> None:
        """Record one message, encoded now: later changes to the object change nothing.

        Raises StrategyError for an intent or log whose values are not JSON, JournalError for any other such message or after
        `close`, and StorageError when a file takes no more.
        """
        try:
            line = _encode(_Entry(seq, cause, topic, message))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _unwritable(message, topic, seq, error) from error
        lines = self._lines  # asked for now: encoding what a strategy made may run its code, which may append
        lines.append(line)
        if len(lines) >= self._room_for:
            self._seal_block()

    def flush(self) -> None:
        """Nothing is left to hand over."""

    def close(self) -> None:
        """The last block is sealed, nothing can be appended any more; safe to call twice."""
        if self._closed:
            return
        if self._lines:
            self._seal_block()
        self._closed = True
        self._room_for = 0  # so that an append notices

    def digest(self) -> str:
        """Hex digest of the event stream so far (logs excluded), whatever was flushed or closed."""
        so_far = self._event_hash.copy()
        so_far.update(_joined(self._event_lines()))
        return so_far.hexdigest()

    def lines(self) -> Iterator[JournalLine]:
        """Everything recorded so far, in order."""
        recorded = (line for block in (*self._blocks, _joined(self._lines)) for line in BytesIO(block))
        return iter(_Reading(recorded, where="journal in memory"))

    def _seal_block(self) -> None:
        if self._closed:
            self._lines = []
            raise JournalError("the journal is closed: an event came after the end of the run")
        block = _joined(self._lines)
        event_hash = self._event_hash.copy()
        may_hold_logs = _LOG_FIELD in block
        event_hash.update(_joined(self._event_lines()) if may_hold_logs else block)
        seal = _seal(self._last_seal, event_hash, self._logs() if may_hold_logs else b"")
        count = len(self._lines)
        self._event_hash, self._last_seal, self._lines = event_hash, seal, []
        self._keep(block, _seal_line(seal, count))

    def _keep(self, block: bytes, seal_line: bytes) -> None:
        """Store a block that is complete."""
        self._blocks.append(block + seal_line)

    def _event_lines(self) -> list[bytes]:
        """The lines of the open block without logs."""
        return [line for line in self._lines if not _is_log(line)]

    def _logs(self) -> bytes:
        """For each log of the open block its offset there, a space, and its line."""
        parts: list[bytes] = []
        offset = 0
        for line in self._lines:
            if _is_log(line):
                parts.append(b"%d %b\n" % (offset, line))
            offset += len(line) + 1
        return b"".join(parts)


class FileJournal(MemoryJournal):
    """A journal that grows in a new file, a block at a time: after a crash it is readable up to there."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError when the file exists or cannot be made."""
        super().__init__()
        self.path = path
        self._early_bytes = 0
        """How much of the open block is in the file already."""
        self._failed = False
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise StorageError(f"cannot create {path}: {error.strerror}; choose another --output") from error

    def flush(self) -> None:
        """Hand everything appended to the operating system. Raises StorageError when it takes no more."""
        block = _joined(self._lines)
        self._write(block[self._early_bytes :])
        self._early_bytes = len(block)

    def lines(self) -> Iterator[JournalLine]:
        """Everything recorded so far, in order, read back from the file."""
        if not self._closed:
            self.flush()
        return read_journal(self.path)

    def close(self) -> None:
        """Seal and write what can be written and close the file; safe to call twice and after a failure."""
        if self._file.closed:
            return
        try:
            if not self._failed:
                super().close()
        finally:
            self._file.close()

    def _keep(self, block: bytes, seal_line: bytes) -> None:
        early, self._early_bytes = self._early_bytes, 0
        self._write(block[early:] + seal_line)

    def _write(self, data: bytes) -> None:
        if self._failed:
            raise StorageError(f"{self.path} is incomplete: an earlier write failed")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failed = True
            raise StorageError(f"cannot write {self.path}: {error.strerror}; make room or choose another --output") from error


def read_journal(path: Path) -> Iterator[JournalLine]:
    """The messages of a journal in order, streamed; a line cut off by a crash at the end is left out.

    Each block is checked when its seal is reached, after its messages were handed out. Raises StorageError when the file cannot
    be read, JournalError naming the line or the block that is not as it was written.
    """
    try:
        with path.open("rb") as file:
            yield from _Reading(file, where=str(path))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def unsealed_lines(path: Path) -> int:
    """How many messages at the end of a journal no seal covers: 0 unless the run was killed or the end was cut off.

    Everything before them has been checked. Raises as `read_journal`.
    """
    try:
        with path.open("rb") as file:
            reading = _Reading(file, where=str(path))
            for _ in reading:
                pass
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return reading.unsealed


class _Entry(msgspec.Struct, gc=False):
    """The layout of a message's line when it is written."""

    seq: int
    cause: int
    topic: str
    event: JournaledMessage


class _Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The layout of a message's line when it is read."""

    seq: int
    cause: int
    topic: str
    event: msgspec.Raw


class _Reading:
    """One pass over the lines of a journal."""

    def __init__(self, lines: Iterable[bytes], *, where: str) -> None:
        self._lines = lines
        self._where = where
        self.unsealed = 0
        """Messages since the last seal."""

    def __iter__(self) -> Iterator[JournalLine]:
        """The messages. Raises JournalError naming the line or the block that is not as it was written."""
        last_seal, event_hash, event_seq, is_final = _FIRST_SEAL, sha256(), 0, False
        offset, logs = 0, b""
        for number, line in enumerate(self._lines, start=1):
            if not line.endswith(b"\n"):
                return
            if is_final:
                raise self._error(number, "a line after the final seal: it was added, or lines before it were removed")
            if line.startswith(_SEAL_HEAD):
                last_seal = _seal(last_seal, event_hash, logs)
                if line != _seal_line(last_seal, self.unsealed):
                    raise self._broken_seal(number)
                is_final = self.unsealed < BLOCK_LINES
                self.unsealed, offset, logs = 0, 0, b""
                continue
            parsed = self._parse(number, line)
            if parsed.topic == LOG_TOPIC:
                logs += b"%d %b" % (offset, line)
            else:
                event_hash.update(line)
                event_seq += 1
                if parsed.seq != event_seq:
                    problem = f"event {parsed.seq} stands where event {event_seq} belongs: lines were removed, added or moved"
                    raise self._error(number, problem)
            if self.unsealed == BLOCK_LINES:
                raise self._error(number, f"no seal after {BLOCK_LINES} messages: it was removed, or lines were added before")
            self.unsealed += 1
            offset += len(line)
            yield JournalLine(parsed.seq, parsed.cause, parsed.topic, bytes(parsed.event))

    def _parse(self, number: int, line: bytes) -> _Line:
        try:
            return _decode_line(line)
        except (msgspec.DecodeError, ValueError) as error:
            raise self._error(number, f"not a journal line ({error})") from error

    def _error(self, number: int, problem: str) -> JournalError:
        return JournalError(f"{self._where}, line {number}: {problem}")

    def _broken_seal(self, number: int) -> JournalError:
        return JournalError(
            f"{self._where}, lines {number - self.unsealed} to {number}: the seal does not match: something in these lines was "
            "changed, or lines before them were removed, added or moved"
        )


def _is_log(line: bytes) -> bool:
    """Whether a line records a log; seq and cause are numbers, so that the topic stands after the second comma."""
    return line.split(b",", 3)[2] == _LOG_FIELD


def _joined(lines: list[bytes]) -> bytes:
    """The lines as they stand in a file."""
    return b"\n".join((*lines, b""))


def _seal(before: bytes, events: _Hash, logs: bytes) -> bytes:
    return sha256(before + events.digest() + logs).digest()


def _seal_line(seal: bytes, lines: int) -> bytes:
    return b'{"seal":"%b","lines":%d}\n' % (seal.hex().encode(), lines)


def _foreign_value(value: object) -> str:
    """Stands for a value that no message may carry: its type's name (a repr could hold an address)."""
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


_encoder = msgspec.json.Encoder(order="deterministic", enc_hook=_foreign_value)
_encode = _encoder.encode
_decode_line = msgspec.json.Decoder(_Line).decode


def _unwritable(message: object, topic: str, seq: int, error: Exception) -> BacktesterError:
    kind = type(message).__name__
    if isinstance(message, (Intent, LogEvent)):
        return StrategyError(f"{kind} holds a value that cannot be recorded: {error}; use text, numbers or Decimal")
    return JournalError(f"event {seq} on {topic}: {kind} cannot be recorded: {error}")
