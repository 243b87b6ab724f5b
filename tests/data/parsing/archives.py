"""Files as publishers pack them, made in tests."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from backtester.data.batch import RawBatch
from backtester.data.parsing.formats import Hint, parse_file

KLINES = "data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"
KLINE_HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
JANUARY_MS = 1_704_067_200_000


def zipped(text: str | bytes, *, member: str = "data.csv", level: int = 6) -> bytes:
    """A zip with one member, the same bytes at any time of day: they stand in names of tests."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr(zipfile.ZipInfo(member), text, compress_type=zipfile.ZIP_DEFLATED, compresslevel=level)
    return buffer.getvalue()


def kline(index: int = 0, **changed: object) -> str:
    """A row of a kline file: minute `index` of January 2024, at 100."""
    start = JANUARY_MS + index * 60_000
    row = {
        "open_time": start, "open": "100.10", "high": "100.90", "low": "99.50", "close": "100.20", "volume": "12.5",
        "close_time": start + 59_999, "quote_volume": "1252.5", "count": 7, "taker_buy_volume": "6", "taker_buy_quote_volume": "600.6",
        "ignore": 0,
    }  # fmt: skip
    return ",".join(str(value) for value in (row | changed).values()) + "\n"


def klines(count: int) -> str:
    return "".join(kline(index) for index in range(count))


def read_bytes(directory: Path, content: bytes, *, name: str = KLINES, hint: Hint | None = None) -> list[RawBatch]:
    """What `parse_file` makes of these bytes under this name."""
    path = directory / "received"
    path.write_bytes(content)
    return list(parse_file(path, name=name, hint=hint or Hint()))


def read_text(directory: Path, text: str | bytes, *, name: str = KLINES, hint: Hint | None = None) -> list[RawBatch]:
    """As `read_bytes`, of a text that is zipped first."""
    return read_bytes(directory, zipped(text), name=name, hint=hint)
