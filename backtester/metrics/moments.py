"""Moments of a sample: exactly rounded sums, products instead of powers, so that every machine finds the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def median(values: Sequence[float]) -> float | None:
    """The middle value, or the mean of the two in the middle; None without a value."""
    return median_of_sorted(sorted(values)) if values else None


def median_of_sorted(ordered: Sequence[float]) -> float:
    """As `median`, of at least one value, rising."""
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def sample_deviation(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None below two values, exactly 0 when all are equal."""
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return 0.0
    return math.sqrt(_sum_of_squares(values) / (len(values) - 1))


def downside_deviation(values: Sequence[float], *, target: float = 0.0) -> float | None:
    """Root mean square of what falls short of `target`, over all n values; None below two values.

    Source: Sortino and Price 1994.
    """
    if len(values) < 2:
        return None
    short = [min(value - target, 0.0) for value in values]
    return math.sqrt(math.fsum(value * value for value in short) / len(short))


def skewness(values: Sequence[float]) -> float | None:
    """Third standardised moment of the population (divisor n); None below two values or when all are equal."""
    spread = _spread(values)
    return _finite(_central_moment(values, 3), spread * math.sqrt(spread)) if spread else None


def kurtosis(values: Sequence[float]) -> float | None:
    """Fourth standardised moment of the population after Pearson: 3 for a normal distribution, not the excess over it.

    None below two values or when all are equal.
    """
    spread = _spread(values)
    return _finite(_central_moment(values, 4), spread * spread) if spread else None


def covariance(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Sample covariance (divisor n - 1) of two series of equal length; None below two pairs."""
    if len(first) < 2:
        return None
    middle, other = mean(first), mean(second)
    return math.fsum((a - middle) * (b - other) for a, b in zip(first, second, strict=True)) / (len(first) - 1)


def _spread(values: Sequence[float]) -> float:
    """Variance of the population; 0 below two values or when all are equal."""
    return _central_moment(values, 2) if len(values) >= 2 and min(values) < max(values) else 0.0


def _sum_of_squares(values: Sequence[float]) -> float:
    middle = mean(values)
    away = [value - middle for value in values]
    return math.fsum(value * value for value in away)


def _central_moment(values: Sequence[float], order: int) -> float:
    middle = mean(values)
    return math.fsum(math.prod([value - middle] * order) for value in values) / len(values)


def _finite(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator > 0.0 else None
