"""What is stored of random worlds beside their bars: shorter candles or trades inside each bar, and quotes (`simulate.py`)."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.finer_bars import FinerBars, FinerSource
from backtester.engine.ports import Quote

BAR_MS = 60_000
PART_MS = 15_000
TRADES_A_PART = 3
WIDEST_HALF_FRAC = 0.02
"""No quote of these worlds is further from its middle."""

Trade = tuple[int, float, float]
"""(time_ms, price, size)."""


def finer_of(seed: int) -> tuple[str, ...]:
    """Which finer data a world has: `candles`, `trades`, both or, mostly, none."""
    return random.Random(f"{seed} stored finer").choice([(), (), ("candles",), ("trades",), ("candles", "trades")])


def has_quotes(seed: int) -> bool:
    """Whether spreads go by quotes."""
    return random.Random(f"{seed} stored quotes").random() < 0.25


def finer_bars(seed: int, tables: Mapping[str, CandleColumns], kinds: Sequence[str]) -> FinerBars | None:
    """Finer rows that make up the bars of `tables`, each bar's from itself and the seed alone; now and then some are missing."""
    if not kinds:
        return None
    sources: dict[str, list[FinerSource]] = {}
    for symbol, table in tables.items():
        bars = list(zip(*(column.tolist() for column in table), strict=True))
        traded = [_trades(random.Random(f"{seed} {symbol} {bar[0]}"), bar) for bar in bars]
        sources[symbol] = [_source(kind, traded) for kind in kinds]
    return FinerBars(sources)


def _trades(draw: random.Random, bar: tuple[int, float, float, float, float, float]) -> list[Trade]:
    """Trades in order that open, reach and close where the bar does; on a grid of tenths, as it is."""
    start_ms, open_, high, low, close, volume = bar
    count = BAR_MS // PART_MS * TRADES_A_PART
    prices = [round(low + draw.randint(0, 20) / 20 * (high - low), 1) for _ in range(count)]
    prices = [min(high, max(low, price)) for price in prices]
    first, second = sorted(draw.sample(range(1, count - 1), 2))
    prices[first], prices[second] = draw.choice([(high, low), (low, high)])
    prices[0], prices[-1] = open_, close
    step_ms = BAR_MS // count
    return [(start_ms + n * step_ms + draw.randint(0, step_ms - 1), price, volume / count) for n, price in enumerate(prices)]


def _source(kind: str, traded: Sequence[Sequence[Trade]]) -> FinerSource:
    rows = [row for trades in traded for row in (_candles(trades) if kind == "candles" else [_row(trade) for trade in trades])]
    columns = list(zip(*rows, strict=True))
    held = CandleColumns(np.array(columns[0], dtype=np.int64), *(np.array(column, dtype=np.float64) for column in columns[1:]))

    def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        yield slice_columns(held, *held.start_ms.searchsorted((start_ms, end_ms)).tolist())

    return FinerSource(PART_MS if kind == "candles" else 0, read)


def _row(trade: Trade) -> tuple[int, float, float, float, float, float]:
    time_ms, price, size = trade
    return time_ms, price, price, price, price, size


def _candles(trades: Sequence[Trade]) -> list[tuple[int, float, float, float, float, float]]:
    """The parts of a bar; of one bar in eleven the second is missing."""
    rows = []
    for first in range(0, len(trades), TRADES_A_PART):
        prices = [price for _, price, _ in trades[first : first + TRADES_A_PART]]
        start_ms = trades[first][0] // PART_MS * PART_MS
        if first == TRADES_A_PART and start_ms // BAR_MS % 11 == 0:
            continue
        rows.append((start_ms, prices[0], max(prices), min(prices), prices[-1], TRADES_A_PART * trades[first][2]))
    return rows


class RandomQuotes:
    """Quotes around 100: tight, wide, crossed, or none for minutes; only what they say of the spread is used."""

    def __init__(self, seed: int, symbols: Sequence[str], *, start_ms: int, end_ms: int) -> None:
        self._rows: dict[str, list[Quote]] = {}
        for symbol in symbols:
            draw = random.Random(f"{seed} {symbol} quotes")
            rows, time_ms = [], start_ms - 30_000
            while time_ms < end_ms:
                half = 100 * draw.choice([0, 0.00005, 0.001, WIDEST_HALF_FRAC])
                half = -half if draw.random() < 0.1 else half
                rows.append(Quote(time_ms, 100 - half, 100 + half))
                time_ms += draw.choice([500, 20_000, 45_000, 400_000])
            self._rows[symbol] = rows

    def quote_at(self, symbol: str, time_ms: int) -> Quote | None:
        """See `engine.ports.QuoteReader`."""
        rows = self._rows[symbol]
        found = bisect_right(rows, time_ms, key=lambda quote: quote.time_ms)
        return rows[found - 1] if found else None
