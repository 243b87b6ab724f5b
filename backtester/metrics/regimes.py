"""In which market a run earned what it earned.

Day by day, from the benchmark's returns of the 30 days *before* it, so that a day's own move does not decide its regime:
compounded to +10 % or more it is bull, to -10 % or less bear, else sideways; its volatility is high when their standard
deviation is above the median of all such deviations of the run up to that day, else low. The first 30 days belong to no regime.
Nothing of this knows a later day: the label of a day is the same, however long the run goes on.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

import msgspec

from backtester.metrics.moments import mean, median_of_sorted, sample_deviation
from backtester.metrics.returns import compounded

REGIME_DAYS = 30
TREND_FRAC = 0.10
TRENDS = ("bull", "bear", "sideways")
VOLATILITIES = ("high_volatility", "low_volatility")


class RegimeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Days of one regime: the run's daily returns on them, compounded and on average, and the benchmark's."""

    days: int
    total_return: float | None
    average_return: float | None
    benchmark_return: float | None


def trends(benchmark: Sequence[float]) -> list[str | None]:
    """bull, bear or sideways for every daily return; None for the first 30."""
    return [None if window is None else _trend(compounded(window)) for window in _windows(benchmark)]


def volatility_regimes(benchmark: Sequence[float]) -> list[str | None]:
    """high_volatility or low_volatility for every daily return; None for the first 30."""
    spreads = [None if window is None else sample_deviation(window) for window in _windows(benchmark)]
    known: list[float] = []
    labels: list[str | None] = []
    for spread in spreads:
        if spread is None:
            labels.append(None)
            continue
        insort(known, spread)
        labels.append(VOLATILITIES[spread <= median_of_sorted(known)])
    return labels


def by_regime(returns: Sequence[float], benchmark: Sequence[float]) -> dict[str, RegimeFigures]:
    """Figures of each of the five regimes, of daily returns of equal number; a regime without a day has None."""
    found = {}
    for names, labels in ((TRENDS, trends(benchmark)), (VOLATILITIES, volatility_regimes(benchmark))):
        for name in names:
            days = [day for day, label in enumerate(labels) if label == name]
            found[name] = _regime([returns[day] for day in days], [benchmark[day] for day in days])
    return found


def _regime(returns: list[float], benchmark: list[float]) -> RegimeFigures:
    if not returns:
        return RegimeFigures(days=0, total_return=None, average_return=None, benchmark_return=None)
    return RegimeFigures(
        days=len(returns), total_return=compounded(returns), average_return=mean(returns), benchmark_return=compounded(benchmark)
    )


def _windows(benchmark: Sequence[float]) -> list[Sequence[float] | None]:
    return [None if day < REGIME_DAYS else benchmark[day - REGIME_DAYS : day] for day in range(len(benchmark))]


def _trend(change: float) -> str:
    return "bull" if change >= TREND_FRAC else "bear" if change <= -TREND_FRAC else "sideways"
