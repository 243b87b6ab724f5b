"""The kinds of market data and the columns of each: one schema a kind, whatever the venue called things."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from backtester.domain.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

TICK = "tick"
"""Stands where a timeframe would, for kinds whose rows come when something happens."""


class VolumeUnit(Enum):
    """What a volume or size counts."""

    BASE = "base"
    QUOTE = "quote"
    CONTRACTS = "contracts"


class Column(NamedTuple):
    """One column. `type` is `int64`, `float64`, `bool` or `string`; a column that is not `required` may be empty (null)."""

    name: str
    type: str
    required: bool = True


class Kind(NamedTuple):
    """One kind of data. Rows are sorted by `time` (`start_ms`, `time_ms` or `time_us`, UTC epoch), then by `order`.

    `key` names the columns that identify a row: two rows of one key that differ contradict each other. Without a key, equal
    rows may stand several times (two equal trades). `periodic`: there is a timeframe, and bars start on its grid.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    periodic: bool
    order: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    """Value columns that may be negative; all others may not."""

    @property
    def time(self) -> str:
        """The column that says when."""
        return self.columns[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    def schema(self) -> pa.Schema:
        """The Arrow schema of its tables; required columns are not nullable in content, though Arrow allows it."""
        import pyarrow as pa

        types = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
        return pa.schema([pa.field(column.name, types[column.type]) for column in self.columns])


def _floats(names: str, *, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, "float64", required) for name in names.split())


_START = Column("start_ms", "int64")
_TIME_MS = Column("time_ms", "int64")
_TIME_US = Column("time_us", "int64")
_OHLC = _floats("open high low close")

CANDLES = Kind(
    "candles",
    (
        _START,
        *_OHLC,
        *_floats("volume"),
        *_floats("quote_volume trade_count taker_buy_volume taker_buy_quote_volume", required=False),
    ),
    key=("start_ms",),
    periodic=True,
)
MARK = Kind("mark", (_START, *_OHLC), key=("start_ms",), periodic=True)
INDEX = Kind("index", (_START, *_OHLC), key=("start_ms",), periodic=True)
PREMIUM = Kind("premium", (_START, *_OHLC), key=("start_ms",), periodic=True, signed=("open", "high", "low", "close"))
QUOTE_CANDLES = Kind(
    "quote_candles",
    (
        _START,
        *_floats("bid_open bid_high bid_low bid_close ask_open ask_high ask_low ask_close"),
        *_floats("bid_qty ask_qty", required=False),
    ),
    key=("start_ms",),
    periodic=True,
)
FUNDING = Kind(
    "funding",
    (_TIME_MS, *_floats("rate"), *_floats("interval_hours mark_price", required=False)),
    key=("time_ms",),
    periodic=False,
    signed=("rate",),
)
OPEN_INTEREST = Kind(
    "open_interest",
    (_TIME_MS, *_floats("open_interest"), *_floats("open_interest_value", required=False)),
    key=("time_ms",),
    periodic=True,
)
METRICS = Kind(
    "metrics",
    (
        _TIME_MS,
        *_floats(
            "open_interest open_interest_value top_trader_account_ratio top_trader_position_ratio account_ratio taker_volume_ratio",
            required=False,
        ),
    ),
    key=("time_ms",),
    periodic=True,
)
TRADES = Kind(
    "trades",
    (_TIME_US, *_floats("price qty"), Column("is_buyer_maker", "bool"), Column("trade_id", "string", required=False)),
    key=(),
    periodic=False,
)
AGG_TRADES = Kind(
    "agg_trades",
    (
        _TIME_US,
        *_floats("price qty"),
        Column("is_buyer_maker", "bool"),
        Column("agg_id", "int64"),
        Column("first_id", "int64"),
        Column("last_id", "int64"),
    ),
    key=("agg_id",),
    periodic=False,
    order=("agg_id",),
)
QUOTES = Kind(
    "quotes",
    (_TIME_US, *_floats("bid bid_qty ask ask_qty"), Column("update_id", "int64", required=False)),
    key=(),
    periodic=False,
    order=("update_id",),
)
BOOK = Kind(
    "book",
    (
        _TIME_US,
        Column("message", "int64"),
        Column("is_snapshot", "bool"),
        Column("is_bid", "bool", required=False),
        *_floats("price qty", required=False),
        Column("first_id", "int64", required=False),
        Column("last_id", "int64", required=False),
        Column("prev_id", "int64", required=False),
    ),
    key=(),
    periodic=False,
    order=("message",),
)
"""One row a price level of a message; `qty` 0 deletes the level; a message without levels is one row with empty values."""
BOOK_DEPTH = Kind(
    "book_depth",
    (_TIME_MS, *_floats("percentage depth notional")),
    key=("time_ms", "percentage"),
    periodic=False,
    order=("percentage",),
    signed=("percentage",),
)
"""Cumulative depth from the middle to a band of some per cent: not a book."""
VOLATILITY_INDEX = Kind("volatility_index", (_TIME_MS, *_floats("value")), key=("time_ms",), periodic=False)
LIQUIDATIONS = Kind(
    "liquidations",
    (
        _TIME_MS,
        Column("side", "string"),
        Column("order_type", "string", required=False),
        Column("time_in_force", "string", required=False),
        Column("status", "string", required=False),
        *_floats("qty price"),
        *_floats("average_price last_fill_qty filled_qty", required=False),
    ),
    key=(),
    periodic=False,
)
OPTION_SUMMARY = Kind(
    "option_summary",
    (
        _TIME_MS,
        Column("contract", "string"),
        Column("option_type", "string"),
        Column("strike", "string"),
        *_floats(
            "open high low close volume_contracts volume_quote bid ask bid_qty ask_qty bid_iv ask_iv mark_price mark_iv "
            "delta gamma vega theta open_interest_contracts open_interest_quote",
            required=False,
        ),
    ),
    key=("time_ms", "contract"),
    periodic=True,
    order=("contract",),
    signed=("delta", "gamma", "vega", "theta", "bid_iv", "ask_iv", "mark_iv"),
)
"""The state of every option of an underlying at the end of an hour; `time_ms` is that hour's start."""

KINDS = {
    kind.name: kind
    for kind in (
        CANDLES,
        MARK,
        INDEX,
        PREMIUM,
        QUOTE_CANDLES,
        FUNDING,
        OPEN_INTEREST,
        METRICS,
        TRADES,
        AGG_TRADES,
        QUOTES,
        BOOK,
        BOOK_DEPTH,
        VOLATILITY_INDEX,
        LIQUIDATIONS,
        OPTION_SUMMARY,
    )
}


def kind_named(name: str) -> Kind:
    """The kind of this name. Raises ConfigError that lists those there are."""
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigError(f"kind {name!r} is not known; use one of {', '.join(KINDS)}")
    return kind
