"""Reward over risk. Daily returns in, yearly ratios out, where nothing else is said; None where a divisor is 0.

Definitions: exchange semantics, section 7; risk-free rate and minimum acceptable return are 0 unless given, per period.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from backtester.metrics.moments import downside_deviation, kurtosis, mean, sample_deviation, skewness
from backtester.metrics.returns import DAYS_PER_YEAR


def period_sharpe(returns: Sequence[float], *, risk_free: float = 0.0) -> float | None:
    """Mean excess return over its deviation (n - 1), per period; None below two returns or when nothing moved.

    Source: Sharpe 1994.
    """
    excess = [value - risk_free for value in returns] if risk_free else returns
    return _over(excess, sample_deviation(excess))


def sharpe(daily: Sequence[float], *, risk_free: float = 0.0) -> float | None:
    """Yearly Sharpe ratio of daily returns; None below two returns or when nothing moved.

    The root of time holds for returns that do not depend on those before (Lo 2002).
    """
    return _yearly(period_sharpe(daily, risk_free=risk_free))


def sharpe_standard_error(daily: Sequence[float]) -> float | None:
    """Standard error of the yearly Sharpe ratio, from n, skew and Pearson kurtosis of the daily returns.

    sqrt((1 - skew x SR + (kurtosis - 1) / 4 x SR^2) / (n - 1)) per day; None where the Sharpe ratio is.
    Source: the denominator of the probabilistic Sharpe ratio (Bailey and Lopez de Prado 2012).
    """
    ratio, third, fourth = period_sharpe(daily), skewness(daily), kurtosis(daily)
    if ratio is None or third is None or fourth is None:
        return None
    spread = sharpe_variance(ratio, skew=third, kurt=fourth)
    return None if spread is None else math.sqrt(spread / (len(daily) - 1) * DAYS_PER_YEAR)


def sharpe_variance(ratio: float, *, skew: float, kurt: float) -> float | None:
    """(n - 1) times the variance of a period Sharpe ratio; None when the moments are of no distribution."""
    variance = 1.0 - skew * ratio + (kurt - 1.0) / 4.0 * (ratio * ratio)
    return variance if variance > 0.0 else None


def sortino(daily: Sequence[float], *, target: float = 0.0) -> float | None:
    """Yearly ratio of mean daily return above `target` to its downside deviation over all n; None without a shortfall.

    Source: Sortino and Price 1994.
    """
    excess = [value - target for value in daily] if target else daily
    return _yearly(_over(excess, downside_deviation(excess)))


def calmar(yearly_growth: float | None, deepest: float | None) -> float | None:
    """CAGR over maximum drawdown, both fractions; None where either is undefined or nothing fell. Source: Young 1991."""
    if yearly_growth is None or not deepest:
        return None
    return yearly_growth / deepest


def omega(returns: Sequence[float], *, threshold: float = 0.0) -> float | None:
    """Sum of what lies above `threshold` over the sum of what lies below, per period; None when nothing lies below."""
    above = math.fsum(max(value - threshold, 0.0) for value in returns)
    below = math.fsum(max(threshold - value, 0.0) for value in returns)
    return above / below if below > 0.0 else None


def recovery_factor(*, net_profit: int, deepest_fall: int) -> float | None:
    """Net profit over the deepest fall, both in money; None when nothing fell."""
    return net_profit / deepest_fall if deepest_fall > 0 else None


def _over(returns: Sequence[float], deviation: float | None) -> float | None:
    return mean(returns) / deviation if deviation else None


def _yearly(ratio: float | None) -> float | None:
    return None if ratio is None else ratio * math.sqrt(DAYS_PER_YEAR)
