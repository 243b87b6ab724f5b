"""Files of freqtrade's data folder: feather or parquet, named `BTC_USDT_USDT-1h-futures.feather`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from backtester.data.batch import RawBatch
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, about_path
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.raw_tables import raw_batch
from backtester.data.parsing.row_times import START_NAMES, RowTimes
from backtester.data.parsing.stamps import BarStamps, opens_only
from backtester.data.parsing.table_files import is_table_file, read_tables
from backtester.domain.errors import SchemaMismatchError
from backtester.domain.timeframe import timeframe_ms

_NAME = re.compile(
    r"(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z0-9]+)(?:_(?P<settle>[A-Z0-9]+))?-(?P<timeframe>[0-9]+[smhdw])"
    r"(?:-(?P<what>futures|mark|index|premiumIndex|funding_rate))?\.(?:feather|parquet)"
)
_KINDS = {
    None: "candles",
    "futures": "candles",
    "mark": "mark",
    "index": "index",
    "premiumIndex": "premium",
    "funding_rate": "funding",
}


def matches_freqtrade(name: str, head: bytes) -> bool:
    """Whether a feather or parquet file is named as freqtrade names them."""
    return is_table_file(head) and _NAME.fullmatch(name.rpartition("/")[2]) is not None


def read_freqtrade(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Candles, mark, index and premium bars, or funding rates, which stand in the column `open`.

    The interval in the name of a file of rates is how they were asked for, not that of the symbol, so it is not taken.
    """
    opens_only(hint, file=opened.name)
    about = _about(opened.name)
    times = RowTimes(about.kind or "", file=opened.name)
    stamps = None if about.timeframe is None else BarStamps(timeframe_ms(about.timeframe), hint, file=opened.name)
    for table, first_row in read_tables(opened):
        columns = {name.lower(): table.column(name) for name in table.column_names}
        moments = times.bars_ms(columns, START_NAMES)
        if moments is None or "open" not in columns:
            raise SchemaMismatchError(
                f"{opened.name}: no columns date and open, as freqtrade's files have them; found {', '.join(columns)}"
            )
        if stamps is None:
            taken = {"time_ms": moments, "rate": columns["open"]}
        else:
            taken = {**columns, "start_ms": stamps.starts_ms(moments, None)[0]}
        yield raw_batch(opened, hint, about, taken, first_row=first_row)


def _about(name: str) -> About:
    match = _NAME.fullmatch(name.rpartition("/")[2])
    if match is None:
        raise SchemaMismatchError(f"{name} is not named as freqtrade names its files")
    kind = _KINDS[match["what"]]
    market = "spot"
    if match["settle"] or match["what"]:
        market = "linear" if match["settle"] in {None, match["quote"]} else "inverse"
    timeframe = None if kind == "funding" else match["timeframe"]
    return About(kind, about_path(name).exchange, market, match["base"] + match["quote"], timeframe)
