"""How often the account was turned over."""

from __future__ import annotations

from backtester.metrics.returns import DAYS_PER_YEAR


def turnover(*, buys: float, sells: float, average_equity: float) -> float | None:
    """The lesser of purchases and sales over average equity (one-sided); None when equity was not positive.

    Source: the convention of SEC form N-1A.
    """
    return min(buys, sells) / average_equity if average_equity > 0 else None


def turnover_two_sided(*, buys: float, sells: float, average_equity: float) -> float | None:
    """Purchases and sales over average equity; None when equity was not positive."""
    return (buys + sells) / average_equity if average_equity > 0 else None


def turnover_a_year(turnover_of_span: float, *, days: float) -> float | None:
    """A turnover scaled from `days` to a year; None when no time has passed."""
    return turnover_of_span * DAYS_PER_YEAR / days if days > 0 else None
