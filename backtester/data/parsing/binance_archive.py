"""Files of Binance's public archive, zipped as published or unpacked: path and content to rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from backtester.data.batch import Origin, RawBatch
from backtester.data.findings import Rule
from backtester.data.kinds import VolumeUnit, kind_named
from backtester.data.parsing.binance_layouts import ARCHIVE_KINDS, END, HOUR, IDENTITY, SAMPLED_VOLUME, ArchiveKind
from backtester.data.parsing.csv_rows import Block, first_fields, is_data, read_blocks
from backtester.data.parsing.epochs import read_epochs
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, agreed, series_for, unit_for
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.row_faults import RowFaults
from backtester.data.series import Series
from backtester.domain.errors import ConfigError, SchemaMismatchError
from backtester.domain.timeframe import HOUR_MS

if TYPE_CHECKING:
    import pyarrow as pa

_MARKETS = {"spot": "spot", "futures/um": "linear", "um": "linear", "futures/cm": "inverse", "cm": "inverse", "option": "option"}
_FOLDERS = re.compile(
    r"(?:^|/)(?P<market>spot|futures/um|futures/cm|um|cm|option)/(?:daily|monthly)/(?P<folder>[A-Za-z]+)/(?P<symbol>[^/]+)/"
    r"(?:(?P<interval>[0-9]+[A-Za-z]+)/)?[^/]+$"
)
_FILE = re.compile(
    r"(?P<symbol>[^-/]+)-(?:(?P<interval>[0-9]+[A-Za-z]+)|(?P<folder>[A-Za-z]+))-[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?"
    r"\.(?:zip|csv|csv\.gz|csv\.zip)"
)
_SUFFIXES = (".zip", ".csv", ".gz")
_TIMES = ("start_ms", "time_ms", "time_us")


class _Named(NamedTuple):
    """What a file's name says, in the archive's own words; None where it says nothing."""

    binance: bool = False
    market: str | None = None
    folder: str | None = None
    symbol: str | None = None
    interval: str | None = None


def matches(name: str, head: bytes) -> bool:
    """Whether a file stands in the archive's folders, or is named as its files are, or has a header that only they have."""
    if not name.lower().endswith(_SUFFIXES):
        return False
    if _FOLDERS.search(name):
        return True
    fields = first_fields(head)
    if not fields:
        return False
    named = _FILE.fullmatch(name.rpartition("/")[2])
    if is_data(fields[0]):
        kind = ARCHIVE_KINDS.get(named["folder"] or "klines") if named else None
        return kind is not None and len(fields) in kind.layout.widths
    return _kind_by_header(fields) is not None


def read(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """The rows of the file, a block at a time, in its order.

    Raises: SchemaMismatchError - the name, the content and the hint do not say one thing, or not enough. DataError - damaged.
    """
    named = _named(opened.name)
    fields = first_fields(opened.head(4_096))
    by_header = None if not fields or is_data(fields[0]) else _kind_by_header(fields)
    archive_kind = _archive_kind(named, by_header, hint, opened.name)
    series, unit = _series(archive_kind, named, hint, opened.name)
    assembling = _Assembling(archive_kind, series, opened, unit, trusted=named.folder is not None or hint.kind is not None)
    with opened.stream() as stream:
        for block in read_blocks(stream, archive_kind.layout, file=opened.name):
            yield assembling.batch(block)


def _kind_by_header(fields: list[str]) -> ArchiveKind | None:
    """The kind that alone has such a header; all sorts of bars share one."""
    found = set(fields)
    if "open_time" in found:
        bars = {"open_time", "open", "high", "low", "close", "close_time"} <= found and found & {
            "ignore",
            "count",
            "number_of_trades",
        }
        return ARCHIVE_KINDS["klines"] if bars else None
    for one in ARCHIVE_KINDS.values():
        needed = {field.headings for field in one.layout.fields if field.required}
        if not one.bars and all(found.intersection(headings) for headings in needed):
            return one
    return None


def _named(name: str) -> _Named:
    """What folders and file name say. Raises SchemaMismatchError where they contradict each other."""
    folders = _FOLDERS.search(name)
    file = _FILE.fullmatch(name.rpartition("/")[2])
    of_file = (file["folder"], unquote(file["symbol"]), file["interval"]) if file else (None, None, None)
    if folders is None:
        return _Named(False, None, *of_file)
    said = (folders["folder"], unquote(folders["symbol"]), folders["interval"])
    for what, above, below in zip(("kind", "symbol", "interval"), said, of_file, strict=True):
        if above is not None and below is not None and above != below:
            raise SchemaMismatchError(f"{name}: its folders say {what} {above}, its name says {below}; which is right?")
    binance = "binance" in name.lower().split("/")
    interval = said[2] or of_file[2]
    return _Named(binance, _MARKETS[folders["market"]], said[0], said[1], interval)


def _archive_kind(named: _Named, by_header: ArchiveKind | None, hint: Hint, file: str) -> ArchiveKind:
    """The kind that name, header and hint agree on; bars are candles where nothing says more."""
    if named.folder is not None and named.folder not in ARCHIVE_KINDS:
        raise SchemaMismatchError(f"{file}: files of {named.folder} are not known; known are {', '.join(ARCHIVE_KINDS)}")
    found = ARCHIVE_KINDS[named.folder] if named.folder else by_header or ARCHIVE_KINDS["klines"]
    if by_header is not None and (by_header is not found) and not (by_header.bars and found.bars):
        raise SchemaMismatchError(f"{file}: it is named as {found.folder}, but its header is that of {by_header.folder}")
    if found.bars and named.folder is None and hint.kind is not None:
        stated = [one for one in ARCHIVE_KINDS.values() if one.bars and one.kind == hint.kind]
        found = stated[0] if stated else found
    return found


def _series(archive_kind: ArchiveKind, named: _Named, hint: Hint, file: str) -> tuple[Series, VolumeUnit]:
    """Whose rows they are and what their volumes count. Raises SchemaMismatchError."""
    if archive_kind.bars and hint.stamp == "close":
        raise SchemaMismatchError(f"{file}: bars of this archive are stamped with their open; leave --stamp close away")
    if named.interval in {"1mo", "1M"}:
        raise SchemaMismatchError(
            f"{file}: bars of a month have no fixed length, and the program keeps no other; take 1d or 1w "
            "(1M means a month here; minutes are 1m)"
        )
    exchange = "binance" if named.binance else (hint.exchange or "binance")
    timeframe = archive_kind.timeframe or named.interval
    about = About(archive_kind.kind, exchange, named.market, named.symbol, timeframe)
    try:
        market = agreed(named.market, hint.market, what="the market", option="--market", file=file)
        contracts = archive_kind.sized and market in {"inverse", "option"}
        about = about._replace(market=market, volume_unit=VolumeUnit.CONTRACTS if contracts else VolumeUnit.BASE)
        return series_for(about, hint, file=file), unit_for(about, hint, file=file)
    except ConfigError as error:
        raise SchemaMismatchError(f"{file}: {error}") from error


class _Assembling:
    """Makes batches of blocks: times in their unit, columns of the kind, faults with their rows."""

    def __init__(self, archive_kind: ArchiveKind, series: Series, opened: OpenedFile, unit: VolumeUnit, *, trusted: bool) -> None:
        self._archive_kind = archive_kind
        self._series = series
        self._origin = Origin(opened.name, opened.sha256)
        self._unit = unit
        self._trusted = trusted
        self._in_us: bool | None = None

    def batch(self, block: Block) -> RawBatch:
        """The block's rows. Raises SchemaMismatchError where they are of another symbol or of another kind of bar."""
        import pyarrow as pa

        table = block.table
        faults = RowFaults(block)
        self._check_identity(table, block.first_row)
        self._check_bars(table)
        columns: dict[str, Any] = {name: table.column(name) for name in table.column_names}
        time = next(field for field in self._archive_kind.layout.fields if field.name in _TIMES)
        columns[time.name] = self._times(columns, time.name, faults, as_text=time.type == "moment")
        extra: dict[str, Any] = {}
        if block.first_row > 1:
            extra["row"] = pa.array(np.arange(block.first_row, block.first_row + table.num_rows))
        if END in columns:
            extra[END] = _end_ms(columns[END])
        findings, marks = faults.told(self._origin.name)
        if marks is not None:
            extra["fault"] = marks
        if self._unit is VolumeUnit.CONTRACTS and self._series.kind == "candles":
            for name in ("quote_volume", "taker_buy_quote_volume"):  # base coin there, in spite of their names
                columns.pop(name, None)
        schema = kind_named(self._series.kind).schema()
        arrays = [columns.get(field.name, pa.nulls(table.num_rows, field.type)) for field in schema]
        rows = pa.Table.from_arrays([array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)
        return RawBatch(self._series, rows, self._origin, self._unit, pa.table(extra) if extra else None, findings)

    def _times(self, columns: dict[str, Any], name: str, faults: RowFaults, *, as_text: bool) -> pa.Array[Any]:
        """The time column in the kind's unit, null where it cannot be a time."""
        import pyarrow as pa

        values, valid = _ints(columns[name])
        if as_text:
            return self._from_text(columns, name, faults)
        times = read_epochs(values)
        wrong = np.flatnonzero(valid & ~times.possible)
        if len(wrong):
            _mark(faults, wrong, Rule.BAD_NUMBER, f"{name} is {int(values[wrong[0]])}, no time in ms or us from 2000 to 2100")
        good = valid & times.possible
        if name.endswith("_ms"):
            parts = np.flatnonzero(good & (times.us % 1_000 != 0))
            if len(parts):
                _mark(faults, parts, Rule.BAD_NUMBER, f"{name} is {int(values[parts[0]])}, with parts of a millisecond")
                good[parts] = False
        if self._in_us is None and good.any():
            self._in_us = bool(times.was_us[good][0])
        other = np.flatnonzero(good & (times.was_us != self._in_us))
        if len(other):
            units = ("us", "ms") if self._in_us else ("ms", "us")
            detail = f"{name} is {int(values[other[0]])}, in {units[1]} where the file began in {units[0]}"
            _mark(faults, other, Rule.MIXED_TIME_UNITS, detail)
        return pa.array(times.us // 1_000 if name.endswith("_ms") else times.us, mask=~good)

    def _from_text(self, columns: dict[str, Any], name: str, faults: RowFaults) -> pa.Array[Any]:
        """Times that stood as text, with the hour added where that is a column of its own."""
        import pyarrow as pa

        values, valid = _ints(columns[name])
        possible = read_epochs(values).possible
        _mark(faults, np.flatnonzero(valid & ~possible), Rule.BAD_NUMBER, f"{name} is no time from 2000 to 2100")
        if HOUR in columns:
            hours, stated = _ints(columns[HOUR])
            fine = stated & (hours >= 0) & (hours < 24)
            _mark(faults, np.flatnonzero(stated & ~fine), Rule.BAD_NUMBER, "hour is not from 0 to 23")
            values, possible = values + np.where(fine, hours, 0) * HOUR_MS, possible & fine
        return pa.array(values, mask=~(valid & possible))

    def _check_identity(self, table: pa.Table, first_row: int) -> None:
        """Returns if the rows say that they are of the symbol that the file's name says."""
        import pyarrow.compute as pc

        if IDENTITY not in table.column_names:
            return
        for said in pc.unique(table.column(IDENTITY)).to_pylist():
            if said is not None and not (said and self._series.symbol.startswith(said)):
                row = first_row + int(pc.index(table.column(IDENTITY), said).as_py())
                raise SchemaMismatchError(
                    f"{self._origin.name}: row {row} is of {said}, the file is named as {self._series.symbol}'s; "
                    "it is another file or several in one"
                )

    def _check_bars(self, table: pa.Table) -> None:
        """Returns unless volumes say that bars of trades were taken for bars of sampled prices, or the other way round."""

        def rows(column: str) -> int:
            return int(np.count_nonzero(np.asarray(table.column(column)) > 0))

        if SAMPLED_VOLUME in table.column_names and rows(SAMPLED_VOLUME) * 2 > table.num_rows:
            raise SchemaMismatchError(
                f"{self._origin.name}: its bars have volumes, as candles do; {self._series.kind} prices have none"
            )
        if self._trusted or "volume" not in table.column_names or "trade_count" not in table.column_names:
            return
        if not rows("volume") and rows("trade_count"):
            raise SchemaMismatchError(
                f"{self._origin.name}: its bars count samples but have no volume, as mark, index and premium prices do; "
                "state --kind"
            )


def _mark(faults: RowFaults, rows: npt.NDArray[np.intp], rule: Rule, detail: str) -> None:
    """All these rows break `rule`; `detail` tells of the first."""
    for index in rows.tolist():
        faults.add(index, rule, detail)


def _ints(column: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The values, 0 where there is none, and where there are some."""
    import pyarrow.compute as pc

    if not column.null_count:
        return column.to_numpy(), np.ones(len(column), np.bool_)
    return pc.fill_null(column, 0).to_numpy(), column.is_valid().to_numpy()


def _end_ms(column: Any) -> pa.Array[Any]:
    """Stated close times in milliseconds, rounded down: one in microseconds ends in 999999."""
    import pyarrow as pa

    values, valid = _ints(column)
    times = read_epochs(values)
    return pa.array(np.where(times.possible, times.us // 1_000, values), mask=~valid)
