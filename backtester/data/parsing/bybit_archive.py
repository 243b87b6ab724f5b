"""Bybit's public archive of csv: trades, candles for MetaTrader 4, and the premium and spot indexes of 2019-20."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from backtester.data.batch import RawBatch
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.csv_columns import CsvPart, layout_of, read_columns, taker_sold, times_us
from backtester.data.parsing.csv_rows import first_fields
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, agreed
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.raw_tables import Column, epoch_us
from backtester.data.parsing.stamps import opens_only
from backtester.domain.timeframe import HOUR_MS, MINUTE_MS, timeframe_text

_TRADES = layout_of(
    "Bybit trades",
    "timestamp:string symbol:string side:string size:float64 price:float64 tickdirection:string? trdmatchid:string "
    "grossvalue:float64? homenotional:float64? foreignnotional:float64? rpi:string?",
)
_SPOT = layout_of("Bybit spot trades", "id:int64 timestamp:int64 price:float64 volume:float64 side:string rpi:string?")
_MT4 = layout_of("Bybit candles", "start_at:string open:float64 high:float64 low:float64 close:float64 volume:float64")
_INDEX = layout_of(
    "Bybit index prices", "start_at:int64 symbol:string period:string open:float64 high:float64 low:float64 close:float64"
)
_MT4_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+)_(?P<minutes>[0-9]+)_[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{4}-[0-9]{2}-[0-9]{2}\.csv(?:\.gz)?"
)
_DATED = re.compile(r"(?P<symbol>[A-Z0-9-]+?)[-_]?[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?\.csv(?:\.gz)?")
_INVERSE = re.compile(r"[A-Z0-9]+USD(?:[FGHJKMNQUVXZ][0-9]{2})?")
MT4_AHEAD_MS = 3 * HOUR_MS
"""The clock of these files is UTC+3 in summer and winter."""


def inverse_or_linear(symbol: str) -> str:
    """`BTCUSD` and `BTCUSDZ22` are inverse contracts, everything else of Bybit's derivatives is linear."""
    return "inverse" if _INVERSE.fullmatch(symbol) else "linear"


def matches_bybit_archive(name: str, head: bytes) -> bool:
    """Whether the header is that of a file of the archive, or the name that of its candles."""
    fields = frozenset(first_fields(head))
    headed = {"timestamp", "symbol", "side", "size", "price", "trdmatchid"} <= fields
    headed = headed or {"id", "timestamp", "price", "volume", "side"} <= fields
    headed = headed or {"start_at", "symbol", "period", "open", "close"} <= fields
    return headed or _MT4_NAME.fullmatch(name.rpartition("/")[2]) is not None


def read_bybit_archive(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Trades with the taker's side, in order of time also where a file runs newest first; candles in UTC; index prices.

    Sizes of inverse contracts count dollars (`VolumeUnit.QUOTE`). Spot trades have no id: those of the files begin at 1 each day.
    """
    fields = frozenset(first_fields(opened.head(4_096)))
    if "trdmatchid" in fields:
        return _trades(opened, hint)
    if "period" in fields:
        return _index(opened, hint)
    if "id" in fields:
        return _spot(opened, hint)
    return _mt4(opened, hint, headed="open" in fields)


def _trades(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    symbol: str | None = None
    for part in read_columns(opened, _TRADES):
        symbol = part.only_value("symbol", file=opened.name, before=symbol)
        market = inverse_or_linear(symbol)
        unit = VolumeUnit.QUOTE if market == "inverse" else VolumeUnit.BASE
        about = About("trades", "bybit", market, _agreed_symbol(opened, symbol), None, unit)
        columns = {
            "time_us": _seconds_us(part, "timestamp"),
            "price": part.columns["price"],
            "qty": part.columns["size"],
            "is_buyer_maker": taker_sold(part, "side"),
            "trade_id": part.columns["trdmatchid"],
        }
        yield part.batch(opened, hint, about, columns, newest_first=_descends(columns["time_us"]))


def _spot(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    about = About("trades", "bybit", "spot", _symbol_of(opened), None, VolumeUnit.BASE)
    for part in read_columns(opened, _SPOT):
        columns = {
            "time_us": times_us(part, "timestamp", scale=1_000),
            "price": part.columns["price"],
            "qty": part.columns["volume"],
            "is_buyer_maker": taker_sold(part, "side"),
        }
        yield part.batch(opened, hint, about, columns, newest_first=_descends(columns["time_us"]))


def _mt4(opened: OpenedFile, hint: Hint, *, headed: bool) -> Iterator[RawBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc

    opens_only(hint, file=opened.name)
    named = _MT4_NAME.fullmatch(opened.name.rpartition("/")[2])
    symbol, timeframe = (named["symbol"], timeframe_text(int(named["minutes"]) * MINUTE_MS)) if named else (None, None)
    about = About("candles", "bybit", inverse_or_linear(symbol) if symbol else None, symbol, timeframe, VolumeUnit.BASE)
    for part in read_columns(opened, _MT4, header=b"" if headed else b"start_at,open,high,low,close,volume\n"):
        texts = part.columns["start_at"]
        starts = pc.strptime(texts, format="%Y.%m.%d %H:%M", unit="ms", error_is_null=True).cast(pa.int64())
        part.faults.add_unread(texts, starts, "start_at")
        columns = {**part.columns, "start_ms": pc.subtract(starts, pa.scalar(MT4_AHEAD_MS, pa.int64()))}
        yield part.batch(opened, hint, about, columns)


def _index(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc

    opens_only(hint, file=opened.name)
    kind = next((kind for word, kind in (("premium_index", "premium"), ("spot_index", "index")) if word in opened.name), None)
    symbol: str | None = None
    period: str | None = None
    for part in read_columns(opened, _INDEX):
        symbol = part.only_value("symbol", file=opened.name, before=symbol)
        period = part.only_value("period", file=opened.name, before=period)
        timeframe = timeframe_text(int(period) * MINUTE_MS) if period.isdecimal() else period
        about = About(kind, "bybit", timeframe=timeframe)
        if not symbol.startswith("."):  # `.BXBT` is the name of an index, not of an instrument
            about = about._replace(market=inverse_or_linear(symbol), symbol=symbol)
        starts_us = epoch_us(part.columns["start_at"], name="start_at", file=opened.name)
        columns = {**part.columns, "start_ms": pc.divide(starts_us, pa.scalar(1_000, pa.int64()))}
        yield part.batch(opened, hint, about, columns)


def _symbol_of(opened: OpenedFile) -> str | None:
    named = _DATED.fullmatch(opened.name.rpartition("/")[2])
    return named["symbol"] if named else None


def _agreed_symbol(opened: OpenedFile, symbol: str) -> str:
    return agreed(symbol, _symbol_of(opened), what="the symbol", option="its name", file=opened.name)


def _descends(times: Column) -> bool:
    """Whether the rows run from the newest to the oldest."""
    valid = times.drop_null()
    return len(valid) > 1 and bool(valid[0].as_py() > valid[len(valid) - 1].as_py())


def _seconds_us(part: CsvPart, name: str) -> Column:
    """Decimal seconds as whole microseconds, exactly; a text that is none, or finer than a microsecond, is a fault."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = part.columns[name]
    try:
        seconds = texts.cast(pa.decimal128(20, 6))
        return pc.multiply(seconds, pa.scalar(Decimal(1_000_000))).cast(pa.int64())
    except pa.ArrowInvalid:
        values = pa.array([_micros(text) for text in texts.to_pylist()], pa.int64())
        part.faults.add_unread(texts, values, name)
        return values


def _micros(text: str | None) -> int | None:
    try:
        micros = Decimal(text or "") * 1_000_000
        whole = int(micros)
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return whole if whole == micros and abs(whole) < 2**62 else None
