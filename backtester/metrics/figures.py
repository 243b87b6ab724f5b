"""The figures of a run, as they stand in metrics.json."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import DAY_MS
from backtester.metrics.activity import exposure, win_rate
from backtester.metrics.drawdown import max_drawdown
from backtester.metrics.returns import CAGR_DAYS_MIN, cagr, sharpe, simple_returns, sortino, total_return, volatility


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Fractions, None where undefined; `trades` counts closed trades, `fees` is the amount paid in quote."""

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


def figures(
    *,
    start_ms: int,
    end_ms: int,
    start_equity: int,
    end_equity: int,
    daily_equity: Sequence[int],
    drawdown: tuple[int, int],
    rows_in_position: int,
    rows: int,
    closed_trades: int,
    won_trades: int,
    fees: int,
) -> Figures:
    """The figures from money units: equity at the ends and at every UTC midnight between, (peak, low) of the deepest fall, counts.

    `cagr` is None under 90 days: too little to speak of a year.
    """
    days = (end_ms - start_ms) / DAY_MS
    daily = simple_returns(daily_equity)
    return Figures(
        total_return=total_return(start_equity, end_equity),
        cagr=cagr(start_equity, end_equity, days=days) if days >= CAGR_DAYS_MIN else None,
        volatility=None if daily is None else volatility(daily),
        sharpe=None if daily is None else sharpe(daily),
        sortino=None if daily is None else sortino(daily),
        max_drawdown=max_drawdown(*drawdown),
        win_rate=win_rate(won=won_trades, closed=closed_trades),
        exposure=exposure(instants_in_position=rows_in_position, instants=rows),
        trades=closed_trades,
        fees=fees / MONEY_ONE,
    )
