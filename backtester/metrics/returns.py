"""Returns; the clock is one UTC day and a year has 365 (crypto trades every day).

Definitions: exchange semantics, section 7. What is undefined is None, never 0 or infinity. Sums are exactly rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from backtester.domain.money import CALCULATION
from backtester.metrics.moments import sample_deviation

DAYS_PER_YEAR = 365
CAGR_DAYS_MIN = 90
"""A shorter run says too little of a year: metrics.json has neither CAGR nor Calmar."""
_LN_FLOAT_MAX = 709
"""e to this is nearly the largest float."""


def total_return(start_equity: int, end_equity: int) -> float | None:
    """End over start less 1, a fraction; None without a positive start."""
    return (end_equity - start_equity) / start_equity if start_equity > 0 else None


def cagr(start_equity: int, end_equity: int, *, days: float) -> float | None:
    """Growth a year in calendar time, a fraction: (end / start)^(365 / days) - 1.

    None when equity is not positive, no time has passed or the result is beyond a float. In decimal arithmetic, since the power
    function of a C library differs between machines.
    """
    if start_equity <= 0 or end_equity <= 0 or days <= 0:
        return None
    growth = CALCULATION.ln(CALCULATION.divide(Decimal(end_equity), Decimal(start_equity)))
    exponent = CALCULATION.divide(CALCULATION.multiply(growth, Decimal(DAYS_PER_YEAR)), Decimal(days))
    if exponent > _LN_FLOAT_MAX:
        return None
    if exponent < -_LN_FLOAT_MAX:
        return -1.0
    return float(CALCULATION.subtract(CALCULATION.exp(exponent), Decimal(1)))


def simple_returns(equity: Sequence[float]) -> list[float] | None:
    """Change over value before, period by period, fractions; None when a value that is divided by is not positive."""
    if any(value <= 0 for value in equity[:-1]):
        return None
    return [(after - before) / before for before, after in zip(equity, equity[1:], strict=False)]


def compounded(returns: Sequence[float]) -> float:
    """What the returns make of 1, less 1, a fraction; 0.0 without a return."""
    product = 1.0
    for value in returns:
        product *= 1.0 + value
    return product - 1.0


def volatility(daily: Sequence[float]) -> float | None:
    """Yearly standard deviation of daily returns, a fraction; None below two returns."""
    deviation = sample_deviation(daily)
    return None if deviation is None else deviation * math.sqrt(DAYS_PER_YEAR)
