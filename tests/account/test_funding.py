"""Funding settlements on what is held: exact, at the right instant, in ledger, wallet and journal."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.account.ledger import FUNDING
from backtester.domain.funding import payment_quote
from backtester.domain.money import MONEY_ONE, price_e8
from backtester.domain.settlement import FundingPaid, Settlement
from tests.sim.small_run import A, SmallRun, flat, ms, small_run


def settled(time: str, rate: str, mark: float | None, *, assumed: bool = False) -> Settlement:
    """One settlement of the scenario's symbol."""
    return Settlement(ms(time), A, Decimal(rate), None if mark is None else price_e8(mark), assumed)


def paid(run: SmallRun) -> list[tuple[str, str]]:
    """(time as HH:MM, amount) of every payment."""
    return [
        (
            f"{(m.time_ms - ms('00:00')) // 3_600_000:02d}:{(m.time_ms - ms('00:00')) // 60_000 % 60:02d}",
            f"{m.amount.normalize():f}",
        )
        for m in run.messages(FundingPaid)
    ]


def test_golden_c01_three_intervals_with_a_changing_position() -> None:
    bars = flat("00:00", 25 * 60, price=50_000)
    orders = "00:01 a buy 2\n12:00 b sell 1.5\n20:00 c sell 1"
    settlements = [settled("08:00", "0.0001", 50_000), settled("16:00", "-0.0002", 51_000), settled("24:00", "0.0003", 52_000)]
    run = small_run(bars, orders, settlements=settlements, cash="1000000")
    assert paid(run) == [("08:00", "-10"), ("16:00", "5.1"), ("24:00", "7.8")]
    books = run.engine.account.books
    assert books.funding == Fraction("2.9") * MONEY_ONE
    assert run.engine.account.ledger.balance(FUNDING, "USDT") == -books.funding
    run.engine.account.check()


def test_a_position_pays_that_is_there_when_it_settles_and_one_that_comes_at_that_instant_does_not() -> None:
    bars = flat("00:00", 10, price=100)
    settlements = [settled("00:05", "0.01", 100)]
    assert paid(small_run(bars, "00:05 a buy 1", settlements=settlements)) == []
    assert paid(small_run(bars, "00:04 a buy 1", settlements=settlements)) == [("00:05", "-1")]
    assert paid(small_run(bars, "00:01 a buy 1\n00:05 b sell 1 reduce", settlements=settlements)) == [("00:05", "-1")]
    assert paid(small_run(bars, "00:01 a buy 1\n00:04 b sell 1 reduce", settlements=settlements)) == []


def test_a_fill_inside_the_bar_that_ends_at_the_settlement_counts() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 100 100 98 99 9\n00:02 99 99 99 99 9"
    run = small_run(bars, "00:01 a buy 1 at 99", settlements=[settled("00:02", "0.01", 100)])
    assert paid(run) == [("00:02", "-1")]


def test_without_a_mark_the_last_close_stands_in_and_is_flagged() -> None:
    run = small_run(flat("00:00", 5, price=80), "00:01 a sell 1", settlements=[settled("00:03", "0.01", None)])
    (message,) = run.messages(FundingPaid)
    assert (message.mark, message.is_last, message.amount) == (Decimal(80), True, Decimal("0.8"))


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_an_assumed_rate_is_paid_by_either_side(side: str) -> None:
    run = small_run(flat("00:00", 5, price=100), f"00:01 a {side} 1", settlements=[settled("00:03", "0.0001", None, assumed=True)])
    (message,) = run.messages(FundingPaid)
    assert message.is_assumed and message.amount == Decimal("-0.01")


def test_a_settlement_between_two_bars_of_a_gap_happens_at_its_own_time() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 100 100 100 100 9\n00:09 100 100 100 100 9"
    assert paid(small_run(bars, "00:01 a buy 1", settlements=[settled("00:05", "0.01", 100)])) == [("00:05", "-1")]


def test_funding_can_end_an_account() -> None:
    run = small_run(flat("00:00", 6, price=100), "00:01 a sell 5", settlements=[settled("00:03", "-1.5", 100)], cash="600")
    assert run.reason == "bankrupt"


def test_interest_and_broadcast_agree_with_funding() -> None:
    bars, settlements = flat("00:00", 30, price=100), [settled("00:10", "0.001", 101), settled("00:20", "0.001", None)]
    one = small_run(bars, "00:01 a sell 1", settlements=settlements)
    assert one.entries == small_run(bars, "00:01 a sell 1", settlements=settlements, routing="broadcast").entries


@settings(max_examples=60)
@given(
    st.integers(-5_000, 5_000).filter(bool),
    st.decimals("-0.01", "0.01", places=8),
    st.decimals("0.1", "90000", places=1),
)
def test_a_payment_is_that_of_the_formula_rounded_against_the_trader(lots: int, rate: Decimal, mark: Decimal) -> None:
    side = "buy" if lots > 0 else "sell"
    run = small_run(
        flat("00:00", 4, price=100),
        f"00:01 a {side} {abs(lots) / 1000}",
        settlements=[Settlement(ms("00:02"), A, rate, price_e8(float(mark)))],
    )
    exact = Fraction(payment_quote(signed_qty=Decimal(lots) / 1000, mark=mark, rate_frac=rate)) * MONEY_ONE
    assert run.engine.account.books.funding == exact.__floor__()
