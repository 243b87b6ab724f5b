"""The local store of market data: `<base>/<venue>/<market>/<symbol>/<kind>/<timeframe>/year=YYYY/<symbol>-<tf>-YYYY-MM.parquet`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backtester.data.batch import Batch
from backtester.data.candle_file import read_candle_files
from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.kinds import CANDLES, TICK, VolumeUnit, kind_named
from backtester.data.manifest import Manifest, Partition, Provenance, is_fresh, partition_of, relative_name
from backtester.data.months import Listing, MonthFile, list_months, month_files, stored_series, units_per_ms
from backtester.data.object_store import index_directory
from backtester.data.quality import check_candles
from backtester.data.series import LIVE, Series, series_of
from backtester.data.series_file import facts_with_content, gap_limit, read_series_files
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

    def __init__(self, base: Path | str, *, listed: Mapping[str, Listing] | None = None) -> None:
        """`listed` are the files of some symbols, by symbol, which are then not looked for again; see `listing`."""
        self.base = Path(base)
        self.manifest = Manifest(self.base)
        self._listed = listed or {}

    # -- what there is -----------------------------------------------------------------------------------------------

    def listing(self, symbols: Iterable[str]) -> Catalog:
        """This catalog with the files of these symbols as they are now: listed once for whoever asks for many of their series.

        What is imported later is not seen by it. Raises DataError at a file that is not where it belongs.
        """
        return Catalog(self.base, listed={symbol: list_months(self.base, symbol) for symbol in dict.fromkeys(symbols)})

    def months(self, series: Series) -> Sequence[MonthFile]:
        """The files of a series in order of time; empty where nothing is stored."""
        listed = self._listed.get(series.symbol)
        return month_files(self.base, series) if listed is None else listed.get(series, ())

    def series_of(self, symbol: str) -> Sequence[Series]:
        """The series of every kind of which files of this symbol are stored, as they lie; their files stay closed."""
        listed = self._listed.get(symbol)
        return tuple(list_months(self.base, symbol) if listed is None else listed)

    def is_empty(self) -> bool:
        """Whether no candle of a live market is stored."""
        return not any(month_files(self.base, series) for series in self._candle_series())

    def series(self) -> tuple[StoredSeries, ...]:
        """Candles of live markets, ordered by exchange, market, symbol and length of the timeframe. Raises DataError."""
        return self._candles(None)

    def find(self, symbol: str) -> tuple[StoredSeries, ...]:
        """Candles of one symbol on all live exchanges and markets; empty where there is nothing."""
        return self._candles(symbol) if _is_plain(symbol) else ()

    def all_series(self, symbol: str | None = None) -> tuple[StoredSeries, ...]:
        """All that is stored (of one symbol), of every kind and network, ordered by venue, market, symbol, kind and length.

        Raises DataError.
        """
        return _described(self.partitions(symbol))

    def partitions(self, symbol: str | None = None) -> tuple[Partition, ...]:
        """The month files that are stored, of all symbols or of one, as they are now. Raises DataError."""
        return self.manifest.current(symbol) if symbol is None or _is_plain(symbol) else ()

    def markets(self) -> tuple[tuple[str, str], ...]:
        """The (exchange, market) pairs of which live candles are stored, sorted."""
        held = (series for series in self._candle_series() if month_files(self.base, series))
        return tuple(sorted({(series.exchange, series.market) for series in held}))

    def _candle_series(self, symbol: str | None = None) -> Iterator[Series]:
        for series in stored_series(self.base, symbol):
            if series.kind == CANDLES.name and series.network == LIVE:
                yield series

    def _candles(self, symbol: str | None) -> tuple[StoredSeries, ...]:
        current = self.manifest.current(symbol)
        return _described(one for one in current if one.kind == CANDLES.name and one.network == LIVE)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, exchange: str, market: str, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        """Candles that start in [start_ms, end_ms), in pieces of at most one month; files of other months stay closed.

        Raises: DataUnavailableError - the series is not stored. DataError - a file is unreadable; while iterating.
        """
        series = series_of(exchange=exchange, market=market, symbol=symbol, timeframe=timeframe)
        paths = [file.path for file in self._months(series, start_ms, end_ms)]
        return _candles_between(paths, series, start_ms, end_ms)

    def read_tables(self, series: Series, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Rows of a series of any kind whose time is in [start_ms, end_ms), in order, in parts of bounded size.

        Raises: DataUnavailableError - the series is not stored. DataError - a file is unreadable; while iterating.
        """
        scale = units_per_ms(kind_named(series.kind))
        paths = [file.path for file in self._months(series, start_ms, end_ms)]
        return read_series_files(paths, series, start=start_ms * scale, end=end_ms * scale)

    def _months(self, series: Series, start_ms: int, end_ms: int) -> list[MonthFile]:
        """The files that may hold rows of the range. Raises DataUnavailableError that says what else is stored of the symbol."""
        files = self.months(series)
        if files:
            return [file for file in files if file.first_ms < end_ms and file.end_ms > start_ms]
        held = {
            f"{one.venue} {one.market} {'' if one.kind == CANDLES.name else one.kind + ' '}{one.timeframe}"
            for one in self.series_of(series.symbol)
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

    def missing(self, series: Series) -> Iterator[tuple[int, int]]:
        """The gaps of a series in order: [from_ms, to_ms) in which no bar starts; none of a kind without a timeframe."""
        limit, scale = gap_limit(series), units_per_ms(kind_named(series.kind))
        paths = [file.path for file in month_files(self.base, series)] if limit else []
        last: int | None = None
        for table in read_series_files(paths, series, names=(kind_named(series.kind).time,)):
            times = table.column(0).to_numpy()
            if last is not None and int(times[0]) - last > limit:
                yield last // scale + series.length_ms, int(times[0]) // scale
            for row in (times[1:] - times[:-1] > limit).nonzero()[0].tolist():
                yield int(times[row]) // scale + series.length_ms, int(times[row + 1]) // scale
            last = int(times[-1])

    def fingerprint(self, series: Series, start_ms: int, end_ms: int) -> str:
        """sha256 over the series' name, its volume unit and the content hashes of all months that the range touches, whole.

        The same values give the same fingerprint on every machine; any other value in those months gives another. Cheap where
        the manifest is up to date; a file that another program wrote is read once. Raises DataUnavailableError, DataError.
        """
        recorded = self.manifest.partitions(series.symbol)
        wanted = self._months(series, start_ms, end_ms)
        lines = [str(series)]
        learnt: list[Partition] = []
        for file in wanted:
            row = recorded.get(relative_name(self.base, file.path))
            if row is None or row.content_sha256 is None or not is_fresh(row, file):
                row = partition_of(self.base, file, series, facts_with_content(file.path, series))
                learnt.append(row)
            lines.append(f"{row.volume_unit} {row.content_sha256}")
        if learnt:
            self.manifest.record_if_possible(learnt)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    # -- writing -----------------------------------------------------------------------------------------------------

    def store(self, batch: Batch) -> StoreReport:
        """What was stored before and the batch are stored; rows that are there already with equal values change nothing.

        Processes that store at the same time wait for each other. A month is written at each call that has something new for it:
        chunks of one file go through `batch_joining.joined` first.
        Raises: DataQualityError - a row contradicts a stored one, or volumes count something else: then nothing is written.
                StorageError - the disk refuses; whole months may have been written, a repeated store completes it.
        """
        check_batch(batch)
        by = Provenance(batch.origin, batch.findings, batch.policies)
        return self._store(batch.series, batch.table, batch.volume_unit, by)

    def _store(self, series: Series, table: pa.Table, unit: VolumeUnit, by: Provenance | None) -> StoreReport:
        with self.locked():
            stored = store_table(self.base, series, table, unit)
            facts_by_path = dict(stored.written)
            rows = [
                partition_of(self.base, file, series, facts_by_path[file.path])
                for file in (month_files(self.base, series) if facts_by_path else ())
                if file.path in facts_by_path
            ]
            if rows or by is not None:
                self.manifest.record(rows, touched=[relative_name(self.base, path) for path in stored.touched], by=by)
        return stored.report

    def write(self, exchange: str, market: str, symbol: str, timeframe: str, columns: CandleColumns) -> WriteReport:
        """As `store`, for candles as columns, which are checked here. Raises DataQualityError also where a rule is broken."""
        import pyarrow as pa

        series = series_of(exchange=exchange, market=market, symbol=symbol, timeframe=timeframe)
        source = f"{exchange} {market} {symbol} {timeframe}"
        check_candles(columns, source=source, length_ms=timeframe_ms(timeframe))
        rows = len(columns.start_ms)
        arrays: list[Any] = [*map(pa.array, columns), *(pa.nulls(rows, pa.float64()) for _ in CANDLES.names[len(columns) :])]
        table = pa.Table.from_arrays(arrays, schema=CANDLES.schema())
        report = self._store(series, table, VolumeUnit.BASE, None)
        return WriteReport(report.rows_written, report.rows_already_stored)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes to this catalog meanwhile. Raises StorageError where the directory cannot be written."""
        import fcntl

        directory = index_directory(self.base)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handle = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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


def _described(partitions: Iterable[Partition]) -> tuple[StoredSeries, ...]:
    by_series: dict[Series, list[Partition]] = {}
    for one in partitions:
        by_series.setdefault(one.series, []).append(one)
    described = [_describe(series, months) for series, months in by_series.items()]
    return tuple(sorted(described, key=lambda one: (one.series.venue, *one[1:3], one.kind, one.series.length_ms)))


def _describe(series: Series, months: Sequence[Partition]) -> StoredSeries:
    limit, scale = gap_limit(series), units_per_ms(kind_named(series.kind))
    between = sum(later.first - earlier.last > limit for earlier, later in pairwise(months)) if limit else 0
    return StoredSeries(
        series.exchange,
        series.market,
        series.symbol,
        series.timeframe,
        months[0].first // scale,
        months[-1].last // scale + max(series.length_ms, 1),
        sum(one.rows for one in months),
        sum(one.gaps for one in months) + between,
        len(months),
        series.kind,
        series.network,
    )


def _candles_between(paths: list[Path], series: Series, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
    for columns in read_candle_files(paths, series, start_ms=start_ms, end_ms=end_ms):
        first, last = columns.start_ms.searchsorted((start_ms, end_ms)).tolist()
        if last > first:
            yield columns if last - first == len(columns.start_ms) else slice_columns(columns, first, last)
