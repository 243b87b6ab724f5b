"""Returns and what follows from their spread; the clock is one UTC day and a year has 365 (crypto trades every day).

Definitions: exchange semantics, section 7. What is undefined is None, never 0 or infinity. Sums are exactly rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DAYS_PER_YEAR = 365
CAGR_DAYS_MIN = 90


def total_return(start_equity: int, end_equity: int) -> float | None:
    """End over start less 1; None without a positive start."""
    return (end_equity - start_equity) / start_equity if start_equity > 0 else None


def cagr(start_equity: int, end_equity: int, *, days: float) -> float | None:
    """Growth a year in calendar time; None when equity is not positive or no time has passed."""
    if start_equity <= 0 or end_equity <= 0 or days <= 0:
        return None
    return float((end_equity / start_equity) ** (DAYS_PER_YEAR / days)) - 1.0


def simple_returns(equity: Sequence[int]) -> list[float] | None:
    """Change over value before, period by period; None when a value that is divided by is not positive."""
    if any(value <= 0 for value in equity[:-1]):
        return None
    return [(after - before) / before for before, after in zip(equity, equity[1:], strict=False)]


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def sample_deviation(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None below two values."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def downside_deviation(values: Sequence[float]) -> float | None:
    """Root mean square of the losses over all n values (Sortino and Price 1994); None below two values."""
    if len(values) < 2:
        return None
    return math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in values) / len(values))


def volatility(daily: Sequence[float]) -> float | None:
    """Yearly standard deviation of daily returns."""
    deviation = sample_deviation(daily)
    return None if deviation is None else deviation * math.sqrt(DAYS_PER_YEAR)


def sharpe(daily: Sequence[float]) -> float | None:
    """Yearly ratio of mean daily return to its deviation, risk-free rate 0; None when nothing moved."""
    return _yearly_ratio(daily, sample_deviation(daily))


def sortino(daily: Sequence[float]) -> float | None:
    """Yearly ratio of mean daily return to its downside deviation, target 0; None without a loss."""
    return _yearly_ratio(daily, downside_deviation(daily))


def _yearly_ratio(daily: Sequence[float], deviation: float | None) -> float | None:
    return mean(daily) / deviation * math.sqrt(DAYS_PER_YEAR) if deviation else None
