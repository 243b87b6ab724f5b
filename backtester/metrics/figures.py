"""The figures of a run, as they stand in metrics.json; what the sample cannot carry is None here, though it could be computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import DAY_MS
from backtester.engine.rng import RandomStream
from backtester.metrics import groups, ratios, streaks, tails, trades
from backtester.metrics.benchmark import comparison, equal_weight
from backtester.metrics.costs import gross_profit, share_of_gross_profit
from backtester.metrics.drawdown import Fall, max_drawdown, ulcer_index
from backtester.metrics.exposure import exposure, leverage
from backtester.metrics.moments import kurtosis, mean, skewness
from backtester.metrics.probabilistic_sharpe import probabilistic_sharpe_of
from backtester.metrics.regimes import by_regime
from backtester.metrics.returns import CAGR_DAYS_MIN, cagr, compounded, simple_returns, total_return, volatility
from backtester.metrics.ruin import RUIN_DAYS_MIN, risk_of_ruin
from backtester.metrics.tails import TAIL_DAYS_MIN
from backtester.metrics.trades import TradeResult
from backtester.metrics.turnover import turnover, turnover_a_year


class RunSeries(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures of a run are computed from. Amounts are money units (1e-16 quote), times UTC epoch milliseconds.

    `daily` holds equity at every UTC midnight and `closes` prices by symbol at the same instants; `fall` dates the deepest fall,
    from `drawdown[0]` to `drawdown[1]`; `marks` are (equity, gross notional, net notional) at every full hour. `funding` is
    positive when paid, `interest` that on all that was borrowed, `slippage` that of all fills but
    `fills_without_reference`. `stream` draws for the risk of ruin.
    """

    start_ms: int
    end_ms: int
    start_equity: int
    end_equity: int
    daily: Sequence[tuple[int, int]]
    drawdown: tuple[int, int]
    fall: Fall | None
    longest_underwater_ms: int
    rows_in_position: int
    rows: int
    trades: Sequence[TradeResult]
    fees: int
    funding: int
    interest: int
    slippage: int
    fills_without_reference: int
    bought: int
    sold: int
    marks: Sequence[tuple[int, int, int]]
    closes: Mapping[str, Sequence[float]]
    stream: RandomStream


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Every figure is explained in docs/metrics.md. Fractions (0.02 is 2 %), amounts in quote, None where undefined."""

    total_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float | None
    win_rate: float | None
    exposure: float | None
    trades: int
    fees: float

    days: float
    daily_returns: int
    best_day: float | None
    worst_day: float | None
    sharpe_standard_error: float | None
    probabilistic_sharpe: float | None
    calmar: float | None
    omega: float | None
    skew: float | None
    kurtosis: float | None
    value_at_risk: float | None
    expected_shortfall: float | None
    tail_ratio: float | None
    risk_of_ruin: float | None

    max_drawdown_quote: float
    drawdown_peak_ms: int | None
    drawdown_low_ms: int | None
    drawdown_recovery_ms: int | None
    drawdown_days: float | None
    recovery_days: float | None
    longest_underwater_days: float
    ulcer_index: float | None
    recovery_factor: float | None

    gross_pnl: float
    net_pnl: float
    profit_factor: float | None
    expectancy: float | None
    expectancy_r: float | None
    average_win: float | None
    average_loss: float | None
    largest_win: float | None
    largest_loss: float | None
    largest_win_share: float | None
    average_pnl_frac: float | None
    return_at_fixed_nominal: float | None
    r_multiples: int
    system_quality: float | None
    longest_winning_streak: int
    longest_losing_streak: int
    average_holding_hours: float | None
    median_holding_hours: float | None
    trades_a_day: float | None
    average_stop_bps: float | None
    average_target_bps: float | None
    average_target_r: float | None

    gross_leverage: float | None
    gross_leverage_max: float | None
    net_leverage: float | None
    turnover: float | None
    turnover_a_year: float | None
    funding: float
    interest: float
    slippage: float
    fills_without_reference: int
    gross_profit: float
    fees_share: float | None
    funding_share: float | None
    interest_share: float | None
    slippage_share: float | None

    benchmark: dict[str, float | None]
    by_symbol: dict[str, dict[str, Any]]
    outlier_symbols: list[str]
    by_side: dict[str, dict[str, Any]]
    by_month: dict[str, dict[str, Any]]
    by_hour: dict[str, dict[str, Any]]
    by_close_reason: dict[str, dict[str, Any]]
    by_regime: dict[str, dict[str, Any]]

    def scalars(self) -> dict[str, float | int | None]:
        """The figures without the groupings, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if not isinstance(value, dict | list)}


def figures(run: RunSeries) -> Figures:
    """All figures of a run.

    None although computable: CAGR and Calmar under 90 days, figures of the tails under 20 daily returns, risk of ruin under 30.
    """
    daily = simple_returns([equity for _, equity in run.daily])
    return Figures(**_of_equity(run), **_of_returns(run, daily or []), **_of_trades(run), **_of_costs(run), **_grouped(run, daily))


def _of_equity(run: RunSeries) -> dict[str, Any]:
    days = (run.end_ms - run.start_ms) / DAY_MS
    peak, low = run.drawdown
    growth = cagr(run.start_equity, run.end_equity, days=days) if days >= CAGR_DAYS_MIN else None
    deepest, fall, lent = max_drawdown(peak, low), run.fall, leverage(run.marks)
    average_equity = sum(mark[0] for mark in run.marks) / len(run.marks) if run.marks else 0.0
    turned = turnover(buys=run.bought, sells=run.sold, average_equity=average_equity)
    to_recover_ms = fall.time_to_recover_ms() if fall else None
    return {
        "days": days,
        "total_return": total_return(run.start_equity, run.end_equity),
        "cagr": growth,
        "calmar": ratios.calmar(growth, deepest),
        "max_drawdown": deepest,
        "max_drawdown_quote": (peak - low) / MONEY_ONE,
        "drawdown_peak_ms": fall.peak_ms if fall else None,
        "drawdown_low_ms": fall.low_ms if fall else None,
        "drawdown_recovery_ms": fall.recovery_ms if fall else None,
        "drawdown_days": fall.duration_ms(run.end_ms) / DAY_MS if fall else None,
        "recovery_days": None if to_recover_ms is None else to_recover_ms / DAY_MS,
        "longest_underwater_days": run.longest_underwater_ms / DAY_MS,
        "ulcer_index": ulcer_index([equity for _, equity in run.daily]),
        "recovery_factor": ratios.recovery_factor(net_profit=run.end_equity - run.start_equity, deepest_fall=peak - low),
        "exposure": exposure(instants_in_position=run.rows_in_position, instants=run.rows),
        "gross_leverage": lent.gross_mean,
        "gross_leverage_max": lent.gross_max,
        "net_leverage": lent.net_mean,
        "turnover": turned,
        "turnover_a_year": None if turned is None else turnover_a_year(turned, days=days),
    }


def _of_returns(run: RunSeries, daily: Sequence[float]) -> dict[str, Any]:
    has_tails, has_paths = len(daily) >= TAIL_DAYS_MIN, len(daily) >= RUIN_DAYS_MIN
    return {
        "daily_returns": len(daily),
        "volatility": volatility(daily),
        "sharpe": ratios.sharpe(daily),
        "sharpe_standard_error": ratios.sharpe_standard_error(daily),
        "probabilistic_sharpe": probabilistic_sharpe_of(daily),
        "sortino": ratios.sortino(daily),
        "omega": ratios.omega(daily),
        "best_day": max(daily, default=None),
        "worst_day": min(daily, default=None),
        "skew": skewness(daily) if has_tails else None,
        "kurtosis": kurtosis(daily) if has_tails else None,
        "value_at_risk": tails.value_at_risk(daily) if has_tails else None,
        "expected_shortfall": tails.expected_shortfall(daily) if has_tails else None,
        "tail_ratio": tails.tail_ratio(daily) if has_tails else None,
        "risk_of_ruin": risk_of_ruin(daily, stream=run.stream) if has_paths else None,
    }


def _of_trades(run: RunSeries) -> dict[str, Any]:
    nets = [trade.net for trade in run.trades]
    found = msgspec.structs.asdict(trades.trade_figures(run.trades))
    del found["fees"]  # those of the run are of all fills, open trades included
    fractions, multiples = [trade.pnl_frac for trade in run.trades], trades.r_multiples(run.trades)
    nominal = trades.fixed_nominal_curve(run.trades)
    return found | {
        "expectancy_r": mean(multiples) if multiples else None,
        "largest_win_share": trades.largest_win_share(nets),
        "return_at_fixed_nominal": nominal[-1] if nominal else None,
        "r_multiples": len(multiples),
        "system_quality": trades.system_quality(multiples if len(multiples) == len(nets) else fractions),
        "longest_winning_streak": streaks.longest_winning_streak(nets),
        "longest_losing_streak": streaks.longest_losing_streak(nets),
        "median_holding_hours": trades.median_holding_hours(run.trades),
        "trades_a_day": trades.trades_a_day(len(nets), span_ms=run.end_ms - run.start_ms),
        "average_stop_bps": trades.average_distance_bps(trade.stop_away for trade in run.trades),
        "average_target_bps": trades.average_distance_bps(trade.target_away for trade in run.trades),
        "average_target_r": trades.average_target_r(run.trades),
    }


def _of_costs(run: RunSeries) -> dict[str, Any]:
    gained = gross_profit(trade.gross for trade in run.trades)
    paid = {"fees": run.fees, "funding": run.funding, "interest": run.interest, "slippage": run.slippage}
    return {
        **{name: cost / MONEY_ONE for name, cost in paid.items()},
        **{f"{name}_share": share_of_gross_profit(cost, gross_profit=gained) for name, cost in paid.items()},
        "gross_profit": gained / MONEY_ONE,
        "fills_without_reference": run.fills_without_reference,
    }


def _grouped(run: RunSeries, daily: Sequence[float] | None) -> dict[str, Any]:
    market = equal_weight(run.closes)
    returns, held = (daily, market) if daily is not None and market is not None else ([], [])
    points = [(run.start_ms, run.start_equity), *run.daily, (run.end_ms, run.end_equity)]
    months = {month: {"total_return": value} for month, value in groups.monthly_returns(points).items()}
    traded = _plain(groups.by_month(run.trades))
    return {
        "benchmark": {"total_return": compounded(market) if market else None, **_asdict(comparison(returns, held))},
        "by_symbol": _plain(groups.by_symbol(run.trades)),
        "outlier_symbols": groups.outlier_symbols(groups.net_by_symbol(run.trades)),
        "by_side": _plain(groups.by_side(run.trades)),
        "by_month": {
            month: {**months.get(month, {"total_return": None}), **traded.get(month, _NO_TRADES)}
            for month in sorted({*months, *traded})
        },
        "by_hour": _plain(groups.by_hour(run.trades)),
        "by_close_reason": _plain(groups.by_close_reason(run.trades)),
        "by_regime": _plain(by_regime(returns, held)),
    }


def _plain(found: Mapping[str, msgspec.Struct]) -> dict[str, dict[str, Any]]:
    return {name: _asdict(one) for name, one in found.items()}


def _asdict(one: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(one)


_NO_TRADES = _asdict(trades.trade_figures([]))
