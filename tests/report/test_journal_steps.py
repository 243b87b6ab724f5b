"""Every event can be told in words, and a fill names the rule by which it came about."""

from __future__ import annotations

import msgspec
import pytest

from backtester.audit.journal import MemoryJournal
from backtester.domain.intents import AmendOrderIntent, MarketOrderIntent
from backtester.domain.orders import OrderAmended, OrderCanceled, OrderRejected, SanitizedAmend
from backtester.domain.vocabulary import FillNote, OrderStatus, OrderType, RejectReason
from backtester.report.journal_steps import order_ids, step_of, story_of
from backtester.report.named_rules import rules_of
from tests.audit.messages import EVERY_MESSAGE, ORDER, a_fill

AMENDING = (
    AmendOrderIntent(time_ms=1, price="99.5", **ORDER),
    SanitizedAmend(time_ms=1, price_ticks=995, **ORDER),
    OrderAmended(time_ms=2, qty_lots=10, open_lots=7, price_ticks=995, **ORDER),
    OrderRejected(time_ms=2, reason=RejectReason.TOO_LATE, detail="gone", is_amend=True, **ORDER),
)


def written(*messages):
    journal = MemoryJournal()
    for seq, message in enumerate(messages, start=1):
        journal.append(seq, seq - 1, "orders.intent" if hasattr(message, "side") else "any", message)
    return list(journal.lines())


@pytest.mark.parametrize("message", [*EVERY_MESSAGE, *AMENDING], ids=lambda message: type(message).__name__)
def test_every_message_is_told_in_words(message):
    (line,) = written(message)
    step = step_of(line)
    assert step.kind
    assert step.text
    assert (step.time_ms, step.seq) == (message.time_ms, 1)


@pytest.mark.parametrize("qty", ["0.01", 0, None, ["a", "list"], {"a": 1}, -1.5])
def test_an_intent_of_any_kind_of_number_is_told(qty):
    (line,) = written(MarketOrderIntent(side="neither", qty=qty, **ORDER))
    assert step_of(line).text.startswith("cross-1: market order, neither")


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, ["price"]),
        ({"note": FillNote.GAP}, ["price", "arrival in a gap"]),
        ({"note": FillNote.ZERO_VOLUME}, ["price", "bar without volume"]),
        ({"note": FillNote.CARRIED, "open_lots": 3}, ["price", "what is left", "size"]),
        ({"over_share": True}, ["price", "reduce-only"]),
        ({"order_type": OrderType.LIMIT}, ["marketable on arrival"]),
        ({"order_type": OrderType.LIMIT, "bar_fill": True}, ["resting"]),
        ({"order_type": OrderType.STOP_MARKET, "bar_fill": True}, ["stop inside a bar"]),
        ({"order_type": OrderType.STOP_MARKET}, ["stop over a gap"]),
        ({"order_type": OrderType.TAKE_PROFIT_MARKET, "bar_fill": True}, ["take-profit"]),
        ({"order_type": OrderType.TRAILING_STOP, "bar_fill": True}, ["trailing stop"]),
        ({"reason": "END", "strategy_id": "end"}, [""]),
    ],
)
def test_a_fill_names_the_rules_it_follows(changes, rows):
    assert [rule.row for rule in rules_of(msgspec.structs.replace(a_fill(), **changes))] == rows


def test_an_order_that_ended_names_why():
    ended = OrderCanceled(time_ms=1, status=OrderStatus.EXPIRED, reason=RejectReason.CAPACITY, open_qty=1, **ORDER)
    assert [rule.row for rule in rules_of(ended)] == ["what is left"]


def test_a_story_holds_the_order_and_its_causes_and_nothing_else():
    lines = written(MarketOrderIntent(side="buy", qty=1, **ORDER), *AMENDING[1:3])
    other = msgspec.structs.replace(lines[0], seq=9, raw=lines[0].raw.replace(b"cross-1", b"cross-11"))
    assert story_of(lambda: [*lines, other], "cross-1") == lines
    assert story_of(lambda: [*lines, other], "cross-2") == []
    assert order_ids([*lines, other]) == ["cross-1", "cross-11"]
