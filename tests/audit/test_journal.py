from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.audit.events import decode_event, decode_fill
from backtester.audit.journal import BLOCK_LINES, FileJournal, JournalLine, MemoryJournal, read_journal, unsealed_lines
from backtester.domain.account import AccountSnapshot
from backtester.domain.errors import JournalError, StorageError, StrategyError
from backtester.domain.intents import MarketOrderIntent
from backtester.domain.orders import OrderAck
from backtester.domain.run_events import LogEvent
from backtester.domain.vocabulary import Side
from tests.audit.messages import EVERY_MESSAGE, ORDER, a_fill


def topic_of(message: object) -> str:
    return "logs" if isinstance(message, LogEvent) else "fills" if hasattr(message, "fill_id") else "other"


def filled(journal: MemoryJournal) -> MemoryJournal:
    seq = 0
    for message in EVERY_MESSAGE:
        seq += not isinstance(message, LogEvent)
        journal.append(seq, seq - 1, topic_of(message), message)
    return journal


def written(path: Path) -> list[bytes]:
    journal = FileJournal(path)
    filled(journal)
    journal.close()
    return path.read_bytes().splitlines(keepends=True)


def long_journal(journal: MemoryJournal, *, logs: bool = True, flush_every: int = 10**9) -> MemoryJournal:
    """600 fills, and after every tenth a note: three blocks."""
    for seq in range(1, 601):
        journal.append(seq, seq - 1, "fills", a_fill(seq))
        if logs and seq % 10 == 0:
            journal.append(seq, seq, "logs", LogEvent(time_ms=seq, strategy_id="s", event="e", facts={"n": str(seq)}))
        if seq % flush_every == 0:
            journal.flush()
    return journal


def long_lines(path: Path) -> list[bytes]:
    journal = FileJournal(path)
    long_journal(journal).close()
    return path.read_bytes().splitlines(keepends=True)


def read_back(path: Path, lines: list[bytes]) -> list[JournalLine]:
    path.write_bytes(b"".join(lines))
    return list(read_journal(path))


def test_a_line_is_json_with_seq_cause_topic_and_event(tmp_path: Path) -> None:
    *messages, _ = written(tmp_path / "j")
    lines = [json.loads(line) for line in messages]
    assert [line["seq"] for line in lines if line["topic"] != "logs"] == list(range(1, len(EVERY_MESSAGE)))
    assert all(list(line) == ["seq", "cause", "topic", "event"] for line in lines)
    fill = next(line["event"] for line in lines if line["topic"] == "fills")
    assert (fill["type"], fill["qty"], fill["side"]) == ("fill", "0.01", "buy")
    assert messages[0].startswith(b'{"seq":1,"cause":0,"topic":"other","event":{"type":"run_started",')


def test_a_seal_follows_every_256_messages_and_the_last(tmp_path: Path) -> None:
    lines = long_lines(tmp_path / "j")
    seals = {number: json.loads(line) for number, line in enumerate(lines, start=1) if line.startswith(b'{"seal"')}
    assert {number: seal["lines"] for number, seal in seals.items()} == {257: 256, 514: 256, 663: 148}
    assert all(list(seal) == ["seal", "lines"] and len(seal["seal"]) == 64 for seal in seals.values())
    assert unsealed_lines(tmp_path / "j") == 0


def test_a_last_block_that_is_full_gets_one_seal_and_an_empty_journal_none(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "full")
    for seq in range(1, BLOCK_LINES + 1):
        journal.append(seq, 0, "fills", a_fill(seq))
    journal.close()
    assert (tmp_path / "full").read_bytes().count(b'{"seal"') == 1
    FileJournal(tmp_path / "empty").close()
    assert (tmp_path / "empty").read_bytes() == b"" and list(read_journal(tmp_path / "empty")) == []


def test_a_seal_follows_from_the_one_before_the_digest_so_far_and_the_logs(tmp_path: Path) -> None:
    seal, events, logs, offset = sha256(b"backtester journal").digest(), b"", b"", 0
    for line in long_lines(tmp_path / "j"):
        if line.startswith(b'{"seal"'):
            seal = sha256(seal + sha256(events).digest() + logs).digest()
            assert json.loads(line)["seal"] == seal.hex()
            logs, offset = b"", 0
            continue
        if b'"topic":"logs"' in line:
            logs += b"%d " % offset + line
        else:
            events += line
        offset += len(line)


@pytest.mark.parametrize("flush_every", [1, 7, 256, 300])
def test_flushing_changes_neither_the_bytes_nor_the_digest(tmp_path: Path, flush_every: int) -> None:
    once, often = FileJournal(tmp_path / "once"), FileJournal(tmp_path / "often")
    long_journal(once).close()
    long_journal(often, flush_every=flush_every).close()
    assert (tmp_path / "once").read_bytes() == (tmp_path / "often").read_bytes()
    assert once.digest() == often.digest()


def test_what_was_flushed_is_in_the_file_before_its_seal(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "j")
    journal.append(1, 0, "fills", a_fill())
    assert (tmp_path / "j").read_bytes() == b""
    journal.flush()
    assert (tmp_path / "j").read_bytes().count(b"\n") == 1 and unsealed_lines(tmp_path / "j") == 1
    journal.close()
    assert (tmp_path / "j").read_bytes().count(b"\n") == 2 and unsealed_lines(tmp_path / "j") == 0


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_the_digest_is_the_hash_of_the_event_lines_before_and_after_closing(tmp_path: Path, count: int) -> None:
    journal, memory = FileJournal(tmp_path / "j"), MemoryJournal()
    for seq in range(1, count + 1):
        for each in (journal, memory):
            each.append(seq, 0, "fills", a_fill(seq))
        journal.append(seq, 0, "logs", LogEvent(time_ms=seq, strategy_id="s", event="e", facts={}))
    before = journal.digest()
    journal.close()
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    events = sha256(b"".join(line for line in lines if b'"topic":"fills"' in line)).hexdigest()
    assert before == journal.digest() == memory.digest() == events
    memory.close()
    assert memory.digest() == events


@pytest.mark.parametrize("topic", ["fills", "orders.intent"])
def test_a_closed_journal_takes_no_more(tmp_path: Path, topic: str) -> None:
    for journal in (MemoryJournal(), FileJournal(tmp_path / "j")):
        long_journal(journal).close()
        digest = journal.digest()
        for _ in range(2):
            with pytest.raises(JournalError, match="closed"):
                journal.append(601, 0, topic, a_fill())
            journal.close()
        assert journal.digest() == digest and len(list(journal.lines())) == 660


def test_memory_and_file_record_the_same_and_every_message_reads_back(tmp_path: Path) -> None:
    memory, file = filled(MemoryJournal()), FileJournal(tmp_path / "j")
    filled(file)
    assert memory.digest() == file.digest() != MemoryJournal().digest()
    lines = list(file.lines())
    file.close()
    assert lines == list(memory.lines()) == list(file.lines())
    memory.close()
    assert lines == list(memory.lines())
    assert tuple(line.event() for line in lines) == EVERY_MESSAGE


def test_a_decimal_quantity_of_an_intent_reads_back_as_its_text() -> None:
    journal = MemoryJournal()
    journal.append(1, 0, "orders.intent", MarketOrderIntent(side=Side.BUY, qty=Decimal("0.010"), **ORDER))
    (line,) = journal.lines()
    assert line.event() == MarketOrderIntent(side=Side.BUY, qty="0.010", **ORDER)


def test_what_is_no_event_is_refused_by_name() -> None:
    for raw in (b'{"type":"candle"}', b'{"type":"market_order","colour":1}', b"[]", b'{"type":"fill"}'):
        with pytest.raises(JournalError):
            decode_event(raw)
    with pytest.raises(JournalError, match="not a fill"):
        decode_fill(b'{"type":"order_ack"}')


def test_an_event_is_encoded_when_it_is_appended() -> None:
    facts = {"a": "1"}
    note = LogEvent(time_ms=1, strategy_id="s", event="e", facts=facts)
    fill, journal = a_fill(), MemoryJournal()
    journal.append(0, 0, "logs", note)
    journal.append(1, 0, "fills", fill)
    facts["a"] = "changed"
    msgspec.structs.force_setattr(fill, "qty_lots", 99)
    log_line, fill_line = journal.lines()
    assert b'"a":"1"' in log_line.raw and decode_fill(fill_line.raw).qty_lots == 10


def test_logs_do_not_enter_the_digest_but_are_sealed(tmp_path: Path) -> None:
    plain, noted = long_journal(MemoryJournal(), logs=False), long_journal(MemoryJournal())
    assert plain.digest() == noted.digest()
    lines = long_lines(tmp_path / "j")
    log = next(number for number, line in enumerate(lines) if number > 300 and b'"topic":"logs"' in line)
    spoiled = {
        "missing": [*lines[:log], *lines[log + 1 :]],
        "added": [*lines[:log], lines[log], *lines[log:]],
        "changed": [*lines[:log], lines[log].replace(b'"n":"', b'"n":"1'), *lines[log + 1 :]],
        "moved": [*lines[: log - 1], lines[log], lines[log - 1], *lines[log + 1 :]],
    }
    for name, content in spoiled.items():
        with pytest.raises(JournalError, match="lines 258 to 51[345]: the seal does not match|line 514: no seal after 256"):
            read_back(tmp_path / name, content)


def test_the_digest_depends_on_every_part_of_an_event() -> None:
    def digest(seq: int = 1, cause: int = 0, topic: str = "fills", time_ms: int = 5) -> str:
        journal = MemoryJournal()
        journal.append(seq, cause, topic, a_fill(time_ms))
        return journal.digest()

    assert len({digest(), digest(seq=2), digest(cause=1), digest(topic="control"), digest(time_ms=6)}) == 5


@pytest.mark.parametrize(
    ("line", "block"), [(1, "1 to 257"), (256, "1 to 257"), (258, "258 to 514"), (300, "258 to 514"), (662, "515 to 663")]
)
def test_a_changed_line_is_located_to_its_block(tmp_path: Path, line: int, block: str) -> None:
    lines = long_lines(tmp_path / "j")
    changed = lines[line - 1].replace(b'"cause":', b'"cause":1')
    with pytest.raises(JournalError, match=f"lines {block}: the seal does not match"):
        read_back(tmp_path / "k", [*lines[: line - 1], changed, *lines[line:]])


def test_a_changed_seal_is_located(tmp_path: Path) -> None:
    lines = long_lines(tmp_path / "j")
    for changed in (lines[256].replace(b'"lines":256', b'"lines":255'), b'{"seal":"%b","lines":256}\n' % (b"0" * 64)):
        with pytest.raises(JournalError, match="lines 1 to 257: the seal does not match"):
            read_back(tmp_path / "k", [*lines[:256], changed, *lines[257:]])


def test_a_missing_added_or_swapped_line_is_named(tmp_path: Path) -> None:
    lines = long_lines(tmp_path / "j")
    spoiled = {
        "missing": ([*lines[:3], *lines[4:]], 4),
        "first missing": (lines[1:], 1),
        "missing in a later block": ([*lines[:300], *lines[301:]], 301),
        "added": ([*lines[:3], lines[2], *lines[3:]], 4),
        "swapped": ([*lines[:3], lines[4], lines[3], *lines[5:]], 4),
        "not json": ([*lines[:3], b"hello\n", *lines[3:]], 4),
        "empty": ([*lines[:3], b"\n", *lines[3:]], 4),
        "cut in the middle": ([*lines[:3], lines[3][:40] + b"\n", *lines[4:]], 4),
        "unknown field": ([*lines[:3], lines[3].replace(b'{"seq"', b'{"x":1,"seq"'), *lines[4:]], 4),
    }
    for name, (content, number) in spoiled.items():
        with pytest.raises(JournalError, match=f"line {number}:"):
            read_back(tmp_path / name, content)


def test_missing_swapped_and_added_blocks_and_seals_are_found(tmp_path: Path) -> None:
    lines = long_lines(tmp_path / "j")
    first, second, third = lines[:257], lines[257:514], lines[514:]
    spoiled = {
        "missing block": ([*first, *third], "line 258: event 467 stands where event 234 belongs"),
        "swapped blocks": ([*second, *first, *third], "line 1: event 234 stands where event 1 belongs"),
        "doubled block": ([*first, *first, *second, *third], "line 258: event 1 stands"),
        "missing seal": ([*first[:-1], *second, *third], "line 257: no seal after 256 messages"),
        "swapped seals": ([*first[:-1], second[-1], *second[:-1], first[-1], *third], "lines 1 to 257: the seal does not match"),
        "doubled seal": ([*first, first[-1], *second, *third], "lines 258 to 258: the seal does not match"),
        "seal too early": ([*first[:-2], first[-1], first[-2], *second, *third], "lines 1 to 256: the seal does not match"),
        "line after the end": ([*lines, lines[-2]], "line 664: a line after the final seal"),
    }
    for name, (content, message) in spoiled.items():
        with pytest.raises(JournalError, match=message):
            read_back(tmp_path / name, content)


def test_swapped_blocks_of_logs_alone_are_found(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "j")
    for number in range(3 * BLOCK_LINES):
        journal.append(0, 0, "logs", LogEvent(time_ms=number, strategy_id="s", event="e", facts={}))
    journal.close()
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    assert len(read_back(tmp_path / "k", lines)) == 3 * BLOCK_LINES
    with pytest.raises(JournalError, match="lines 1 to 257: the seal"):
        read_back(tmp_path / "k", [*lines[257:514], *lines[:257], *lines[514:]])


LONG = long_journal(MemoryJournal())
LONG.close()
LONG_BYTES = b"".join(LONG._blocks)


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    content = bytearray(LONG_BYTES)
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    spoiled = MemoryJournal()
    spoiled._blocks = [bytes(content)]
    with pytest.raises(JournalError):
        list(spoiled.lines())


@given(st.data())
def test_any_byte_of_a_seal_is_guarded(data: st.DataObject) -> None:
    content = bytearray(LONG_BYTES)
    seal = data.draw(st.sampled_from([at for at in range(len(content)) if content.startswith(b'{"seal"', at)]))
    at = seal + data.draw(st.integers(0, len(b'{"seal":"","lines":148}') + 63))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    spoiled = MemoryJournal()
    spoiled._blocks = [bytes(content)]
    with pytest.raises(JournalError):
        list(spoiled.lines())


@given(st.integers(0, len(LONG_BYTES)))
def test_a_journal_cut_off_anywhere_is_readable_up_to_there(kept_bytes: int) -> None:
    cut = MemoryJournal()
    cut._blocks = [LONG_BYTES[:kept_bytes]]
    whole = [line for line in LONG_BYTES[:kept_bytes].splitlines(keepends=True) if line.endswith(b"\n") and b'"seal"' not in line]
    assert list(cut.lines()) == list(LONG.lines())[: len(whole)]


def test_a_line_cut_off_at_the_end_is_left_out_and_the_tail_reported_as_unsealed(tmp_path: Path) -> None:
    lines = long_lines(tmp_path / "j")
    for kept in (1, 40, len(lines[-2]) - 1):
        assert len(read_back(tmp_path / "k", [*lines[:-2], lines[-2][:kept]])) == 659
        assert unsealed_lines(tmp_path / "k") == 147
    assert len(read_back(tmp_path / "k", [*lines[:-1], lines[-1][:-1]])) == 660
    assert unsealed_lines(tmp_path / "k") == 148


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("mine")
    with pytest.raises(StorageError, match="cannot create"):
        FileJournal(tmp_path / "j")
    assert (tmp_path / "j").read_text() == "mine"


def test_a_missing_journal_is_a_storage_error(tmp_path: Path) -> None:
    for read in (lambda path: list(read_journal(path)), unsealed_lines):
        with pytest.raises(StorageError, match="cannot read"):
            read(tmp_path / "absent")


def test_a_full_disk_is_a_storage_error_and_what_was_written_stays_readable(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "j")
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageError, match="make room"):
            for seq in range(1, 1000):
                journal.append(seq, 0, "fills", a_fill(seq))
        with pytest.raises(StorageError, match="incomplete"):
            journal.flush()
        journal.close()
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    assert 10 < len(list(read_journal(tmp_path / "j"))) < 1000


def test_rubbish_in_an_intent_is_recorded_by_type_or_stops_with_a_named_error() -> None:
    journal = MemoryJournal()
    journal.append(1, 0, "orders.intent", MarketOrderIntent(side="up", qty=object(), **ORDER))  # type: ignore[arg-type]  # rubbish on purpose
    (line,) = journal.lines()
    assert line.event() == MarketOrderIntent(side="up", qty="<builtins.object>", **ORDER)  # type: ignore[arg-type]  # as recorded
    endless: list[object] = []
    endless.append(endless)
    for qty in ("\ud800", endless, {1j: 1}):
        with pytest.raises(StrategyError, match="cannot be recorded"):
            journal.append(2, 1, "orders.intent", MarketOrderIntent(side=Side.BUY, qty=qty, **ORDER))  # type: ignore[arg-type]  # rubbish
    with pytest.raises(JournalError, match="event 2 on orders.ack"):
        journal.append(2, 1, "orders.ack", OrderAck(time_ms=1, order_id="\ud800", strategy_id="s", symbol="B"))
    assert len(list(journal.lines())) == 1


def test_a_message_that_cannot_be_recorded_leaves_no_trace() -> None:
    clean, journal = MemoryJournal(), MemoryJournal()
    rubbish = OrderAck(time_ms=1, order_id="o" * 10_000 + "\ud800", strategy_id="s", symbol="B")
    for seq in range(1, 600):
        for topic in ("orders.ack", "logs"):
            with pytest.raises(JournalError, match="cannot be recorded"):
                journal.append(seq, 0, topic, rubbish)
        for each in (clean, journal):
            each.append(seq, 0, "fills", a_fill(seq))
    assert journal.digest() == clean.digest() and list(journal.lines()) == list(clean.lines())


def test_a_strategys_value_that_appends_while_it_is_encoded_breaks_nothing() -> None:
    journal = MemoryJournal()

    class Busy(tzinfo):
        def utcoffset(self, moment: datetime | None) -> timedelta:
            for seq in range(1, 301):
                journal.append(seq, 0, "fills", a_fill(seq))
            return timedelta(0)

        dst = tzname = None  # type: ignore[assignment]  # not asked for

    at = datetime(2024, 1, 1, tzinfo=Busy())
    journal.append(301, 0, "orders.intent", MarketOrderIntent(side=Side.BUY, qty=at, **ORDER))  # type: ignore[arg-type]  # rubbish on purpose
    assert [line.seq for line in journal.lines()] == list(range(1, 302))


class InterruptedLines(list[bytes]):
    """A signal arrives before anything can be added."""

    def append(self, line: bytes) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("count", [0, 3, 255, 256])
def test_an_append_that_a_signal_interrupted_is_left_out(count: int) -> None:
    journal, clean = MemoryJournal(), MemoryJournal()
    for seq in range(1, count + 1):
        for each in (journal, clean):
            each.append(seq, 0, "fills", a_fill(seq))
    append, journal._lines = journal.append, InterruptedLines(journal._lines)
    with pytest.raises(KeyboardInterrupt):
        append(count, 0, "logs", LogEvent(time_ms=1, strategy_id="s", event="late", facts={}))
    journal.close()
    assert list(journal.lines()) == list(clean.lines()) and journal.digest() == clean.digest()


def test_a_killed_process_leaves_a_readable_journal(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from backtester.audit.journal import FileJournal; from tests.audit.messages import a_fill\n"
        "journal = FileJournal(Path(sys.argv[1])); seq = 0\n"
        "while True:\n"
        "    seq += 1; journal.append(seq, 0, 'fills', a_fill(seq))\n"
        "    if seq == 5000: sys.stdout.write('on\\n'); sys.stdout.flush()\n"
    )
    path, root = tmp_path / "j", Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"on\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    lines = list(read_journal(path))
    assert len(lines) > 4000 and [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert unsealed_lines(path) < BLOCK_LINES


def test_a_snapshot_reads_back_with_exact_decimals() -> None:
    journal = filled(MemoryJournal())
    snapshot = next(line.event() for line in journal.lines() if b'"account_snapshot"' in line.raw)
    assert isinstance(snapshot, AccountSnapshot) and snapshot.cash == Decimal("9999.5")
    assert isinstance(next(journal.lines()), JournalLine)
