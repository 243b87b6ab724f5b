"""Worked examples B: inverse contracts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.costs import charged_fee
from backtester.domain.errors import DomainError
from backtester.domain.inverse import average_entry, book_fill, fee_base, pnl_base, unrealised_money, value_base
from backtester.domain.money import MONEY_ONE, PRICE_ONE
from tests.domain.golden_match import decimals, matches
from tests.domain.hostile_decimals import unchanged_by_hostility


def test_b01_the_average_entry_is_harmonic() -> None:
    fills = [decimals("1000", "5000"), decimals("2000", "6000")]
    assert unchanged_by_hostility(lambda: average_entry(fills)) == 5625
    coins = sum(value_base(qty_quote=qty, price=price) for qty, price in fills)
    assert matches(coins, "0.5333333333333333333333333333")


@pytest.mark.parametrize(
    ("qty", "entry", "close", "pnl"),
    [
        ("1000", "5000", "5500", "0.01818181818181818181818181818"),  # B02
        ("-1000", "5000", "5500", "-0.01818181818181818181818181818"),
        ("10000", "8000", "12500", "0.45"),  # B03
        ("0", "8000", "12500", "0"),
    ],
)
def test_b02_b03_profit_is_the_difference_of_coin_values(qty: str, entry: str, close: str, pnl: str) -> None:
    signed_qty, opened, closed = decimals(qty, entry, close)
    found = unchanged_by_hostility(lambda: pnl_base(signed_qty_quote=signed_qty, entry=opened, exit_price=closed))
    assert matches(found, pnl)


@pytest.mark.parametrize(
    ("price", "rate", "fee"),
    [
        ("8000", "0.00055", "0.0006875"),  # B05
        ("8000", "0.0002", "0.00025"),
        ("8000", "-0.0002", "-0.00025"),
        ("10600", "0.0005", "0.0004716981132075471698113207547"),  # B06
    ],
)
def test_b05_b06_fees_are_charged_on_the_coin_value(price: str, rate: str, fee: str) -> None:
    found = unchanged_by_hostility(lambda: fee_base(qty_quote=Decimal(10000), price=Decimal(price), rate_frac=Decimal(rate)))
    assert matches(found, fee)


def test_b06_a_delivery_fee_is_charged_up_at_coin_precision() -> None:
    fee = fee_base(qty_quote=Decimal(10000), price=Decimal(10600), rate_frac=Decimal("0.0005"))
    assert charged_fee(fee) == Decimal("0.00047170")


def book(trades: list[tuple[int, int]]) -> tuple[int, int, list[int]]:
    contracts, cost, realised = 0, 0, []
    for signed_contracts, price in trades:
        after = book_fill(
            contracts=contracts,
            cost=cost,
            signed_contracts=signed_contracts,
            contract_e8=PRICE_ONE,
            price_e8=price * PRICE_ONE,
        )
        contracts, cost = after.lots, after.cost
        realised.append(after.realised)
    return contracts, cost, realised


def test_the_books_of_an_inverse_position_follow_the_examples() -> None:
    contracts, cost, _ = book([(1000, 5000), (2000, 6000)])
    assert abs(Fraction(contracts * MONEY_ONE, cost) - 5625) < Fraction(1, 10**9)  # B01
    assert book([(10000, 8000), (-10000, 12500)]) == (0, 0, [0, 45 * MONEY_ONE // 100])  # B03
    contracts, cost, _ = book([(1000, 5000)])
    mark = {"contract_e8": PRICE_ONE, "mark_e8": 5500 * PRICE_ONE}
    assert unrealised_money(contracts=contracts, cost=cost, **mark) == 181_818_181_818_181  # B02, down to a unit
    contracts, cost, _ = book([(-1000, 5000)])
    assert unrealised_money(contracts=contracts, cost=cost, **mark) == -181_818_181_818_182


def test_an_inverse_fill_through_zero_closes_then_opens_at_its_own_price() -> None:
    contracts, cost, realised = book([(1000, 5000), (-1500, 6250), (500, 5000)])
    assert realised == [0, 4 * MONEY_ONE // 100, 2 * MONEY_ONE // 100]
    assert (contracts, cost) == (0, 0)


trades = st.lists(st.tuples(st.integers(-(10**6), 10**6).filter(bool), st.integers(1, 10**6)), min_size=1, max_size=20)


@given(trades)
def test_the_books_realise_the_exact_profit_less_at_most_two_units_a_fill(trades: list[tuple[int, int]]) -> None:
    contracts, coins, exact = 0, Fraction(0), Fraction(0)
    for signed, price in trades:
        closed = min(abs(contracts), abs(signed)) if contracts * signed < 0 else 0
        sign = 1 if signed > 0 else -1
        if closed:
            removed = coins * closed / abs(contracts)
            exact += removed + Fraction(sign * closed, price)
            coins -= removed
        coins += Fraction(sign * (abs(signed) - closed), price)
        contracts += signed
    found_contracts, cost, realised = book(trades)
    assert found_contracts == contracts
    assert exact * MONEY_ONE - 2 * len(trades) <= sum(realised) <= exact * MONEY_ONE + len(trades)
    assert abs(cost - coins * MONEY_ONE) <= 2 * len(trades)
    assert contracts or cost == 0


@given(
    qty=st.decimals(min_value=1, max_value=10**8, places=0),
    entry=st.decimals(min_value=Decimal("0.01"), max_value=10**6, places=2),
    close=st.decimals(min_value=Decimal("0.01"), max_value=10**6, places=2),
)
def test_there_and_back_is_nothing_and_the_other_side_gets_it(qty: Decimal, entry: Decimal, close: Decimal) -> None:
    there = pnl_base(signed_qty_quote=qty, entry=entry, exit_price=close)
    assert there + pnl_base(signed_qty_quote=-qty, entry=entry, exit_price=close) == 0
    assert there + pnl_base(signed_qty_quote=qty, entry=close, exit_price=entry) == 0
    assert average_entry([(qty, entry)]) == entry
    difference = Fraction(value_base(qty_quote=qty, price=entry)) - Fraction(value_base(qty_quote=qty, price=close))
    assert abs(Fraction(there) - difference) < Fraction(1, 10**40)


@given(first=st.integers(1, 10**6), second=st.integers(1, 10**6), low=st.integers(1, 10**6), high=st.integers(1, 10**6))
def test_a_harmonic_average_keeps_the_coin_value_and_lies_between_its_prices(first: int, second: int, low: int, high: int) -> None:
    fills = [(Decimal(first), Decimal(low)), (Decimal(second), Decimal(high))]
    average = Fraction(average_entry(fills))
    assert min(low, high) <= average <= max(low, high)
    assert abs((first + second) / average - Fraction(first, low) - Fraction(second, high)) < Fraction(1, 10**40)


def test_an_average_of_nothing_is_refused() -> None:
    with pytest.raises(DomainError, match="at least one fill"):
        average_entry([])
    with pytest.raises(DomainError, match="price must be above 0"):
        value_base(qty_quote=Decimal(1), price=Decimal(0))
