"""Files of Lean's data folder: bars of trades and quotes by day, hourly and daily bars, and funding rates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from backtester.data.batch import RawBatch
from backtester.data.parsing.csv_columns import CsvPart, layout_of, read_columns
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.raw_tables import Column
from backtester.data.parsing.stamps import opens_only
from backtester.domain.errors import SchemaMismatchError

_BARS = "open:float64 high:float64 low:float64 close:float64 volume:float64"
_QUOTES = (
    "bid_open:float64 bid_high:float64 bid_low:float64 bid_close:float64 bid_qty:float64 "
    "ask_open:float64 ask_high:float64 ask_low:float64 ask_close:float64 ask_qty:float64"
)
_RATES = layout_of("Lean funding rates", "when:string rate:float64")
_PATH = re.compile(
    r"(?:^|/)(?P<market>crypto|cryptofuture)/(?P<exchange>[a-z0-9]+)/"
    r"(?:(?P<fine>second|minute)/(?P<symbol>[a-z0-9]+)/(?P<day>[0-9]{8})_(?P<what>trade|quote)"
    r"|(?P<coarse>hour|daily)/(?P<symbol2>[a-z0-9]+)_(?P<what2>trade|quote)"
    r"|margin_interest/(?P<symbol3>[a-z0-9]+))\.(?:zip|csv)$"
)
_INTEREST_NAME = re.compile(r"(?P<exchange>[a-z]+)_margin_interest_(?P<symbol>[a-z0-9]+)\.csv")
_TIMEFRAMES = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d"}
_RATE_ROW = re.compile(rb"[0-9]{8} [0-9]{2}:[0-9]{2}:[0-9]{2},-?[0-9.]")


class _Named(NamedTuple):
    """What a path in Lean's folder says; `day_ms` is where the times of a day's file count from, 0 where they are dates."""

    what: str
    exchange: str
    market: str
    symbol: str
    timeframe: str | None
    day_ms: int


def matches_lean(name: str, head: bytes) -> bool:
    """Whether a path is of Lean's data folder, or the rows are its funding rates."""
    return _named(name) is not None or _RATE_ROW.match(head) is not None


def read_lean(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Candles, candles of the best quotes, or funding rates, in UTC.

    Raises SchemaMismatchError for rates whose path does not say of what they are, unless it is stated.
    """
    named = _named(opened.name)
    if named is None or named.what == "rates":
        return _rates(opened, hint, named)
    opens_only(hint, file=opened.name)
    return _bars(opened, hint, named)


def _named(name: str) -> _Named | None:
    interest = _INTEREST_NAME.fullmatch(name.rpartition("/")[2])
    if interest is not None:
        symbol = interest["symbol"].upper()
        return _Named("rates", interest["exchange"], _market_of(symbol), symbol, None, 0)
    path = _PATH.search(name.lower())
    if path is None:
        return None
    symbol = (path["symbol"] or path["symbol2"] or path["symbol3"]).upper()
    market = "spot" if path["market"] == "crypto" else _market_of(symbol)
    what = path["what"] or path["what2"] or "rates"
    length = path["fine"] or path["coarse"]
    day_ms = _day_ms(path["day"], name) if path["day"] else 0
    return _Named(what, path["exchange"], market, symbol, _TIMEFRAMES[length] if length else None, day_ms)


def _market_of(symbol: str) -> str:
    """Contracts on a pair with USD are paid in coin, all others in their quote currency."""
    return "inverse" if symbol.endswith("USD") else "linear"


def _day_ms(text: str, name: str) -> int:
    try:
        day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise SchemaMismatchError(f"{name}: {text} is no day") from None
    return int(day.timestamp()) * 1_000


def _bars(opened: OpenedFile, hint: Hint, named: _Named) -> Iterator[RawBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc

    quotes = named.what == "quote"
    columns_text = _QUOTES if quotes else _BARS
    time_type = "int64" if named.day_ms else "string"
    layout = layout_of("Lean bars", f"when:{time_type} {columns_text}")
    about = About("quote_candles" if quotes else "candles", named.exchange, named.market, named.symbol, named.timeframe)
    header = ",".join(field.name for field in layout.fields).encode() + b"\n"
    for part in read_columns(opened, layout, header=header):
        if named.day_ms:
            starts = pc.add(part.columns["when"], pa.scalar(named.day_ms, pa.int64()))
        else:
            starts = _moments(part, "%Y%m%d %H:%M")
        yield part.batch(opened, hint, about, {**part.columns, "start_ms": starts})


def _rates(opened: OpenedFile, hint: Hint, named: _Named | None) -> Iterator[RawBatch]:
    about = About("funding", named.exchange, named.market, named.symbol) if named else About("funding")
    for part in read_columns(opened, _RATES, header=b"when,rate\n"):
        columns = {"time_ms": _moments(part, "%Y%m%d %H:%M:%S"), "rate": part.columns["rate"]}
        yield part.batch(opened, hint, about, columns)


def _moments(part: CsvPart, form: str) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = part.columns["when"]
    moments = pc.strptime(texts, format=form, unit="ms", error_is_null=True).cast(pa.int64())
    part.faults.add_unread(texts, moments, "when")
    return moments
