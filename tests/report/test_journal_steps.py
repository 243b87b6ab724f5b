"""Every event can be told in words, and a fill names the rule by which it came about."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import msgspec
import pytest

from backtester.audit import events
from backtester.audit.journal import MemoryJournal
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.deposits import CashDeposited, CoinsDeposited
from backtester.domain.intents import (
    AmendOrderIntent,
    MarketOrderIntent,
    OcoOrderIntent,
    PositionExitsIntent,
    StopOrderIntent,
    TakeProfitOrderIntent,
    TrailingStopIntent,
)
from backtester.domain.orders import (
    LiquidationOrder,
    OrderAmended,
    OrderAttached,
    OrderCanceled,
    OrderRejected,
    OrderTriggered,
    SanitizedAmend,
    SanitizedExits,
    SanitizedOrder,
)
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import FillNote, OrderStatus, OrderType, RejectReason, Side, TimeInForce
from backtester.report.journal_steps import order_ids, step_of, story_of
from backtester.report.named_rules import rules_of
from tests.audit.messages import EVERY_MESSAGE, ORDER, a_fill

AMENDING = (
    AmendOrderIntent(time_ms=1, price="99.5", **ORDER),
    SanitizedAmend(time_ms=1, price_ticks=995, **ORDER),
    OrderAmended(time_ms=2, qty_lots=10, open_lots=7, price_ticks=995, **ORDER),
    OrderRejected(time_ms=2, reason=RejectReason.TOO_LATE, detail="gone", is_amend=True, **ORDER),
)
EXITS = SanitizedExits(time_ms=1, side=Side.SELL, take_profit_ticks=1100, stop_loss_ticks=900, **ORDER)
LIQUIDATED = SanitizedOrder(
    time_ms=1, side=Side.SELL, order_type=OrderType.MARKET, qty_lots=2000, price_ticks=0, tif=TimeInForce.GTC, reduce_only=True,
    budget_e8=0, reason="LIQUIDATION", **(ORDER | {"order_id": "liq-1"}),
)  # fmt: skip
LIQUIDATION = LiquidationOrder(
    2, LIQUIDATED, 916966, Decimal(93500), Decimal("93567.9"), Decimal(0), is_cross=False, inside_bar=True
)
SETTLED = ContractSettled(2, "BTC-250106-45000-C", Decimal(46050))
DELIVERED = Delivery(
    2, "BTC-250106-45000-C", Side.SELL, Decimal("0.3"), Decimal(1050), Decimal("2.07"), "USDC", "delivery-1", "s", Decimal(46050), 300,
    207_000_000,
)  # fmt: skip
REST = (
    SETTLED, DELIVERED, EXITS, LIQUIDATION, OrderAttached(2, LIQUIDATED), OrderTriggered(time_ms=2, **ORDER),
    FundingPaid(time_ms=2, symbol="BTCUSDT", rate=Decimal("0.0001"), mark=Decimal(100), qty=Decimal(1), amount=Decimal("-0.01")),
    PositionExitsIntent(time_ms=1, stop_loss=95, **ORDER), PositionExitsIntent(time_ms=1, **ORDER),
    StopOrderIntent(time_ms=1, side=Side.SELL, qty=1, trigger_price=95, **ORDER),
    TakeProfitOrderIntent(time_ms=1, side=Side.SELL, qty=1, trigger_price=105, **ORDER),
    TrailingStopIntent(time_ms=1, side=Side.SELL, qty=1, trail_bps=100, **ORDER),
    OcoOrderIntent(time_ms=1, side=Side.SELL, qty=1, price=105, trigger_price=95, **ORDER),
    CoinsDeposited(time_ms=1, symbol="BTCUSDT", asset="BTC", qty=Decimal("0.5"), price=Decimal(100), strategy_id="cross"),
    InterestCharged(1, "USDT", Decimal(15000), Decimal("0.0001"), Decimal("1.5"), Decimal(1)),
    RulesChanged(2, "BTCUSDT", {"tick_size": "0.1"}, {"tick_size": "0.5"}),
    CashDeposited(time_ms=1, asset="BTC", amount=Decimal("0.5"), price=Decimal(100)),
)  # fmt: skip


def written(*messages):
    journal = MemoryJournal()
    for seq, message in enumerate(messages, start=1):
        journal.append(seq, seq - 1, "orders.intent" if hasattr(message, "side") else "any", message)
    return list(journal.lines())


@pytest.mark.parametrize("message", [*EVERY_MESSAGE, *AMENDING, *REST], ids=lambda message: type(message).__name__)
def test_every_message_is_told_in_words(message):
    (line,) = written(message)
    step = step_of(line)
    assert step.kind
    assert step.text
    assert (step.time_ms, step.seq) == (message.time_ms, 1)


def test_no_kind_of_message_is_left_untold():
    told = {type(message) for message in (*EVERY_MESSAGE, *AMENDING, *REST)}
    assert told == {*get_args(events._Recorded), *events._ORDER_INTENTS.values()}
    unnamed = [type(one).__name__ for one in (*EVERY_MESSAGE, *AMENDING, *REST) if step_of(written(one)[0]).kind == "run"]
    assert set(unnamed) == {"RunStarted", "RunEnded"}


def test_a_liquidation_and_exits_of_a_position_are_told_with_their_prices():
    liquidated, asked, passed = (step_of(written(one)[0]) for one in (LIQUIDATION, REST[7], EXITS))
    assert liquidated.text == (
        "liq-1: sell 2,000 lots of BTCUSDT at 916,966 ticks; the mark 93500 has reached the liquidation price 93567.9 (isolated)"
    )
    assert [rule.row for rule in liquidated.rules] == ["when", "isolated", "lower tier", "else, isolated"]
    assert asked.text == "cross-1: these exits for the position in BTCUSDT, and no others (stop_loss=95)"
    assert passed.text == "cross-1: sell exits for the position in BTCUSDT (take_profit_ticks=1100, stop_loss_ticks=900)"


def test_rules_that_change_are_told_with_what_they_were_and_are():
    told = step_of(written(RulesChanged(2, "BTCUSDT", {"tick_size": "0.1"}, {"tick_size": "0.5"}))[0])
    assert (told.kind, told.text) == ("rules", "BTCUSDT: other rules hold (tick_size=0.1 -> 0.5)")
    assert step_of(written(RulesChanged(2, "BTCUSDT", {}, {}, ended=True))[0]).text == "BTCUSDT: trading has ended"


def test_the_end_of_a_contract_is_told_with_its_prices_and_rules():
    settled, delivered = (step_of(written(one)[0]) for one in (SETTLED, DELIVERED))
    assert (settled.kind, settled.text) == ("expired", "BTC-250106-45000-C is settled at 46050")
    assert delivered.text == "delivery-1: sell 0.3 BTC-250106-45000-C at 1050, fee 2.07 USDC"
    assert [rule.row for step in (settled, delivered) for rule in step.rules] == ["settlement price at the expiry", "delivery"]
    short = step_of(written(msgspec.structs.replace(LIQUIDATION, price_ticks=0, liquidation_price=None, is_cross=True))[0])
    assert "at the market; the mark 93500 leaves the account short of margin (cross)" in short.text
    assert [rule.row for rule in short.rules] == ["a short option whose margin is not covered at a close"]


def test_the_story_of_a_liquidation_is_found_by_its_order():
    journal = MemoryJournal()
    journal.append(1, 0, "orders.liquidation", LIQUIDATION)
    journal.append(2, 1, "fills", msgspec.structs.replace(a_fill(), order_id="liq-1", reason="LIQUIDATION", note=FillNote.GAP_LOSS))
    lines = list(journal.lines())
    assert order_ids(lines) == ["liq-1"]
    assert story_of(lambda: lines, "liq-1") == lines
    assert [rule.row for rule in step_of(lines[1]).rules] == ["liquidation fee", "gap beyond bankruptcy"]


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
        ({"note": FillNote.MARK, "order_type": OrderType.STOP_MARKET, "bar_fill": True}, ["trigger by mark or index"]),
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
