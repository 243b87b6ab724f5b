"""Binance's T_DEPTH archive: snapshots and updates of futures order books as csv, one level a row."""

from __future__ import annotations

from collections.abc import Iterator

from backtester.data.batch import RawBatch
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.csv_columns import MessageNumbers, layout_of, read_columns, times_us
from backtester.data.parsing.csv_rows import first_fields
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, about_path
from backtester.data.parsing.opened_file import OpenedFile

_DEPTH = layout_of(
    "T_DEPTH",
    "symbol:string timestamp:int64 first_update_id:int64 last_update_id:int64 side:string update_type:string price:float64 "
    "qty:float64 pu:int64",
)


def matches_binance_depth(name: str, head: bytes) -> bool:
    """Whether the header is that of T_DEPTH."""
    return {field.name for field in _DEPTH.fields} <= frozenset(first_fields(head))


def read_binance_depth(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Book messages: rows one after the other with the same ids are one; a quantity of 0 deletes the level."""
    import pyarrow as pa
    import pyarrow.compute as pc

    path = about_path(opened.name)
    market = path.market or hint.market
    unit = VolumeUnit.CONTRACTS if market == "inverse" else VolumeUnit.BASE
    numbers = MessageNumbers()
    symbol: str | None = None
    for part in read_columns(opened, _DEPTH):
        symbol = part.only_value("symbol", file=opened.name, before=symbol)
        about = About("book", "binance", path.market, symbol, None, unit)
        side, previous = part.columns["side"], part.columns["pu"]
        null = pa.scalar(None, pa.bool_())
        is_bid = pc.if_else(pc.equal(side, pa.scalar("b")), True, pc.if_else(pc.equal(side, pa.scalar("a")), False, null))
        part.faults.add_unread(side, is_bid, "side")
        columns = {
            "time_us": times_us(part, "timestamp", scale=1_000),
            "message": numbers.of(part.columns["timestamp"], part.columns["last_update_id"], part.columns["update_type"]),
            "is_snapshot": pc.equal(part.columns["update_type"], pa.scalar("snap")),
            "is_bid": is_bid,
            "price": part.columns["price"],
            "qty": part.columns["qty"],
            "first_id": part.columns["first_update_id"],
            "last_id": part.columns["last_update_id"],
            "prev_id": pc.if_else(pc.equal(previous, pa.scalar(-1)), pa.scalar(None, pa.int64()), previous),
        }
        yield part.batch(opened, hint, about, columns)
