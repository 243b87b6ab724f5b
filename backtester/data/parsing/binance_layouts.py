"""The columns of every kind of file in Binance's public archive, and what each becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from backtester.data.kinds import kind_named
from backtester.data.parsing.csv_rows import CsvLayout, Field

IDENTITY = "_symbol"
"""A column that repeats whose rows they are."""
HOUR = "_hour"
SAMPLED_VOLUME = "_volume"
"""The volume of a bar of sampled prices: always 0."""
END = "end_ms"
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "quote_volume": ("quote_asset_volume",),
    "count": ("number_of_trades",),
    "taker_buy_volume": ("taker_buy_base_asset_volume",),
    "taker_buy_quote_volume": ("taker_buy_quote_asset_volume",),
    "quantity": ("qty",),
}


class ArchiveKind(NamedTuple):
    """Files of one kind: the folder they stand in, the kind of their rows, and their columns.

    `timeframe` is that of kinds whose files do not name one; `sized`: the rows have volumes, which count contracts where the
    market is one of contracts.
    """

    folder: str
    kind: str
    layout: CsvLayout
    timeframe: str | None = None
    bars: bool = False
    sized: bool = False


def _archive_kind(
    folder: str,
    kind: str,
    columns: str,
    renamed: Mapping[str, str],
    *,
    widths: tuple[int, ...] = (),
    needed: str = "",
    timeframe: str | None = None,
    bars: bool = False,
    sized: bool = False,
) -> ArchiveKind:
    """Columns in the order of a file without header; `renamed` where ours has another name; `needed` beside required ones."""
    types = {column.name: (column.type, column.required) for column in kind_named(kind).columns}
    types |= {END: ("int64", False), IDENTITY: ("string", False), HOUR: ("int64", True), SAMPLED_VOLUME: ("float64", False)}
    headings = columns.split()
    moment = headings[0] in {"create_time", "timestamp", "date"}
    fields = []
    for position, heading in enumerate(headings):
        name = renamed.get(heading, heading)
        if name not in types:
            continue
        type_name, required = types[name]
        if position == 0 and moment:
            type_name = "moment"
        fields.append(
            Field(name, type_name, position, (heading, *_ALIASES.get(heading, ())), required or heading in needed.split())
        )
    return ArchiveKind(folder, kind, CsvLayout(folder, tuple(fields), widths or (len(headings),)), timeframe, bars, sized)


_BAR_COLUMNS = "open_time open high low close volume close_time quote_volume count taker_buy_volume taker_buy_quote_volume ignore"
_BAR_TIMES = {"open_time": "start_ms", "close_time": END}
_SAMPLED = {**_BAR_TIMES, "volume": SAMPLED_VOLUME}

ARCHIVE_KINDS: Mapping[str, ArchiveKind] = {
    one.folder: one
    for one in (
        _archive_kind(
            "klines", "candles", _BAR_COLUMNS, {**_BAR_TIMES, "count": "trade_count"}, widths=(11, 12), bars=True, sized=True
        ),
        _archive_kind("markPriceKlines", "mark", _BAR_COLUMNS, _SAMPLED, widths=(11, 12), bars=True),
        _archive_kind("indexPriceKlines", "index", _BAR_COLUMNS, _SAMPLED, widths=(11, 12), bars=True),
        _archive_kind("premiumIndexKlines", "premium", _BAR_COLUMNS, _SAMPLED, widths=(11, 12), bars=True),
        _archive_kind(
            "aggTrades",
            "agg_trades",
            "agg_trade_id price quantity first_trade_id last_trade_id transact_time is_buyer_maker is_best_match",
            {
                "agg_trade_id": "agg_id",
                "quantity": "qty",
                "first_trade_id": "first_id",
                "last_trade_id": "last_id",
                "transact_time": "time_us",
            },
            widths=(7, 8),
            sized=True,
        ),
        _archive_kind(
            "trades",
            "trades",
            "id price qty quote_qty time is_buyer_maker is_best_match",
            {"id": "trade_id", "time": "time_us"},
            widths=(6, 7),
            sized=True,
        ),
        _archive_kind(
            "fundingRate",
            "funding",
            "calc_time funding_interval_hours last_funding_rate",
            {"calc_time": "time_ms", "funding_interval_hours": "interval_hours", "last_funding_rate": "rate"},
        ),
        _archive_kind(
            "metrics",
            "metrics",
            "create_time symbol sum_open_interest sum_open_interest_value count_toptrader_long_short_ratio "
            "sum_toptrader_long_short_ratio count_long_short_ratio sum_taker_long_short_vol_ratio",
            {
                "create_time": "time_ms",
                "symbol": IDENTITY,
                "sum_open_interest": "open_interest",
                "sum_open_interest_value": "open_interest_value",
                "count_toptrader_long_short_ratio": "top_trader_account_ratio",
                "sum_toptrader_long_short_ratio": "top_trader_position_ratio",
                "count_long_short_ratio": "account_ratio",
                "sum_taker_long_short_vol_ratio": "taker_volume_ratio",
            },
            needed="sum_open_interest",
            timeframe="5m",
            sized=True,
        ),
        _archive_kind(
            "bookTicker",
            "quotes",
            "update_id best_bid_price best_bid_qty best_ask_price best_ask_qty transaction_time event_time",
            {
                "best_bid_price": "bid",
                "best_bid_qty": "bid_qty",
                "best_ask_price": "ask",
                "best_ask_qty": "ask_qty",
                "event_time": "time_us",
            },
            sized=True,
        ),
        _archive_kind("bookDepth", "book_depth", "timestamp percentage depth notional", {"timestamp": "time_ms"}, sized=True),
        _archive_kind(
            "liquidationSnapshot",
            "liquidations",
            "time side order_type time_in_force original_quantity price average_price order_status last_fill_quantity "
            "accumulated_fill_quantity",
            {
                "time": "time_ms",
                "original_quantity": "qty",
                "order_status": "status",
                "last_fill_quantity": "last_fill_qty",
                "accumulated_fill_quantity": "filled_qty",
            },
            sized=True,
        ),
        _archive_kind(
            "BVOLIndex",
            "volatility_index",
            "calc_time symbol base_asset quote_asset index_value",
            {"calc_time": "time_ms", "symbol": IDENTITY, "index_value": "value"},
        ),
        _archive_kind(
            "EOHSummary",
            "option_summary",
            "date hour symbol underlying type strike open high low close volume_contracts volume_usdt best_bid_price "
            "best_ask_price best_bid_qty best_ask_qty best_buy_iv best_sell_iv mark_price mark_iv delta gamma vega theta "
            "openinterest_contracts openinterest_usdt",
            {
                "date": "time_ms",
                "hour": HOUR,
                "symbol": "contract",
                "underlying": IDENTITY,
                "type": "option_type",
                "volume_usdt": "volume_quote",
                "best_bid_price": "bid",
                "best_ask_price": "ask",
                "best_bid_qty": "bid_qty",
                "best_ask_qty": "ask_qty",
                "best_buy_iv": "bid_iv",
                "best_sell_iv": "ask_iv",
                "openinterest_contracts": "open_interest_contracts",
                "openinterest_usdt": "open_interest_quote",
            },
            timeframe="1h",
            sized=True,
        ),
    )
}
"""By folder."""
