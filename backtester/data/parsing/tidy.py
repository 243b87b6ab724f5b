"""Tables with columns named as here: parquet, feather or csv of bars, funding, open interest, trades, quotes and books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from backtester.data.batch import RawBatch
from backtester.data.findings import Finding
from backtester.data.kinds import kind_named
from backtester.data.parsing.csv_rows import CsvLayout, Field, first_fields, is_data, read_blocks
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, about_path, agreed, series_for
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.raw_tables import Column, raw_batch
from backtester.data.parsing.row_faults import RowFaults
from backtester.data.parsing.row_times import END_NAMES, START_NAMES, TIME_NAMES, RowTimes
from backtester.data.parsing.stamps import BarStamps
from backtester.data.parsing.table_files import is_table_file, read_tables
from backtester.domain.errors import DataQualityError, SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

_PRICES = ("open", "high", "low", "close")
_BARS = ("candles", "mark", "index", "premium")
_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "candles": {
        "trade_count": ("trade_count", "trades", "count"),
        "quote_volume": ("quote_volume", "turnover"),
        "taker_buy_volume": ("taker_buy_volume",),
        "taker_buy_quote_volume": ("taker_buy_quote_volume",),
    },
    "quote_candles": {"bid_qty": ("bid_qty", "bid_size"), "ask_qty": ("ask_qty", "ask_size")},
    "funding": {"rate": ("rate", "funding_rate")},
    "trades": {"trade_id": ("trade_id", "id"), "qty": ("qty", "size", "amount")},
}
"""What our columns are called elsewhere, by kind; a column that is not named here has its own name only."""
_TEXTS = frozenset({"side", "exec_type", "trade_id", "id"})
_TRUTHS = frozenset({"is_buyer_maker", "is_snapshot"})
_WHOLE = frozenset({"msg", "message", "update_id", "first_id", "last_id", "prev_id", "agg_id"})


def matches_tidy(name: str, head: bytes) -> bool:
    """Parquet and feather files of any name, and csv with a header that names the columns of a kind."""
    if is_table_file(head):
        return True
    names = first_fields(head)
    return bool(names) and not is_data(names[0]) and _kind_of(names) is not None


def read_tidy(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """The rows in the file's order. Stamps of bars are opens, or closes where that was stated (`Hint.stamp`).

    Raises: SchemaMismatchError - columns of no kind, something has to be stated, or stamps look like closes and nothing says so.
    """
    if is_table_file(opened.head(8)):
        parts: Iterator[_Part] = (_Part(table, row) for table, row in read_tables(opened))
    else:
        parts = _csv_parts(opened)
    reader: _Reader | None = None
    for part in parts:
        columns = {name.strip().lower(): part.columns[index] for index, name in enumerate(part.columns.column_names)}
        if reader is None:
            reader = _Reader(opened, hint, tuple(columns))
        yield reader.batch(columns, part)
    if reader is not None:
        reader.finish()


class _Part(NamedTuple):
    """Consecutive rows of a file, under the names that the file has."""

    columns: pa.Table
    first_row: int
    findings: tuple[Finding, ...] = ()
    faults: Column | None = None


def _csv_parts(opened: OpenedFile) -> Iterator[_Part]:
    """A csv file's known columns, each in the type that its name says."""
    names = first_fields(opened.head(4096))
    with opened.stream() as stream:
        for block in read_blocks(stream, _layout(names, opened.head(65_536)), file=opened.name):
            yield _Part(block.table, block.first_row, *RowFaults(block).told(opened.name))


def _layout(names: Sequence[str], head: bytes) -> CsvLayout:
    """Every column of the header; those with a time are whole numbers or moments, as the first row has them."""
    lines = [line for line in head.decode("utf-8", "replace").splitlines() if line.strip()]
    first = [field.strip().strip('"') for field in lines[1].split(",")] if len(lines) > 1 else []
    fields = []
    for position, name in enumerate(names):
        sample = first[position] if position < len(first) else ""
        fields.append(Field(name, _csv_type(name, sample), position, (name,)))
    return CsvLayout("a table", tuple(fields), ())


def _csv_type(name: str, sample: str) -> str:
    if name in {*START_NAMES, *END_NAMES, *TIME_NAMES}:
        return "int64" if sample.isdecimal() or not sample else "moment"
    if name in _TRUTHS:
        return "bool"
    if name in _WHOLE:
        return "int64"
    known = {*_PRICES, "volume"} | {column.name for kind in _KINDS for column in kind_named(kind).columns}
    known |= {other for names in _NAMES.values() for others in names.values() for other in others}
    return "string" if name in _TEXTS or name not in known else "float64"


_KINDS = (*_BARS, "quote_candles", "funding", "open_interest", "trades", "agg_trades", "quotes", "book")


def _kind_of(names: Sequence[str]) -> str | None:
    """The kind whose columns these are: `bars` where the prices may be of candles or of another series of bars."""
    have = frozenset(names)
    if {"price", "side", "is_snapshot"} <= have or {"price", "is_bid", "is_snapshot"} <= have:
        return "book"
    if {"bid_open", "ask_open", "bid_close", "ask_close"} <= have:
        return "quote_candles"
    if {"bid", "bid_qty", "ask", "ask_qty"} <= have:
        return "quotes"
    if {"price", "agg_id", "first_id", "last_id"} <= have:
        return "agg_trades"
    if "price" in have and have & {"is_buyer_maker", "side"} and have & {"qty", "size", "amount"}:
        return "trades"
    if have & {"rate", "funding_rate"}:
        return "funding"
    if {*_PRICES} & have:
        return "candles" if "volume" in have else "bars"
    return "open_interest" if "open_interest" in have else None


class _Reader:
    """Turns tables of one file into batches; knows what the file is from its path, its columns and what was stated."""

    def __init__(self, opened: OpenedFile, hint: Hint, names: tuple[str, ...]) -> None:
        self._opened = opened
        self._hint = hint
        self._about = self._identified(names)
        self._series = series_for(self._about, hint, file=opened.name)
        kind = kind_named(self._series.kind)
        self._stamps = BarStamps(self._series.length_ms, hint, file=opened.name) if kind.time == "start_ms" else None
        self._times = RowTimes(self._series.kind, file=opened.name)

    def _identified(self, names: tuple[str, ...]) -> About:
        file = self._opened.name
        path = about_path(file)
        found = _kind_of(names)
        if found is None:
            raise SchemaMismatchError(
                f"{file}: its columns are of no kind that is stored ({', '.join(names)[:300]}); candles need "
                "open_time_ms, open, high, low, close, volume"
            )
        if found == "bars":
            kind = (
                agreed(path.kind, self._hint.kind, what="the kind", option="--kind", file=file)
                if path.kind or self._hint.kind
                else None
            )
            if kind is None or kind == "candles":
                raise self._refusal_of_bars(names)
            return path._replace(kind=kind)
        if found == "candles" and (self._hint.kind or path.kind) in _BARS:
            found = agreed(path.kind, self._hint.kind, what="the kind", option="--kind", file=file)
        kind_said = path.kind if path.kind != "quotes" or found != "quote_candles" else found
        return path._replace(kind=agreed(kind_said, found, what="the kind", option="the columns", file=file))

    def _refusal_of_bars(self, names: tuple[str, ...]) -> SchemaMismatchError:
        missing = [name for name in (*_PRICES, "volume") if name not in names]
        other = "; if these are no candles, state --kind mark, index or premium" if missing == ["volume"] else ""
        return SchemaMismatchError(
            f"{self._opened.name}: no column {', '.join(missing)}; candles need start_ms, open, high, low, close, volume; found "
            f"{', '.join(names)}{other}"
        )

    def batch(self, columns: Mapping[str, Column], part: _Part) -> RawBatch:
        """The rows of a part. Raises SchemaMismatchError."""
        kind = kind_named(self._series.kind)
        taken: dict[str, Column] = {}
        for column in kind.columns[1:]:
            names = _NAMES.get(kind.name, {}).get(column.name, (column.name,))
            found = next((name for name in names if name in columns), None)
            if found is not None:
                taken[column.name] = self._typed(columns[found], column.type, found)
        if kind.name == "book":
            self._of_book(columns, taken)
        if kind.name == "trades" and "exec_type" in columns:
            self._only_market_trades(columns["exec_type"], part.first_row)
        if kind.name == "trades" and "side" in columns and "is_buyer_maker" not in columns:
            taken["is_buyer_maker"] = _sold(columns["side"])
        end_ms = None
        if self._stamps is not None:
            starts, ends = (self._times.bars_ms(columns, names) for names in (START_NAMES, END_NAMES))
            taken["start_ms"], end_ms = self._stamps.starts_ms(starts, ends)
        else:
            taken[kind.time] = self._times.ticks(columns, in_us=kind.time == "time_us")
        return raw_batch(
            self._opened,
            self._hint,
            self._about,
            taken,
            first_row=part.first_row,
            end_ms=end_ms,
            faults=part.faults,
            findings=part.findings,
        )

    def _only_market_trades(self, exec_type: Column, first_row: int) -> None:
        """Returns unless a row is an entry of the feed that no market order made, such as of the insurance fund."""
        import pyarrow as pa
        import pyarrow.compute as pc

        others = pc.fill_null(pc.not_equal(exec_type.cast(pa.string()), pa.scalar("MARKET")), False)
        if pc.any(others).as_py():
            row = int(pc.index(others, pa.scalar(value=True)).as_py())
            raise DataQualityError(
                f"{self._opened.name}: row {first_row + row} has exec_type {exec_type[row].as_py()}, which is no trade "
                "on the market; leave such rows out"
            )

    def finish(self) -> None:
        """Raises SchemaMismatchError where the whole file shows that its stamps are closes."""
        if self._stamps is not None:
            self._stamps.finish()

    def _typed(self, values: Column, type_name: str, name: str) -> Column:
        import pyarrow as pa

        wanted = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}[type_name]
        numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_null(values.type)
        if type_name in {"int64", "float64"} and not numeric:
            raise SchemaMismatchError(f"{self._opened.name}: column {name} is {values.type}; it must hold numbers")
        try:
            return values.cast(wanted)
        except pa.ArrowInvalid as error:
            raise SchemaMismatchError(f"{self._opened.name}: column {name} cannot be read as {type_name} ({error})") from error

    def _of_book(self, columns: Mapping[str, Column], taken: dict[str, Column]) -> None:
        import pyarrow.compute as pc

        message = next((name for name in ("message", "msg") if name in columns), None)
        if message is not None:
            taken["message"] = columns[message]
        if "is_bid" not in columns:
            side = pc.utf8_lower(columns["side"])
            taken["is_bid"] = pc.if_else(pc.is_in(side, _words("b", "bid", "buy")), True, pc.if_else(_asks(side), False, None))


def _words(*words: str) -> Column:
    import pyarrow as pa

    return pa.array(words)


def _asks(side: Column) -> Column:
    import pyarrow.compute as pc

    return pc.is_in(side, _words("a", "ask", "sell"))


def _sold(side: Column) -> Column:
    """Whether the taker sold; null for a side that is none."""
    import pyarrow.compute as pc

    lower = pc.utf8_lower(side)
    return pc.if_else(pc.is_in(lower, _words("sell", "s")), True, pc.if_else(pc.is_in(lower, _words("buy", "b")), False, None))
