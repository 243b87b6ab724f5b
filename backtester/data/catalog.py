"""The local store of candles: `<base>/<exchange>/<market>/<symbol>/candles/<timeframe>/year=YYYY/<symbol>-<tf>-YYYY-MM.parquet`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backtester.data.candle_file import candle_file_facts, read_candle_files, same_candles, write_candle_file
from backtester.data.columns import VALUE_NAMES, CandleColumns, join_columns, slice_columns, take_rows
from backtester.data.quality import check_candles
from backtester.domain.errors import ConfigError, DataError, DataQualityError, DataUnavailableError
from backtester.domain.timeframe import iso_text, timeframe_ms, timeframe_text
from backtester.domain.vocabulary import Market

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,63}")
_EXCHANGE = re.compile(r"[a-z0-9_]{1,32}")
_MARKETS = tuple(market.value for market in Market)
_KIND = "candles"


class StoredSeries(NamedTuple):
    """What is stored of one symbol and timeframe: `first_ms` is the start of the first candle, `last_ms` the end of the last.

    `gaps` counts stretches of missing candles, `files` the month files.
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


class WriteReport(NamedTuple):
    """What a write changed: rows that are new, and rows that were stored before with the same values."""

    rows_written: int
    rows_already_stored: int


class _MonthFile(NamedTuple):
    first_ms: int
    end_ms: int
    path: Path


class Catalog:
    """Candles under one directory. Reading never changes anything; writing never changes a stored value."""

    def __init__(self, base: Path) -> None:
        self.base = Path(base)

    # -- what there is -----------------------------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Whether no candle is stored."""
        return next(self._series_dirs("*"), None) is None

    def series(self) -> tuple[StoredSeries, ...]:
        """All that is stored, ordered by exchange, market, symbol and length of the timeframe. Raises DataError."""
        return self._described("*")

    def find(self, symbol: str) -> tuple[StoredSeries, ...]:
        """What is stored of one symbol on all exchanges and markets; empty where there is nothing."""
        return self._described(symbol) if _SYMBOL.fullmatch(symbol) else ()

    def markets(self) -> tuple[tuple[str, str], ...]:
        """The (exchange, market) pairs of which something is stored, sorted."""
        return tuple(sorted({(path.parts[-5], path.parts[-4]) for path in self._series_dirs("*")}))

    def _described(self, symbol: str) -> tuple[StoredSeries, ...]:
        described = [self._describe(path) for path in self._series_dirs(symbol)]
        return tuple(sorted(described, key=lambda one: (*one[:3], timeframe_ms(one.timeframe))))

    def _series_dirs(self, symbol: str) -> Iterator[Path]:
        """Directories `<exchange>/<market>/<symbol>/candles/<timeframe>` that hold at least one month."""
        for path in self.base.glob(f"*/*/{symbol}/{_KIND}/*"):
            if _EXCHANGE.fullmatch(path.parts[-5]) and path.parts[-4] in _MARKETS and _month_files(path):
                yield path

    def _describe(self, path: Path) -> StoredSeries:
        exchange, market, symbol, _, timeframe = path.parts[-5:]
        length_ms = timeframe_ms(timeframe)
        files = _month_files(path)
        facts = [candle_file_facts(file.path, length_ms=length_ms) for file in files]
        between = sum(later.first_ms - earlier.last_ms > length_ms for earlier, later in zip(facts, facts[1:], strict=False))
        return StoredSeries(
            exchange,
            market,
            symbol,
            timeframe,
            facts[0].first_ms,
            facts[-1].last_ms + length_ms,
            sum(one.rows for one in facts),
            sum(one.gaps for one in facts) + between,
            len(files),
        )

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, exchange: str, market: str, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        """Candles that start in [start_ms, end_ms), in pieces of at most one month; files of other months stay closed.

        Raises: DataUnavailableError - the series is not stored. DataError - a file is unreadable; while iterating.
        """
        path = self._series_path(exchange, market, symbol, timeframe)
        files = _month_files(path)
        if not files:
            stored = ", ".join(sorted({f"{one.exchange} {one.market} {one.timeframe}" for one in self.find(symbol)})) or "nothing"
            raise DataUnavailableError(
                f"no {timeframe} candles of {symbol} on {exchange} {market} in {self.base} (stored of {symbol}: {stored}); "
                f"import them: bt data import FILE --exchange {exchange} --market {market} --symbol {symbol} "
                f"--timeframe {timeframe} --data {self.base}"
            )
        return _read_files([file for file in files if file.first_ms < end_ms and file.end_ms > start_ms], start_ms, end_ms)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, exchange: str, market: str, symbol: str, timeframe: str, columns: CandleColumns) -> WriteReport:
        """What was stored before and `columns` are stored; rows that are there already with equal values change nothing.

        Raises: DataQualityError - a row breaks a rule, or contradicts a stored one: then nothing is written.
                StorageError - the disk refuses; whole months may have been written, a repeated write completes it.
        """
        path = self._series_path(exchange, market, symbol, timeframe)
        length_ms = timeframe_ms(timeframe)
        source = f"{exchange} {market} {symbol} {timeframe}"
        check_candles(columns, source=source, length_ms=length_ms)
        stored_files = {file.first_ms: file.path for file in _month_files(path)}
        changed: list[tuple[Path, CandleColumns]] = []
        rows_written = 0
        for month_ms, month in _by_month(columns):
            merged = month
            if month_ms in stored_files:
                stored = join_columns(*read_candle_files([stored_files[month_ms]]))
                merged = _merge(stored, month, source=source)
                if len(merged.start_ms) == len(stored.start_ms):
                    continue
                rows_written -= len(stored.start_ms)
            rows_written += len(merged.start_ms)
            changed.append((_month_path(path, month_ms), merged))
        for month_path, merged in changed:
            write_candle_file(month_path, merged, length_ms=length_ms)
        return WriteReport(rows_written, len(columns.start_ms) - rows_written)

    def _series_path(self, exchange: str, market: str, symbol: str, timeframe: str) -> Path:
        """The directory of a series. Names become parts of a path, so only plain ones pass. Raises ConfigError."""
        if not _EXCHANGE.fullmatch(exchange):
            raise ConfigError(f"exchange {exchange!r} is not a name of lower-case letters, digits and _")
        if market not in _MARKETS:
            raise ConfigError(f"market {market!r} is not known; use one of {', '.join(_MARKETS)}")
        if not _SYMBOL.fullmatch(symbol):
            raise ConfigError(f"symbol {symbol!r} is not a name of upper-case letters, digits, dots, - and _")
        return self.base / exchange / market / symbol / _KIND / timeframe_text(timeframe_ms(timeframe))


# -- months --------------------------------------------------------------------------------------------------------------


def _month_files(series_path: Path) -> list[_MonthFile]:
    """The month files of a series in order of time. Raises DataError at a parquet file that is not where it belongs."""
    symbol, _, timeframe = series_path.parts[-3:]
    pattern = re.compile(rf"{re.escape(symbol)}-{re.escape(timeframe)}-(\d{{4}})-(0[1-9]|1[0-2])\.parquet")
    files: list[_MonthFile] = []
    for path in series_path.glob("*/*.parquet"):
        if path.name.startswith("."):
            continue
        match = pattern.fullmatch(path.name)
        if match is None or path.parent.name != f"year={match[1]}":
            raise DataError(f"{path} is not named as a month of {symbol} {timeframe}; move it away and import it")
        year, month = int(match[1]), int(match[2])
        files.append(_MonthFile(_month_start_ms(year, month), _month_start_ms(year + month // 12, month % 12 + 1), path))
    return sorted(files)


def _month_path(series_path: Path, month_ms: int) -> Path:
    symbol, _, timeframe = series_path.parts[-3:]
    moment = datetime.fromtimestamp(month_ms // 1000, tz=UTC)
    return series_path / f"year={moment:%Y}" / f"{symbol}-{timeframe}-{moment:%Y-%m}.parquet"


def _month_start_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


def _by_month(columns: CandleColumns) -> Iterator[tuple[int, CandleColumns]]:
    """The rows of each month that has any, with the month's start."""
    months = columns.start_ms.astype("datetime64[ms]").astype("datetime64[M]")
    edges = [0, *(np.flatnonzero(months[1:] != months[:-1]) + 1).tolist(), len(months)]
    for first, last in zip(edges, edges[1:], strict=False):
        if last > first:
            month_ms = int(months[first].astype("datetime64[ms]").astype(np.int64))
            yield month_ms, slice_columns(columns, first, last)


def _read_files(files: list[_MonthFile], start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
    for columns in read_candle_files(file.path for file in files):
        first, last = columns.start_ms.searchsorted((start_ms, end_ms)).tolist()
        if last > first:
            yield columns if last - first == len(columns.start_ms) else slice_columns(columns, first, last)


def _merge(stored: CandleColumns, new: CandleColumns, *, source: str) -> CandleColumns:
    """Both in order of time, each candle once. Raises DataQualityError at the first candle on which they differ."""
    both = join_columns(stored, new)
    both = take_rows(both, np.argsort(both.start_ms, kind="stable"))
    rows = np.flatnonzero(both.start_ms[1:] == both.start_ms[:-1])
    earlier, later = take_rows(both, rows), take_rows(both, rows + 1)
    differing = np.flatnonzero(~same_candles(earlier, later))
    if len(differing):
        row = int(differing[0])
        was, would_be = (
            ", ".join(f"{name} {float(column[row])!r}" for name, column in zip(VALUE_NAMES, side[1:], strict=True))
            for side in (earlier, later)
        )
        raise DataQualityError(
            f"{source}: the candle of {iso_text(int(earlier.start_ms[row]))} UTC is stored with {was}, but given with {would_be} "
            f"({len(differing)} candles differ); nothing was written; find out which source is right and keep only that one"
        )
    keep = np.ones(len(both.start_ms), dtype=np.bool_)
    keep[rows] = False
    return take_rows(both, keep)
