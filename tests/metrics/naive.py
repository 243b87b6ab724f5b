"""The same figures the slow way: exact fractions, the statistics module, quadratic loops; nothing of the code under test."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction

YEAR = 365


def returns_of(equity: Sequence[int]) -> list[Fraction]:
    return [Fraction(after, before) - 1 for before, after in zip(equity, equity[1:], strict=False)]


def root(value: Fraction) -> float:
    """Square root of a fraction to far more digits than a float has."""
    scale = 10**80
    return math.isqrt(value.numerator * scale**2 // value.denominator) / scale if value else 0.0


def volatility(returns: Sequence[Fraction]) -> float:
    return root(statistics.variance(returns) * YEAR)


def period_sharpe(returns: Sequence[Fraction]) -> float:
    return float(statistics.mean(returns)) / root(statistics.variance(returns))


def sharpe(returns: Sequence[Fraction]) -> float:
    return period_sharpe(returns) * math.sqrt(YEAR)


def sortino(returns: Sequence[Fraction]) -> float:
    below = sum((one * one for one in returns if one < 0), Fraction(0)) / len(returns)
    return float(statistics.mean(returns)) / root(below) * math.sqrt(YEAR)


def moment(returns: Sequence[Fraction], order: int) -> float:
    """Standardised moment of the population."""
    middle = statistics.mean(returns)
    spread = root(sum(((one - middle) ** 2 for one in returns), Fraction(0)) / len(returns))
    return float(sum(((one - middle) ** order for one in returns), Fraction(0)) / len(returns)) / spread**order


def probabilistic_sharpe(returns: Sequence[Fraction]) -> float:
    ratio = period_sharpe(returns)
    spread = 1 - moment(returns, 3) * ratio + (moment(returns, 4) - 1) / 4 * ratio**2
    return statistics.NormalDist().cdf(ratio * math.sqrt(len(returns) - 1) / math.sqrt(spread))


def omega(returns: Sequence[Fraction]) -> float:
    return float(sum(one for one in returns if one > 0) / -sum(one for one in returns if one < 0))


def quantile(returns: Sequence[Fraction], percent: int) -> Fraction:
    """Between the neighbours of the place (n - 1) x percent / 100."""
    ordered = sorted(returns)
    below, rest = divmod((len(ordered) - 1) * percent, 100)
    return ordered[below] if not rest else ordered[below] + (ordered[below + 1] - ordered[below]) * Fraction(rest, 100)


def expected_shortfall(returns: Sequence[Fraction]) -> Fraction:
    return -statistics.mean(sorted(returns)[: 1 + (len(returns) - 1) * 5 // 100])


def deepest(equity: Sequence[int]) -> tuple[Fraction, int, int, int | None]:
    """Depth, index of peak, low and recovery of the deepest fall; the earliest of equals, from the last time at its peak."""
    depth, peak, low = Fraction(0), 0, 0
    for start in range(len(equity)):
        for end in range(start, len(equity)):
            found = 1 - Fraction(equity[end], equity[start])
            if found > depth:
                depth, peak, low = found, start, end
    peak = max(index for index in range(low) if equity[index] == equity[peak]) if depth else 0
    recovery = next((index for index in range(low, len(equity)) if equity[index] >= equity[peak]), None)
    return depth, peak, low, recovery


def longest_underwater(equity: Sequence[int]) -> int:
    """The most periods from a value that nothing before exceeds to the first later one that reaches it, or to the end."""
    longest = 0
    for start, value in enumerate(equity):
        if value < max(equity[: start + 1]) or start + 1 == len(equity) or equity[start + 1] >= value:
            continue
        back = next((index for index in range(start + 1, len(equity)) if equity[index] >= value), len(equity) - 1)
        longest = max(longest, back - start)
    return longest


def ulcer(equity: Sequence[int]) -> float:
    below = [100 * (1 - Fraction(value, max(equity[: index + 1]))) for index, value in enumerate(equity)]
    return root(sum((one * one for one in below), Fraction(0)) / len(below))


def tail_ratio(returns: Sequence[Fraction]) -> float | None:
    low, high = quantile(returns, 5), quantile(returns, 95)
    return float(abs(high / low)) if low else None


def beta(returns: Sequence[Fraction], benchmark: Sequence[Fraction]) -> Fraction:
    middle, other = statistics.mean(returns), statistics.mean(benchmark)
    together = sum(((a - middle) * (b - other) for a, b in zip(returns, benchmark, strict=True)), Fraction(0))
    return together / sum(((b - other) ** 2 for b in benchmark), Fraction(0))


def correlation(returns: Sequence[Fraction], benchmark: Sequence[Fraction]) -> float:
    spread = root(statistics.variance(benchmark)) / root(statistics.variance(returns))
    return float(beta(returns, benchmark)) * spread
