from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.costs import cost_ratio
from backtester.domain.errors import DomainError
from backtester.domain.vocabulary import Liquidity, Side
from backtester.sim.sim_models import (
    FeeModel,
    FixedFee,
    FixedSlippage,
    MakerTakerFee,
    ScaledFees,
    SlippageModel,
    VolumeShareSlippage,
    checked_bps,
    checked_rate_bps,
)
from tests.domain.hostile_decimals import unchanged_by_hostility

SHIPPED_SLIPPAGE = (FixedSlippage(Decimal(5)), VolumeShareSlippage(), VolumeShareSlippage(Decimal("0.3"), Decimal("1.5")))
SHIPPED_FEES = (FixedFee(Decimal("5.5")), MakerTakerFee(Decimal("-0.5"), Decimal(5)))
quantities = st.decimals(min_value=Decimal("0.00000001"), max_value=10**9, places=8)
volumes = st.floats(min_value=0, max_value=1e12)


def cost(model: SlippageModel, *, qty: Decimal, bar_volume: float, side: Side = Side.BUY) -> Decimal:
    return model.cost(symbol="BTCUSDT", side=side, qty=qty, price=100.0, bar_volume=bar_volume)


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "100.00625"), (Side.SELL, "99.99375")])
def test_a_share_of_the_bar_costs_what_zipline_says(side: Side, price: str) -> None:
    """I01: close 100, 250 of a volume of 10,000, impact 0.1."""
    bps = unchanged_by_hostility(lambda: cost(VolumeShareSlippage(), qty=Decimal(250), bar_volume=10_000.0, side=side))
    assert bps == Decimal("0.625")
    assert 100 * Fraction(*cost_ratio(Decimal(0), bps, side)) == Fraction(price)


def test_the_base_is_added_to_the_impact() -> None:
    model = VolumeShareSlippage(impact=Decimal("0.2"), base_bps=Decimal(1))
    assert cost(model, qty=Decimal(5), bar_volume=10.0) == 1 + 10_000 * Decimal("0.2") * Decimal("0.25")


@pytest.mark.parametrize("bar_volume", [0.0, 1.0, 4.0])
def test_the_share_is_at_most_the_whole_bar(bar_volume: float) -> None:
    assert cost(VolumeShareSlippage(), qty=Decimal(4), bar_volume=bar_volume) == 1000


def test_a_volume_from_numpy_counts_like_any_other() -> None:
    model = VolumeShareSlippage()
    assert cost(model, qty=Decimal(1), bar_volume=np.float64(10.0)) == cost(model, qty=Decimal(1), bar_volume=10.0)


def test_a_share_without_an_end_is_cut_where_it_always_is() -> None:
    bps = unchanged_by_hostility(lambda: cost(VolumeShareSlippage(), qty=Decimal(1), bar_volume=3.0))
    assert abs(Fraction(bps) - Fraction(1000, 9)) < Fraction(1, 10**50)


def test_fixed_slippage_is_the_same_for_every_fill() -> None:
    model = FixedSlippage(Decimal("2.5"))
    assert {cost(model, qty=Decimal(qty), bar_volume=volume) for qty in (1, 10**6) for volume in (0.0, 5.0)} == {Decimal("2.5")}


@pytest.mark.parametrize("model", SHIPPED_SLIPPAGE, ids=lambda model: type(model).__name__)
@given(qty=quantities, bar_volume=volumes, side=st.sampled_from(Side))
def test_every_slippage_model_keeps_the_contract(model: SlippageModel, qty: Decimal, bar_volume: float, side: Side) -> None:
    bps = cost(model, qty=qty, bar_volume=bar_volume, side=side)
    assert checked_bps(bps) == bps
    assert bps == cost(model, qty=qty, bar_volume=bar_volume, side=side)
    assert bps <= cost(model, qty=qty * 2, bar_volume=bar_volume, side=side)


@pytest.mark.parametrize("model", SHIPPED_FEES, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("liquidity", list(Liquidity))
def test_every_fee_model_keeps_the_contract(model: FeeModel, liquidity: Liquidity) -> None:
    rate = model.rate_bps(symbol="BTCUSDT", liquidity=liquidity)
    assert checked_rate_bps(rate) == rate


@pytest.mark.parametrize(
    ("bps", "factor", "scaled"),
    [("5", "2", "10"), ("-1", "2", "-0.5"), ("-1", "0.5", "-2"), ("5", "0", "0"), ("-1", "0", "0"), ("9000", "2", "10000")],
)
def test_scaled_fees_multiply_what_is_paid_and_divide_what_is_given(bps: str, factor: str, scaled: str) -> None:
    fees = ScaledFees(FixedFee(Decimal(bps)), Decimal(factor))
    assert fees.rate_bps(symbol="X", liquidity=Liquidity.MAKER) == Decimal(scaled)


def test_makers_and_takers_pay_their_own_rate() -> None:
    fees = MakerTakerFee(Decimal("-0.5"), Decimal(5))
    assert fees.rate_bps(symbol="BTCUSDT", liquidity=Liquidity.MAKER) == Decimal("-0.5")
    assert fees.rate_bps(symbol="BTCUSDT", liquidity=Liquidity.TAKER) == 5
    assert {FixedFee(Decimal(4)).rate_bps(symbol="X", liquidity=liquidity) for liquidity in Liquidity} == {Decimal(4)}


@pytest.mark.parametrize("bps", [Decimal("-0.1"), Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity"), 1, 1.5, "1", None])
def test_a_slippage_that_flatters_or_is_no_decimal_is_refused(bps: object) -> None:
    with pytest.raises(DomainError, match="slippage model returned"):
        checked_bps(bps)  # type: ignore[arg-type] # what a user's model may really return


def test_no_slippage_is_a_slippage() -> None:
    assert checked_bps(Decimal(0)) == 0
    assert checked_bps(Decimal("-0")) == 0


@pytest.mark.parametrize("bps", [Decimal("NaN"), Decimal("Infinity"), Decimal(10_001), Decimal(-10_001), 1, 0.5, None])
def test_a_fee_rate_that_cannot_be_is_refused(bps: object) -> None:
    with pytest.raises(DomainError, match="fee model returned"):
        checked_rate_bps(bps)  # type: ignore[arg-type] # what a user's model may really return


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedSlippage(Decimal(-1)),
        lambda: VolumeShareSlippage(impact=Decimal(-1)),
        lambda: VolumeShareSlippage(base_bps=Decimal("NaN")),
        lambda: FixedFee(Decimal("NaN")),
        lambda: MakerTakerFee(Decimal(1), Decimal("Infinity")),
    ],
)
def test_a_model_is_refused_when_it_is_made(make: object) -> None:
    with pytest.raises(DomainError):
        make()  # type: ignore[operator] # a table of constructors
