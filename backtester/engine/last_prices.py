"""The last close of each symbol: kept by the loop, read by everyone who asks what something is worth now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backtester.domain.candle import Candle


class LastPrices(Mapping[str, float]):
    """Last closes by symbol. Most ticks end without anyone asking: the bars of a tick are looked at when somebody does.

    `bars` are those of the latest tick. Who sets it says that they are of the same symbols as those it held before; `see` takes
    any.
    """

    __slots__ = ("_closes", "_seen", "bars")

    def __init__(self) -> None:
        self._closes: dict[str, float] = {}
        self.bars: Sequence[Candle] = ()
        self._seen: Sequence[Candle] = ()

    def see(self, bars: Sequence[Candle]) -> None:
        """These bars have closed; symbols that have none among them keep their price."""
        self._now()
        self.bars = bars
        self._now()

    def get(self, symbol: str, default: Any = None) -> Any:
        """The last close, or `default` where there was none yet."""
        return (self._closes if self.bars is self._seen else self._looked()).get(symbol, default)

    def __getitem__(self, symbol: str) -> float:
        return self._now()[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._now()

    def _now(self) -> dict[str, float]:
        return self._closes if self.bars is self._seen else self._looked()

    def _looked(self) -> dict[str, float]:
        """The closes, those of the bars that nobody has looked at yet among them."""
        closes, bars = self._closes, self.bars
        for bar in bars:
            closes[bar.symbol] = bar.close
        self._seen = bars
        return closes
