"""Which format a file has, and its rows: the table of all formats, tried in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from backtester.data.batch import RawBatch
from backtester.data.parsing import (
    binance_archive,
    binance_depth,
    binance_json,
    bybit_archive,
    bybit_json,
    freqtrade,
    lean,
    not_market_data,
    okx_archive,
    okx_json,
    tardis,
    tidy,
)
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.opened_file import MEMBER_LIMIT_BYTES, OpenedFile, open_file
from backtester.domain.errors import SchemaMismatchError

__all__ = ["FORMATS", "FileFormat", "Hint", "parse_file"]

_NOTHING = Hint()
HEAD_BYTES = 4_096
"""What `matches` is shown of a file's unpacked content."""


class FileFormat(NamedTuple):
    """One publisher's files. `matches` gets a file's whole name and its first unpacked bytes; `read` streams its rows."""

    name: str
    matches: Callable[[str, bytes], bool]
    read: Callable[[OpenedFile, Hint], Iterator[RawBatch]]


FORMATS: tuple[FileFormat, ...] = (
    FileFormat("Binance archive", binance_archive.matches, binance_archive.read),
    FileFormat("Binance T_DEPTH", binance_depth.matches_binance_depth, binance_depth.read_binance_depth),
    FileFormat("Bybit archive", bybit_archive.matches_bybit_archive, bybit_archive.read_bybit_archive),
    FileFormat("OKX archive", okx_archive.matches_okx_archive, okx_archive.read_okx_archive),
    FileFormat("tardis.dev", tardis.matches_tardis, tardis.read_tardis),
    FileFormat("Lean", lean.matches_lean, lean.read_lean),
    FileFormat("freqtrade", freqtrade.matches_freqtrade, freqtrade.read_freqtrade),
    FileFormat("no market data", not_market_data.matches_not_market_data, not_market_data.refuse),
    FileFormat("Bybit JSON", bybit_json.matches_bybit_json, bybit_json.read_bybit_json),
    FileFormat("OKX JSON", okx_json.matches_okx_json, okx_json.read_okx_json),
    FileFormat("Binance JSON", binance_json.matches_binance_json, binance_json.read_binance_json),
    FileFormat("table", tidy.matches_tidy, tidy.read_tidy),
    # One line for each further format; the first that matches reads the file, so the more particular stand higher. The module
    # of a format takes `Hint` from `parsing/hint.py`, since this module imports it.
)


def parse_file(
    path: Path, *, name: str | None = None, hint: Hint = _NOTHING, member_limit_bytes: int = MEMBER_LIMIT_BYTES
) -> Iterator[RawBatch]:
    """The rows of a file of any known format, in parts of bounded size; recognised at once, read as the iterator goes on.

    Args:   name - how the publisher calls the file, with folders (`data/spot/daily/klines/...`), where `path` does not say it.
    Raises: DataUnavailableError - no such file. SchemaMismatchError - not recognised, something about it must be stated, or
            what was stated contradicts it. DataError - damaged or no data at all.
    """
    opened = open_file(path, name=name, limit_bytes=member_limit_bytes)
    head = opened.head(HEAD_BYTES)
    for file_format in FORMATS:
        if file_format.matches(opened.name, head):
            return file_format.read(opened, hint)
    raise SchemaMismatchError(
        f"{opened.name} is not recognised: it begins with {_shown(head)}; known formats: "
        f"{', '.join(one.name for one in FORMATS if one.read is not not_market_data.refuse)}. Keep the folders of the publisher in "
        "its path, or convert it to csv or parquet with the columns start_ms, open, high, low, close, volume"
    )


def _shown(head: bytes) -> str:
    """The first line, short enough for a message."""
    line = head.splitlines()[0] if head else b""
    text = line[:100].decode("utf-8", "replace")
    return repr(text + ("..." if len(line) > 100 else ""))
