"""Worked examples C: funding and mark price."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import DomainError
from backtester.domain.funding import (
    assumed_payment_base,
    assumed_payment_quote,
    average_premium,
    boundary_payment,
    dated_mark_price,
    funding_basis_price,
    funding_rate,
    interest_frac,
    mark_price,
    nominal_time_ms,
    payment_base,
    payment_quote,
    settlement_price,
)
from backtester.domain.timeframe import HOUR_MS
from tests.domain.golden_match import decimals, matches
from tests.domain.hostile_decimals import unchanged_by_hostility


def test_c01_the_position_at_each_settlement_pays_or_receives() -> None:
    rows = [  # fills before it, mark, rate, payment
        (["2"], "50000", "0.0001", "-10"),
        (["-1.5"], "51000", "-0.0002", "5.1"),
        (["-1.0"], "52000", "0.0003", "7.8"),
    ]
    held, total = Decimal(0), Decimal(0)
    for fills, mark, rate, payment in rows:
        held += sum(decimals(*fills))
        found = payment_quote(signed_qty=held, mark=Decimal(mark), rate_frac=Decimal(rate))
        assert found == Decimal(payment)
        total += found
    assert total == Decimal("2.9")


@pytest.mark.parametrize(("premium", "rate"), [("0.0003", "0.0001"), ("0.0012", "0.0007"), ("-0.0010", "-0.0005")])
def test_c03_a_rate_leaves_its_premium_by_the_dampener_at_most(premium: str, rate: str) -> None:
    interest = interest_frac(daily_frac=Decimal("0.0003"), interval_ms=8 * HOUR_MS)
    assert interest == Decimal("0.0001")
    found = unchanged_by_hostility(lambda: funding_rate(premium_frac=Decimal(premium), interest_frac=interest))
    assert found == Decimal(rate)


def test_a_rate_stays_within_the_bounds_of_its_symbol() -> None:
    bounds = {"interest_frac": Decimal("0.0001"), "lower_frac": Decimal("-0.00375"), "upper_frac": Decimal("0.00375")}
    assert funding_rate(premium_frac=Decimal("0.02"), **bounds) == Decimal("0.00375")
    assert funding_rate(premium_frac=Decimal("-0.02"), **bounds) == Decimal("-0.00375")
    assert interest_frac(daily_frac=Decimal("0.0003"), interval_ms=HOUR_MS) == Decimal("0.0000125")


def test_c04_later_minutes_weigh_more() -> None:
    premiums = [Decimal("0.0002")] * 240 + [Decimal("0.0008")] * 240
    assert matches(unchanged_by_hostility(lambda: average_premium(premiums)), "0.0006496881496881496881496881497")
    assert average_premium([Decimal("0.0003")]) == Decimal("0.0003")


def test_c06_the_mark_is_the_middle_of_three_prices() -> None:
    timing = {"index": Decimal(60000), "last_rate_frac": Decimal("0.0001"), "left_ms": 4 * HOUR_MS, "interval_ms": 8 * HOUR_MS}
    assert funding_basis_price(**timing) == 60003
    for last, mark in (("60050", "60020"), ("60010", "60010"), ("59000", "60003")):
        found = unchanged_by_hostility(lambda last=last: mark_price(**timing, basis_average=Decimal(20), last=Decimal(last)))
        assert found == Decimal(mark)


def test_dated_futures_have_their_own_mark_and_settle_at_a_mean() -> None:
    assert dated_mark_price(index=Decimal(60000), basis_frac=Decimal("0.01")) == 60600
    assert settlement_price(decimals("10600", "10601", "10605")) == 10602


@pytest.mark.parametrize(
    ("before", "after", "paid"),
    [
        ("0", "-10", "-10"),  # opened at the settlement, owes
        ("0", "10", "0"),  # opened at the settlement, would receive
        ("-10", "0", "-10"),  # closed at the settlement, owed
        ("10", "0", "0"),  # closed at the settlement, would have received
        ("10", "20", "10"),  # what was held anyway is credited, what was added is not
    ],
)
def test_a_fill_at_the_settlement_is_charged_and_never_credited(before: str, after: str, paid: str) -> None:
    assert boundary_payment(before=Decimal(before), after=Decimal(after)) == Decimal(paid)


def test_a_hole_in_the_series_costs_either_side() -> None:
    for qty in decimals("2", "-2"):
        assert assumed_payment_quote(signed_qty=qty, mark=Decimal(50000), interval_ms=8 * HOUR_MS) == -10
        assert assumed_payment_quote(signed_qty=qty, mark=Decimal(50000), interval_ms=4 * HOUR_MS) == -5
        assert assumed_payment_base(signed_qty_quote=qty, mark=Decimal(50), interval_ms=8 * HOUR_MS) == Decimal("-0.000004")


@pytest.mark.parametrize(("stamp", "time"), [(0, 0), (28_800_017, 28_800_000), (28_799_999, 28_800_000), (28_829_999, 28_800_000)])
def test_a_stamp_stands_for_its_minute(stamp: int, time: int) -> None:
    assert nominal_time_ms(stamp) == time


signed = st.decimals(min_value=-10_000, max_value=10_000, places=4)
marks = st.decimals(min_value=Decimal("0.01"), max_value=10**6, places=2)
rates = st.decimals(min_value=Decimal("-0.02"), max_value=Decimal("0.02"), places=8)


@given(signed_qty=signed, mark=marks, rate_frac=rates)
def test_what_longs_pay_shorts_receive(signed_qty: Decimal, mark: Decimal, rate_frac: Decimal) -> None:
    linear = [payment_quote(signed_qty=way * signed_qty, mark=mark, rate_frac=rate_frac) for way in (1, -1)]
    inverse = [payment_base(signed_qty_quote=way * signed_qty, mark=mark, rate_frac=rate_frac) for way in (1, -1)]
    assert linear[0] + linear[1] == 0
    assert inverse[0] + inverse[1] == 0
    owes = signed_qty > 0 if rate_frac > 0 else signed_qty < 0
    assert not owes or not rate_frac or (linear[0] < 0 and inverse[0] < 0)


@given(premium=rates, interest=rates)
def test_the_rate_lies_between_premium_and_interest(premium: Decimal, interest: Decimal) -> None:
    rate = funding_rate(premium_frac=premium, interest_frac=interest)
    assert min(premium, interest) <= rate <= max(premium, interest)
    assert abs(rate - premium) <= Decimal("0.0005")


@given(premiums=st.lists(rates, min_size=1, max_size=20))
def test_an_average_premium_lies_among_its_premiums(premiums: list[Decimal]) -> None:
    assert min(premiums) <= average_premium(premiums) <= max(premiums)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DomainError, match="at least one minute"):
        average_premium([])
    with pytest.raises(DomainError, match="at least one sample"):
        settlement_price([])
    with pytest.raises(DomainError, match="mark must be above 0"):
        payment_quote(signed_qty=Decimal(1), mark=Decimal(0), rate_frac=Decimal(0))
    with pytest.raises(DomainError, match="interval_ms"):
        interest_frac(daily_frac=Decimal(1), interval_ms=0)
    with pytest.raises(DomainError, match="left_ms"):
        funding_basis_price(index=Decimal(1), last_rate_frac=Decimal(0), left_ms=-1, interval_ms=1)
    with pytest.raises(DomainError, match="dampener_frac"):
        funding_rate(premium_frac=Decimal(0), interest_frac=Decimal(0), dampener_frac=Decimal(-1))
