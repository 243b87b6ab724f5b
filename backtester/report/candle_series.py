"""The candles of a report: few enough to be drawn, and how far the price went for and against each trade."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from backtester.report.curves import Floats, Ints

SYMBOLS_MAX = 24
"""Symbols whose candles are drawn: those that traded most."""
CANDLES_MAX = 2_500
"""Candles that are drawn of one symbol."""
_ALL_CANDLES = 6_000
_CANDLES_MIN = 250
_NICE_MINUTES = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2880, 4320, 10080, 20160, 40320)


class Bars(Protocol):
    """Candles of one symbol as columns of equal length; `start_ms` strictly rising."""

    @property
    def start_ms(self) -> Ints:
        """UTC epoch milliseconds."""

    @property
    def open(self) -> Floats:
        """First price."""

    @property
    def high(self) -> Floats:
        """Highest price."""

    @property
    def low(self) -> Floats:
        """Lowest price."""

    @property
    def close(self) -> Floats:
        """Last price."""


class Candles(NamedTuple):
    """Candles of `length_ms`, each from its `start_ms`."""

    length_ms: int
    start_ms: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats


class Excursions(NamedTuple):
    """By trade: how far the price went against it (`mae`, <= 0) and for it (`mfe`, >= 0), fractions of the entry price."""

    mae: Floats
    mfe: Floats


def candles_each(symbols: int) -> int:
    """How many candles each of so many symbols may have, so that a page stays small."""
    return max(_CANDLES_MIN, min(CANDLES_MAX, _ALL_CANDLES // max(symbols, 1)))


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


def excursions(
    bars: Bars,
    *,
    length_ms: int,
    entry_ms: Ints,
    exit_ms: Ints,
    entry_price: Floats,
    exit_price: Floats,
    is_long: npt.NDArray[np.bool_],
    entered_inside: npt.NDArray[np.bool_],
) -> Excursions:
    """Excursions of trades that follow each other (`exit_ms` <= the next `entry_ms`), from the extremes of the bars they met.

    Those are the bars from the one of the entry up to the one before the exit, or up to the exit's where it filled inside a bar.
    The bar inside of which an entry filled counts against the trade, not for it: what of it came before the fill is not known.
    A trade that met no bar has its exit price only.
    """
    count = len(entry_ms)
    move = np.where(is_long, 1.0, -1.0) * (exit_price - entry_price) / entry_price
    mae, mfe = np.minimum(move, 0.0), np.maximum(move, 0.0)
    if not count or not len(bars.start_ms):
        return Excursions(mae, mfe)
    entry_bar_ms, until_ms = entry_ms // length_ms * length_ms, exit_ms // length_ms * length_ms
    met, highest, lowest = _extremes(bars, entry_bar_ms, until_ms)
    entry, long = entry_price[met], is_long[met]
    mfe[met] = np.maximum(mfe[met], np.where(long, highest - entry, entry - lowest) / entry)
    counted_ms = np.where(entered_inside, (entry_ms - 1) // length_ms * length_ms, entry_bar_ms)
    met, highest, lowest = _extremes(bars, counted_ms, until_ms)
    entry, long = entry_price[met], is_long[met]
    mae[met] = np.minimum(mae[met], np.where(long, lowest - entry, entry - highest) / entry)
    return Excursions(mae, mfe)


def _extremes(bars: Bars, from_ms: Ints, until_ms: Ints) -> tuple[npt.NDArray[np.bool_], Floats, Floats]:
    """Which pairs hold bars that start in [from, until), and the highest and the lowest price of each of those."""
    first, last = np.searchsorted(bars.start_ms, from_ms), np.searchsorted(bars.start_ms, until_ms)
    met = last > first
    if not met.any():
        return met, np.empty(0), np.empty(0)
    edges = np.column_stack((first[met], last[met])).ravel()
    padded = (np.append(bars.high, 0.0), np.append(bars.low, 0.0))  # an edge may stand after the last bar
    return met, np.maximum.reduceat(padded[0], edges)[::2], np.minimum.reduceat(padded[1], edges)[::2]
