"""Worked examples A: linear contracts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.costs import balance_change, charged_fee, fee_of_value
from backtester.domain.errors import DomainError
from backtester.domain.funding import payment_quote
from backtester.domain.linear import average_entry, break_even_price, closed_pnl_quote, pnl_quote, value_quote
from backtester.domain.money import MONEY_ONE, money_from_decimal
from backtester.domain.position import book_fill, fee_legs
from tests.domain.golden_match import decimals, matches
from tests.domain.hostile_decimals import unchanged_by_hostility

TAKER = Decimal("0.0006")


def test_a01_a_fee_is_value_times_rate() -> None:
    value = value_quote(qty=Decimal("0.1"), price=Decimal("1190.15"))
    assert value == Decimal("119.015")
    assert fee_of_value(value=value, rate_frac=TAKER) == Decimal("0.071409")


def test_a02_two_fills_and_a_funding_payment_explain_the_balance() -> None:
    balance = Decimal("5086.58361602")
    expected = {"12": ("0.0026028", "5086.58101322"), "88": ("0.0190872", "5086.56192602")}
    for qty, (expected_fee, expected_balance) in expected.items():
        fee = fee_of_value(value=value_quote(qty=Decimal(qty), price=Decimal("0.3615")), rate_frac=TAKER)
        balance += balance_change(cash_flow=Decimal(0), funding=Decimal(0), fee=fee)
        assert (fee, balance) == decimals(expected_fee, expected_balance)
    funding = payment_quote(signed_qty=Decimal(100), mark=Decimal("0.3676"), rate_frac=Decimal("0.0001"))
    assert funding == Decimal("-0.003676")
    balance += balance_change(cash_flow=Decimal(0), funding=funding, fee=Decimal(0))
    assert balance == Decimal("5086.55825002")


def test_a03_a_closed_profit_is_net_of_both_fees() -> None:
    entry_value, exit_value = decimals("3584.9255", "3541.795")
    fees = [fee_of_value(value=value, rate_frac=TAKER) for value in (entry_value, exit_value)]
    assert sum(fees) == Decimal("4.2760323")
    net = closed_pnl_quote(
        signed_qty=Decimal(3), entry_value=entry_value, exit_value=exit_value, open_fee=fees[0], close_fee=fees[1]
    )
    assert net == Decimal("-47.4065323")
    no_fee = Decimal(0)
    gross = closed_pnl_quote(
        signed_qty=Decimal(3), entry_value=entry_value, exit_value=exit_value, open_fee=no_fee, close_fee=no_fee
    )
    assert gross == Decimal("-43.1305")
    entry = average_entry([decimals("2", "1194"), decimals("1", "1196.9255")])
    left = average_entry([decimals("1", "1180"), decimals("2", "1180.8975")])
    assert matches(entry, "1194.975166666666666666666667")
    assert matches(left, "1180.598333333333333333333333")
    assert abs(Fraction(pnl_quote(signed_qty=Decimal(3), entry=entry, exit_price=left)) - Fraction(gross)) < Fraction(1, 10**50)


def test_a05_the_average_entry_is_weighted_by_quantity() -> None:
    fills = [decimals("0.5", "5000"), decimals("0.3", "6000")]
    assert unchanged_by_hostility(lambda: average_entry(fills)) == 5375


def test_a06_a_fill_through_zero_splits_its_fee_between_its_legs() -> None:
    """Buy 1 at 30000, sell 1.5 at 31000, buy 0.5 at 30500, fee 5.5 bps; fees in 1e-8."""
    rate = Decimal("0.00055")
    lots, cost, net, found = 0, 0, Fraction(0), []
    for signed_lots, price in ((2, 30000), (-3, 31000), (1, 30500)):
        fee = int(fee_of_value(value=Decimal(abs(signed_lots) * price) / 2, rate_frac=rate) * 10**8)
        legs = fee_legs(fee=fee, lots=lots, signed_lots=signed_lots)
        after = book_fill(lots=lots, cost=cost, signed_lots=signed_lots, lot_value=price * MONEY_ONE // 2)
        found.append((Decimal(after.lots) / 2, after.realised // MONEY_ONE, *(Decimal(leg) / 10**8 for leg in legs)))
        net += Fraction(after.realised, MONEY_ONE) - Fraction(fee, 10**8)
        lots, cost = after.lots, after.cost
    assert found == [
        (Decimal(1), 0, Decimal(0), Decimal("16.5")),
        (Decimal("-0.5"), 1000, Decimal("17.05"), Decimal("8.525")),
        (Decimal(0), 250, Decimal("8.3875"), Decimal(0)),
    ]
    assert net == Fraction("1199.5375")
    assert pnl_quote(signed_qty=Decimal(1), entry=Decimal(30000), exit_price=Decimal(31000)) == 1000
    assert pnl_quote(signed_qty=Decimal("-0.5"), entry=Decimal(31000), exit_price=Decimal(30500)) == 250


def test_a08_closing_at_the_break_even_price_nets_nothing() -> None:
    arguments = {"signed_qty": Decimal(2), "entry": Decimal(50000), "realised_quote": Decimal(-55)}
    price = unchanged_by_hostility(lambda: break_even_price(**arguments, taker_frac=Decimal("0.00055")))
    assert matches(price, "50055.03026664665566061333734")
    assert break_even_price(**arguments, taker_frac=Decimal("0.0001")) == price


signed = st.decimals(min_value=-1000, max_value=1000, places=3).filter(bool)
prices = st.decimals(min_value=Decimal("0.01"), max_value=100_000, places=2)
rates = st.decimals(min_value=Decimal("0.00055"), max_value=Decimal("0.01"), places=5)


@given(signed_qty=signed, entry=prices, realised=st.decimals(min_value=-1, max_value=1, places=4), taker=rates)
def test_break_even_is_where_a_closing_taker_gets_even(
    signed_qty: Decimal, entry: Decimal, realised: Decimal, taker: Decimal
) -> None:
    price = Fraction(break_even_price(signed_qty=signed_qty, entry=entry, realised_quote=realised, taker_frac=taker))
    size = Fraction(signed_qty)
    net = size * (price - Fraction(entry)) - abs(size) * price * Fraction(taker) + Fraction(realised)
    assert abs(net) < Fraction(1, 10**40)


@given(lots=signed, entry=prices, close=prices)
def test_the_formula_and_the_books_agree(lots: Decimal, entry: Decimal, close: Decimal) -> None:
    whole = int(lots * 1000)
    opened = book_fill(lots=0, cost=0, signed_lots=whole, lot_value=money_from_decimal(entry) // 1000)
    closed = book_fill(lots=opened.lots, cost=opened.cost, signed_lots=-whole, lot_value=money_from_decimal(close) // 1000)
    assert closed.realised == Fraction(pnl_quote(signed_qty=lots, entry=entry, exit_price=close)) * MONEY_ONE


@given(fee=st.integers(-(10**12), 10**12), lots=st.integers(-1000, 1000), signed_lots=st.integers(-1000, 1000).filter(bool))
def test_the_legs_of_a_fee_sum_to_it(fee: int, lots: int, signed_lots: int) -> None:
    closing, opening = fee_legs(fee=fee, lots=lots, signed_lots=signed_lots)
    assert closing + opening == fee
    assert closing * fee >= 0 and opening * fee >= 0


@pytest.mark.parametrize(
    ("fee", "charged"), [("0.000000001", "0.00000001"), ("-0.000000019", "-0.00000001"), ("16.5", "16.5"), ("0", "0")]
)
def test_a_fee_is_charged_up_and_a_rebate_paid_down(fee: str, charged: str) -> None:
    assert unchanged_by_hostility(lambda: charged_fee(Decimal(fee))) == Decimal(charged)


@pytest.mark.parametrize("wrong", ["0", "-1", "NaN", "Infinity", "sNaN", "1e61"])
def test_what_is_no_price_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(DomainError, match="price"):
        value_quote(qty=Decimal(1), price=Decimal(wrong))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DomainError, match="at least one fill"):
        average_entry([])
    with pytest.raises(DomainError, match="must be a Decimal, was float"):
        value_quote(qty=0.1, price=Decimal(1))
    with pytest.raises(DomainError, match="no position"):
        break_even_price(signed_qty=Decimal(0), entry=Decimal(1), realised_quote=Decimal(0), taker_frac=Decimal(0))
    with pytest.raises(DomainError, match="below 1"):
        break_even_price(signed_qty=Decimal(1), entry=Decimal(1), realised_quote=Decimal(0), taker_frac=Decimal(1))
    with pytest.raises(DomainError, match="coin_decimals"):
        charged_fee(Decimal(1), coin_decimals=-1)
