"""Where a run's candles come from: the catalog, the sample market, or frames in memory. Opened as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.feed import CandleFeed
from backtester.data.gaps import GapReport, GapScan, scan_candles, scan_files
from backtester.data.months import month_files
from backtester.data.series import series_of
from backtester.data.symbol_cursor import SymbolStream
from backtester.domain.errors import DataQualityError
from backtester.domain.timeframe import parse_time_ms, timeframe_ms

ColumnsReader = Callable[[int, int], Iterator[CandleColumns]]
"""Candles of one symbol that start in [start_ms, end_ms), in chunks."""
GapReader = Callable[[int, int], GapReport]
"""Gaps between the candles of one symbol that start in [start_ms, end_ms)."""


class SymbolRef(NamedTuple):
    """One symbol of a run: its key there, and where it is traded."""

    key: str
    exchange: str
    market: str
    name: str


class MarketData:
    """Readers of a run's symbols in the run's order; `open` gives a fresh feed."""

    def __init__(
        self,
        readers: Mapping[str, ColumnsReader],
        *,
        config: RunConfig,
        sources: Mapping[str, str],
        gap_readers: Mapping[str, GapReader] | None = None,
    ) -> None:
        """`sources` says of each symbol where its candles stand, for messages; without `gap_readers` gaps are found by reading."""
        self._readers = readers
        self._sources = sources
        self._gap_readers = gap_readers
        self._execution_ms = timeframe_ms(config.run.execution_timeframe)
        self._gap_policy = config.data.gap_policy

    def open(self, *, signal_ms: Sequence[int], start_ms: int, end_ms: int) -> CandleFeed:
        """A feed over [start_ms, end_ms) from the beginning."""
        streams = [SymbolStream(symbol, read(start_ms, end_ms), self._sources[symbol]) for symbol, read in self._readers.items()]
        return CandleFeed(
            streams,
            execution_ms=self._execution_ms,
            signal_ms=tuple(signal_ms),
            start_ms=start_ms,
            end_ms=end_ms,
            fill=self._gap_policy == "flat",
        )

    def gaps(self, *, start_ms: int, end_ms: int) -> dict[str, GapReport]:
        """By symbol: missing bars and outages between the bars that such a feed delivers.

        Raises: DataQualityError - there is one, and the run's gap policy is to fail. DataError - a file is unreadable.
        """
        last_ms = end_ms - self._execution_ms + 1
        if self._gap_readers is not None:
            found = {symbol: read(start_ms, last_ms) for symbol, read in self._gap_readers.items()}
        else:
            length_ms = self._execution_ms
            found = {symbol: scan_candles(read(start_ms, last_ms), length_ms=length_ms) for symbol, read in self._readers.items()}
        if self._gap_policy == "fail":
            self._refuse(found)
        return found

    def _refuse(self, found: Mapping[str, GapReport]) -> None:
        """Raise DataQualityError that names the first gap, if there is one."""
        earliest = min(((gap, symbol) for symbol, report in found.items() if (gap := report.earliest) is not None), default=None)
        if earliest is None:
            return
        gap, symbol = earliest
        what = "bars are missing" if gap in found[symbol].missing.first else "bars are flat, without volume,"
        missing, outages = (sum(part.total for part in parts) for parts in zip(*found.values(), strict=True))
        raise DataQualityError(
            f"{self._sources[symbol]}: {what} from {gap}; {missing:,} gaps and {outages:,} outages in the range. data.gap_policy "
            "is fail: choose another range, import what is missing, or set data.gap_policy to skip or flat"
        )


def from_catalog(catalog: Catalog, refs: Sequence[SymbolRef], config: RunConfig) -> MarketData:
    """Candles stored in a catalog, on the run's execution timeframe."""

    def reader(ref: SymbolRef) -> ColumnsReader:
        return lambda start_ms, end_ms: catalog.read(
            ref.exchange, ref.market, ref.name, config.run.execution_timeframe, start_ms, end_ms
        )

    timeframe = config.run.execution_timeframe

    def gap_reader(ref: SymbolRef) -> GapReader:
        series = series_of(exchange=ref.exchange, market=ref.market, symbol=ref.name, timeframe=timeframe)

        def read(start_ms: int, end_ms: int) -> GapReport:
            months = month_files(catalog.base, series)
            paths = [month.path for month in months if month.first_ms < end_ms and month.end_ms > start_ms]
            return scan_files(paths, length_ms=series.length_ms, start_ms=start_ms, end_ms=end_ms)

        return read

    sources = {ref.key: f"{catalog.base}: {ref.exchange} {ref.market} {ref.name} {timeframe}" for ref in refs}
    readers = {ref.key: reader(ref) for ref in refs}
    return MarketData(readers, config=config, sources=sources, gap_readers={ref.key: gap_reader(ref) for ref in refs})


def from_sample(refs: Sequence[SymbolRef], config: RunConfig) -> MarketData:
    """The synthetic sample market: it begins with its quarter year, or with the run where that starts earlier."""
    from backtester.data.sources.sample import SAMPLE_START_MS, sample_columns

    seed = config.data.sample_seed
    begin_ms = min(SAMPLE_START_MS, parse_time_ms(config.run.start, what="run.start"))

    def reader(ref: SymbolRef) -> ColumnsReader:
        return lambda start_ms, end_ms: sample_columns(ref.name, seed=seed, start_ms=max(start_ms, begin_ms), end_ms=end_ms)

    def none(start_ms: int, end_ms: int) -> GapReport:
        return GapScan(timeframe_ms(config.run.execution_timeframe)).report()

    sources = {ref.key: f"synthetic sample {ref.name}" for ref in refs}
    readers = {ref.key: reader(ref) for ref in refs}
    return MarketData(readers, config=config, sources=sources, gap_readers={ref.key: none for ref in refs})


def from_columns(columns: Mapping[str, CandleColumns], config: RunConfig) -> MarketData:
    """Candles held in memory."""

    def reader(held: CandleColumns) -> ColumnsReader:
        def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
            first, last = held.start_ms.searchsorted((start_ms, end_ms))
            if last > first:
                yield slice_columns(held, int(first), int(last))

        return read

    sources = {key: f"the frame of {key}" for key in columns}
    return MarketData({key: reader(held) for key, held in columns.items()}, config=config, sources=sources)


def open_market_data(config: RunConfig, refs: Sequence[SymbolRef]) -> MarketData:
    """The market data that a resolved configuration names."""
    if config.data.source == "sample":
        return from_sample(refs, config)
    return from_catalog(Catalog(Path(config.data.data_path)), refs, config)
