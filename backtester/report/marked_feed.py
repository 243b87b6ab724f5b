"""A feed whose bars close at mark or index prices: what equity is worth in a run with `account.mark`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from backtester.domain.candle import Candle
from backtester.engine.ports import MarketDataSource, Tick

CloseAt = Callable[[str, int], float | None]
"""(symbol, time_ms) to the price known then."""


class MarkedFeed:
    """The ticks of another feed; a bar without a mark keeps its close."""

    def __init__(self, feed: MarketDataSource, close_at: CloseAt) -> None:
        self._feed = feed
        self._close_at = close_at
        self.bar_from = feed.bar_from
        self.is_even = feed.is_even
        self.fingerprint = feed.fingerprint
        self.gap_count = feed.gap_count
        self.candle_count = feed.candle_count

    def batches(self) -> Iterator[Sequence[Tick]]:
        """The feed's ticks with closes of their own; signals stay what they are."""
        for batch in self._feed.batches():
            yield [
                (time_ms, [self._marked(bar) for bar in bars], bars if others is None else others)
                for time_ms, bars, others in batch
            ]

    def _marked(self, bar: Candle) -> Candle:
        price = self._close_at(bar.symbol, bar.end_ms)
        return bar if price is None else replace(bar, close=price)
