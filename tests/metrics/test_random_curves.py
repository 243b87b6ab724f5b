"""A thousand random curves: the slow way must agree, and so must another library where it means the same thing."""

from __future__ import annotations

import importlib
import math
import random
import statistics
from collections.abc import Iterable
from importlib.metadata import version

import pytest

from backtester.metrics import benchmark, moments, ratios, tails
from backtester.metrics.drawdown import DeepestFall, deepest_fall, longest_underwater_ms, max_drawdown, ulcer_index
from backtester.metrics.probabilistic_sharpe import probabilistic_sharpe_of
from backtester.metrics.returns import cagr, simple_returns, total_return, volatility
from tests.metrics import naive

CURVES = 1000
NEAR = {"rel": 1e-9, "abs": 1e-11}


def agree(found: Iterable[float | None], expected: Iterable[float | None], *, what: object) -> None:
    """None only where None is expected; infinity is expected as None."""
    wanted = [math.nan if value is None or math.isinf(value) else value for value in expected]
    assert [math.nan if value is None else value for value in found] == pytest.approx(wanted, nan_ok=True, **NEAR), what


def curve(seed: int) -> list[int]:
    """Equity of 3 to 120 days that moves both ways, in whole cents; some of them coarse, so that values repeat."""
    drawn = random.Random(seed)
    wild, step = drawn.choice((0.002, 0.02, 0.2)), drawn.choice((1, 1, 5000))
    equity = [1_000_000, 990_000, 1_010_000]
    while len(equity) < 3 + drawn.randrange(118):
        equity.append(max(round(equity[-1] * (1 + drawn.gauss(0.001, wild)) / step) * step, step))
    return equity


def floats_of(equity: list[int]) -> list[float]:
    daily = simple_returns(equity)
    assert daily is not None
    return daily


def depth_of(equity: list[int]) -> float | None:
    fall = DeepestFall(equity[0])
    for value in equity[1:]:
        fall.see(value)
    return max_drawdown(*fall.peak_and_low())


def test_the_slow_way_agrees() -> None:
    for seed in range(CURVES):
        equity = curve(seed)
        daily, exact = floats_of(equity), naive.returns_of(equity)
        found = (
            volatility(daily),
            ratios.sharpe(daily),
            ratios.sortino(daily),
            ratios.omega(daily),
            moments.skewness(daily),
            moments.kurtosis(daily),
            tails.value_at_risk(daily),
            tails.expected_shortfall(daily),
            tails.tail_ratio(daily),
            probabilistic_sharpe_of(daily),
        )
        expected = (
            naive.volatility(exact),
            naive.sharpe(exact),
            naive.sortino(exact),
            naive.omega(exact),
            naive.moment(exact, 3),
            naive.moment(exact, 4),
            float(-naive.quantile(exact, 5)),
            float(naive.expected_shortfall(exact)),
            naive.tail_ratio(exact),
            naive.probabilistic_sharpe(exact),
        )
        agree(found, expected, what=seed)


def test_the_slow_way_agrees_about_falls() -> None:
    for seed in range(CURVES // 4):
        equity = curve(seed)
        points = list(enumerate(equity))
        depth, peak, low, recovery = naive.deepest(equity)
        fall = deepest_fall(points)
        assert depth_of(equity) == pytest.approx(float(depth), **NEAR), seed
        assert fall == (peak, low, recovery), seed
        assert longest_underwater_ms(points) == naive.longest_underwater(equity), seed
        assert ulcer_index(equity) == pytest.approx(naive.ulcer(equity), **NEAR), seed


def test_the_slow_way_agrees_about_a_benchmark() -> None:
    for seed in range(CURVES // 4):
        first, second = curve(seed), curve(seed + CURVES)
        days = min(len(first), len(second))
        run, market = first[:days], second[:days]
        exact, exact_market = naive.returns_of(run), naive.returns_of(market)
        found = benchmark.comparison(floats_of(run), floats_of(market))
        slope = naive.beta(exact, exact_market)
        alpha = (statistics.mean(exact) - slope * statistics.mean(exact_market)) * 365
        assert (found.alpha, found.beta, found.correlation) == pytest.approx(
            (float(alpha), float(slope), naive.correlation(exact, exact_market)), **NEAR
        ), seed


@pytest.mark.filterwarnings("ignore")
def test_another_library_agrees_where_it_means_the_same() -> None:
    other = importlib.import_module("empyrical")  # empyrical-reloaded, of the extra dev
    np = importlib.import_module("numpy")
    compared = 0
    for seed in range(CURVES):
        equity, market = curve(seed), curve(seed + CURVES)
        days = min(len(equity), len(market))
        daily, held = floats_of(equity), floats_of(market[:days])
        ours, year = np.array(daily), {"annualization": 365}
        growth, depth = cagr(equity[0], equity[-1], days=len(daily)), depth_of(equity)
        found = {
            "total_return": total_return(equity[0], equity[-1]),
            "cagr": growth,
            "volatility": volatility(daily),
            "sharpe": ratios.sharpe(daily),
            "sortino": ratios.sortino(daily),
            "max_drawdown": depth,
            "calmar": ratios.calmar(growth, depth),
            "omega": ratios.omega(daily),
            "value_at_risk": tails.value_at_risk(daily),
            "expected_shortfall": tails.expected_shortfall(daily),
            "tail_ratio": tails.tail_ratio(daily),
            "beta": benchmark.beta(daily[: days - 1], held),
        }
        expected = {
            "total_return": other.cum_returns_final(ours),
            "cagr": other.annual_return(ours, **year),
            "volatility": other.annual_volatility(ours, **year),
            "sharpe": other.sharpe_ratio(ours, **year),
            "sortino": other.sortino_ratio(ours, **year),
            "max_drawdown": -other.max_drawdown(ours),
            "calmar": other.calmar_ratio(ours, **year),
            "omega": other.omega_ratio(ours, annualization=1),
            "value_at_risk": -other.value_at_risk(ours),
            "expected_shortfall": -other.conditional_value_at_risk(ours),
            "tail_ratio": other.tail_ratio(ours),
            "beta": other.beta(ours[: days - 1], np.array(held)),
        }
        assert list(found) == list(expected)
        agree(found.values(), expected.values(), what=seed)
        compared += sum(value is not None for value in found.values())
    print(f"{CURVES} curves, {compared:,} figures agree with empyrical-reloaded {version('empyrical-reloaded')}")
    assert compared > 11 * CURVES
