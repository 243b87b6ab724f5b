"""Fills become money: wallet, positions, equity, and the identity between them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.account.ledger import WALLET
from backtester.domain.errors import LedgerImbalanceError
from backtester.domain.money import MONEY_ONE
from backtester.domain.vocabulary import Market, Side
from tests.account.desk import Till
from tests.sim.small_run import A, B

BUY, SELL = Side.BUY, Side.SELL


def money(units: int) -> Fraction:
    return Fraction(units, MONEY_ONE)


def test_golden_a06_a_flip_closes_and_opens_at_its_own_price() -> None:
    till = Till()
    till.fill(BUY, 1, 30_000, fee_bps="5.5")
    assert money(till.books.fees) == Fraction("16.5")
    till.fill(SELL, "1.5", 31_000, fee_bps="5.5")
    assert money(till.books.realised) == 1000
    assert money(till.books.fees) == Fraction("16.5") + Fraction("17.05") + Fraction("8.525")
    (view,) = till.books.snapshot(0).positions
    assert (view.qty, view.avg_entry) == (Decimal("-0.5"), Decimal(31_000))
    till.fill(BUY, "0.5", 30_500, fee_bps="5.5")
    assert money(till.books.realised) == 1000 + 250
    assert money(till.books.cash) == 100_000 + Fraction("1199.5375")
    assert till.books.snapshot(0).positions == ()


def test_golden_a05_average_entry_is_weighted_by_quantity() -> None:
    till = Till()
    till.fill(BUY, "0.5", 5_000)
    till.fill(BUY, "0.3", 6_000)
    assert till.books.snapshot(0).positions[0].avg_entry == 5375


def test_a_reducing_fill_leaves_the_average_entry() -> None:
    till = Till()
    till.fill(SELL, 3, 100)
    till.fill(BUY, 1, 90)
    (view,) = till.books.snapshot(0).positions
    assert (view.qty, view.avg_entry, money(till.books.realised)) == (Decimal(-2), Decimal(100), 10)


def test_spot_pays_and_receives_the_whole_value() -> None:
    till = Till(market=Market.SPOT, cash="1000")
    till.fill(BUY, 2, 100, fee_bps="10")
    assert money(till.books.cash) == 1000 - 200 - Fraction("0.2")
    till.close(a=110.0)
    assert money(till.books.equity()) == 1000 - Fraction("0.2") + 20
    assert money(till.books.unrealised()) == 20
    till.fill(SELL, 1, 110, fee_bps="10")
    assert money(till.books.realised) == 10
    assert money(till.books.cash) == 1000 - 200 - Fraction("0.2") + 110 - Fraction("0.11")
    assert money(till.account.ledger.balance(f"inventory:{A}", "USDT")) == 100


def test_spot_below_zero_is_our_bug_and_stops() -> None:
    till = Till(market=Market.SPOT)
    till.fill(BUY, 1, 100)
    with pytest.raises(LedgerImbalanceError, match="spot holdings of AAAUSDT fell below zero"):
        till.fill(SELL, "1.001", 100)


def test_each_strategy_has_its_own_position_and_the_account_the_net() -> None:
    till = Till()
    till.fill(BUY, 2, 100, strategy_id="s")
    till.fill(SELL, 2, 100, strategy_id="t")
    assert (till.positions["s"][A], till.positions["t"][A], till.books.position(A)) == (2, -2, 0)
    assert till.books.holdings() == [("s", A, 2000), ("t", A, -2000)]
    till.fill(SELL, 2, 100, strategy_id="s")
    assert till.books.holdings() == [("t", A, -2000)]
    assert str(till.positions["s"][A]) == "0"


def test_free_cash_leaves_out_margin_and_open_losses_and_counts_no_open_profit() -> None:
    till = Till(cash="1000")
    till.fill(BUY, 2, 100)
    assert money(till.books.free_cash()) == 800
    till.close(a=150.0)
    assert money(till.books.free_cash()) == 800
    till.close(a=90.0)
    assert money(till.books.free_cash()) == 780


@pytest.mark.parametrize("tamper", ["cash", "lots", "strategy", "ledger"])
def test_books_that_were_tampered_with_are_noticed(tamper: str) -> None:
    till = Till()
    till.fill(BUY, 1, 100, fee_bps="5")
    till.account.check()
    if tamper == "cash":
        till.books.cash += 1
    elif tamper == "lots":
        till.books.lots[A] += 1
    elif tamper == "strategy":
        till.books.strategy_sizes["s", A] += 1
    else:
        till.account.ledger.balances["USDT"][WALLET] += 1
    with pytest.raises(LedgerImbalanceError):
        till.account.check()


fills = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 5_000),
        st.integers(1, 3_000),
        st.sampled_from((A, B)),
        st.sampled_from(("-2.5", "0", "5.5", "10")),
        st.sampled_from(("s", "t")),
    ),
    max_size=25,
)


@given(
    rows=fills, market=st.sampled_from((Market.LINEAR, Market.SPOT)), close_a=st.integers(1, 3_000), close_b=st.integers(1, 3_000)
)
def test_money_is_conserved_and_equity_is_what_a_naive_count_says(
    rows: list[tuple[Side, int, int, str, str, str]], market: Market, close_a: int, close_b: int
) -> None:
    till = Till(market=market, cash="1000000000")
    cash, held, fees = Fraction(10**9), {A: Fraction(0), B: Fraction(0)}, Fraction(0)
    for side, lots, ticks, symbol, fee_bps, strategy_id in rows:
        qty, price = Fraction(lots, 1000), Fraction(ticks, 10)
        if market is Market.SPOT and side is SELL and qty > held[symbol]:
            continue
        before = till.books.fees
        till.fill(side, Decimal(lots) / 1000, Decimal(ticks) / 10, symbol=symbol, fee_bps=fee_bps, strategy_id=strategy_id)
        fee = money(till.books.fees - before)
        assert 0 <= fee - qty * price * Fraction(fee_bps) / 10_000 < Fraction(1, 10**8)
        cash -= side.sign * qty * price + fee
        fees += fee
        held[symbol] += side.sign * qty
        till.account.check()
    till.close(a=close_a / 10, b=close_b / 10)
    till.account.check()
    value = held[A] * Fraction(close_a, 10) + held[B] * Fraction(close_b, 10)
    assert money(till.books.equity()) == cash + value
    assert money(till.books.fees) == fees
    assert {symbol: Fraction(lots, 1000) for symbol, lots in till.books.lots.items()} == held
    for symbol in (A, B):
        assert Fraction(till.positions["s"][symbol] + till.positions["t"][symbol]) == held[symbol]
    if market is Market.SPOT:
        assert money(till.books.cash) == cash
    snapshot = till.books.snapshot(0)
    assert Fraction(snapshot.equity) == cash + value
    if market is Market.LINEAR:
        assert snapshot.equity == snapshot.cash + snapshot.unrealised_pnl
    if not any(held.values()):
        assert money(till.books.cash) == cash
        assert money(till.books.realised) == cash + fees - 10**9
