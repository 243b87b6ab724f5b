"""Worked examples F: options."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import DomainError
from backtester.domain.options import (
    OptionKind,
    expiry,
    held_to_expiry,
    intrinsic_value,
    liquidation_fee,
    opening_cash_flow,
    out_of_the_money,
    premium,
    short_initial_margin,
    short_maintenance_margin,
    trading_fee,
)
from tests.domain.golden_match import decimals
from tests.domain.hostile_decimals import unchanged_by_hostility

CALL, PUT = OptionKind.CALL, OptionKind.PUT
SIZE = Decimal("0.3")


@pytest.mark.parametrize(
    ("price", "rate", "fee"),
    [("3000", "0.0002", "2.52"), ("3000", "0.0003", "3.78"), ("50", "0.0003", "1.05")],  # F01, F01, F02
)
def test_f01_f02_a_fee_is_a_share_of_the_index_capped_by_the_price(price: str, rate: str, fee: str) -> None:
    found = unchanged_by_hostility(
        lambda: trading_fee(index=Decimal(42000), price=Decimal(price), qty=SIZE, rate_frac=Decimal(rate))
    )
    assert found == Decimal(fee)


def test_other_venues_cap_higher() -> None:
    arguments = {"index": Decimal(42000), "price": Decimal(50), "qty": SIZE}
    assert trading_fee(**arguments, rate_frac=Decimal("0.0003"), cap_frac=Decimal("0.125")) == Decimal("1.875")
    assert liquidation_fee(**arguments) == Decimal("3.75")


@pytest.mark.parametrize(
    ("kind", "strike", "index", "delivery", "payoff", "fee", "net"),
    [
        (CALL, "45000", "46000", "46050", "315", "2.07", "312.93"),  # F05
        (PUT, "40000", "46000", "46050", "0", "0", "0"),  # F06
        (CALL, "46000", "46000", "46020", "6", "0.75", "5.25"),  # F07
        (PUT, "46020", "46000", "46000", "6", "0.75", "5.25"),
        (CALL, "46000", "46000", "46000", "0", "0", "0"),
    ],
)
def test_f05_f06_f07_expiry_pays_the_intrinsic_value_less_a_capped_fee(
    kind: OptionKind, strike: str, index: str, delivery: str, payoff: str, fee: str, net: str
) -> None:
    at, spot, price = decimals(strike, index, delivery)
    found = unchanged_by_hostility(lambda: expiry(kind=kind, strike=at, qty=SIZE, delivery_price=price, index=spot))
    assert (found.payoff, found.delivery_fee, found.net) == decimals(payoff, fee, net)
    assert intrinsic_value(kind=kind, strike=at, price=price) * SIZE == found.payoff


@pytest.mark.parametrize(
    ("kind", "strike", "price", "paid", "long", "short"),
    [
        (CALL, "45000", "3000", "900", "-590.85", "579.15"),  # F05
        (PUT, "40000", "500", "150", "-153.78", "146.22"),  # F06
    ],
)
def test_f05_f06_both_sides_pay_their_fees(kind: OptionKind, strike: str, price: str, paid: str, long: str, short: str) -> None:
    outcome = expiry(kind=kind, strike=Decimal(strike), qty=SIZE, delivery_price=Decimal(46050), index=Decimal(46000))
    cost = premium(qty=SIZE, price=Decimal(price))
    assert cost == Decimal(paid)
    for is_long, net in ((True, long), (False, short)):
        found = held_to_expiry(is_long=is_long, premium_quote=cost, trading_fee_quote=Decimal("3.78"), outcome=outcome)
        assert found == Decimal(net)


def test_f09_a_short_posts_margin_that_falls_with_its_distance() -> None:
    short = {"kind": CALL, "strike": Decimal(31000), "qty": Decimal(1), "index": Decimal(30000)}
    assert out_of_the_money(kind=CALL, strike=Decimal(31000), index=Decimal(30000)) == 1000
    assert unchanged_by_hostility(lambda: short_initial_margin(**short, entry=Decimal(320), mark=Decimal(300))) == 3820
    assert short_maintenance_margin(qty=Decimal(1), index=Decimal(30000), mark=Decimal(300)) == 1260
    far = {**short, "strike": Decimal(40000)}
    assert short_initial_margin(**far, entry=Decimal(320), mark=Decimal(300)) == 3320
    put = {**short, "kind": PUT, "strike": Decimal(29500)}
    assert short_initial_margin(**put, entry=Decimal(320), mark=Decimal(330)) == 4330
    deep = {**short, "strike": Decimal(1)}  # the maintenance margin is the larger one
    low = {"initial_frac_max": Decimal("0.01"), "initial_frac_min": Decimal("0.01")}
    assert short_initial_margin(**deep, entry=Decimal(0), mark=Decimal(29999), **low) == 30959


def test_a_premium_moves_cash_at_once() -> None:
    assert opening_cash_flow(signed_qty=SIZE, price=Decimal(3000), trading_fee_quote=Decimal("3.78")) == Decimal("-903.78")
    assert opening_cash_flow(signed_qty=-SIZE, price=Decimal(3000), trading_fee_quote=Decimal("3.78")) == Decimal("896.22")


prices = st.decimals(min_value=1, max_value=10**6, places=2)
sizes = st.decimals(min_value=Decimal("0.01"), max_value=500, places=2)


@given(strike=prices, price=prices)
def test_a_call_less_a_put_is_the_distance_to_the_strike(strike: Decimal, price: Decimal) -> None:
    call, put = (intrinsic_value(kind=kind, strike=strike, price=price) for kind in (CALL, PUT))
    assert call - put == price - strike
    assert min(call, put) == 0
    assert out_of_the_money(kind=CALL, strike=strike, index=price) == put


@given(kind=st.sampled_from(OptionKind), strike=prices, qty=sizes, delivery=prices, index=prices)
def test_what_the_long_wins_the_short_loses_but_for_the_fees(
    kind: OptionKind, strike: Decimal, qty: Decimal, delivery: Decimal, index: Decimal
) -> None:
    outcome = expiry(kind=kind, strike=strike, qty=qty, delivery_price=delivery, index=index)
    both = [
        Fraction(held_to_expiry(is_long=long, premium_quote=Decimal(7), trading_fee_quote=Decimal(1), outcome=outcome))
        for long in (True, False)
    ]
    assert sum(both) == -2 - 2 * Fraction(outcome.delivery_fee)
    assert 0 <= Fraction(outcome.delivery_fee) <= Fraction(outcome.payoff) / 8


@given(kind=st.sampled_from(OptionKind), strike=prices, qty=sizes, index=prices, entry=prices, mark=prices)
def test_initial_margin_of_a_short_is_never_below_maintenance(
    kind: OptionKind, strike: Decimal, qty: Decimal, index: Decimal, entry: Decimal, mark: Decimal
) -> None:
    initial = short_initial_margin(kind=kind, strike=strike, qty=qty, index=index, entry=entry, mark=mark)
    assert initial >= short_maintenance_margin(qty=qty, index=index, mark=mark)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DomainError, match="strike must be above 0"):
        intrinsic_value(kind=CALL, strike=Decimal(0), price=Decimal(1))
    with pytest.raises(DomainError, match="qty must be above 0"):
        premium(qty=Decimal(-1), price=Decimal(1))
