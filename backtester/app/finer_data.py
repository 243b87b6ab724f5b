"""What is stored of a symbol beside a run's execution bars: what is finer than them, and quotes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.data.finer_bars import FinerSource
from backtester.data.kinds import AGG_TRADES, CANDLES, QUOTE_CANDLES, QUOTES, TRADES
from backtester.data.quote_series import QuoteSource
from backtester.data.series import LIVE, Series

if TYPE_CHECKING:
    from backtester.data.finer_bars import ReadColumns

_MICROS = 1000


def finer_sources(catalog: Catalog, *, exchange: str, market: str, symbol: str, below_ms: int) -> list[FinerSource]:
    """The stored candles of the symbol that are shorter than `below_ms` and divide it, shortest first, then its trades.

    Single trades go before aggregated ones.
    """
    stored = _stored(catalog, exchange, market, symbol)
    candles = [one for one in stored if one.kind == CANDLES.name and one.length_ms < below_ms and below_ms % one.length_ms == 0]
    found = [FinerSource(one.length_ms, _candles(catalog, one)) for one in sorted(candles, key=lambda one: one.length_ms)]
    by_kind = {one.kind: one for one in stored}
    found += [FinerSource(0, _trades(catalog, by_kind[kind.name])) for kind in (TRADES, AGG_TRADES) if kind.name in by_kind]
    return found


def quote_sources(catalog: Catalog, *, exchange: str, market: str, symbol: str) -> list[QuoteSource]:
    """The stored quotes of the symbol: every change of them, and their candles, the shortest there are."""
    stored = _stored(catalog, exchange, market, symbol)
    ticks = [QuoteSource(0, _quotes(catalog, one)) for one in stored if one.kind == QUOTES.name]
    candles = sorted((one for one in stored if one.kind == QUOTE_CANDLES.name), key=lambda one: one.length_ms)
    return ticks + [QuoteSource(one.length_ms, _quotes(catalog, one)) for one in candles[:1]]


def _stored(catalog: Catalog, exchange: str, market: str, symbol: str) -> list[Series]:
    venue, _, network = exchange.partition(".")
    return [one for one in catalog.series_of(symbol) if one[:3] == (venue, market, symbol) and one.network == (network or LIVE)]


def _quotes(catalog: Catalog, series: Series) -> ReadColumns:
    """Each quote as a row whose low is the bid and whose high is the ask, at the first whole millisecond at which it stood."""
    ticks = series.kind == QUOTES.name
    names = ("time_us", "bid", "ask") if ticks else ("start_ms", "bid_close", "ask_close")

    def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        for table in catalog.read_tables(series, start_ms, end_ms):
            time, bid, ask = (table.column(name).to_numpy() for name in names)
            yield CandleColumns(-(-time // _MICROS) if ticks else time, bid, ask, bid, ask, np.zeros(len(bid)))

    return read


def _candles(catalog: Catalog, series: Series) -> ReadColumns:
    return lambda start_ms, end_ms: catalog.read(series.venue, series.market, series.symbol, series.timeframe, start_ms, end_ms)


def _trades(catalog: Catalog, series: Series) -> ReadColumns:
    """Each trade as a row of its price, at the millisecond in which it was made."""

    def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
        for table in catalog.read_tables(series, start_ms, end_ms):
            time_us, price, qty = (table.column(name).to_numpy() for name in ("time_us", "price", "qty"))
            yield CandleColumns((time_us // _MICROS).astype(np.int64), price, price, price, price, qty)

    return read
