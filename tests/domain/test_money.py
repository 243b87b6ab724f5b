from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.money import (
    MONEY_ONE,
    PRICE_ONE,
    ceil_div,
    decimal_from_e8,
    decimal_from_money,
    e8_from_decimal,
    format_money,
    format_scaled,
    money_from_decimal,
    price_e8,
)
from tests.domain.hostile_decimals import unchanged_by_hostility

units = st.integers(-(10**34), 10**34)


@given(units)
def test_money_survives_the_way_through_a_decimal(amount: int) -> None:
    assert money_from_decimal(decimal_from_money(amount)) == amount
    assert e8_from_decimal(decimal_from_e8(amount)) == amount


@given(units)
def test_a_decimal_view_is_exact(amount: int) -> None:
    assert Fraction(decimal_from_money(amount)) == Fraction(amount, MONEY_ONE)
    assert Fraction(decimal_from_e8(amount)) == Fraction(amount, PRICE_ONE)


@given(units)
def test_text_of_money_is_exact_plain_and_has_eight_decimals_or_more(amount: int) -> None:
    text = format_money(amount)
    assert Fraction(text) == Fraction(amount, MONEY_ONE)
    assert "E" not in text.upper()
    decimals = text.partition(".")[2]
    assert 8 <= len(decimals) <= 16
    assert len(decimals) == 8 or not decimals.endswith("0")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00000000"),
        (1, "0.0000000000000001"),
        (-1, "-0.0000000000000001"),
        (10**8, "0.00000001"),
        (-(10**16), "-1.00000000"),
        (1234567 * 10**12, "123.45670000"),
    ],
)
def test_money_reads_like_this(amount: int, text: str) -> None:
    assert unchanged_by_hostility(lambda: format_money(amount)) == text


def test_other_scales_are_filled_up_to_eight_decimals() -> None:
    assert format_scaled(12345, 2) == "123.45000000"
    assert format_scaled(-5, 0) == "-5.00000000"
    assert format_scaled(123456, 4, least=2) == "12.3456"


@pytest.mark.parametrize("amount", [0, 1, -1, 10**8, 123456789 * 10**9 + 1, -(10**30)])
def test_no_setting_of_the_process_changes_a_view(amount: int) -> None:
    unchanged_by_hostility(lambda: (decimal_from_money(amount).as_tuple(), decimal_from_e8(amount).as_tuple()))
    value, price = decimal_from_money(amount), decimal_from_e8(amount)
    unchanged_by_hostility(lambda: (money_from_decimal(value), e8_from_decimal(price)))


@pytest.mark.parametrize(
    ("convert", "text", "message"),
    [
        (money_from_decimal, "1E-17", "more than 16 decimals"),
        (money_from_decimal, "NaN", "must be finite"),
        (money_from_decimal, "-Infinity", "must be finite"),
        (e8_from_decimal, "0.123456789", "more than 8 decimals"),
        (e8_from_decimal, "sNaN", "must be finite"),
    ],
)
def test_what_cannot_be_whole_units_is_refused(convert: object, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(Decimal(text))  # type: ignore[operator] # one of two functions


def test_trailing_zeros_are_no_decimals() -> None:
    assert e8_from_decimal(Decimal("1.50000000000000")) == 150_000_000
    assert e8_from_decimal(Decimal("1E+3")) == 1000 * PRICE_ONE


@given(numerator=st.integers(), denominator=st.integers(min_value=1))
def test_division_upwards_is_exact(numerator: int, denominator: int) -> None:
    assert ceil_div(numerator, denominator) == ceil(Fraction(numerator, denominator))


@given(st.integers(1, 9_000_000 * PRICE_ONE))
def test_a_market_price_of_eight_decimals_is_read_exactly(price: int) -> None:
    assert price_e8(price / PRICE_ONE) == price
