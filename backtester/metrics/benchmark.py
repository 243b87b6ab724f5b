"""A run against a market: what holding would have earned, and how returns hang together.

Prices are those at the instants of the run's daily equity. Functions of two series take equal lengths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from backtester.domain.errors import DomainError
from backtester.metrics.moments import covariance, mean
from backtester.metrics.returns import DAYS_PER_YEAR, simple_returns


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Daily returns of a run against those of a benchmark: `alpha` a year, a fraction; `correlation` -1 to 1."""

    alpha: float | None
    beta: float | None
    correlation: float | None


def buy_and_hold(prices: Sequence[float]) -> list[float] | None:
    """Daily returns of holding one thing from the first price on; None when a price is not positive."""
    return simple_returns(prices)


def equal_weight(prices_by_symbol: Mapping[str, Sequence[float]]) -> list[float] | None:
    """Daily returns of equal money in every symbol at the first price, held without rebalancing.

    None without a symbol, or when a price is not positive. Raises DomainError when the series differ in length.
    """
    series = [prices_by_symbol[symbol] for symbol in sorted(prices_by_symbol)]
    if len({len(prices) for prices in series}) > 1:
        raise DomainError("the price series of a benchmark must have equal lengths")
    if not series or any(price <= 0.0 for prices in series for price in prices):
        return None
    return simple_returns([math.fsum(prices[day] / prices[0] for prices in series) for day in range(len(series[0]))])


def beta(returns: Sequence[float], benchmark: Sequence[float]) -> float | None:
    """Covariance with the benchmark over its variance; None below two pairs or when the benchmark did not move."""
    together, spread = covariance(returns, benchmark), covariance(benchmark, benchmark)
    return together / spread if together is not None and spread else None


def alpha(returns: Sequence[float], benchmark: Sequence[float]) -> float | None:
    """Mean daily return beyond beta x the benchmark's, x 365: a fraction a year, not compounded; None where beta is.

    Source: Jensen 1968, risk-free rate 0.
    """
    slope = beta(returns, benchmark)
    return None if slope is None else (mean(returns) - slope * mean(benchmark)) * DAYS_PER_YEAR


def correlation(returns: Sequence[float], benchmark: Sequence[float]) -> float | None:
    """Pearson's correlation, -1 to 1; None below two pairs or when one of the two did not move."""
    together, own, other = covariance(returns, benchmark), covariance(returns, returns), covariance(benchmark, benchmark)
    if together is None or not own or not other:
        return None
    return max(-1.0, min(1.0, together / (math.sqrt(own) * math.sqrt(other))))


def comparison(returns: Sequence[float], benchmark: Sequence[float]) -> Comparison:
    """Alpha, beta and correlation of daily returns."""
    return Comparison(alpha=alpha(returns, benchmark), beta=beta(returns, benchmark), correlation=correlation(returns, benchmark))
