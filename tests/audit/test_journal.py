from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.audit.events import decode_event, decode_fill
from backtester.audit.journal import FileJournal, JournalLine, MemoryJournal, read_journal
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
    for seq, message in enumerate(EVERY_MESSAGE, start=1):
        journal.append(seq, seq - 1, topic_of(message), message)
    return journal


def written(path: Path) -> list[bytes]:
    journal = FileJournal(path)
    filled(journal)
    journal.close()
    return path.read_bytes().splitlines(keepends=True)


def test_a_line_is_json_with_seq_cause_topic_event_and_chain(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written(tmp_path / "j")]
    assert [line["seq"] for line in lines] == list(range(1, len(EVERY_MESSAGE) + 1))
    assert all(list(line) == ["seq", "cause", "topic", "event", "chain"] and len(line["chain"]) == 16 for line in lines)
    fill = next(line["event"] for line in lines if line["topic"] == "fills")
    assert (fill["type"], fill["qty"], fill["side"]) == ("fill", "0.01", "buy")


def test_memory_and_file_record_the_same_and_every_message_reads_back(tmp_path: Path) -> None:
    memory, file = filled(MemoryJournal()), FileJournal(tmp_path / "j")
    filled(file)
    assert memory.digest() == file.digest() != MemoryJournal().digest()
    lines = list(file.lines())
    file.close()
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
    journal.append(1, 0, "logs", note)
    journal.append(2, 0, "fills", fill)
    facts["a"] = "changed"
    msgspec.structs.force_setattr(fill, "qty_lots", 99)
    log_line, fill_line = journal.lines()
    assert b'"a":"1"' in log_line.raw and decode_fill(fill_line.raw).qty_lots == 10


def test_logs_do_not_enter_the_digest_but_are_chained(tmp_path: Path) -> None:
    plain, noted = MemoryJournal(), MemoryJournal()
    for seq in range(5):
        plain.append(seq, 0, "fills", a_fill(seq))
        noted.append(seq, 0, "fills", a_fill(seq))
        noted.append(seq, 0, "logs", LogEvent(time_ms=seq, strategy_id="s", event="e", facts={}))
    assert plain.digest() == noted.digest()
    log_lines = [line for line in noted._lines if b'"topic":"logs"' in line]
    (tmp_path / "j").write_bytes(b"".join(line for line in noted._lines if line != log_lines[1]))
    with pytest.raises(JournalError, match="line 5:"):
        list(read_journal(tmp_path / "j"))


def test_the_digest_depends_on_every_part_of_an_event() -> None:
    def digest(seq: int = 1, cause: int = 0, topic: str = "fills", time_ms: int = 5) -> str:
        journal = MemoryJournal()
        journal.append(seq, cause, topic, a_fill(time_ms))
        return journal.digest()

    assert len({digest(), digest(seq=2), digest(cause=1), digest(topic="control"), digest(time_ms=6)}) == 5


@pytest.mark.parametrize("number", range(1, len(EVERY_MESSAGE) + 1))
def test_a_changed_line_is_named(tmp_path: Path, number: int) -> None:
    lines = written(tmp_path / "j")
    changed = lines[number - 1].replace(b'"cause":%d' % (number - 1), b'"cause":%d' % (number + 7))
    (tmp_path / "k").write_bytes(b"".join([*lines[: number - 1], changed, *lines[number:]]))
    with pytest.raises(JournalError, match=f"line {number}: the chain does not match"):
        list(read_journal(tmp_path / "k"))


def test_a_missing_added_or_swapped_line_is_named(tmp_path: Path) -> None:
    lines = written(tmp_path / "j")
    spoiled = {
        "missing": ([*lines[:3], *lines[4:]], 4),
        "first missing": (lines[1:], 1),
        "added": ([*lines[:3], lines[2], *lines[3:]], 4),
        "swapped": ([*lines[:3], lines[4], lines[3], *lines[5:]], 4),
        "not json": ([*lines[:3], b"hello\n", *lines[3:]], 4),
    }
    for name, (content, number) in spoiled.items():
        path = tmp_path / name
        path.write_bytes(b"".join(content))
        with pytest.raises(JournalError, match=f"line {number}:"):
            list(read_journal(path))


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    journal = filled(MemoryJournal())
    content = bytearray(b"".join(journal._lines))
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    spoiled = MemoryJournal()
    spoiled._lines = bytes(content).splitlines(keepends=True)
    with pytest.raises(JournalError):
        list(spoiled.lines())


def test_a_line_cut_off_at_the_end_is_left_out(tmp_path: Path) -> None:
    lines = written(tmp_path / "j")
    for kept in (1, 40, len(lines[-1]) - 1):
        (tmp_path / "j").write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
        assert len(list(read_journal(tmp_path / "j"))) == len(lines) - 1


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("mine")
    with pytest.raises(StorageError, match="cannot create"):
        FileJournal(tmp_path / "j")
    assert (tmp_path / "j").read_text() == "mine"


def test_a_missing_journal_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        list(read_journal(tmp_path / "absent"))


def test_a_full_disk_is_a_storage_error_and_what_was_written_stays_readable(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "j")
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageError, match="make room"):
            for seq in range(1000):
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


def test_a_snapshot_reads_back_with_exact_decimals() -> None:
    journal = filled(MemoryJournal())
    snapshot = next(line.event() for line in journal.lines() if b'"account_snapshot"' in line.raw)
    assert isinstance(snapshot, AccountSnapshot) and snapshot.cash == Decimal("9999.5")
    assert isinstance(next(journal.lines()), JournalLine)
