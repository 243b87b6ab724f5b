"""Closed candles, the most recent ones of each symbol and timeframe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError

FOLD_TICKS = 128
"""Ticks kept as they came; more are folded into stretches of one symbol, which are let go whole."""

_Key = tuple[str, str]


class CandleHistory:
    """Keeps at least the last `depth` closed candles per symbol and timeframe. Holds nothing that has not closed.

    A tick's candles are kept by one `keep`; `fold`, called now and then, sorts them by symbol. So keeping costs a tick next to
    nothing, and candles are let go many at a time.
    """

    def __init__(self, *, symbols: Sequence[str], timeframes: Sequence[str], depth: int) -> None:
        self.depth = depth
        self._symbols = tuple(symbols)
        self._timeframes = tuple(timeframes)
        self._folded: dict[_Key, deque[Sequence[Candle]]] = {
            (symbol, timeframe): deque() for symbol in symbols for timeframe in timeframes
        }
        self._counts: dict[_Key, int] = dict.fromkeys(self._folded, 0)
        self._ticks: list[Sequence[Candle]] = []
        self.keep: Callable[[Sequence[Candle]], None] = self._ticks.append
        """Keeps the candles that close at one instant."""

    def fold(self) -> None:
        """Sort what was kept by symbol and timeframe, and let go of what nobody can ask for any more."""
        ticks = self._ticks
        if len(ticks) < FOLD_TICKS:
            return
        if self._all_alike():
            (timeframe,) = self._timeframes
            for symbol, column in zip(self._symbols, zip(*ticks, strict=True), strict=True):
                self._add((symbol, timeframe), column)
        else:
            stretches: dict[_Key, list[Candle]] = {}
            for candle in chain.from_iterable(ticks):
                stretches.setdefault((candle.symbol, candle.timeframe), []).append(candle)
            for key, stretch in stretches.items():
                self._add(key, stretch)
        ticks.clear()

    def last(self, symbol: str, timeframe: str, n: int | None) -> tuple[Candle, ...]:
        """The last `n` closed candles, oldest first; fewer when fewer exist. Raises StrategyError when they are not kept."""
        if (symbol, timeframe) not in self._folded:
            known = ", ".join(self._timeframes)
            raise StrategyError(
                f"ctx.history: no candles of {symbol!r} on {timeframe!r} are delivered to this run (timeframes: {known}); "
                "add the timeframe to the strategy's extra_timeframes"
            )
        if n is not None and (n < 0 or n > self.depth):
            raise StrategyError(f"ctx.history: n={n} must be 0..{self.depth}; set history_bars on the strategy to keep more")
        newest_first = tuple(islice(self._backwards((symbol, timeframe)), self.depth if n is None else n))
        return newest_first[::-1]

    def _all_alike(self) -> bool:
        """Whether every tick kept holds one candle of every symbol, in the order of the symbols."""
        ticks = self._ticks
        return (
            len(self._timeframes) == 1
            and sum(map(len, ticks)) == len(ticks) * len(self._symbols)
            and all(map(len, ticks))
            and tuple(candle.symbol for candle in ticks[0]) == self._symbols
        )

    def _add(self, key: _Key, stretch: Sequence[Candle]) -> None:
        stretches = self._folded[key]
        stretches.append(stretch)
        self._counts[key] += len(stretch)
        while stretches and self._counts[key] - len(stretches[0]) >= self.depth:
            self._counts[key] -= len(stretches.popleft())

    def _backwards(self, key: _Key) -> Iterator[Candle]:
        symbol, timeframe = key
        index = self._symbols.index(symbol)
        for tick in reversed(self._ticks):
            if index < len(tick) and tick[index].symbol == symbol and tick[index].timeframe == timeframe:
                yield tick[index]
                continue
            for candle in tick:
                if candle.symbol == symbol and candle.timeframe == timeframe:
                    yield candle
        for stretch in reversed(self._folded[key]):
            yield from reversed(stretch)
