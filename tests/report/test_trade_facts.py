"""What a trade went through, checked against a plain reading of bars and fills."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.audit.journal import MemoryJournal
from backtester.domain.money import MONEY_ONE
from backtester.domain.orders import Fill, SanitizedOrder
from backtester.domain.run_events import RunEnded
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import OrderType, Side, TimeInForce
from backtester.report.trade_facts import TradeFacts, trade_facts
from tests.report.market import MINUTE, fill

A = "AAAUSDT"
UNIT = Decimal(1) / MONEY_ONE


class Columns(NamedTuple):
    start_ms: Any
    open: Any
    high: Any
    low: Any
    close: Any


def bars(*rows: tuple[float, float, float, float]) -> Columns:
    """Minutes from 0 on: (open, high, low, close)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Columns(np.arange(len(rows)) * MINUTE, *table.T)


def facts_of(events: list[Any], columns: Columns | None, *, end_ms: int = 10 * MINUTE, open_gross: dict[str, int] | None = None):
    journal = MemoryJournal()
    topics = {Fill: "fills", FundingPaid: "funding", SanitizedOrder: "orders.sanitized", RunEnded: "run"}
    ended = RunEnded(time_ms=end_ms, status="end_of_data", data_fingerprint="", ledger_hash="", candles=0)
    for seq, event in enumerate([*events, ended], start=1):
        journal.append(seq, 0, topics[type(event)], event)
    return trade_facts(journal.lines(), bars_of=lambda symbol: columns, length_ms=MINUTE, open_gross=open_gross or {})


def amounts(one: TradeFacts) -> tuple[Decimal | None, ...]:
    return tuple(None if value is None else value * UNIT for value in (one.worst, one.best, one.slippage))


def at(minute: float) -> int:
    return int(minute * MINUTE)


def stop(fill: Fill) -> Fill:
    return msgspec.structs.replace(fill, order_type=OrderType.STOP_MARKET, order_id="stop-1")


FOUR = ((100, 103, 98, 101), (101, 110, 95, 104), (104, 120, 90, 105), (105, 106, 104, 105))
LOT = Decimal("0.001")


@pytest.mark.parametrize(
    ("fills", "worst", "best"),
    [
        # in at the open of bar 0, out at the open of bar 2: bars 0 and 1 count whole, bar 2 not
        ([fill(at(0.01), A, 1, 1000), fill(at(2.01), A, -1, 1040)], -5, 10),
        # without latency the arrival is the bar's start
        ([fill(at(0), A, 1, 1000), fill(at(2), A, -1, 1040)], -5, 10),
        # in and out at one open
        ([fill(at(1.01), A, 1, 1010), fill(at(1.02), A, -1, 1010)], 0, 0),
        # short: the high is adverse
        ([fill(at(0.01), A, -1, 1000), fill(at(2.01), A, 1, 1040)], -10, 5),
        # in inside bar 0 at 98: of bar 0 only the adverse side counts, bar 1 counts whole
        ([fill(at(1), A, 1, 980, bar_fill=True), fill(at(2.01), A, -1, 1040)], -3, 12),
        ([fill(at(1), A, 1, 1020, bar_fill=True), fill(at(2.01), A, -1, 1040)], -7, 8),
        # out inside bar 1 by a limit at 108: the low of bar 1 may have come before, its high was not had
        ([fill(at(0.01), A, 1, 1000), fill(at(2), A, -1, 1080, bar_fill=True)], -5, 8),
        # out inside bar 1 by a stop at 97: it cannot have seen worse
        ([fill(at(0.01), A, 1, 1000), stop(fill(at(2), A, -1, 970, bar_fill=True))], -3, 3),
        # two entries: amounts are those of the whole position at each moment
        ([fill(at(0.01), A, 1, 1000), fill(at(1.01), A, 1, 1010), fill(at(2.01), A, -2, 1040)], -11, 19),
        # half is taken out before the deep bar
        ([fill(at(1.01), A, 2, 1010), fill(at(2.01), A, -1, 1040), fill(at(3.01), A, -1, 1050)], -12, 22),
    ],
)
def test_the_worst_and_the_best_are_those_of_the_bars_in_which_the_position_was_held(fills, worst, best):
    (one,) = facts_of(fills, bars(*FOUR))
    assert amounts(one)[:2] == (worst * LOT, best * LOT)
    assert one.worst_bps == pytest.approx(10_000 * worst * float(LOT) / (one.trade.entry_value / MONEY_ONE))


def test_an_open_trade_is_followed_to_the_end_of_the_run_and_no_further():
    (one,) = facts_of([fill(at(0.01), A, 1, 1000)], bars(*FOUR), end_ms=at(2), open_gross={A: 4 * MONEY_ONE // 1000})
    assert amounts(one)[:2] == (-5 * LOT, 10 * LOT)
    assert (one.held_ms, one.trade.gross) == (at(2) - at(0.01), 4 * MONEY_ONE // 1000)


def test_a_fill_through_zero_belongs_to_both_trades_by_size():
    first, second = facts_of([fill(at(0.01), A, 1, 1001), fill(at(2.01), A, -3, 1038), fill(at(3.01), A, 2, 1051)], bars(*FOUR))
    assert amounts(first) == (Decimal("-5.1") * LOT, Decimal("9.9") * LOT, Decimal("0.3") * LOT)
    assert amounts(second) == (Decimal("-32.4") * LOT, Decimal("27.6") * LOT, Decimal("0.6") * LOT)


def test_slippage_of_a_stop_is_counted_from_its_trigger_and_that_of_a_resting_limit_is_none():
    order = SanitizedOrder(
        time_ms=0, order_id="stop-1", strategy_id="s", symbol=A, side=Side.SELL, order_type=OrderType.STOP_MARKET, qty_lots=1,
        price_ticks=0, tif=TimeInForce.GTC, reduce_only=True, budget_e8=0, reason="SL_HIT", trigger_ticks=975,
    )  # fmt: skip
    (one,) = facts_of([fill(at(1), A, 1, 1000, bar_fill=True), order, stop(fill(at(2), A, -1, 970, bar_fill=True))], bars(*FOUR))
    assert one.slippage * UNIT == Decimal("0.5") * LOT


def test_funding_belongs_to_the_trade_that_was_open_when_it_was_paid():
    def paid(time_ms: int, amount: str, symbol: str = A) -> FundingPaid:
        return FundingPaid(
            time_ms=time_ms, symbol=symbol, qty=Decimal(1), rate=Decimal("0.0001"), mark=Decimal(100), amount=Decimal(amount)
        )

    first, other, second = facts_of(
        [
            fill(at(0), A, 1, 1000),
            fill(at(0), "BBBUSDT", 1, 1000),
            paid(at(1), "-0.1"),
            paid(at(1), "-7", "BBBUSDT"),
            paid(at(2), "-0.2"),
            fill(at(2), A, -1, 1000),
            fill(at(2), "BBBUSDT", -1, 1000),
            fill(at(3), A, 1, 1000),
            paid(at(4), "0.4"),
        ],
        bars(*FOUR),
    )
    assert [one.funding * UNIT for one in (first, other, second)] == [Decimal("-0.3"), Decimal(-7), Decimal("0.4")]


def test_without_bars_nothing_is_guessed():
    (one,) = facts_of([fill(at(0), A, 1, 1000), fill(at(2), A, -1, 1010)], None)
    assert (one.worst, one.best, one.slippage, one.worst_bps, one.best_bps) == (None, None, None, None, None)
    assert one.trade.gross * UNIT == Decimal("0.001")


@given(
    prices=st.lists(st.tuples(st.integers(900, 1100), st.integers(0, 50), st.integers(0, 50)), min_size=8, max_size=8),
    moves=st.lists(st.tuples(st.integers(0, 7), st.integers(-3, 3).filter(bool)), min_size=2, max_size=6),
)
def test_fills_at_opens_agree_with_a_walk_over_every_bar(prices, moves):
    rows = [(middle / 10, (middle + up) / 10, (middle - down) / 10, middle / 10) for middle, up, down in prices]
    moves = sorted(moves, key=lambda move: move[0])
    found = facts_of([fill(at(minute), A, lots, prices[minute][0]) for minute, lots in moves], bars(*rows), end_ms=at(8))
    expected, held, cost, seen = [], 0, 0, [0]
    for minute, (middle, up, down) in enumerate(prices):
        for lots in [lots for when, lots in moves if when == minute]:
            parts = [-held, held + lots] if held * (held + lots) < 0 else [lots]
            for part in parts:
                seen.append(held * middle - cost)
                held, cost = held + part, cost + part * middle
                if not held:
                    expected.append((min(*seen, -cost), max(*seen, -cost)))
                    held, cost, seen = 0, 0, [0]
        if held:
            seen += [held * (middle + up) - cost, held * (middle - down) - cost]
    closed = [amounts(one)[:2] for one in found if not one.trade.is_open]
    assert closed == [(worst * LOT / 10, best * LOT / 10) for worst, best in expected]
