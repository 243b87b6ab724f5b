"""Worked examples E: spot."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.costs import charged_fee
from backtester.domain.errors import DomainError
from backtester.domain.linear import average_entry
from backtester.domain.spot_costs import (
    FeeCoin,
    borrowed,
    commission,
    discounted_fee,
    fee_coin,
    hourly_interest,
    hourly_rate_frac,
    next_interest_ms,
    qty_for_value,
    spot_fill,
)
from backtester.domain.timeframe import HOUR_MS
from backtester.domain.vocabulary import Liquidity, Side
from tests.domain.golden_match import decimals
from tests.domain.hostile_decimals import unchanged_by_hostility

FEE = Decimal("0.001")
TAKER, MAKER = Liquidity.TAKER, Liquidity.MAKER


def test_e01_a_fee_is_taken_from_the_coin_received() -> None:
    bought = unchanged_by_hostility(
        lambda: spot_fill(side=Side.BUY, liquidity=TAKER, qty=Decimal("0.5"), price=Decimal(60000), rate_frac=FEE)
    )
    assert (bought.base_change, bought.quote_change) == decimals("0.4995", "-30000")
    assert (bought.fee, bought.fee_coin) == (Decimal("0.0005"), FeeCoin.BASE)
    sold = spot_fill(side=Side.SELL, liquidity=TAKER, qty=bought.base_change, price=Decimal(61000), rate_frac=FEE)
    assert (sold.base_change, sold.fee, sold.fee_coin) == (Decimal("-0.4995"), Decimal("30.4695"), FeeCoin.QUOTE)
    assert sold.quote_change == Decimal("30439.0305")
    assert sold.quote_change + sold.fee == Decimal("30469.5")
    assert sold.quote_change + bought.quote_change == Decimal("439.0305")


def test_e03_every_fill_of_a_market_order_pays_its_own_fee() -> None:
    fills = [decimals(*fill) for fill in (("1", "4000"), ("5", "3999"), ("2", "3998"), ("1", "3997"), ("1", "3995"))]
    booked = [spot_fill(side=Side.SELL, liquidity=TAKER, qty=qty, price=price, rate_frac=FEE) for qty, price in fills]
    assert [fill.fee for fill in booked] == list(decimals("4", "19.995", "7.996", "3.997", "3.995"))
    assert sum(fill.fee for fill in booked) == Decimal("39.983")
    assert sum(fill.quote_change + fill.fee for fill in booked) == 39983
    assert average_entry(fills) == Decimal("3998.3")


def test_e04_commission_components_are_summed_by_kind() -> None:
    notional = Decimal("0.49975") * 35000
    assert notional == Decimal("17491.25")
    rates = {
        "0.01049475": ("0.00000020", "0.00000040"),
        "0.040229875": ("0.00000114", "0.00000116"),
        "1049.475": ("0.02", "0.04"),
    }
    for expected, rate in rates.items():
        found = unchanged_by_hostility(lambda rate=rate: commission(notional=notional, rates_frac=decimals(*rate)))
        assert found == Decimal(expected)
    assert commission(notional=notional, rates_frac=()) == 0


def test_e06_a_makers_rebate_is_paid_in_the_coin_given() -> None:
    rebate = Decimal("-0.00005")
    bought = spot_fill(side=Side.BUY, liquidity=MAKER, qty=Decimal(1), price=Decimal(60000), rate_frac=rebate)
    assert (bought.fee_coin, bought.fee, bought.base_change, bought.quote_change) == (FeeCoin.QUOTE, -3, 1, -59997)
    sold = spot_fill(side=Side.SELL, liquidity=MAKER, qty=Decimal(1), price=Decimal(60000), rate_frac=rebate)
    assert (sold.fee_coin, sold.fee) == (FeeCoin.BASE, rebate)
    assert (sold.base_change, sold.quote_change) == (Decimal("-0.99995"), 60000)


@pytest.mark.parametrize(
    ("side", "liquidity", "rate", "coin"),
    [
        (Side.BUY, TAKER, "0.001", FeeCoin.BASE),
        (Side.SELL, TAKER, "0.001", FeeCoin.QUOTE),
        (Side.BUY, MAKER, "0.001", FeeCoin.BASE),
        (Side.SELL, MAKER, "0", FeeCoin.QUOTE),
        (Side.BUY, MAKER, "-0.001", FeeCoin.QUOTE),
        (Side.SELL, MAKER, "-0.001", FeeCoin.BASE),
        (Side.BUY, TAKER, "-0.001", FeeCoin.BASE),
        (Side.SELL, TAKER, "-0.001", FeeCoin.QUOTE),
    ],
)
def test_only_a_makers_rebate_changes_the_coin(side: Side, liquidity: Liquidity, rate: str, coin: FeeCoin) -> None:
    assert fee_coin(side=side, liquidity=liquidity, rate_frac=Decimal(rate)) is coin


def test_e07_a_loan_costs_its_hourly_rate() -> None:
    arguments = {"borrowed": Decimal("1.06333265702840778"), "hourly_frac": Decimal("0.000001216904")}
    interest = unchanged_by_hostility(lambda: hourly_interest(**arguments))
    assert interest == Decimal("0.00000129397376366849754111312")
    assert charged_fee(interest) == Decimal("0.00000130")


def test_a_loan_above_its_limit_costs_the_cube_of_its_utilisation() -> None:
    for owed, rate in (("50", "0.00001"), ("100", "0.00001"), ("200", "0.00008")):
        assert hourly_rate_frac(hourly_frac=Decimal("0.00001"), borrowed=Decimal(owed), limit=Decimal(100)) == Decimal(rate)
    assert borrowed(equity=Decimal(-5)) == 5
    assert borrowed(equity=Decimal(5)) == 0


@pytest.mark.parametrize(
    ("time_ms", "charged_ms"),
    [(0, 300_000), (299_999, 300_000), (300_000, HOUR_MS + 300_000), (HOUR_MS, HOUR_MS + 300_000), (-1, 300_000)],
)
def test_interest_is_charged_five_minutes_past_the_hour(time_ms: int, charged_ms: int) -> None:
    assert next_interest_ms(time_ms) == charged_ms


def test_a_fee_in_a_third_coin_is_discounted() -> None:
    fee = discounted_fee(
        notional_quote=Decimal(30000), rate_frac=FEE, discount_frac=Decimal("0.25"), fee_coin_price_quote=Decimal(600)
    )
    assert fee == Decimal("0.0375")


def test_an_order_by_value_buys_whole_steps_and_returns_the_rest() -> None:
    order = qty_for_value(value_quote=Decimal(100), price=Decimal(60000), step=Decimal("0.00001"))
    assert (order.qty, order.unspent_quote) == decimals("0.00166", "0.4")
    assert qty_for_value(value_quote=Decimal(1), price=Decimal(60000), step=Decimal("0.001")).qty == 0


amounts = st.decimals(min_value=Decimal("0.001"), max_value=10**6, places=3)


@given(value=amounts, price=amounts, step=st.sampled_from(decimals("1", "0.1", "0.00001", "0.0003")))
def test_an_order_by_value_spends_all_but_less_than_a_step(value: Decimal, price: Decimal, step: Decimal) -> None:
    order = qty_for_value(value_quote=value, price=price, step=step)
    assert Fraction(order.qty) % Fraction(step) == 0
    assert Fraction(order.qty) * Fraction(price) + Fraction(order.unspent_quote) == Fraction(value)
    assert 0 <= Fraction(order.unspent_quote) < Fraction(step) * Fraction(price)


@given(
    side=st.sampled_from(Side),
    liquidity=st.sampled_from(Liquidity),
    qty=amounts,
    price=amounts,
    rate=st.decimals(min_value=Decimal("-0.001"), max_value=Decimal("0.01"), places=5),
)
def test_a_fill_gives_value_for_value_but_for_its_fee(
    side: Side, liquidity: Liquidity, qty: Decimal, price: Decimal, rate: Decimal
) -> None:
    fill = spot_fill(side=side, liquidity=liquidity, qty=qty, price=price, rate_frac=rate)
    worth = Fraction(fill.base_change) * Fraction(price) + Fraction(fill.quote_change)
    assert worth == -Fraction(qty) * Fraction(price) * Fraction(rate)
    assert (fill.base_change > 0) == (side is Side.BUY)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DomainError, match="discount_frac"):
        discounted_fee(notional_quote=Decimal(1), rate_frac=FEE, discount_frac=Decimal(2), fee_coin_price_quote=Decimal(1))
    with pytest.raises(DomainError, match="borrowed must not be negative"):
        hourly_interest(borrowed=Decimal(-1), hourly_frac=Decimal(0))
    with pytest.raises(DomainError, match="qty must be above 0"):
        spot_fill(side=Side.BUY, liquidity=TAKER, qty=Decimal(0), price=Decimal(1), rate_frac=FEE)
