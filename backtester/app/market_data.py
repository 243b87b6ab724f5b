"""Where a run's candles come from: the catalog, the sample market, or frames in memory. Opened as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.feed import CandleFeed, SymbolStream
from backtester.domain.timeframe import parse_time_ms, timeframe_ms

ColumnsReader = Callable[[int, int], Iterator[CandleColumns]]
"""Candles of one symbol that start in [start_ms, end_ms), in chunks."""


class SymbolRef(NamedTuple):
    """One symbol of a run: its key there, and where it is traded."""

    key: str
    exchange: str
    market: str
    name: str


class MarketData:
    """Readers of a run's symbols in the run's order; `open` gives a fresh feed."""

    def __init__(self, readers: Mapping[str, ColumnsReader], *, config: RunConfig, sources: Mapping[str, str]) -> None:
        """`sources` says of each symbol where its candles stand, for messages about them."""
        self._readers = readers
        self._sources = sources
        self._execution_ms = timeframe_ms(config.run.execution_timeframe)

    def open(self, *, signal_ms: Sequence[int], start_ms: int, end_ms: int) -> CandleFeed:
        """A feed over [start_ms, end_ms) from the beginning."""
        streams = [SymbolStream(symbol, read(start_ms, end_ms), self._sources[symbol]) for symbol, read in self._readers.items()]
        return CandleFeed(streams, execution_ms=self._execution_ms, signal_ms=tuple(signal_ms), start_ms=start_ms, end_ms=end_ms)


def from_catalog(catalog: Catalog, refs: Sequence[SymbolRef], config: RunConfig) -> MarketData:
    """Candles stored in a catalog, on the run's execution timeframe."""

    def reader(ref: SymbolRef) -> ColumnsReader:
        return lambda start_ms, end_ms: catalog.read(
            ref.exchange, ref.market, ref.name, config.run.execution_timeframe, start_ms, end_ms
        )

    timeframe = config.run.execution_timeframe
    sources = {ref.key: f"{catalog.base}: {ref.exchange} {ref.market} {ref.name} {timeframe}" for ref in refs}
    return MarketData({ref.key: reader(ref) for ref in refs}, config=config, sources=sources)


def from_sample(refs: Sequence[SymbolRef], config: RunConfig) -> MarketData:
    """The synthetic sample market: it begins with its quarter year, or with the run where that starts earlier."""
    from backtester.data.sources.sample import SAMPLE_START_MS, sample_columns

    seed = config.data.sample_seed
    begin_ms = min(SAMPLE_START_MS, parse_time_ms(config.run.start, what="run.start"))

    def reader(ref: SymbolRef) -> ColumnsReader:
        return lambda start_ms, end_ms: sample_columns(ref.name, seed=seed, start_ms=max(start_ms, begin_ms), end_ms=end_ms)

    sources = {ref.key: f"synthetic sample {ref.name}" for ref in refs}
    return MarketData({ref.key: reader(ref) for ref in refs}, config=config, sources=sources)


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
