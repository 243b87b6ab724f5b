"""Runs and trades for the tests of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import DAY_MS, HOUR_MS
from backtester.domain.vocabulary import Side
from backtester.engine.rng import RandomStreams
from backtester.metrics.drawdown import DeepestFall, deepest_fall, longest_underwater_ms
from backtester.metrics.figures import Figures, RunSeries, figures
from backtester.metrics.trades import TradeResult

START_MS = 1_735_689_600_000  # 2025-01-01


def trade(net: int, **changes: Any) -> TradeResult:
    """A trade of whole quote amounts: entered for 1000, fees of 1."""
    hours = changes.pop("hours", 2)
    begun_ms = changes.pop("entry_time_ms", START_MS)
    given: dict[str, Any] = {
        "symbol": "AAAUSDT",
        "side": Side.BUY,
        "entry_time_ms": begun_ms,
        "exit_time_ms": begun_ms + hours * HOUR_MS,
        "entry_value": 1000 * MONEY_ONE,
        "gross": (net + 1) * MONEY_ONE,
        "fees": MONEY_ONE,
        "close_reason": "SIGNAL",
    }
    return TradeResult(**(given | changes))


def nets(values: Sequence[int]) -> list[int]:
    return [value * MONEY_ONE for value in values]


def run_series(daily: Sequence[int], *, days: float | None = None, start_ms: int = START_MS, **changes: Any) -> RunSeries:
    """A run whose equity is known at midnights only, in whole quote; it begins at the first and ends at the last."""
    points = [(start_ms + day * DAY_MS, value * MONEY_ONE) for day, value in enumerate(daily)]
    fall = DeepestFall(points[0][1])
    for _, value in points[1:]:
        fall.see(value)
    given: dict[str, Any] = {
        "start_ms": start_ms,
        "end_ms": points[-1][0] if days is None else start_ms + int(days * DAY_MS),
        "start_equity": points[0][1],
        "end_equity": points[-1][1],
        "daily": points,
        "drawdown": fall.peak_and_low(),
        "fall": deepest_fall(points),
        "longest_underwater_ms": longest_underwater_ms(points),
        "rows_in_position": 3,
        "rows": 12,
        "trades": [],
        "fees": 0,
        "funding": 0,
        "interest": 0,
        "slippage": 0,
        "fills_without_reference": 0,
        "bought": 0,
        "sold": 0,
        "marks": [(value, 0, 0) for _, value in points],
        "closes": {},
        "stream": RandomStreams(7).stream("metrics", "risk_of_ruin"),
    }
    return RunSeries(**(given | changes))


def run_figures(daily: Sequence[int], **changes: Any) -> Figures:
    return figures(run_series(daily, **changes))
