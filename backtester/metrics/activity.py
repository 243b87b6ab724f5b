"""How often there was a position, how much was traded, how often a trade won."""

from __future__ import annotations

from backtester.metrics.returns import DAYS_PER_YEAR


def exposure(*, instants_in_position: int, instants: int) -> float | None:
    """Share of time with a position open; None when no time was seen."""
    return instants_in_position / instants if instants else None


def win_rate(*, won: int, closed: int) -> float | None:
    """Share of closed trades with a net profit above 0; None without a closed trade."""
    return won / closed if closed else None


def turnover(*, buys: float, sells: float, average_equity: float) -> float | None:
    """The lesser of purchases and sales over average equity (one-sided); None when equity was not positive."""
    return min(buys, sells) / average_equity if average_equity > 0 else None


def turnover_a_year(turnover_of_span: float, *, days: float) -> float | None:
    """A turnover scaled from `days` to a year; None when no time has passed."""
    return turnover_of_span * DAYS_PER_YEAR / days if days > 0 else None
