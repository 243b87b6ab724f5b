"""Where trailing stops stood, worked out again from the candles: the journal tells only when each came and went."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from backtester.domain.vocabulary import Side
from backtester.report.curves import Floats
from backtester.report.journal_facts import Stop, TrailingStop
from backtester.report.trade_facts import Bars

STEPS_MAX = 200
"""Steps that are drawn of one stop; of more, every so manyth."""


def trail_steps(
    trails: Iterable[TrailingStop], *, bars_of: Callable[[str], Bars] | None, length_ms: int, end_ms: int
) -> dict[str, list[Stop]]:
    """By symbol, the steps of its trailing stops; nothing where there are no candles (`bars_of` is None) to tell."""
    found: dict[str, list[Stop]] = {}
    if bars_of is None:
        return found
    for trail in trails:
        found.setdefault(trail.symbol, []).extend(_steps(trail, bars_of(trail.symbol), length_ms, end_ms))
    return found


def _steps(trail: TrailingStop, bars: Bars, length_ms: int, end_ms: int) -> list[Stop]:
    """It follows from the open of the bar in which it arrived, each bar's extreme counting from that bar's end on."""
    to_ms = end_ms if trail.to_ms is None else trail.to_ms
    first = int(np.searchsorted(bars.start_ms, trail.from_ms - length_ms, side="right"))
    last = int(np.searchsorted(bars.start_ms, to_ms - length_ms, side="right"))
    if first >= len(bars.start_ms) or trail.from_ms >= to_ms:
        return []
    sells = trail.side is Side.SELL
    best: Floats = (bars.high if sells else bars.low)[first:last]
    follow = np.maximum if sells else np.minimum
    extremes = follow.accumulate(np.concatenate((bars.open[first : first + 1], best)))
    times = np.concatenate(([trail.from_ms], bars.start_ms[first:last] + length_ms))
    if trail.activation:
        active = extremes >= trail.activation if sells else extremes <= trail.activation
        extremes, times = extremes[active], times[active]
    if not len(times):
        return []
    sign = -1.0 if sells else 1.0
    levels = extremes + sign * (trail.distance or extremes * trail.fraction)
    changes = np.concatenate(([0], np.flatnonzero(np.diff(levels)) + 1))
    changes = changes[:: -(-len(changes) // STEPS_MAX)]
    starts, prices = times[changes], levels[changes]
    ends = np.concatenate((starts[1:], [to_ms]))
    return [
        Stop(trail.symbol, float(price), True, int(from_ms), int(until))
        for price, from_ms, until in zip(prices, starts, ends, strict=True)
    ]
