from __future__ import annotations

import math

import pytest

from backtester.metrics.drawdown import DeepestFall, deepest_fall, longest_underwater_ms, max_drawdown, ulcer_index
from backtester.metrics.exposure import exposure
from backtester.metrics.moments import downside_deviation, kurtosis, mean, sample_deviation, skewness
from backtester.metrics.probabilistic_sharpe import deflated_sharpe, expected_best_sharpe, probabilistic_sharpe_of
from backtester.metrics.ratios import calmar, period_sharpe, recovery_factor, sharpe, sortino
from backtester.metrics.returns import cagr, simple_returns, total_return, volatility
from backtester.metrics.ruin import even_bets_ruin
from backtester.metrics.turnover import turnover, turnover_a_year, turnover_two_sided
from tests.metrics.golden import K01, K01_EQUITY, K03, K04, K06, K07, assert_golden


def test_k01_ten_points_of_equity() -> None:
    daily = simple_returns(K01_EQUITY)
    points = list(enumerate(K01_EQUITY))
    deepest = DeepestFall(K01_EQUITY[0])
    for value in K01_EQUITY[1:]:
        deepest.see(value)
    peak, low = deepest.peak_and_low()
    fall = deepest_fall(points)
    assert daily is not None and fall is not None
    growth, depth = cagr(10000, 10400, days=9), max_drawdown(peak, low)
    found = {
        "total_return": total_return(10000, 10400),
        "cagr": growth,
        "mean_daily": mean(daily),
        "sd_daily": sample_deviation(daily),
        "vol_annual": volatility(daily),
        "sharpe": sharpe(daily),
        "downside_dev_daily": downside_deviation(daily),
        "sortino": sortino(daily),
        "max_drawdown": depth,
        "max_drawdown_abs": peak - low,
        "mdd_peak_index": fall.peak_ms,
        "mdd_trough_index": fall.low_ms,
        "recovery_index": fall.recovery_ms,
        "underwater_days_of_mdd": fall.duration_ms(9),
        "longest_underwater_days": longest_underwater_ms(points),
        "calmar": calmar(growth, depth),
        "ulcer_index_pct": ulcer_index(K01_EQUITY),
        "recovery_factor": recovery_factor(net_profit=400, deepest_fall=peak - low),
    }
    assert_golden(found, K01)
    assert fall.time_to_recover_ms() == 2


def test_k03_probabilistic_sharpe_of_k01() -> None:
    daily = simple_returns(K01_EQUITY)
    assert daily is not None
    found = {
        "sr_daily": period_sharpe(daily),
        "skew": skewness(daily),
        "kurtosis": kurtosis(daily),
        "psr0": probabilistic_sharpe_of(daily),
    }
    assert_golden(found, K03)


def test_k04_deflated_sharpe_as_published() -> None:
    """The yearly 2.5 and its variance of 0.5 a year are of 250 days; the published numbers have four decimals."""
    ratio, variance = 2.5 / math.sqrt(250), 0.5 / 250
    found = {
        "sr0_daily": expected_best_sharpe(trials=100, variance=variance),
        "dsr": deflated_sharpe(ratio, n=1250, skew=-3, kurt=10, trials=100, variance=variance),
        "dsr_if_46_trials": deflated_sharpe(ratio, n=1250, skew=-3, kurt=10, trials=46, variance=variance),
    }
    assert_golden(found, K04)
    assert {name: f"{value:.4f}" for name, value in found.items()} == {
        "sr0_daily": "0.1132",
        "dsr": "0.9004",
        "dsr_if_46_trials": "0.9505",
    }


def test_k06_ruin_of_even_bets() -> None:
    assert_golden({"ruin": even_bets_ruin(win_probability=0.55, units=10)}, K06)


def test_k07_exposure_and_turnover() -> None:
    once = turnover(buys=30000, sells=28000, average_equity=10000)
    assert once is not None
    found = {
        "exposure": exposure(instants_in_position=6, instants=10),
        "turnover": once,
        "turnover_annual": turnover_a_year(once, days=9),
        "two_sided": turnover_two_sided(buys=30000, sells=28000, average_equity=10000),
    }
    assert_golden(found, K07)


def test_a_golden_number_that_is_off_is_noticed() -> None:
    with pytest.raises(AssertionError):
        assert_golden({"ruin": 0.1344306327495}, K06)
