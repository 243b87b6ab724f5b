"""The candles of a report, few enough to be drawn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backtester.report.curves import Floats, Ints
from backtester.report.trade_facts import Bars

SYMBOLS_MAX = 24
"""Symbols whose candles are drawn: those that traded most."""
CANDLES_MAX = 8_000
"""Candles that are drawn of one symbol."""
_ALL_CANDLES = 20_000
_ALL_CANDLES_MIN = 6_000
_CANDLES_MIN = 250
_NICE_MINUTES = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2880, 4320, 10080, 20160, 40320)


class Candles(NamedTuple):
    """Candles of `length_ms`, each from its `start_ms`."""

    length_ms: int
    start_ms: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats


def candles_each(symbols: int, *, fills: int) -> int:
    """How many candles each of so many symbols may have, so that a page with so many fills stays small."""
    total = max(_ALL_CANDLES_MIN, _ALL_CANDLES - fills)
    return max(_CANDLES_MIN, min(CANDLES_MAX, total // max(symbols, 1)))


def coarser(bars: Bars, *, length_ms: int, points_max: int) -> Candles:
    """The same candles in at most `points_max`, on a UTC grid; where nothing was, nothing is."""
    start_ms = bars.start_ms
    if not len(start_ms):
        return Candles(length_ms, start_ms, bars.open, bars.high, bars.low, bars.close)
    span_ms = int(start_ms[-1] - start_ms[0]) + length_ms
    coarse_ms = _coarse_length_ms(length_ms, span_ms, points_max)
    bucket = start_ms // coarse_ms
    first = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    last = np.concatenate((first[1:] - 1, [len(start_ms) - 1]))
    return Candles(
        coarse_ms,
        bucket[first] * coarse_ms,
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
    )


def _coarse_length_ms(length_ms: int, span_ms: int, points_max: int) -> int:
    """The shortest length that people use, a multiple of `length_ms`, of which the span holds fewer than `points_max`."""
    least_ms = max(length_ms, span_ms // max(points_max - 1, 1))
    for minutes in _NICE_MINUTES:
        nice_ms = minutes * 60_000
        if nice_ms >= least_ms and nice_ms % length_ms == 0:
            return nice_ms
    return -(-least_ms // length_ms) * length_ms
