"""Stored mark and index prices for orders that wait for them, opened when the first such order comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from backtester.app.margin import finest_series
from backtester.app.market_data import SymbolRef
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.mark_bars import MarkBars, MarkSource
from backtester.domain.candle import Candle
from backtester.domain.errors import DataUnavailableError
from backtester.domain.timeframe import iso_text, timeframe_ms
from backtester.domain.vocabulary import TriggerBy


class _Opened(NamedTuple):
    bars: MarkBars
    length_ms: int


class StoredTriggerPrices:
    """The prices of one run, from the finest stored series that is no coarser than the run's execution bars.

    Nothing is ever taken from the last price instead: what is missing raises DataUnavailableError and says how to get it.
    """

    def __init__(self, config: RunConfig, refs: Sequence[SymbolRef], *, start_ms: int, end_ms: int) -> None:
        self._config = config
        self._refs = {ref.key: ref for ref in refs}
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._opened: dict[tuple[str, TriggerBy], _Opened] = {}

    def require(self, symbol: str, by: TriggerBy) -> None:
        """Raises DataUnavailableError, with the way to get them, unless such prices of the symbol are stored."""
        self._series(symbol, by)

    def now(self, symbol: str, by: TriggerBy, time_ms: int) -> float:
        """The close of the last stored bar that has ended. Raises DataUnavailableError where there is none."""
        opened = self._series(symbol, by)
        price = opened.bars.close_at(symbol, time_ms)
        if price is None:
            raise self._missing(symbol, by, f"at {iso_text(time_ms)} UTC")
        return price

    def bar(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int) -> Candle:
        """Open, high and low over [start_ms, end_ms). Raises DataUnavailableError where they are not stored."""
        found = self._over(symbol, by, start_ms, end_ms)
        if found is None:
            raise self._missing(symbol, by, f"from {iso_text(start_ms)} to {iso_text(end_ms)} UTC")
        return found

    def between(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int, *, inward: bool) -> Candle | None:
        """The same over a stretch without trades; None where nothing is stored of it, as when the whole venue stood still."""
        length_ms = self._series(symbol, by).length_ms
        start_ms = -(-start_ms // length_ms) * length_ms if inward else start_ms // length_ms * length_ms
        return self._over(symbol, by, start_ms, end_ms) if start_ms < end_ms else None

    def _over(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int) -> Candle | None:
        found = self._series(symbol, by).bars.over(symbol, start_ms, end_ms)
        if found is None:
            return None
        open_, low, high = found
        return Candle(symbol, "", start_ms, end_ms, open_, high, low, open_, 0.0)

    def _series(self, symbol: str, by: TriggerBy) -> _Opened:
        opened = self._opened.get((symbol, by))
        if opened is None:
            self._opened[symbol, by] = opened = self._open(symbol, by)
        return opened

    def _open(self, symbol: str, by: TriggerBy) -> _Opened:
        config, ref = self._config, self._refs[symbol]
        if config.data.source != "catalog":
            raise self._missing(symbol, by, f"in candles of the source {config.data.source!r}")
        path = config.data.data_path
        catalog = Catalog(path if "://" in path else Path(path))
        longest_ms = timeframe_ms(config.run.execution_timeframe)
        stored = finest_series(catalog, ref, by.value, longest_ms=longest_ms, start_ms=self._start_ms, end_ms=self._end_ms)
        if stored is None:
            raise self._missing(symbol, by, f"in bars of {config.run.execution_timeframe} or shorter in the range")
        length_ms = stored.series.length_ms
        tables = catalog.read_tables(stored.series, self._start_ms - length_ms, self._end_ms)
        return _Opened(MarkBars({symbol: MarkSource(tables, length_ms)}), length_ms)

    def _missing(self, symbol: str, by: TriggerBy, where: str) -> DataUnavailableError:
        run, ref, kind = self._config.run, self._refs[symbol], by.value
        return DataUnavailableError(
            f"an order of {symbol} is triggered by the {kind} price, and no {kind} prices of it are stored {where}: "
            f"bt data download --exchange {ref.exchange} --market {ref.market} --symbols {ref.name} --kind {kind} --timeframe "
            f"{run.execution_timeframe} --start {run.start[:10]} --end {run.end[:10]}; or trigger it by the last price"
        )
