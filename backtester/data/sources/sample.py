"""The synthetic sample market: plausible 1m candles of any symbol and range, the same on every machine.

A candle is a function of (seed, symbol, minute) alone: whatever range is asked for, and whichever other symbols are asked for,
it is the same. Three layers make that possible without running from the beginning of time:

* daily anchors: a Brownian bridge by midpoint displacement between fixed points `BLOCK_DAYS` apart, one for the market and one
  per symbol, so that a day's open is found in seven steps from its number. The fixed points stay near 0, so prices stay sane;
* volatility: noise on several lattices (a quarter of an hour to a month) times the profiles of day and week, shared by all
  symbols, so that it clusters;
* minutes: a bridge over the day from anchor to anchor, in the time of that volatility, of the market's and the symbol's own
  draws, with a few jumps a week.

Only integer arithmetic and operations that IEEE 754 rounds correctly (+ - * / sqrt, comparison, rint) are used, in a fixed
order: library functions such as exp or a normal generator differ between machines and versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.config.sample_symbols import SAMPLE_LABEL, SampleSymbol, sample_symbol
from backtester.data.columns import CandleColumns, FloatColumn, IntColumn, slice_columns
from backtester.domain.timeframe import DAY_MS, MINUTE_MS, parse_time_ms

__all__ = ["SAMPLE_DAYS", "SAMPLE_LABEL", "SAMPLE_START_MS", "sample_columns"]

Bits = npt.NDArray[np.uint64]

SAMPLE_START_MS: Final = parse_time_ms("2025-01-01")
SAMPLE_DAYS: Final = 91
MINUTES: Final = 1_440

MARKET_DAY_SIGMA: Final = 0.0275
"""Standard deviation of the market's daily log return: 52 % a year."""
BLOCK_DAYS: Final = 128
BLOCK_SIGMA: Final = 0.22
"""Standard deviation of the fixed points of the anchors."""
RISE_MAX: Final = 0.62
FALL_MAX: Final = 1.3
"""Anchors stay within exp(-1.3) and exp(0.62) of the price of 2025-01-01: BTC between 25,900 and 177,000."""

LATTICE_MINUTES: Final = 15
VOLATILITY_LAYERS: Final = ((1, 0.30), (16, 0.28), (96, 0.22), (768, 0.22), (2880, 0.15))
"""(length in quarters of an hour, standard deviation) of the noise in the logarithm of volatility."""
VOLATILITY_SCALE: Final = 0.78
"""Brings the mean square of the noisy volatility back to that of the anchors."""
OWN_LAYERS: Final = ((4, 0.25), (96, 0.25))
"""As VOLATILITY_LAYERS, of a symbol's own activity."""

DAY_PROFILE: Final = (
    *(0.95, 0.90, 0.84, 0.78, 0.74, 0.73, 0.78, 0.88, 0.96, 0.98, 0.96, 0.95),
    *(1.05, 1.28, 1.48, 1.45, 1.32, 1.18, 1.08, 1.02, 1.00, 0.92, 0.86, 0.92),
)
"""Volatility by hour of the day, UTC: quiet before London opens, loudest when New York does."""
WEEK_PROFILE: Final = (1.02, 1.05, 1.06, 1.05, 1.04, 0.76, 0.80)
"""Volatility by day of the week, Monday first."""

JUMP_SLOTS: Final = 2
JUMP_CHANCE: Final = 0.16
"""Each day has so many chances of a jump, of the market and of each symbol."""
JUMP_SIGMAS: Final = 6.0

WICK: Final = 1.15
OPEN_GAP: Final = 0.06
"""In standard deviations of a minute: the longest wick (a third of it on average), and twice the widest gap of an open."""

USUAL_VOLUME: Final = 0.52
"""Brings the mean volume to that of the symbol's table."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_SHIFT_LAST = np.uint64(31)
_PAIRS = np.uint64(0x0000FFFF0000FFFF)
_LOW32 = np.uint64(0xFFFFFFFF)
_LOW16 = np.uint64(0xFFFF)
_BY16, _BY32, _BY48 = np.uint64(16), np.uint64(32), np.uint64(48)
_ONE16 = 1.0 / 65_536
_ROOT3 = 1.7320508075688772
_START_DAY = SAMPLE_START_MS // DAY_MS


class _Tide(NamedTuple):
    """What all symbols share over whole days: log returns of the market and volatility, minute by minute (days x 1440)."""

    anchors: FloatColumn
    """Log level of the market at the start of each day, and at the end of the last."""
    moves: FloatColumn
    sigma: FloatColumn
    elapsed: FloatColumn
    """Share of the day's variance that has passed at the end of each minute; ends at exactly 1."""


def sample_columns(symbol: str, *, seed: int, start_ms: int, end_ms: int, in_contracts: bool = False) -> Iterator[CandleColumns]:
    """The 1m candles of `symbol` that start in [start_ms, end_ms), month by month.

    Volumes are in base, or, `in_contracts`, in contracts of one unit of quote.
    """
    row = sample_symbol(symbol)
    for first_day, last_day in _months(start_ms, end_ms):
        candles = _candles(row, seed, first_day, last_day)
        first, last = candles.start_ms.searchsorted((start_ms, end_ms))
        if last > first:
            found = slice_columns(candles, int(first), int(last))
            if in_contracts:
                found = found._replace(volume=np.maximum(np.rint(found.volume * found.close), 1.0))
            yield found


def _months(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """[first day, last day) of every calendar month that [start_ms, end_ms) touches, as days since 1970."""
    day = start_ms // DAY_MS
    while day * DAY_MS < end_ms:
        moment = datetime.fromtimestamp(day * 86_400, tz=UTC)
        first = day - moment.day + 1
        following = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
        day = int(following.timestamp()) // 86_400
        yield first, day


def _candles(row: SampleSymbol, seed: int, first_day: int, last_day: int) -> CandleColumns:
    """All candles of the days [first_day, last_day)."""
    tide = _tide(seed, first_day, last_day)
    minutes = np.arange(first_day * MINUTES, last_day * MINUTES, dtype=np.int64)
    shape = (last_day - first_day, MINUTES)
    own = _activity(f"activity {row.symbol}", seed, first_day, last_day, OWN_LAYERS).reshape(shape)
    own_moves = _bell(_bits(seed, f"move {row.symbol}", minutes)).reshape(shape) * own
    _add_jumps(own_moves, f"jump {row.symbol}", seed, first_day, last_day)
    moves = row.beta * tide.moves + row.idio * (tide.sigma * own_moves)
    sigma = tide.sigma * float(np.sqrt(row.beta * row.beta + row.idio * row.idio))

    levels = _levels(row, seed, np.arange(first_day, last_day + 1, dtype=np.int64), tide.anchors)
    walk = np.cumsum(moves, axis=1)
    walk += tide.elapsed * ((levels[1:] - levels[:-1])[:, None] - walk[:, -1:])
    start_ticks = row.price * row.ticks_per_unit * _exponential(levels[:-1])
    close = start_ticks[:, None] * _exponential(walk)

    noise = _bits(seed, f"candle {row.symbol}", minutes).reshape(shape)
    open_ = np.empty(shape)
    open_[:, 0] = start_ticks
    open_[:, 1:] = close[:, :-1]
    open_ *= 1.0 + (OPEN_GAP * sigma) * (_part(noise, _BY48) - 0.5)
    high_part, low_part = _part(noise, _BY32), _part(noise, _BY16)
    high = np.maximum(open_, close) * (1.0 + (WICK * sigma) * (high_part * high_part))
    low = np.minimum(open_, close) * (1.0 - (WICK * sigma) * (low_part * low_part))
    volume = _volumes(row, tide.sigma * own, np.abs(moves) / sigma, _part(noise, np.uint64(0)))
    values = (*(_on_ticks(ticks, row) for ticks in (open_, high, low, close)), volume)
    return CandleColumns(minutes * MINUTE_MS, *(column.ravel() for column in values))


def _on_ticks(ticks: FloatColumn, row: SampleSymbol) -> FloatColumn:
    """Prices on the symbol's grid, at least one tick; each the float nearest to its decimal number."""
    return np.maximum(np.rint(ticks), 1.0) / row.ticks_per_unit


def _volumes(row: SampleSymbol, pace: FloatColumn, stretch: FloatColumn, luck: FloatColumn) -> FloatColumn:
    """Volumes [base], 3 decimals, above 0: busy while volatility is high, in minutes that move far, and by luck."""
    usual = row.volume_quote / row.price * USUAL_VOLUME
    volume = (usual * (pace * (38.0 / MARKET_DAY_SIGMA))) * (0.35 + stretch) / (0.2 + luck)
    return np.maximum(np.rint(volume * 1_000.0), 1.0) / 1_000.0


@lru_cache(maxsize=6)
def _tide(seed: int, first_day: int, last_day: int) -> _Tide:
    """The market over days [first_day, last_day). Cached, for the symbols of a run read the same months side by side."""
    shape = (last_day - first_day, MINUTES)
    minutes = np.arange(first_day * MINUTES, last_day * MINUTES, dtype=np.int64)
    hours = np.array([*DAY_PROFILE, DAY_PROFILE[0]])
    of_day = _between(hours, 60)
    of_week = np.array(WEEK_PROFILE)[(np.arange(first_day, last_day) + 3) % 7]  # day 0 was a Thursday
    noise = _activity("volatility", seed, first_day, last_day, VOLATILITY_LAYERS).reshape(shape)
    minute_sigma = MARKET_DAY_SIGMA * VOLATILITY_SCALE / float(np.sqrt(float(MINUTES)))
    sigma = noise * (of_week[:, None] * of_day) * minute_sigma
    moves = _bell(_bits(seed, "move", minutes)).reshape(shape)
    _add_jumps(moves, "jump", seed, first_day, last_day)
    elapsed = np.cumsum(sigma * sigma, axis=1)
    elapsed /= elapsed[:, -1:].copy()
    anchors = _bridge(seed, "anchor", np.arange(first_day, last_day + 1, dtype=np.int64))
    return _Tide(anchors, sigma * moves, sigma, elapsed)


def _levels(row: SampleSymbol, seed: int, days: IntColumn, market: FloatColumn) -> FloatColumn:
    """Log price of `row` at the start of each day, 0 on 2025-01-01, within (-FALL_MAX, RISE_MAX)."""
    start = np.array([_START_DAY], dtype=np.int64)
    own_name = f"anchor {row.symbol}"
    level = row.beta * market + row.idio * _bridge(seed, own_name, days)
    level -= row.beta * _bridge(seed, "anchor", start) + row.idio * _bridge(seed, own_name, start)
    relative = level / np.where(level > 0, RISE_MAX, FALL_MAX)
    return level / np.sqrt(1.0 + relative * relative)


def _bridge(seed: int, name: str, days: IntColumn) -> FloatColumn:
    """A Brownian path with MARKET_DAY_SIGMA a day, pinned every BLOCK_DAYS to points around 0, at `days`."""
    low = days // BLOCK_DAYS * BLOCK_DAYS
    high = low + BLOCK_DAYS
    at_low = BLOCK_SIGMA * _bell(_bits(seed, f"{name} block", low))
    at_high = BLOCK_SIGMA * _bell(_bits(seed, f"{name} block", high))
    span = BLOCK_DAYS
    while span > 1:
        span //= 2
        middle = low + span
        spread = MARKET_DAY_SIGMA * float(np.sqrt(span / 2.0))
        at_middle = 0.5 * (at_low + at_high) + spread * _bell(_bits(seed, f"{name} path", middle))
        later = days >= middle
        low, at_low = np.where(later, middle, low), np.where(later, at_middle, at_low)
        at_high = np.where(later, at_high, at_middle)
    return at_low


def _activity(name: str, seed: int, first_day: int, last_day: int, layers: tuple[tuple[int, float], ...]) -> FloatColumn:
    """exp of noise on lattices of several lengths, for every minute of the days; interpolated, so that it persists."""
    per_day = MINUTES // LATTICE_MINUTES
    quarters = np.arange(first_day * per_day, last_day * per_day + 1, dtype=np.int64)
    noise = np.zeros(len(quarters))
    for length, spread in layers:
        left = quarters // length
        nodes = np.arange(left[0], left[-1] + 2, dtype=np.int64)
        heights = spread * _bell(_bits(seed, f"{name} {length}", nodes))
        place = left - left[0]
        part = (quarters - left * length) / length
        noise += heights[place] + (heights[place + 1] - heights[place]) * part
    return _between(_exponential(noise), LATTICE_MINUTES)


def _between(nodes: FloatColumn, steps: int) -> FloatColumn:
    """`steps` values from each node on, in equal steps towards the next."""
    part = np.arange(steps) / float(steps)
    return (nodes[:-1, None] + (nodes[1:] - nodes[:-1])[:, None] * part).ravel()


def _add_jumps(moves: FloatColumn, name: str, seed: int, first_day: int, last_day: int) -> None:
    """A few minutes of `moves` (days x 1440, in standard deviations) get a move of several standard deviations more."""
    slots = np.arange(first_day * JUMP_SLOTS, last_day * JUMP_SLOTS, dtype=np.int64)
    bits = _bits(seed, name, slots)
    happens = _part(bits, _BY48) < JUMP_CHANCE
    minute = ((bits & _LOW32) % np.uint64(MINUTES)).astype(np.int64)
    size = JUMP_SIGMAS / np.sqrt(_part(bits, _BY32) + 0.1)
    signed = np.where((bits >> _SHIFT_LAST) & np.uint64(1) == 0, size, -size)
    days = slots // JUMP_SLOTS - first_day
    np.add.at(moves, (days[happens], minute[happens]), signed[happens])


@lru_cache(maxsize=4096)
def _key(seed: int, name: str) -> np.uint64:
    digest = hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "big"))


def _bits(seed: int, name: str, counters: IntColumn) -> Bits:
    """64 random bits for each counter: the splitmix64 generator, keyed by seed and name and read at any place."""
    bits = counters.astype(np.uint64) * _GOLDEN + _key(seed, name)
    for shift, factor in _MIX:
        bits ^= bits >> shift
        bits *= factor
    bits ^= bits >> _SHIFT_LAST
    return bits


def _bell(bits: Bits) -> FloatColumn:
    """Nearly normal, mean 0, standard deviation 1: the sum of four uniform numbers, exact in whole numbers."""
    pairs = (bits & _PAIRS) + ((bits >> _BY16) & _PAIRS)
    total = (pairs & _LOW32) + (pairs >> _BY32)
    return (total.astype(np.float64) - 131_070.0) * (_ROOT3 * _ONE16)


def _part(bits: Bits, shift: np.uint64) -> FloatColumn:
    """16 of the bits as a number in [0, 1)."""
    return ((bits >> shift) & _LOW16).astype(np.float64) * _ONE16


def _exponential(values: FloatColumn) -> FloatColumn:
    """exp to five digits for |value| < 2, always positive: a short series at 1/64 of the value, squared six times."""
    z = values * (1.0 / 64.0)
    result = 1.0 + z * (1.0 + z * (0.5 + z * (1.0 / 6.0)))
    for _ in range(6):
        result *= result
    return result
