"""Mark and index prices of the random worlds: around the last price, also in minutes without trades."""

from __future__ import annotations

import random
from collections.abc import Mapping

from backtester import Candle, TriggerBy
from backtester.data.columns import CandleColumns

MINUTE_MS = 60_000
AWAY_MAX = 0.02
"""Both lie within this fraction of the last price."""


class OtherPrices:
    """`sim.trigger_prices.TriggerPrices` of a world: each minute's prices follow from the candles up to it, and from the seed."""

    def __init__(self, seed: int, bars: Mapping[str, CandleColumns]) -> None:
        self._bars: dict[tuple[str, TriggerBy], dict[int, Candle]] = {}
        for symbol, table in bars.items():
            for by in (TriggerBy.MARK, TriggerBy.INDEX):
                self._bars[symbol, by] = _around(random.Random(f"{seed} {symbol} {by.value}"), symbol, table)

    def require(self, symbol: str, by: TriggerBy) -> None:
        """They are there."""

    def now(self, symbol: str, by: TriggerBy, time_ms: int) -> float:
        """The close of the last minute that has ended; before the first one has, its open."""
        rows = self._bars[symbol, by]
        found = rows.get(time_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS)
        return found.close if found is not None else next(iter(rows.values())).open

    def bar(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int) -> Candle:
        """The prices over [start_ms, end_ms)."""
        found = self.between(symbol, by, start_ms, end_ms, inward=False)
        if found is None:
            raise LookupError(f"a bar of {symbol} at {start_ms} without its {by.value} price")
        return found

    def between(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int, *, inward: bool) -> Candle | None:
        """The same over a stretch without trades; a start inside a minute counts from it on, or (`inward`) from the next."""
        first = -(-start_ms // MINUTE_MS) * MINUTE_MS if inward else start_ms // MINUTE_MS * MINUTE_MS
        rows = [self._bars[symbol, by][at] for at in range(first, end_ms, MINUTE_MS) if at in self._bars[symbol, by]]
        if not rows:
            return None
        high, low = max(row.high for row in rows), min(row.low for row in rows)
        return Candle(symbol, "", first, end_ms, rows[0].open, high, low, rows[-1].close, 0.0)


def _around(draw: random.Random, symbol: str, table: CandleColumns) -> dict[int, Candle]:
    traded = {int(row[0]): row[1:5] for row in zip(*(column.tolist() for column in table[:5]), strict=True)}
    made: dict[int, Candle] = {}
    last = next(iter(traded.values()))[0]
    for at in range(min(traded), max(traded) + MINUTE_MS, MINUTE_MS):
        away = 1 + AWAY_MAX * (2 * draw.random() - 1)
        open_, high, low, close = (price * away for price in traded.get(at, (last, last, last, last)))
        made[at] = Candle(symbol, "1m", at, at + MINUTE_MS, open_, high, low, close, 0.0)
        last = traded[at][3] if at in traded else last
    return made
