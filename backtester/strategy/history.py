"""Closed candles, the most recent ones of each symbol and timeframe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

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
        self.appenders: dict[str, dict[str, Callable[[Candle], None]]] = {
            timeframe: {symbol: self._kept[(symbol, timeframe)].append for symbol in symbols} for timeframe in timeframes
        }
        """By timeframe and symbol: what keeps a candle that has just closed."""

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
