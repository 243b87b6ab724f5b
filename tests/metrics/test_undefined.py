"""Null instead of infinity, never 0 for what is undefined."""

from __future__ import annotations

import math

import pytest

from backtester.domain.errors import DomainError
from backtester.metrics import benchmark, costs, exposure, moments, normal, ratios, returns, ruin, tails, trades, turnover
from backtester.metrics import probabilistic_sharpe as psr
from backtester.metrics.drawdown import deepest_fall, longest_underwater_ms, max_drawdown, ulcer_index

UNDEFINED = {
    "total return without a start": returns.total_return(0, 5),
    "cagr of ruin": returns.cagr(100, 0, days=100),
    "cagr of an instant": returns.cagr(100, 110, days=0),
    "cagr beyond a float": returns.cagr(1, 2, days=0.01),
    "returns through ruin": returns.simple_returns([100, 0, 5]),
    "volatility of one": returns.volatility([0.1]),
    "sharpe of one": ratios.sharpe([0.1]),
    "sharpe of stillness": ratios.sharpe([0.1, 0.1, 0.1]),
    "its error": ratios.sharpe_standard_error([0.1, 0.1, 0.1]),
    "sortino without a loss": ratios.sortino([0.1, 0.2]),
    "sortino of one": ratios.sortino([-0.1]),
    "calmar without a fall": ratios.calmar(0.1, 0.0),
    "calmar without growth": ratios.calmar(None, 0.1),
    "omega without a loss": ratios.omega([0.1, 0.0]),
    "recovery factor without a fall": ratios.recovery_factor(net_profit=5, deepest_fall=0),
    "skew of stillness": moments.skewness([0.1, 0.1, 0.1]),
    "kurtosis of one": moments.kurtosis([0.1]),
    "median of nothing": moments.median([]),
    "covariance of one pair": moments.covariance([0.1], [0.2]),
    "risk of nothing": tails.value_at_risk([]),
    "shortfall of nothing": tails.expected_shortfall([]),
    "tail ratio against 0": tails.tail_ratio([0.0, 0.0, 0.1]),
    "psr of one": psr.probabilistic_sharpe(0.1, n=1, skew=0, kurt=3),
    "psr of impossible moments": psr.probabilistic_sharpe(1.0, n=9, skew=5, kurt=3),
    "psr of stillness": psr.probabilistic_sharpe_of([0.1, 0.1]),
    "ruin of nothing": ruin.risk_of_ruin([], stream=None),  # type: ignore[arg-type]  # not drawn from
    "ruin of stillness": ruin.brownian_ruin(drift=0.1, deviation=0.0, loss=1.0),
    "drawdown without a peak": max_drawdown(0, -5),
    "a fall of nothing": deepest_fall([]),
    "a fall of a rise": deepest_fall([(0, 1), (1, 2)]),
    "ulcer of nothing": ulcer_index([]),
    "exposure of no time": exposure.exposure(instants_in_position=0, instants=0),
    "leverage without equity": exposure.leverage([(0, 5, 5), (-1, 5, 5)]).gross_mean,
    "turnover of ruin": turnover.turnover(buys=1, sells=1, average_equity=0),
    "both sides of it": turnover.turnover_two_sided(buys=1, sells=1, average_equity=0),
    "turnover of an instant": turnover.turnover_a_year(1.0, days=0),
    "win rate of no trade": trades.win_rate(won=0, closed=0),
    "profit factor without a loss": trades.profit_factor([5, 0]),
    "expectancy of no trade": trades.expectancy([]),
    "average win of losses": trades.average_win([-5, 0]),
    "average loss of wins": trades.average_loss([5, 0]),
    "largest win of losses": trades.largest_win([-5, 0]),
    "largest loss of wins": trades.largest_loss([5, 0]),
    "share of the largest win": trades.largest_win_share([-5]),
    "quality of one": trades.system_quality([1.0]),
    "quality of equals": trades.system_quality([1.0, 1.0]),
    "holding of no trade": trades.average_holding_hours([]),
    "median holding of no trade": trades.median_holding_hours([]),
    "trades a day in no time": trades.trades_a_day(0, span_ms=0),
    "distance without a stop": trades.average_distance_bps([None]),
    "share of no profit": costs.share_of_gross_profit(5, gross_profit=0),
    "beta to stillness": benchmark.beta([0.1, 0.2], [0.1, 0.1]),
    "alpha to stillness": benchmark.alpha([0.1, 0.2], [0.1, 0.1]),
    "correlation with stillness": benchmark.correlation([0.1, 0.2], [0.1, 0.1]),
    "a market without symbols": benchmark.equal_weight({}),
    "a market without a price": benchmark.equal_weight({"A": [0.0, 1.0]}),
    "holding what costs nothing": benchmark.buy_and_hold([0.0, 1.0]),
}


@pytest.mark.parametrize("what", UNDEFINED)
def test_what_is_undefined_is_none(what: str) -> None:
    assert UNDEFINED[what] is None


def test_what_is_defined_at_the_edge_is_a_number() -> None:
    assert returns.simple_returns([100, 0]) == [-1.0]
    assert returns.volatility([0.1, 0.1, 0.1]) == 0.0
    assert returns.compounded([]) == 0.0 and returns.cagr(10**20, 1, days=0.01) == -1.0
    assert longest_underwater_ms([]) == longest_underwater_ms([(0, 5), (3, 5)]) == 0
    assert exposure.leverage([(100, 50, -50), (0, 9, 9)]) == exposure.Leverage(gross_mean=0.5, gross_max=0.5, net_mean=-0.5)
    assert trades.trades_a_day(3, span_ms=2 * 86_400_000) == 1.5
    assert moments.median([3.0, 1.0, 2.0]) == 2.0 and moments.median([4.0, 1.0]) == 2.5
    assert ratios.sharpe([0.02, 0.01], risk_free=0.015) == pytest.approx(0.0, abs=1e-12)
    assert ratios.sortino([0.02, 0.0], target=0.01) == pytest.approx(0.0, abs=1e-12)


def test_sums_do_not_depend_on_the_size_of_what_was_summed_before() -> None:
    values = [1e16, 1.0, -1e16] * 10
    assert moments.mean(values) == math.fsum(values) / 30 == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: normal.normal_cdf(math.nan),
        lambda: normal.normal_quantile(0.0),
        lambda: normal.normal_quantile(1.0),
        lambda: psr.expected_best_sharpe(trials=0, variance=1.0),
        lambda: psr.expected_best_sharpe(trials=5, variance=-1.0),
        lambda: ruin.even_bets_ruin(win_probability=1.5, units=1),
        lambda: ruin.even_bets_ruin(win_probability=0.5, units=-1),
        lambda: ruin.risk_of_ruin([0.1], stream=None, ruin_frac=0.0),  # type: ignore[arg-type]  # not drawn from
        lambda: benchmark.equal_weight({"A": [1.0], "B": [1.0, 2.0]}),
    ],
)
def test_what_makes_no_sense_is_an_error(call) -> None:
    with pytest.raises(DomainError):
        call()
