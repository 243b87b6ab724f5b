"""Where a run's candles come from: the catalog, the sample market, or frames in memory. Opened as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from backtester.app.finer_data import finer_sources, quote_sources
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.feed import CandleFeed
from backtester.data.finer_bars import FinerBars, FinerSource
from backtester.data.gaps import GapReport, GapScan, scan_candles, scan_files
from backtester.data.quote_series import QuoteSeries, QuoteSource
from backtester.data.resample import can_be_joined, coarser_columns
from backtester.data.series import series_of
from backtester.data.symbol_cursor import SymbolStream
from backtester.domain.errors import DataQualityError
from backtester.domain.timeframe import DAY_MS, MINUTE_MS, parse_time_ms, timeframe_ms, timeframe_text
from backtester.domain.vocabulary import Market

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
        finer: Mapping[str, Sequence[FinerSource]] | None = None,
        quotes: Mapping[str, Sequence[QuoteSource]] | None = None,
    ) -> None:
        """`sources` says of each symbol where its candles stand, for messages; without `gap_readers` gaps are found by reading.

        `finer` is what is stored of each symbol that is finer than the run's execution bars, `quotes` are its quotes.
        """
        self._readers = readers
        self._sources = sources
        self._gap_readers = gap_readers
        self._finer = finer or {}
        self._quotes = quotes or {}
        self._config = config
        self._execution_ms = timeframe_ms(config.run.execution_timeframe)
        self._gap_policy = config.data.gap_policy

    def through(self, change: Callable[[str, ColumnsReader], ColumnsReader], *, finer_too: bool = False) -> MarketData:
        """The same symbols, each read through what `change` makes of its reader; with `finer_too` finer data and quotes too."""
        readers = {symbol: change(symbol, read) for symbol, read in self._readers.items()}
        finer, quotes = self._finer, self._quotes
        if finer_too:
            finer = {key: [one._replace(read=change(key, one.read)) for one in held] for key, held in finer.items()}
            quotes = {key: [one._replace(read=change(key, one.read)) for one in held] for key, held in quotes.items()}
        return MarketData(readers, config=self._config, sources=self._sources, finer=finer, quotes=quotes)

    @property
    def finer_timeframes(self) -> dict[str, tuple[str, ...]]:
        """By symbol, what ambiguous bars are resolved on: timeframes, and `trades`; symbols that have none are left out."""
        if self._config.sim.resolve == "off":
            return {}
        return {
            symbol: tuple(timeframe_text(one.length_ms) if one.length_ms else "trades" for one in held)
            for symbol, held in self._finer.items()
            if held
        }

    def open_finer(self) -> FinerBars | None:
        """What the venue may ask of ambiguous bars, from the beginning; None where nothing finer is stored, or it is off."""
        return FinerBars(self._finer) if self.finer_timeframes else None

    @property
    def quoted_symbols(self) -> tuple[str, ...]:
        """Those of which quotes are stored, where the spread goes by them."""
        return tuple(symbol for symbol, held in self._quotes.items() if held)

    def open_quotes(self, *, start_ms: int, end_ms: int) -> QuoteSeries | None:
        """The quotes of the range and of the hours before it, from the beginning; None where the model says the spread."""
        if self._config.sim.spread == "model":
            return None
        return QuoteSeries(self._quotes, start_ms=start_ms - DAY_MS, end_ms=end_ms)

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

    def read(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        """Execution candles of one symbol of the run that start in [start_ms, end_ms), in chunks."""
        return self._readers[symbol](start_ms, end_ms)

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


def source_timeframe(timeframe: str, stored: Iterable[str]) -> str | None:
    """The stored timeframe from which candles of `timeframe` come: itself, else the longest that they can be joined from."""
    names = sorted(stored, key=timeframe_ms)
    if timeframe in names:
        return timeframe
    length_ms = timeframe_ms(timeframe)
    return next((name for name in reversed(names) if can_be_joined(timeframe_ms(name), length_ms)), None)


def from_catalog(catalog: Catalog, refs: Sequence[SymbolRef], config: RunConfig) -> MarketData:
    """Candles stored in a catalog, on the run's execution timeframe; joined from shorter ones where that is not stored."""
    timeframe = config.run.execution_timeframe
    length_ms = timeframe_ms(timeframe)
    stored_as = {ref.key: _stored_timeframe(catalog, ref, timeframe) for ref in refs}

    def reader(ref: SymbolRef) -> ColumnsReader:
        stored = stored_as[ref.key]
        if stored == timeframe:
            return lambda start_ms, end_ms: catalog.read(ref.exchange, ref.market, ref.name, timeframe, start_ms, end_ms)

        def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
            return catalog.read(ref.exchange, ref.market, ref.name, stored, start_ms, end_ms)

        return _joined(read, ref.key, bars_ms=timeframe_ms(stored), length_ms=length_ms)

    def gap_reader(ref: SymbolRef) -> GapReader:
        if stored_as[ref.key] != timeframe:
            return lambda start_ms, end_ms: scan_candles(reader(ref)(start_ms, end_ms), length_ms=length_ms)
        series = series_of(exchange=ref.exchange, market=ref.market, symbol=ref.name, timeframe=timeframe)

        def read(start_ms: int, end_ms: int) -> GapReport:
            months = catalog.months(series)
            paths = [month.path for month in months if month.first_ms < end_ms and month.end_ms > start_ms]
            return scan_files(paths, series, start_ms=start_ms, end_ms=end_ms)

        return read

    sources = {ref.key: f"{catalog.base}: {ref.exchange} {ref.market} {ref.name} {stored_as[ref.key]}" for ref in refs}
    readers = {ref.key: reader(ref) for ref in refs}
    finer = {} if config.sim.resolve == "off" else _finer(catalog, refs, below_ms=length_ms)
    gap_readers = {ref.key: gap_reader(ref) for ref in refs}
    quotes = {} if config.sim.spread == "model" else _quotes(catalog, refs)
    return MarketData(readers, config=config, sources=sources, gap_readers=gap_readers, finer=finer, quotes=quotes)


def _finer(catalog: Catalog, refs: Sequence[SymbolRef], *, below_ms: int) -> dict[str, list[FinerSource]]:
    return {
        ref.key: finer_sources(catalog, exchange=ref.exchange, market=ref.market, symbol=ref.name, below_ms=below_ms)
        for ref in refs
    }


def _quotes(catalog: Catalog, refs: Sequence[SymbolRef]) -> dict[str, list[QuoteSource]]:
    return {ref.key: quote_sources(catalog, exchange=ref.exchange, market=ref.market, symbol=ref.name) for ref in refs}


def _joined(read: ColumnsReader, symbol: str, *, bars_ms: int, length_ms: int) -> ColumnsReader:
    """Candles of `length_ms` from a reader of shorter bars."""

    def joined(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        until_ms = end_ms + length_ms
        pieces = read(start_ms, until_ms)
        for piece in coarser_columns(pieces, symbol, length_ms=length_ms, bars_ms=bars_ms, end_ms=until_ms):
            yield slice_columns(piece, 0, int(piece.start_ms.searchsorted(end_ms)))

    return joined


def _stored_timeframe(catalog: Catalog, ref: SymbolRef, timeframe: str) -> str:
    series = series_of(exchange=ref.exchange, market=ref.market, symbol=ref.name, timeframe=timeframe)
    if catalog.months(series):
        return timeframe
    names = [one.timeframe for one in catalog.find(ref.name) if one[:2] == (ref.exchange, ref.market)]
    return source_timeframe(timeframe, names) or timeframe


def from_sample(refs: Sequence[SymbolRef], config: RunConfig) -> MarketData:
    """The synthetic sample market: it begins with its quarter year, or with the run where that starts earlier."""
    from backtester.data.sources.sample import SAMPLE_START_MS, sample_columns

    seed = config.data.sample_seed
    begin_ms = min(SAMPLE_START_MS, parse_time_ms(config.run.start, what="run.start"))

    length_ms = timeframe_ms(config.run.execution_timeframe)

    def minutes(ref: SymbolRef) -> ColumnsReader:
        def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
            contracts = ref.market == Market.INVERSE.value
            return sample_columns(ref.name, seed=seed, start_ms=max(start_ms, begin_ms), end_ms=end_ms, in_contracts=contracts)

        return read

    def reader(ref: SymbolRef) -> ColumnsReader:
        read = minutes(ref)
        return read if length_ms == MINUTE_MS else _joined(read, ref.key, bars_ms=MINUTE_MS, length_ms=length_ms)

    def none(start_ms: int, end_ms: int) -> GapReport:
        return GapScan(timeframe_ms(config.run.execution_timeframe)).report()

    sources = {ref.key: f"synthetic sample {ref.name}" for ref in refs}
    readers = {ref.key: reader(ref) for ref in refs}
    finer = {ref.key: [FinerSource(MINUTE_MS, minutes(ref))] for ref in refs if length_ms > MINUTE_MS}
    return MarketData(readers, config=config, sources=sources, gap_readers={ref.key: none for ref in refs}, finer=finer)


def from_columns(columns: Mapping[str, CandleColumns], config: RunConfig, *, joined: Mapping[str, str] | None = None) -> MarketData:
    """Candles held in memory; `joined` names the timeframe of those that are shorter than the run's execution bars."""
    length_ms = timeframe_ms(config.run.execution_timeframe)

    def reader(held: CandleColumns) -> ColumnsReader:
        def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
            first, last = held.start_ms.searchsorted((start_ms, end_ms))
            if last > first:
                yield slice_columns(held, int(first), int(last))

        return read

    sources = {key: f"the frame of {key}" for key in columns}
    readers = {key: reader(held) for key, held in columns.items()}
    finer: dict[str, list[FinerSource]] = {}
    for key, timeframe in (joined or {}).items():
        finer[key] = [FinerSource(timeframe_ms(timeframe), readers[key])]
        readers[key] = _joined(readers[key], key, bars_ms=timeframe_ms(timeframe), length_ms=length_ms)
    return MarketData(readers, config=config, sources=sources, finer=finer)


def open_market_data(config: RunConfig, refs: Sequence[SymbolRef]) -> MarketData:
    """The market data that a resolved configuration names."""
    if config.data.source == "sample":
        return from_sample(refs, config)
    return from_catalog(Catalog(Path(config.data.data_path)).listing(ref.name for ref in refs), refs, config)
