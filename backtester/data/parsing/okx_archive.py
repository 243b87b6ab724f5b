"""OKX's public archive: trades and settled funding rates as csv."""

from __future__ import annotations

from collections.abc import Iterator

from backtester.data.batch import RawBatch
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.csv_columns import layout_of, read_columns, taker_sold, times_us
from backtester.data.parsing.csv_rows import first_fields
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About
from backtester.data.parsing.okx_json import market_of
from backtester.data.parsing.opened_file import OpenedFile

_TRADES = layout_of(
    "OKX trades", "instrument_name:string trade_id:string side:string price:float64 size:float64 created_time:int64"
)
_FUNDING = layout_of("OKX funding rates", "instrument_name:string funding_rate:float64 funding_time:int64")


def matches_okx_archive(name: str, head: bytes) -> bool:
    """Whether the header is that of a file of the archive."""
    fields = frozenset(first_fields(head))
    return "instrument_name" in fields and ({"trade_id", "created_time"} <= fields or {"funding_rate", "funding_time"} <= fields)


def read_okx_archive(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Trades with the taker's side, sizes of derivatives in contracts; settled funding rates."""
    trades = "trade_id" in first_fields(opened.head(4_096))
    instrument: str | None = None
    for part in read_columns(opened, _TRADES if trades else _FUNDING):
        instrument = part.only_value("instrument_name", file=opened.name, before=instrument)
        market = market_of(instrument)
        if not trades:
            columns = {"time_ms": part.columns["funding_time"], "rate": part.columns["funding_rate"]}
            yield part.batch(opened, hint, About("funding", "okx", market, instrument), columns)
            continue
        unit = VolumeUnit.BASE if market == "spot" else VolumeUnit.CONTRACTS
        columns = {
            "time_us": times_us(part, "created_time", scale=1_000),
            "price": part.columns["price"],
            "qty": part.columns["size"],
            "is_buyer_maker": taker_sold(part, "side"),
            "trade_id": part.columns["trade_id"],
        }
        yield part.batch(opened, hint, About("trades", "okx", market, instrument, None, unit), columns)
