from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import DomainError, InvalidPriceError, InvalidQuantityError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import PRICE_ONE
from backtester.domain.rounding import (
    exact_decimal,
    fill_price_ticks,
    lots_decimal,
    price_ticks,
    qty_lots,
    ticks_decimal,
)
from backtester.domain.vocabulary import Market, Side
from tests.domain.hostile_decimals import unchanged_by_hostility

STEPS = ("0.1", "0.01", "0.5", "0.25", "1", "5", "0.00001", "0.00000001", "0.0003")


def spec(tick: str = "0.1", lot: str = "0.001") -> SymbolSpec:
    return SymbolSpec(
        symbol="BTCUSDT",
        exchange="binance",
        market=Market.LINEAR,
        base="BTC",
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
    )


numbers = st.one_of(
    st.decimals(min_value=Decimal("1E-12"), max_value=10**9, allow_nan=False, allow_infinity=False),
    st.floats(min_value=1e-12, max_value=1e9),
    st.integers(1, 10**9),
)
sides = st.sampled_from(Side)
steps = st.sampled_from(STEPS)


@pytest.mark.parametrize(
    ("side", "price", "rounded"),
    [(Side.BUY, "100.07", "100"), (Side.SELL, "100.03", "100.1"), (Side.BUY, "100.1", "100.1"), (Side.SELL, "100.1", "100.1")],
)
def test_a_limit_is_rounded_away_from_the_market(side: Side, price: str, rounded: str) -> None:
    """G09: tick 0.1."""
    rules = spec()
    for value in (Decimal(price), float(price), price):
        ticks = unchanged_by_hostility(lambda value=value: price_ticks(value, spec=rules, side=side))
        assert ticks_decimal(ticks, rules) == Decimal(rounded)


@pytest.mark.parametrize(("side", "price", "filled"), [(Side.BUY, "100.03", "100.1"), (Side.SELL, "99.97", "99.9")])
def test_a_fill_is_rounded_against_the_trader(side: Side, price: str, filled: str) -> None:
    """G09: tick 0.1."""
    rules = spec()
    reference = int(Decimal(price) * PRICE_ONE)
    ticks = fill_price_ticks(reference, numerator=1, denominator=1, tick_e8=rules.tick_e8, side=side)
    assert ticks_decimal(ticks, rules) == Decimal(filled)


def test_a_quantity_is_rounded_down() -> None:
    """G09: step 0.001."""
    rules = spec()
    lots = unchanged_by_hostility(lambda: qty_lots(Decimal("0.0199"), spec=rules))
    assert lots_decimal(lots, rules) == Decimal("0.019")
    assert qty_lots(Decimal("0.00099"), spec=rules) == 0


def test_a_float_is_what_it_reads_as() -> None:
    """0.1 + 0.2 is a little more than 0.3, and 0.3 itself a little less than three tenths: three lots each."""
    assert qty_lots(0.3, spec=spec(lot="0.1")) == 3
    assert qty_lots(0.1 + 0.2, spec=spec(lot="0.1")) == 3
    assert price_ticks(100.1, spec=spec(), side=Side.SELL) == 1001
    assert price_ticks(np.float64(100.1), spec=spec(), side=Side.SELL) == 1001


@given(price=numbers, tick=steps, side=sides)
def test_a_limit_is_kept_within_one_tick(price: Decimal | float, tick: str, side: Side) -> None:
    exact = Fraction(exact_decimal(price, what="price")) / Fraction(tick)
    assert price_ticks(price, spec=spec(tick), side=side) == (floor(exact) if side is Side.BUY else ceil(exact))


@given(qty=numbers, lot=steps)
def test_a_quantity_is_kept_within_one_lot(qty: Decimal | float, lot: str) -> None:
    assert qty_lots(qty, spec=spec(lot=lot)) == floor(Fraction(exact_decimal(qty, what="qty")) / Fraction(lot))


@given(ticks=st.integers(1, 10**12), step=steps, side=sides)
def test_what_stands_on_the_grid_stays_there(ticks: int, step: str, side: Side) -> None:
    rules = spec(step, step)
    assert price_ticks(ticks_decimal(ticks, rules), spec=rules, side=side) == ticks
    assert qty_lots(lots_decimal(ticks, rules), spec=rules) == ticks


@given(
    reference=st.integers(1, 10**15),
    numerator=st.integers(0, 10**12),
    denominator=st.integers(1, 10**12),
    tick=steps,
    side=sides,
)
def test_a_fill_is_less_than_one_tick_worse_and_never_better(
    reference: int, numerator: int, denominator: int, tick: str, side: Side
) -> None:
    rules = spec(tick)
    exact = Fraction(reference * numerator, denominator) / rules.tick_e8
    ticks = fill_price_ticks(reference, numerator=numerator, denominator=denominator, tick_e8=rules.tick_e8, side=side)
    assert ticks == (ceil(exact) if side is Side.BUY else max(1, floor(exact)))


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        0.0,
        -0.0,
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        Decimal("-0"),
        "",
        "ten",
        "1,5",
        "1e19",
        10**19,
        10**6000,
        "9" * 100_000,
        "1e-19",
        "1e999999999999999999999",
        True,
        None,
        [1],
        b"1",
        1 + 0j,
        np.int64(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_positive_number_is_refused_by_name_and_briefly(value: Any) -> None:
    for what, error in (("price", InvalidPriceError), ("qty", InvalidQuantityError)):
        with pytest.raises(error, match=what) as caught:
            exact_decimal(value, what=what)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["ten", "1e999999999999999999999", 0, -1, float("nan"), "1e-19"])
def test_what_is_refused_is_refused_under_any_setting(value: Any) -> None:
    def refused() -> bool:
        try:
            exact_decimal(value, what="qty")
        except DomainError:
            return True
        return False

    assert unchanged_by_hostility(refused)


@pytest.mark.parametrize("value", [1, 0.1, 1e-7, "0.000000012345678901234567890123456789", Decimal("123456789.987654321")])
def test_a_number_is_taken_exactly_under_any_setting(value: Any) -> None:
    number = unchanged_by_hostility(lambda: exact_decimal(value, what="qty").as_tuple())
    assert Fraction(Decimal(number)) == Fraction(str(value))
