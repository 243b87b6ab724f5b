"""Worked examples I: what size does to a price; and the volume split of a bar (H09)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import cosh, isclose, sinh, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import DomainError
from backtester.domain.execution_schedule import expected_cost_quote, optimal_holdings
from backtester.domain.impact import (
    almgren_2005,
    basana_volume_share,
    conservative_impact,
    decayed_impact,
    quarter_volumes,
    square_root_impact,
    volatility_volume_share_bps,
    zipline_volume_share,
)
from backtester.domain.vocabulary import Side
from tests.domain.golden_match import decimals, matches
from tests.domain.hostile_decimals import unchanged_by_hostility

BAR = {"close": Decimal(100), "volume": Decimal(10000)}


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "100.00625"), (Side.SELL, "99.99375")])
def test_i01_a_fill_is_capped_and_pays_the_square_of_its_share(side: Side, price: str) -> None:
    found = unchanged_by_hostility(lambda: zipline_volume_share(side=side, qty=Decimal(500), **BAR))
    assert (found.filled, found.rest, found.share_frac, found.price) == decimals("250", "250", "0.025", price)


def test_what_a_bar_gave_before_counts_and_a_limit_is_kept() -> None:
    second = zipline_volume_share(side=Side.BUY, qty=Decimal(500), consumed=Decimal(150), **BAR)
    assert (second.filled, second.share_frac, second.price) == decimals("100", "0.025", "100.00625")
    used_up = zipline_volume_share(side=Side.BUY, qty=Decimal(500), consumed=Decimal(250), **BAR)
    assert (used_up.filled, used_up.rest, used_up.price) == (0, 500, None)
    for limit, filled in (("100.006", 0), ("100.00625", 250)):
        found = zipline_volume_share(side=Side.BUY, qty=Decimal(500), limit_price=Decimal(limit), **BAR)
        assert found.filled == filled
    lots = zipline_volume_share(side=Side.BUY, qty=Decimal("0.0519"), lot_size=Decimal("0.001"), **BAR)
    assert lots.filled == Decimal("0.051")


def test_i03_impact_is_the_step_of_the_squared_use() -> None:
    bar = {"qty": Decimal(125), "volume": Decimal(1000)}
    assert unchanged_by_hostility(lambda: basana_volume_share(used_before=Decimal(0), **bar)) == Decimal("0.025")
    assert basana_volume_share(used_before=Decimal(125), **bar) == Decimal("0.075")
    with pytest.raises(DomainError, match="only 250 of this bar"):
        basana_volume_share(used_before=Decimal(250), **bar)


def test_i05_impact_grows_with_the_square_root_of_size() -> None:
    law = {"daily_volume": Decimal(40000), "daily_volatility_frac": Decimal("0.04")}
    found = unchanged_by_hostility(lambda: square_root_impact(qty=Decimal(100), **law))
    assert found.peak_frac == Decimal("0.002")
    assert found.peak_frac * 10_000 == 20
    assert found.peak_frac * 50_000 == 100
    assert matches(found.average_frac * 10_000, "13.33333333333333333333333333")
    assert square_root_impact(qty=Decimal(0), **law).peak_frac == 0


def test_the_larger_of_two_laws_is_the_conservative_one() -> None:
    law = {"daily_volume": Decimal(40000), "daily_volatility_frac": Decimal("0.04"), "qty": Decimal(100)}
    assert conservative_impact(bar_volume=Decimal(10000), **law) == Decimal("0.002")
    assert conservative_impact(bar_volume=Decimal(200), **law) == Decimal("0.025")
    assert conservative_impact(bar_volume=Decimal(0), **law) == Decimal("0.1")


@pytest.mark.parametrize(
    ("duration", "temporary_bps", "cost_bps"),
    [
        ("0.1", "22.294", "32.22031932058206236574851579"),
        ("0.2", "14.70855468138545230924199997", "24.63487400196751467499051576"),
        ("0.5", "8.488012181946359010748941528", "18.41433150252842137649745732"),
    ],
)
def test_i06_a_metaorder_moves_the_price_for_good_and_pays_more_when_hurried(
    duration: str, temporary_bps: str, cost_bps: str
) -> None:
    found = unchanged_by_hostility(
        lambda: almgren_2005(
            volume_share=Decimal("0.1"),
            daily_volatility_frac=Decimal("0.0157"),
            shares_outstanding_days=Decimal(263),
            duration_days=Decimal(duration),
        )
    )
    assert matches(found.permanent_frac * 10_000, "19.85263864116412473149703158")
    assert matches(found.temporary_frac * 10_000, temporary_bps)
    assert matches(found.cost_frac * 10_000, cost_bps)


def test_the_futures_rule_scales_with_volatility_and_needs_a_history() -> None:
    order = {"qty": Decimal(100), "mean_daily_volume": Decimal(10000), "eta": Decimal("0.05")}
    assert volatility_volume_share_bps(**order, annual_volatility=Decimal("0.4")) == Decimal("0.002")
    assert volatility_volume_share_bps(**order, annual_volatility=None) == Decimal("7.5")
    assert volatility_volume_share_bps(**{**order, "mean_daily_volume": Decimal(0)}, annual_volatility=Decimal(1)) == Decimal("7.5")


def test_a_temporary_impact_halves_with_each_half_life() -> None:
    arguments = {"impact_frac": Decimal("0.01"), "half_life_ms": 60_000}
    for elapsed, left in ((0, "0.01"), (60_000, "0.005"), (180_000, "0.00125")):
        assert decayed_impact(elapsed_ms=elapsed, **arguments) == Decimal(left)
    assert Fraction(decayed_impact(elapsed_ms=30_000, **arguments)) == pytest.approx(0.01 / sqrt(2))
    with pytest.raises(DomainError, match="half_life_ms"):
        decayed_impact(impact_frac=Decimal(1), elapsed_ms=0, half_life_ms=0)


def test_h09_a_bar_has_a_quarter_of_its_volume_at_each_price() -> None:
    found = unchanged_by_hostility(lambda: quarter_volumes(volume=Decimal("10.003"), size_increment=Decimal("0.001")))
    assert found == decimals("2.5", "2.5", "2.5", "2.503")


def test_a_trajectory_follows_its_hyperbolic_sine_and_costs_what_its_trades_cost() -> None:
    """Against the formula in floats: kappa from 2 (cosh(kappa tau) - 1) / tau^2."""
    plan = {"qty": Decimal(1000), "intervals": 5, "interval": Decimal(1), "eta": Decimal("0.01"), "gamma": Decimal("0.001")}
    held = unchanged_by_hostility(lambda: optimal_holdings(**plan, volatility_quote=Decimal("0.5"), risk_aversion=Decimal("0.01")))
    target = 0.01 * 0.5**2 / (0.01 - 0.001 / 2)
    low, high = 0.0, 10.0
    for _ in range(200):
        kappa = (low + high) / 2
        low, high = (kappa, high) if 2 * (cosh(kappa) - 1) < target else (low, kappa)
    for step, size in enumerate(held):
        assert isclose(size, 1000 * sinh(low * (5 - step)) / sinh(low * 5), rel_tol=1e-9, abs_tol=1e-9)
    trades = [earlier - later for earlier, later in zip(held, held[1:], strict=False)]
    costs = {"interval": Decimal(1), "eta": Decimal("0.01"), "gamma": Decimal("0.001"), "fixed_quote": Decimal("0.05")}
    found = expected_cost_quote(trades=trades, **costs)
    assert isclose(found, 0.001 * 1000**2 / 2 + 0.05 * 1000 + 0.0095 * sum(float(trade) ** 2 for trade in trades))


def test_without_risk_aversion_a_trajectory_is_a_straight_line() -> None:
    plan = {"qty": Decimal(100), "intervals": 4, "interval": Decimal(1), "eta": Decimal(1), "gamma": Decimal(0)}
    held = optimal_holdings(**plan, volatility_quote=Decimal(1), risk_aversion=Decimal(0))
    assert held == decimals("100", "75", "50", "25", "0")
    even = {"trades": [Decimal(25)] * 4, "interval": Decimal(1), "eta": Decimal(1), "gamma": Decimal(0)}
    assert expected_cost_quote(**even, fixed_quote=Decimal(0)) == 2500
    with pytest.raises(DomainError, match="intervals"):
        optimal_holdings(**{**plan, "intervals": 0}, volatility_quote=Decimal(1), risk_aversion=Decimal(0))
    with pytest.raises(DomainError, match="eta must be above"):
        optimal_holdings(**{**plan, "gamma": Decimal(2)}, volatility_quote=Decimal(1), risk_aversion=Decimal(0))


volumes = st.decimals(min_value=0, max_value=10**6, places=3)
sizes = st.decimals(min_value=Decimal("0.001"), max_value=10**5, places=3)


@given(volume=volumes, step=st.sampled_from(decimals("1", "0.001", "0.03")))
def test_the_parts_of_a_bar_sum_to_its_volume(volume: Decimal, step: Decimal) -> None:
    parts = quarter_volumes(volume=volume, size_increment=step)
    assert sum(Fraction(part) for part in parts) == Fraction(volume)
    assert min(parts) >= 0 and max(parts) == parts[-1]


@given(side=st.sampled_from(Side), qty=sizes, volume=volumes, consumed=volumes)
def test_a_capped_fill_never_exceeds_what_is_left_nor_flatters(
    side: Side, qty: Decimal, volume: Decimal, consumed: Decimal
) -> None:
    found = zipline_volume_share(
        side=side, qty=qty, close=Decimal(100), volume=volume, consumed=consumed, lot_size=Decimal("0.001")
    )
    assert Fraction(found.filled) + Fraction(found.rest) == Fraction(qty)
    assert Fraction(found.filled) <= max(Fraction(0), Fraction(volume) / 40 - Fraction(consumed))
    assert (found.price is None) == (found.filled == 0)
    assert found.price is None or (found.price - 100) * side.sign > 0


@given(first=sizes, second=sizes)
def test_taking_twice_costs_as_much_impact_as_taking_at_once(first: Decimal, second: Decimal) -> None:
    bar = {"volume": Decimal(10**6)}
    at_once = basana_volume_share(used_before=Decimal(0), qty=first + second, **bar)
    steps = [basana_volume_share(used_before=used, qty=qty, **bar) for used, qty in ((Decimal(0), first), (first, second))]
    assert abs(Fraction(at_once) - sum(Fraction(step) for step in steps)) < Fraction(1, 10**50)
