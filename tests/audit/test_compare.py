from __future__ import annotations

import msgspec
import pytest

from backtester.audit.compare import first_difference
from backtester.audit.journal import MemoryJournal
from backtester.domain.run_events import LogEvent
from tests.audit.messages import EVERY_MESSAGE, a_fill


def journal_of(*messages: object, topic: str = "other") -> MemoryJournal:
    journal = MemoryJournal()
    for seq, message in enumerate(messages, start=1):
        journal.append(seq, seq - 1, topic, message)  # type: ignore[arg-type]  # any of the messages
    return journal


def test_equal_journals_have_no_difference_and_notes_do_not_count() -> None:
    one, other = journal_of(*EVERY_MESSAGE), journal_of(*EVERY_MESSAGE)
    other.append(99, 0, "logs", LogEvent(time_ms=1, strategy_id="s", event="e", facts={}))
    assert first_difference(one.lines(), other.lines()) is None


@pytest.mark.parametrize("index", range(len(EVERY_MESSAGE)))
def test_the_first_event_that_differs_is_named(index: int) -> None:
    changed = list(EVERY_MESSAGE)
    changed[index] = msgspec.structs.replace(changed[index], time_ms=77)
    changed[-1] = msgspec.structs.replace(changed[-1], time_ms=78)
    found = first_difference(journal_of(*EVERY_MESSAGE).lines(), journal_of(*changed).lines())
    assert found is not None and (found.position, found.seq, found.topic) == (index, index + 1, "other")


def test_both_sides_are_described_by_the_fields_that_differ() -> None:
    dearer = msgspec.structs.replace(a_fill(), price_ticks=1000002)
    found = first_difference(journal_of(a_fill(), topic="fills").lines(), journal_of(dearer, topic="fills").lines())
    assert found is not None
    assert found.describe("recorded", "again") == (
        "first difference at event 1 on fills (0 events are equal)\n"
        "  recorded: event=fill time_ms=1000 price_ticks=1000001\n"
        "  again: event=fill time_ms=1000 price_ticks=1000002"
    )


def test_a_stream_that_ends_early_differs_where_it_ends() -> None:
    found = first_difference(journal_of(a_fill()).lines(), journal_of(a_fill(), a_fill(2000)).lines())
    assert found is not None and found.left is None and found.seq == 2
    assert "recorded: has ended" in found.describe("recorded", "again")
    assert "again: event=fill seq=2" in found.describe("recorded", "again")


def test_a_kind_that_differs_shows_what_the_other_side_lacks() -> None:
    found = first_difference(journal_of(EVERY_MESSAGE[3]).lines(), journal_of(EVERY_MESSAGE[7]).lines())
    assert found is not None
    assert "event=order_ack" in found.describe("a", "b") and "event=cancel_order" in found.describe("a", "b")
