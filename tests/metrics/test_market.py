"""Benchmark, regimes and resampling."""

from __future__ import annotations

import math
import random

import pytest

from backtester.engine.rng import RandomStreams
from backtester.metrics import benchmark, probabilistic_sharpe, ratios, regimes, ruin


def test_holding_one_and_holding_all() -> None:
    assert benchmark.buy_and_hold([100.0, 110.0, 99.0]) == pytest.approx([0.1, -0.1])
    assert benchmark.equal_weight({"A": [100.0, 110.0, 99.0]}) == pytest.approx([0.1, -0.1])
    both = benchmark.equal_weight({"A": [100.0, 200.0, 200.0], "B": [10.0, 10.0, 5.0]})
    assert both == pytest.approx([0.5, -1 / 6])  # 1 and 1, then 2 and 1, then 2 and 0.5: held, not rebalanced


def test_a_run_that_is_twice_the_market_has_beta_two_and_its_own_alpha() -> None:
    market = [0.01, -0.02, 0.03, 0.0, 0.005]
    found = benchmark.comparison([2 * value + 0.001 for value in market], market)
    assert (found.alpha, found.beta, found.correlation) == pytest.approx((0.365, 2.0, 1.0))
    against = benchmark.comparison([-value for value in market], market)
    assert (against.beta, against.correlation) == pytest.approx((-1.0, -1.0))


def test_a_day_belongs_to_the_regime_of_the_thirty_days_before_it() -> None:
    market = [0.01] * 30 + [-0.5] + [0.0] * 30 + [0.2]
    labels = regimes.trends(market)
    assert labels[:30] == [None] * 30
    assert labels[30] == "bull", "the crash of that day is not known yet"
    assert labels[31] == "bear"
    assert labels[61] == "sideways"
    assert (regimes.trends([0.0] * 30), regimes.trends([])) == ([None] * 30, [])


def test_volatility_is_high_above_the_median_of_the_run_so_far() -> None:
    market = [0.001, -0.001] * 30 + [0.05, -0.05] * 30
    labels = regimes.volatility_regimes(market)
    assert labels[:30] == [None] * 30 and labels[30:60] == ["low_volatility"] * 30 and labels[-1] == "high_volatility"
    assert regimes.volatility_regimes([0.1] * 5) == [None] * 5


def test_figures_of_regimes_hold_all_days_but_the_first_thirty() -> None:
    market = [0.01] * 30 + [-0.5] + [0.0] * 30 + [0.2]
    found = regimes.by_regime([0.001] * len(market), market)
    assert {name: one.days for name, one in found.items()} == {
        "bull": 1,
        "bear": 30,
        "sideways": 1,
        "high_volatility": found["high_volatility"].days,
        "low_volatility": 32 - found["high_volatility"].days,
    }
    assert found["bear"].total_return == pytest.approx(1.001**30 - 1)
    assert found["sideways"].benchmark_return == pytest.approx(0.2)
    assert regimes.by_regime([], [])["bull"] == regimes.RegimeFigures(
        days=0, total_return=None, average_return=None, benchmark_return=None
    )


def drawn(values: list[float], seed: int = 1, **changes) -> float | None:
    return ruin.risk_of_ruin(values, stream=RandomStreams(seed).stream("ruin"), **changes)


def test_risk_of_ruin_is_a_function_of_the_seed() -> None:
    wild = [0.06, -0.05, 0.02, -0.03]
    assert drawn(wild, 5) == drawn(wild, 5)
    assert len({drawn(wild, seed) for seed in range(8)}) > 1
    assert drawn([0.01, 0.02]) == 0.0 and drawn([-0.01]) == 1.0
    assert drawn([-0.01], periods=5) == 0.0, "five losses of 1 % are no ruin"


def test_risk_of_ruin_is_near_that_of_even_bets() -> None:
    """Bets of e^+-0.05 with an edge: down by e^-0.5 is ten units lost; on long paths as good as ever."""
    values = [math.exp(0.05)] * 11 + [math.exp(-0.05)] * 9
    found = drawn([value - 1 for value in values], ruin_frac=1 - math.exp(-0.499), periods=1500, paths=1500)
    assert found == pytest.approx(ruin.even_bets_ruin(win_probability=0.55, units=10), abs=0.03)


def test_ruin_by_formula() -> None:
    assert ruin.even_bets_ruin(win_probability=0.5, units=3) == 1.0 == ruin.even_bets_ruin(win_probability=0.9, units=0)
    assert ruin.brownian_ruin(drift=0.1, deviation=1.0, loss=5.0) == pytest.approx(math.exp(-1.0), rel=1e-15)
    assert ruin.brownian_ruin(drift=-0.1, deviation=1.0, loss=5.0) == 1.0


def test_more_trials_deflate_more() -> None:
    moments = {"n": 500, "skew": -0.5, "kurt": 5.0}
    once = probabilistic_sharpe.deflated_sharpe(0.1, trials=1, variance=0.002, **moments)
    assert once == probabilistic_sharpe.probabilistic_sharpe(0.1, **moments)
    found = [probabilistic_sharpe.deflated_sharpe(0.1, trials=trials, variance=0.002, **moments) for trials in (1, 2, 10, 100)]
    assert found == sorted(found, reverse=True)


def test_the_error_of_a_sharpe_ratio_is_that_of_its_probability() -> None:
    daily = [0.02, -0.01, 0.015, -0.02, 0.03, 0.001, -0.004]
    ratio, error = ratios.sharpe(daily), ratios.sharpe_standard_error(daily)
    assert ratio is not None and error is not None
    found = probabilistic_sharpe.probabilistic_sharpe_of(daily)
    assert found == pytest.approx(0.5 * math.erfc(-ratio / error / math.sqrt(2)), rel=1e-12)


def test_a_label_is_the_same_however_long_the_run_goes_on() -> None:
    drawn = random.Random(7)
    market = [drawn.gauss(0.001, drawn.choice((0.005, 0.05))) for _ in range(200)]
    for labels in (regimes.trends, regimes.volatility_regimes):
        whole = labels(market)
        assert all(labels(market[:days]) == whole[:days] for days in (10, 31, 32, 60, 150, 199))
    assert {"high_volatility", "low_volatility"} < set(regimes.volatility_regimes(market))
