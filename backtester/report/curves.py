"""Curves small enough to be drawn: what happened between two points is kept in their highest and lowest value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.domain.timeframe import DAY_MS
from backtester.metrics.ratios import sharpe
from backtester.metrics.returns import simple_returns

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

POINTS_MAX = 1_500
"""Points of a curve; a screen is not wider."""
_SHARPE_WINDOWS = (30, 14)
"""Days; the first of which a run has at least twice as many returns."""


class EquityDrawn(NamedTuple):
    """Equity and drawdown at `time_ms`: `equity` there, its `low` and `high` since the point before, the deepest `drawdown`."""

    time_ms: Ints
    equity: Floats
    low: Floats
    high: Floats
    drawdown: Floats


class RollingSharpe(NamedTuple):
    """Yearly Sharpe ratio over the last `days` daily returns; nan where nothing moved."""

    days: int
    time_ms: Ints
    ratio: Floats


def last_rows(count: int, points_max: int = POINTS_MAX) -> npt.NDArray[np.intp]:
    """The last row of each of at most `points_max` stretches of equal length; the last one is the last of all."""
    if count <= points_max:
        return np.arange(count)
    ends: npt.NDArray[np.intp] = np.arange(1, points_max + 1) * count // points_max - 1
    return ends


def thinning(count: int, points_max: int) -> int:
    """Every so manyth of `count` is at most `points_max`: an odd number, since entries and exits take turns."""
    every = max(-(-count // points_max), 1)
    return every if every == 1 else every | 1


def drawn_equity(
    time_ms: Ints, equity: Floats, lowest: Floats, highest: Floats, *, start_equity: float, points_max: int = POINTS_MAX
) -> EquityDrawn:
    """The curve in at most `points_max` points; drawdown is a fraction <= 0 of the highest equity before.

    Within one row the low counts against the peaks before it: what came first inside a row is not known.
    """
    if not len(time_ms):
        empty = np.empty(0)
        return EquityDrawn(time_ms, empty, empty, empty, empty)
    peak = np.maximum.accumulate(np.maximum(highest, start_equity))
    before = np.concatenate(([start_equity], peak[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.minimum(np.where(before > 0, lowest / before, 1.0), np.where(peak > 0, equity / peak, 1.0)) - 1.0
    fall = np.minimum(fall, 0.0)
    ends = last_rows(len(time_ms), points_max)
    starts = np.concatenate(([0], ends[:-1] + 1))
    return EquityDrawn(
        time_ms[ends],
        equity[ends],
        np.minimum.reduceat(lowest, starts),
        np.maximum.reduceat(highest, starts),
        np.minimum.reduceat(fall, starts),
    )


def peaks_kept(time_ms: Ints, values: Floats, *, points_max: int = POINTS_MAX) -> tuple[Ints, Floats]:
    """A step curve in at most `points_max` points: of each stretch its last time, and the value furthest from zero."""
    if len(time_ms) <= points_max:
        return time_ms, values
    ends = last_rows(len(time_ms), points_max)
    starts = np.concatenate(([0], ends[:-1] + 1))
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return time_ms[ends], np.where(-low > high, low, high)


def daily_equity(time_ms: Ints, equity: Floats, *, start_ms: int, start_equity: float) -> tuple[Ints, Floats]:
    """Equity at every UTC midnight from `start_ms` (or the first after it) to the last row."""
    if not len(time_ms):
        return np.empty(0, np.int64), np.empty(0)
    days = np.arange(-(-start_ms // DAY_MS) * DAY_MS, int(time_ms[-1]) + 1, DAY_MS, dtype=np.int64)
    rows = np.searchsorted(time_ms, days, side="right") - 1
    return days, np.where(rows >= 0, equity[np.maximum(rows, 0)], start_equity)


def rolling_sharpe(days_ms: Ints, equity: Floats) -> RollingSharpe | None:
    """Over 30 days, over 14 where the run is shorter than 60; None under 28 daily returns, or when equity was lost."""
    returns = simple_returns(equity.tolist())
    window = next((days for days in _SHARPE_WINDOWS if returns is not None and len(returns) >= 2 * days), None)
    if returns is None or window is None:
        return None
    ratios = [sharpe(returns[end - window : end]) for end in range(window, len(returns) + 1)]
    values = np.array([np.nan if ratio is None else ratio for ratio in ratios])
    kept = last_rows(len(values))
    return RollingSharpe(window, days_ms[window:][kept], values[kept])


def histogram(values: Sequence[float] | Floats, *, bins_max: int = 48) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Edges and counts of bins of equal width, one edge at zero, so that no bin holds wins and losses.

    The outermost bins hold what lies beyond the 0.5th and the 99.5th of 100 parts.
    """
    found = np.asarray(values, dtype=np.float64)
    low, high = (float(edge) for edge in np.quantile(found, (0.005, 0.995)))
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        high = low + 0.001
    bins = min(bins_max, max(8, round(2 * len(found) ** 0.5)))
    width = (high - low) / bins
    first, last = int(np.floor(low / width)), int(np.ceil(high / width))
    edges = np.arange(first, last + 1) * width
    counts, _ = np.histogram(np.clip(found, edges[0], edges[-1]), edges)
    return edges, counts.astype(np.int64)
