"""tardis.dev csv: trades, quotes, incremental books and book snapshots, all with times in microseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from backtester.data.batch import RawBatch
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.csv_columns import CsvPart, MessageNumbers, layout_of, read_columns, taker_sold, times_us
from backtester.data.parsing.csv_rows import first_fields
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.raw_tables import Column
from backtester.domain.errors import SchemaMismatchError

_FIRST = "exchange:string symbol:string timestamp:int64 local_timestamp:int64"
_TRADES = layout_of("tardis trades", f"{_FIRST} id:string side:string price:float64 amount:float64")
_QUOTES = layout_of("tardis quotes", f"{_FIRST} ask_amount:float64 ask_price:float64 bid_price:float64 bid_amount:float64")
_UPDATES = layout_of("tardis books", f"{_FIRST} is_snapshot:bool side:string price:float64 amount:float64")
_MARKETS = {
    "binance": ("binance", "spot"),
    "binance-futures": ("binance", "linear"),
    "binance-delivery": ("binance", "inverse"),
    "binance-european-options": ("binance", "option"),
    "bybit-spot": ("bybit", "spot"),
    "bybit-options": ("bybit", "option"),
    "okex": ("okx", "spot"),
    "okex-options": ("okx", "option"),
}
"""What an exchange of tardis is here; those of several markets are told apart by the symbol."""
_LEVEL = re.compile(r"asks\[(?P<level>[0-9]+)\]\.price")


def matches_tardis(name: str, head: bytes) -> bool:
    """Whether the header begins as all of tardis do."""
    return first_fields(head)[:4] == ["exchange", "symbol", "timestamp", "local_timestamp"]


def read_tardis(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """The rows at the exchange's time. Rows of a book with one time of arrival are one message.

    Raises SchemaMismatchError for the tables of tardis that are not stored (derivative_ticker, liquidations, options_chain).
    """
    fields = first_fields(opened.head(65_536))
    levels = [int(match["level"]) for field in fields if (match := _LEVEL.fullmatch(field))]
    if levels:
        return _snapshots(opened, hint, len(levels))
    if "is_snapshot" in fields:
        return _updates(opened, hint)
    if {"id", "side", "price", "amount"} <= set(fields) and not fields[-1].startswith("liq") and "liquidation" not in opened.name:
        return _trades(opened, hint)
    if {"bid_price", "ask_price", "bid_amount", "ask_amount"} <= set(fields) and "strike_price" not in fields:
        return _quotes(opened, hint)
    raise SchemaMismatchError(
        f"{opened.name} holds a table of tardis that is not stored ({', '.join(fields[4:10])}); trades, quotes, "
        "incremental_book_L2 and book_snapshot_N are; it is not imported"
    )


class _Whose:
    """Keeps to the one exchange and symbol of a file."""

    def __init__(self, opened: OpenedFile) -> None:
        self._file = opened.name
        self._exchange: str | None = None
        self._symbol: str | None = None

    def about(self, kind: str, part: CsvPart) -> About:
        """What the rows of a part say. Raises SchemaMismatchError where they are of several series."""
        self._exchange = part.only_value("exchange", file=self._file, before=self._exchange)
        self._symbol = part.only_value("symbol", file=self._file, before=self._symbol)
        exchange, market = market_of(self._exchange, self._symbol)
        return About(kind, exchange, market, self._symbol.upper(), None, _unit_of(exchange, market))


def market_of(exchange: str, symbol: str) -> tuple[str, str | None]:
    """Our exchange and market of one of tardis; no market where it cannot be told."""
    if exchange in _MARKETS:
        return _MARKETS[exchange]
    name = exchange.replace("-", "_")
    upper = symbol.upper()
    if exchange in {"okex-swap", "okex-futures"}:
        return "okx", "inverse" if upper.split("-")[1:2] == ["USD"] else "linear"
    if exchange == "bybit":
        return "bybit", "inverse" if re.fullmatch(r"[A-Z0-9]+USD([FGHJKMNQUVXZ][0-9]{2})?", upper) else "linear"
    if exchange == "deribit":
        if re.fullmatch(r".*-[CP]", upper):
            return "deribit", "option"
        if "_" in upper:
            return "deribit", "linear" if "-" in upper else "spot"
        return "deribit", "inverse"
    return name, None


def _unit_of(exchange: str, market: str | None) -> VolumeUnit | None:
    """What sizes count there: dollars on Bybit's and Deribit's inverse contracts, contracts on Binance's and OKX's."""
    if market == "spot":
        return VolumeUnit.BASE
    if market == "inverse" and exchange in {"bybit", "deribit"}:
        return VolumeUnit.QUOTE
    if exchange == "okx" or (exchange == "binance" and market in {"inverse", "option"}):
        return VolumeUnit.CONTRACTS
    return VolumeUnit.BASE if exchange in {"binance", "bybit"} else None


def _trades(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    whose = _Whose(opened)
    for part in read_columns(opened, _TRADES):
        columns = {
            "time_us": times_us(part, "timestamp", scale=1),
            "price": part.columns["price"],
            "qty": part.columns["amount"],
            "is_buyer_maker": taker_sold(part, "side"),
            "trade_id": part.columns["id"],
        }
        yield part.batch(opened, hint, whose.about("trades", part), columns)


def _quotes(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    whose = _Whose(opened)
    for part in read_columns(opened, _QUOTES):
        columns = {"time_us": times_us(part, "timestamp", scale=1)}
        columns |= {"bid": part.columns["bid_price"], "bid_qty": part.columns["bid_amount"]}
        columns |= {"ask": part.columns["ask_price"], "ask_qty": part.columns["ask_amount"]}
        yield part.batch(opened, hint, whose.about("quotes", part), columns)


def _updates(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc

    whose = _Whose(opened)
    numbers = MessageNumbers()
    for part in read_columns(opened, _UPDATES):
        side = part.columns["side"]
        is_bid = pc.if_else(
            pc.equal(side, pa.scalar("bid")), True, pc.if_else(pc.equal(side, pa.scalar("ask")), False, pa.scalar(None, pa.bool_()))
        )
        part.faults.add_unread(side, is_bid, "side")
        columns = {
            "time_us": times_us(part, "timestamp", scale=1),
            "message": numbers.of(part.columns["local_timestamp"], part.columns["timestamp"], part.columns["is_snapshot"]),
            "is_snapshot": part.columns["is_snapshot"],
            "is_bid": is_bid,
            "price": part.columns["price"],
            "qty": part.columns["amount"],
        }
        yield part.batch(opened, hint, whose.about("book", part), columns)


def _snapshots(opened: OpenedFile, hint: Hint, depth: int) -> Iterator[RawBatch]:
    """A row is a whole book to some depth: one message of a level a row here, best first, bids before asks."""
    words = " ".join(
        f"{side}[{level}].{value}:float64" for level in range(depth) for side in ("asks", "bids") for value in ("price", "amount")
    )
    layout = layout_of("tardis snapshots", f"{_FIRST} {words}")
    whose = _Whose(opened)
    for part in read_columns(opened, layout):
        yield _snapshot_batch(opened, hint, whose.about("book", part), part, depth)


def _snapshot_batch(opened: OpenedFile, hint: Hint, about: About, part: CsvPart, depth: int) -> RawBatch:
    import pyarrow as pa

    count = len(part.columns["symbol"])
    rows = np.repeat(np.arange(count, dtype=np.int64), 2 * depth)
    times = times_us(part, "timestamp", scale=1).take(pa.array(rows))
    columns = {
        "time_us": times,
        "message": pa.array(rows + part.first_row),
        "is_snapshot": pa.array(np.ones(len(rows), dtype=np.bool_)),
        "is_bid": pa.array(np.tile(np.repeat(np.array([True, False]), depth), count)),
        "price": _levels(part, "price", depth),
        "qty": _levels(part, "amount", depth),
    }
    kept = np.asarray(columns["price"].is_valid().to_numpy(zero_copy_only=False))  # a thin book has empty levels
    mask = pa.array(kept)
    return part.batch(opened, hint, about, {name: column.filter(mask) for name, column in columns.items()}, rows=rows[kept])


def _levels(part: CsvPart, value: str, depth: int) -> Column:
    """The levels of each row, one row after the other."""
    import pyarrow as pa

    names: Sequence[str] = [f"{side}[{level}].{value}" for side in ("bids", "asks") for level in range(depth)]
    table = np.column_stack([part.columns[name].to_numpy(zero_copy_only=False) for name in names])
    flat = table.reshape(-1).astype(np.float64)
    return pa.array(flat, mask=np.isnan(flat))
