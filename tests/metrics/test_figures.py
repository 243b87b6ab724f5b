from __future__ import annotations

import json
import math

import msgspec
import pytest

from backtester.domain.money import MONEY_ONE
from backtester.domain.vocabulary import Side
from backtester.metrics import tails
from backtester.metrics.returns import simple_returns
from tests.metrics.golden import K01, K01_EQUITY, K03
from tests.metrics.samples import START_MS, run_figures, trade

FIRST = ["total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "win_rate", "exposure", "trades", "fees"]
GROUPS = ["benchmark", "by_symbol", "outlier_symbols", "by_side", "by_month", "by_hour", "by_close_reason", "by_regime"]


def zigzag(days: int) -> list[int]:
    return [10_000 + 40 * day + (300 if day % 3 else 0) for day in range(days + 1)]


def test_the_first_names_are_those_of_old_and_groupings_come_last() -> None:
    names = list(msgspec.structs.asdict(run_figures(K01_EQUITY)))
    assert names[: len(FIRST)] == FIRST
    assert names[-len(GROUPS) :] == GROUPS
    assert [name for name in names if name not in run_figures(K01_EQUITY).scalars()] == GROUPS


def test_the_figures_of_k01() -> None:
    found = run_figures(K01_EQUITY)
    assert (found.sharpe, found.sortino, found.ulcer_index) == pytest.approx(
        tuple(float(K01[name]) for name in ("sharpe", "sortino", "ulcer_index_pct")), rel=1e-12
    )
    assert found.probabilistic_sharpe == pytest.approx(float(K03["psr0"]), rel=1e-12)
    assert (found.max_drawdown_quote, found.drawdown_days, found.recovery_days, found.longest_underwater_days) == (300, 4, 2, 4)
    assert (found.days, found.daily_returns, found.exposure) == (9, 9, 0.25)
    assert (found.drawdown_peak_ms, found.drawdown_low_ms, found.drawdown_recovery_ms) == tuple(
        START_MS + day * 86_400_000 for day in (3, 5, 7)
    )


def test_cagr_and_calmar_need_ninety_days() -> None:
    short, enough = run_figures([100, 90, 110], days=89.99), run_figures([100, 90, 110], days=90)
    assert (short.cagr, short.calmar) == (None, None)
    assert enough.cagr == pytest.approx(1.1 ** (365 / 90) - 1, rel=1e-12)
    assert enough.calmar == pytest.approx((1.1 ** (365 / 90) - 1) / 0.1, rel=1e-12)


def test_tails_need_twenty_returns_and_ruin_thirty() -> None:
    names = ("skew", "kurtosis", "value_at_risk", "expected_shortfall", "tail_ratio")
    for days, has_tails, has_paths in ((19, False, False), (20, True, False), (29, True, False), (30, True, True)):
        found = run_figures(zigzag(days))
        assert [getattr(found, name) is not None for name in names] == [has_tails] * len(names), days
        assert (found.risk_of_ruin is not None) is has_paths, days


def test_a_ruined_run_has_no_returns_but_its_drawdown() -> None:
    ruined = run_figures([100, -5, 10])
    assert ruined.sharpe is None and ruined.volatility is None and ruined.sharpe_standard_error is None
    assert ruined.daily_returns == 0
    assert ruined.max_drawdown == 1.05 and ruined.benchmark["beta"] is None
    assert ruined.by_month["2025-01"]["total_return"] == -0.9


def test_a_run_of_an_instant_is_all_null_and_no_error() -> None:
    found = run_figures([100])
    empty = {name for name, value in found.scalars().items() if value is None}
    assert {"sharpe", "volatility", "win_rate", "recovery_factor", "trades_a_day", "turnover_a_year", "fees_share"} <= empty
    assert found.by_month == {} and found.total_return == 0.0


def test_costs_are_told_with_their_share_of_gross_profit() -> None:
    trades = [trade(99), trade(-51), trade(299)]
    units = MONEY_ONE
    found = run_figures([100, 110], trades=trades, fees=40 * units, funding=-10 * units, slippage=20 * units)
    assert (found.gross_profit, found.fees, found.funding, found.slippage) == (400, 40, -10, 20)
    assert (found.fees_share, found.funding_share, found.slippage_share) == (0.1, -0.025, 0.05)


def test_figures_of_trades_stand_beside_those_of_the_run() -> None:
    trades = [trade(100, stop_away=0.05, target_away=0.1), trade(-50, side=Side.SELL, stop_away=0.05), trade(20, stop_away=0.01)]
    found = run_figures([100, 110], trades=trades, marks=[(100, 50, -50), (100, 0, 0)], bought=300, sold=250)
    assert (found.trades, found.net_pnl, found.profit_factor) == (3, 70, 2.4)
    assert (found.win_rate, found.expectancy, found.largest_win_share) == pytest.approx((2 / 3, 70 / 3, 100 / 120))
    assert (found.r_multiples, found.expectancy_r) == (3, pytest.approx((2 - 1 + 2) / 3))
    assert found.system_quality == pytest.approx(math.sqrt(3) * 1 / math.sqrt(3))
    assert (found.average_stop_bps, found.average_target_bps) == pytest.approx((1100 / 3, 1000))
    assert found.return_at_fixed_nominal == pytest.approx(0.07)
    assert (found.gross_leverage, found.gross_leverage_max, found.net_leverage) == (0.25, 0.5, -0.25)
    assert (found.turnover, found.turnover_a_year) == (2.5, 2.5 * 365)


def test_without_a_stop_on_every_trade_quality_is_that_of_percents() -> None:
    found = run_figures([100, 110], trades=[trade(100, stop_away=0.05), trade(-50), trade(20)])
    assert found.r_multiples == 1
    mean, deviation = 0.07 / 3, math.sqrt(sum((x - 0.07 / 3) ** 2 for x in (0.1, -0.05, 0.02)) / 2)
    assert found.system_quality == pytest.approx(math.sqrt(3) * mean / deviation)


def test_months_without_a_trade_keep_their_return() -> None:
    daily = [100] * 31 + [110] * 28 + [121]
    found = run_figures(daily, trades=[trade(5, entry_time_ms=START_MS)])
    assert [(month, row["total_return"], row["trades"]) for month, row in found.by_month.items()] == [
        ("2025-01", pytest.approx(0.1), 1),
        ("2025-02", pytest.approx(0.1), 0),
    ]


def test_a_market_that_is_held_is_the_benchmark() -> None:
    daily = zigzag(40)
    found = run_figures(daily, closes={"AAAUSDT": [float(value) for value in daily]})
    assert found.benchmark == pytest.approx(
        {"total_return": daily[-1] / daily[0] - 1, "alpha": 0.0, "beta": 1.0, "correlation": 1.0}
    )
    assert sum(found.by_regime[name]["days"] for name in ("bull", "bear", "sideways")) == 10
    assert sum(found.by_regime[name]["days"] for name in ("high_volatility", "low_volatility")) == 10


def test_equal_seeds_give_equal_bytes() -> None:
    texts = {json.dumps(msgspec.structs.asdict(run_figures(zigzag(60))), allow_nan=False) for _ in range(3)}
    assert len(texts) == 1


def test_figures_of_the_tails_are_those_of_the_daily_returns() -> None:
    daily = simple_returns(zigzag(50))
    assert daily is not None
    assert run_figures(zigzag(50)).value_at_risk == tails.value_at_risk(daily)
