"""Closed candles, the most recent ones of each symbol and timeframe."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError


class CandleHistory:
    """Keeps the last `depth` closed candles per symbol and timeframe. Holds nothing that has not closed."""

    def __init__(self, *, symbols: Sequence[str], timeframes: Sequence[str], depth: int) -> None:
        self.depth = depth
        self._kept: dict[tuple[str, str], deque[Candle]] = {
            (symbol, timeframe): deque(maxlen=depth) for symbol in symbols for timeframe in timeframes
        }
        self._timeframes = tuple(timeframes)
        self.only = {symbol: self._kept[(symbol, timeframes[0])].append for symbol in symbols} if len(timeframes) == 1 else None
        """With a single timeframe: the `append` of each symbol, for the loop."""

    def add(self, candle: Candle) -> None:
        """Keep a candle that has just closed."""
        self._kept[(candle.symbol, candle.timeframe)].append(candle)

    def last(self, symbol: str, timeframe: str, n: int | None) -> tuple[Candle, ...]:
        """The last `n` closed candles, oldest first; fewer when fewer exist. Raises StrategyError when they are not kept."""
        kept = self._kept.get((symbol, timeframe))
        if kept is None:
            known = ", ".join(self._timeframes)
            raise StrategyError(
                f"ctx.history: no candles of {symbol!r} on {timeframe!r} are delivered to this run (timeframes: {known}); "
                "add the timeframe to the strategy's extra_timeframes"
            )
        if n is None:
            return tuple(kept)
        if n < 0 or n > self.depth:
            raise StrategyError(f"ctx.history: n={n} must be 0..{self.depth}; set history_bars on the strategy to keep more")
        return tuple(kept)[len(kept) - min(n, len(kept)) :]
