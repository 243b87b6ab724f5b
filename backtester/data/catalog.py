"""The local store of market data: `<base>/<venue>/<market>/<symbol>/<kind>/<timeframe>/year=YYYY/<symbol>-<tf>-YYYY-MM.parquet`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backtester.data.batch import Batch
from backtester.data.candle_file import read_candle_files
from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.kinds import CANDLES, TICK, VolumeUnit, kind_named
from backtester.data.months import month_files, stored_series, units_per_ms
from backtester.data.quality import check_candles
from backtester.data.series import LIVE, Series, series_of
from backtester.data.series_file import file_facts, gap_limit, read_series_files
from backtester.data.storing import StoreReport, check_batch, store_table
from backtester.domain.errors import ConfigError, DataUnavailableError, StorageError
from backtester.domain.timeframe import timeframe_ms

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Catalog", "StoreReport", "StoredSeries", "WriteReport"]


class StoredSeries(NamedTuple):
    """What is stored of one series: `first_ms` is the start of the first row, `last_ms` the end of the last.

    `gaps` counts stretches of missing bars, `files` the month files. A row without length ends a millisecond after its time.
    """

    exchange: str
    market: str
    symbol: str
    timeframe: str
    first_ms: int
    last_ms: int
    rows: int
    gaps: int
    files: int
    kind: str = CANDLES.name
    network: str = LIVE

    @property
    def series(self) -> Series:
        """Its identity."""
        return Series(self.exchange, self.market, self.symbol, self.kind, self.timeframe, self.network)


class WriteReport(NamedTuple):
    """What a write changed: rows that are new, and rows that were stored before with the same values."""

    rows_written: int
    rows_already_stored: int


class Catalog:
    """Market data under one directory. Reading never changes data; writing never changes a stored value."""

    def __init__(self, base: Path | str) -> None:
        self.base = Path(base)

    # -- what there is -----------------------------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Whether no candle of a live market is stored."""
        return not any(month_files(self.base, series) for series in self._candle_series())

    def series(self) -> tuple[StoredSeries, ...]:
        """Candles of live markets, ordered by exchange, market, symbol and length of the timeframe. Raises DataError."""
        return self._described(self._candle_series())

    def find(self, symbol: str) -> tuple[StoredSeries, ...]:
        """Candles of one symbol on all live exchanges and markets; empty where there is nothing."""
        return self._described(self._candle_series(symbol)) if _is_plain(symbol) else ()

    def all_series(self) -> tuple[StoredSeries, ...]:
        """All that is stored, of every kind and network, ordered by venue, market, symbol, kind and length. Raises DataError."""
        return self._described(stored_series(self.base))

    def markets(self) -> tuple[tuple[str, str], ...]:
        """The (exchange, market) pairs of which live candles are stored, sorted."""
        held = (series for series in self._candle_series() if month_files(self.base, series))
        return tuple(sorted({(series.exchange, series.market) for series in held}))

    def _candle_series(self, symbol: str | None = None) -> Iterator[Series]:
        for series in stored_series(self.base, symbol):
            if series.kind == CANDLES.name and series.network == LIVE:
                yield series

    def _described(self, wanted: Iterator[Series]) -> tuple[StoredSeries, ...]:
        described = [one for series in wanted if (one := self._describe(series)) is not None]
        return tuple(sorted(described, key=_listing_order))

    def _describe(self, series: Series) -> StoredSeries | None:
        kind = kind_named(series.kind)
        facts = [file_facts(file.path, series) for file in month_files(self.base, series)]
        if not facts:
            return None
        limit, scale = gap_limit(series), units_per_ms(kind)
        between = sum(later.first - earlier.last > limit for earlier, later in zip(facts, facts[1:], strict=False)) if limit else 0
        return StoredSeries(
            series.exchange,
            series.market,
            series.symbol,
            series.timeframe,
            facts[0].first // scale,
            facts[-1].last // scale + max(series.length_ms, 1),
            sum(one.rows for one in facts),
            sum(one.gaps for one in facts) + between,
            len(facts),
            series.kind,
            series.network,
        )

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, exchange: str, market: str, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        """Candles that start in [start_ms, end_ms), in pieces of at most one month; files of other months stay closed.

        Raises: DataUnavailableError - the series is not stored. DataError - a file is unreadable; while iterating.
        """
        series = series_of(exchange=exchange, market=market, symbol=symbol, timeframe=timeframe)
        return _candles_between(self._months(series, start_ms, end_ms), series, start_ms, end_ms)

    def read_tables(self, series: Series, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Rows of a series of any kind whose time is in [start_ms, end_ms), in order, in parts of bounded size.

        Raises: DataUnavailableError - the series is not stored. DataError - a file is unreadable; while iterating.
        """
        scale = units_per_ms(kind_named(series.kind))
        paths = self._months(series, start_ms, end_ms)
        return read_series_files(paths, series, start=start_ms * scale, end=end_ms * scale)

    def _months(self, series: Series, start_ms: int, end_ms: int) -> list[Path]:
        """The files that may hold rows of the range. Raises DataUnavailableError that says what else is stored of the symbol."""
        files = month_files(self.base, series)
        if files:
            return [file.path for file in files if file.first_ms < end_ms and file.end_ms > start_ms]
        held = {
            f"{one.venue} {one.market} {'' if one.kind == CANDLES.name else one.kind + ' '}{one.timeframe}"
            for one in stored_series(self.base, series.symbol)
            if month_files(self.base, one)
        }
        options = f"--exchange {series.exchange} --market {series.market} --symbol {series.symbol}"
        options += "" if series.kind == CANDLES.name else f" --kind {series.kind}"
        options += "" if series.timeframe == TICK else f" --timeframe {series.timeframe}"
        options += "" if series.network == LIVE else f" --network {series.network}"
        length = "" if series.timeframe == TICK else f"{series.timeframe} "
        raise DataUnavailableError(
            f"no {length}{series.kind} of {series.symbol} on {series.venue} {series.market} in {self.base} (stored of "
            f"{series.symbol}: {', '.join(sorted(held)) or 'nothing'}); import them: bt data import FILE {options} "
            f"--data {self.base}"
        )

    # -- writing -----------------------------------------------------------------------------------------------------

    def store(self, batch: Batch) -> StoreReport:
        """What was stored before and the batch are stored; rows that are there already with equal values change nothing.

        Processes that store at the same time wait for each other.
        Raises: DataQualityError - a row contradicts a stored one, or volumes count something else: then nothing is written.
                StorageError - the disk refuses; whole months may have been written, a repeated store completes it.
        """
        check_batch(batch)
        with self._locked():
            return store_table(self.base, batch.series, batch.table, batch.volume_unit)

    def write(self, exchange: str, market: str, symbol: str, timeframe: str, columns: CandleColumns) -> WriteReport:
        """As `store`, for candles as columns, which are checked here. Raises DataQualityError also where a rule is broken."""
        import pyarrow as pa

        series = series_of(exchange=exchange, market=market, symbol=symbol, timeframe=timeframe)
        source = f"{exchange} {market} {symbol} {timeframe}"
        check_candles(columns, source=source, length_ms=timeframe_ms(timeframe))
        rows = len(columns.start_ms)
        arrays: list[Any] = [*map(pa.array, columns), *(pa.nulls(rows, pa.float64()) for _ in CANDLES.names[len(columns) :])]
        table = pa.Table.from_arrays(arrays, schema=CANDLES.schema())
        with self._locked():
            report = store_table(self.base, series, table, VolumeUnit.BASE)
        return WriteReport(report.rows_written, report.rows_already_stored)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else writes to this catalog meanwhile. Raises StorageError where the directory cannot be written."""
        import fcntl

        try:
            self.base.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.base / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"cannot write {self.base}: {error.strerror or error}; nothing was changed") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _is_plain(symbol: str) -> bool:
    """Whether this can be a symbol: it becomes a part of a path."""
    try:
        series_of(exchange="any", market="spot", symbol=symbol, timeframe="1m")
    except ConfigError:
        return False
    return True


def _listing_order(one: StoredSeries) -> tuple[object, ...]:
    return (one.series.venue, one.market, one.symbol, one.kind, one.series.length_ms)


def _candles_between(paths: list[Path], series: Series, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
    for columns in read_candle_files(paths, series, start_ms=start_ms, end_ms=end_ms):
        first, last = columns.start_ms.searchsorted((start_ms, end_ms)).tolist()
        if last > first:
            yield columns if last - first == len(columns.start_ms) else slice_columns(columns, first, last)
