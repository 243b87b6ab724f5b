from __future__ import annotations

import math

import pytest

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import DAY_MS
from backtester.metrics import activity, returns
from backtester.metrics.drawdown import DeepestFall, max_drawdown
from backtester.metrics.figures import Figures, figures

K01_EQUITY = [10000, 10120, 10050, 10200, 10180, 9900, 10010, 10300, 10250, 10400]
K01 = {
    "total_return": 0.04,
    "cagr": 3.906779455467427656561509387,
    "mean_daily": 0.004489399852597900064664209841,
    "sd_daily": 0.01656081399569159620814794292,
    "vol_annual": 0.3163939071362809099379407879,
    "sharpe": 5.179085024201882319618253526,
    "downside_dev_daily": 0.009613500743004641382721519608,
    "sortino": 8.921813816479971580733296457,
    "max_drawdown": 0.02941176470588235294117647059,
}


def deepest(values: list[int]) -> tuple[int, int]:
    fall = DeepestFall(values[0])
    for value in values[1:]:
        fall.see(value)
    return fall.peak_and_low()


def test_golden_k01_ten_points_of_equity() -> None:
    daily = returns.simple_returns(K01_EQUITY)
    assert daily is not None
    found = {
        "total_return": returns.total_return(10000, 10400),
        "cagr": returns.cagr(10000, 10400, days=9),
        "mean_daily": returns.mean(daily),
        "sd_daily": returns.sample_deviation(daily),
        "vol_annual": returns.volatility(daily),
        "sharpe": returns.sharpe(daily),
        "downside_dev_daily": returns.downside_deviation(daily),
        "sortino": returns.sortino(daily),
        "max_drawdown": max_drawdown(*deepest(K01_EQUITY)),
    }
    assert found == pytest.approx(K01, rel=1e-13)


def test_golden_k07_exposure_and_turnover() -> None:
    assert activity.exposure(instants_in_position=6, instants=10) == 0.6
    turnover = activity.turnover(buys=30000, sells=28000, average_equity=10000)
    assert turnover == pytest.approx(2.8)
    assert activity.turnover_a_year(2.8, days=9) == pytest.approx(113.5555555555555555555555556)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([100], (100, 100)),
        ([100, 110, 120], (100, 100)),
        ([100, 90, 120, 60, 130], (120, 60)),
        ([100, 80, 90, 70, 200, 150], (100, 70)),
        ([100, 80, 200, 160], (100, 80)),
        ([100, -5], (100, -5)),
    ],
)
def test_the_deepest_fall_is_the_largest_fraction_of_its_peak(values: list[int], ends: tuple[int, int]) -> None:
    assert deepest(values) == ends


def test_what_is_undefined_is_none() -> None:
    assert returns.total_return(0, 5) is None
    assert returns.cagr(100, 0, days=100) is None and returns.cagr(100, 110, days=0) is None
    assert returns.simple_returns([100, 0, 5]) is None and returns.simple_returns([100, 0]) == [-1.0]
    assert returns.volatility([0.1]) is None and returns.sortino([0.1]) is None
    assert returns.sharpe([0.1, 0.1]) is None and returns.sortino([0.1, 0.2]) is None
    assert returns.volatility([0.0, 0.0]) == 0.0
    assert activity.exposure(instants_in_position=0, instants=0) is None
    assert activity.win_rate(won=0, closed=0) is None and activity.win_rate(won=1, closed=4) == 0.25
    assert activity.turnover(buys=1, sells=1, average_equity=0) is None and activity.turnover_a_year(1.0, days=0) is None
    assert max_drawdown(0, -5) is None


def computed(days: float, daily: list[int]) -> Figures:
    return figures(
        start_ms=0,
        end_ms=int(days * DAY_MS),
        start_equity=daily[0],
        end_equity=daily[-1],
        daily_equity=daily,
        drawdown=deepest(daily),
        rows_in_position=3,
        rows=12,
        closed_trades=4,
        won_trades=1,
        fees=MONEY_ONE * 5 // 2,
    )


def test_cagr_needs_ninety_days() -> None:
    assert computed(89.99, [100, 110]).cagr is None
    assert computed(90, [100, 110]).cagr == pytest.approx(1.1 ** (365 / 90) - 1)


def test_figures_of_a_run() -> None:
    found = computed(9, [value * MONEY_ONE for value in K01_EQUITY])
    assert (found.sharpe, found.sortino) == pytest.approx((K01["sharpe"], K01["sortino"]), rel=1e-13)
    assert (found.win_rate, found.exposure, found.trades, found.fees) == (0.25, 0.25, 4, 2.5)
    ruined = computed(9, [100, -5, 10])
    assert ruined.sharpe is None and ruined.volatility is None and ruined.max_drawdown == 1.05


def test_sums_do_not_depend_on_the_size_of_what_was_summed_before() -> None:
    values = [1e16, 1.0, -1e16] * 10
    assert returns.mean(values) == math.fsum(values) / 30 == pytest.approx(1 / 3)
