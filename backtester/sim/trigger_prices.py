"""Prices other than the last trade's that orders may wait for: the mark price and the index."""

from __future__ import annotations

from typing import NoReturn, Protocol

from backtester.domain.candle import Candle
from backtester.domain.errors import DataUnavailableError
from backtester.domain.vocabulary import TriggerBy


class TriggerPrices(Protocol):
    """Stored mark and index prices of a run's symbols; times may not go back."""

    def require(self, symbol: str, by: TriggerBy) -> None:
        """Raises DataUnavailableError, with the way to get them, unless such prices of the symbol are stored."""

    def now(self, symbol: str, by: TriggerBy, time_ms: int) -> float:
        """The last price known at a time. Raises DataUnavailableError where none is stored."""

    def bar(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int) -> Candle:
        """Open, high and low over [start_ms, end_ms). Raises DataUnavailableError where they are not stored."""

    def between(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int, *, inward: bool) -> Candle | None:
        """The same over a stretch without trades, None where nothing is stored of it. A start inside one of the stored bars counts
        from that bar on, or (`inward`) from the next one.
        """


class LastPricesOnly:
    """A run that has none: whatever is asked raises DataUnavailableError."""

    def require(self, symbol: str, by: TriggerBy) -> NoReturn:
        """Says what to do."""
        raise DataUnavailableError(
            f"an order of {symbol} is triggered by the {by.value} price, and this run has last prices only: run on a catalog that "
            f"holds {by.value} bars (data.source = catalog; bt data download --kind {by.value}), or trigger it by the last price"
        )

    def now(self, symbol: str, by: TriggerBy, time_ms: int) -> float:
        """None is known at any time."""
        del time_ms
        self.require(symbol, by)

    def bar(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int) -> Candle:
        """Nothing is stored."""
        del start_ms, end_ms
        self.require(symbol, by)

    def between(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int, *, inward: bool) -> Candle | None:
        """Nothing is stored."""
        del start_ms, end_ms, inward
        self.require(symbol, by)
