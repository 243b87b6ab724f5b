from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.costs import cost_ratio, fee_e8, over_share_impact_bps
from backtester.domain.money import MONEY_ONE, PRICE_ONE, money_from_decimal
from backtester.domain.rounding import fill_price_ticks
from backtester.domain.vocabulary import Side
from tests.domain.hostile_decimals import unchanged_by_hostility

rates_bps = st.decimals(min_value=-100, max_value=1000, places=4)
costs_bps = st.decimals(min_value=0, max_value=5000, places=6)
values = st.integers(0, 10**30)


@pytest.mark.parametrize(
    ("value", "rate_bps", "fee"),
    [
        ("119.015", "6", "0.07140900"),  # A01
        ("4.338", "6", "0.00260280"),  # A02, first fill
        ("31.812", "6", "0.01908720"),  # A02, second fill
        ("30000", "5.5", "16.50000000"),  # A06, open
        ("31000", "5.5", "17.05000000"),  # A06, the leg that closes
        ("0.00000001", "1", "0.00000001"),  # rounded up, never to nothing
        ("100", "0", "0"),
        ("1000", "-0.25", "-0.02500000"),
        ("0.00000001", "-1", "0"),  # a rebate shrinks
        ("0.00019999", "-1", "-0.00000001"),
    ],
)
def test_a_fee_is_value_times_rate_rounded_up_to_coin_precision(value: str, rate_bps: str, fee: str) -> None:
    paid = unchanged_by_hostility(lambda: fee_e8(money_from_decimal(Decimal(value)), Decimal(rate_bps)))
    assert paid == int(Decimal(fee) * PRICE_ONE)


@given(value=values, rate_bps=rates_bps)
def test_a_fee_is_less_than_one_step_above_the_exact_one_and_never_below(value: int, rate_bps: Decimal) -> None:
    exact = Fraction(value, MONEY_ONE) * Fraction(rate_bps) / 10_000 * PRICE_ONE
    assert fee_e8(value, rate_bps) == ceil(exact)


@given(value=values, rate_bps=rates_bps, more=st.integers(0, 10**20))
def test_a_larger_fill_never_pays_less_unless_it_earns_a_rebate(value: int, rate_bps: Decimal, more: int) -> None:
    fees = (fee_e8(value, rate_bps), fee_e8(value + more, rate_bps))
    assert fees[0] <= fees[1] if rate_bps >= 0 else fees[0] >= fees[1]


@given(half=costs_bps, slippage=costs_bps, side=st.sampled_from(Side))
def test_costs_are_an_exact_ratio(half: Decimal, slippage: Decimal, side: Side) -> None:
    numerator, denominator = cost_ratio(half, slippage, side)
    expected = (1 + side.sign * Fraction(half) / 10_000) * (1 + side.sign * Fraction(slippage) / 10_000)
    assert Fraction(numerator, denominator) == expected
    assert denominator > 0


@given(half=costs_bps, slippage=costs_bps, side=st.sampled_from(Side))
def test_a_cost_is_never_in_favour_of_the_trader(half: Decimal, slippage: Decimal, side: Side) -> None:
    numerator, denominator = cost_ratio(half, slippage, side)
    assert numerator >= denominator if side is Side.BUY else numerator <= denominator


def test_a_sale_cannot_slip_below_nothing() -> None:
    assert cost_ratio(Decimal(1), Decimal(25_000), Side.SELL)[0] == 0


def test_a_market_order_pays_the_next_open_with_half_spread_and_slippage_rounded_once() -> None:
    """H10: open 101, half spread 0.05 in price, slippage 5 bps, tick 0.1: raw 101.100525, filled at 101.2."""
    half_spread_bps = Decimal(500) / Decimal(101)
    for reference, half in ((Decimal("101.05"), Decimal(0)), (Decimal(101), half_spread_bps)):
        numerator, denominator = cost_ratio(half, Decimal(5), Side.BUY)
        raw = Fraction(reference) * numerator / denominator
        assert abs(raw - Fraction("101.100525")) < Fraction(1, 10**20)
        ticks = fill_price_ticks(
            int(reference * PRICE_ONE), numerator=numerator, denominator=denominator, tick_e8=PRICE_ONE // 10, side=Side.BUY
        )
        assert ticks == 1012


@pytest.mark.parametrize(
    ("qty_e8", "volume_e8", "impact_bps"),
    [
        (250, 10_000, "0.625"),  # I01: share 0.025
        (5_000, 10_000, "250"),
        (10_000, 10_000, "1000"),
        (99_999, 10_000, "1000"),  # the share is at most the whole bar
        (1, 0, "0"),
    ],
)
def test_impact_grows_with_the_square_of_the_share(qty_e8: int, volume_e8: int, impact_bps: str) -> None:
    assert unchanged_by_hostility(lambda: over_share_impact_bps(qty_e8, volume_e8)) == Decimal(impact_bps)


@given(qty_e8=st.integers(1, 10**18), volume_e8=st.integers(1, 10**18))
def test_impact_is_between_nothing_and_a_tenth(qty_e8: int, volume_e8: int) -> None:
    assert 0 <= over_share_impact_bps(qty_e8, volume_e8) <= 1000
    assert over_share_impact_bps(qty_e8, volume_e8) <= over_share_impact_bps(qty_e8 + 1, volume_e8)


def test_one_third_of_a_bar_is_cut_where_it_always_is() -> None:
    """A quotient without an end must not take its last digit from settings of the process."""
    third = unchanged_by_hostility(lambda: over_share_impact_bps(1, 3))
    assert abs(Fraction(third) - Fraction(1000, 9)) < Fraction(1, 10**50)
