"""Bybit's v5 JSON: bodies of its interface, messages of its streams, and its archives of order books (one message a line)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from backtester.data.batch import RawBatch
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import MARKET_WORDS, About, about_path
from backtester.data.parsing.json_messages import JsonMessage, is_json
from backtester.data.parsing.json_reading import INSTRUMENTS, read_json
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.pieces import Piece, Row, book_rows, number, sold, truth, whole

_INTERVALS = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h", "360": "6h", "720": "12h",
    "D": "1d", "W": "1w",
}  # fmt: skip
_BAR_KINDS = {"premiumindex": "premium", "premium": "premium", "markkline": "mark", "markprice": "mark", "index": "index"}
_MARKS = (b'"retCode"', b'"conn_id"', b'"ret_msg"')
_TOPICS = re.compile(rb'"topic"\s*:\s*"(?:orderbook|publicTrade|trade|kline|tickers|liquidation|allLiquidation|priceLimit)\.')
_BOOK_ARCHIVE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}_(?P<symbol>[A-Z0-9-]+)_ob[0-9]+\.data(?:\.zip|\.gz)?")
_OLD_TOPICS = re.compile(rb"(?:stream|api)\.bybit\.com/(?:realtime|v2/)")
_SIZED = frozenset({"candles", "trades", "open_interest", "book", "quotes"})


def matches_bybit_json(name: str, head: bytes) -> bool:
    """A v5 body, a v5 stream message, an order book archive, or a recording of the retired v2."""
    if not is_json(head):
        return False
    return any(mark in head for mark in _MARKS) or _TOPICS.search(head) is not None or _OLD_TOPICS.search(head) is not None


def read_bybit_json(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Candles (last, mark, index, premium), trades, funding, open interest, books.

    Sizes of inverse contracts count dollars: their unit is the quote currency, and their turnover, in coin, is left away. A
    book's time is the matching engine's (`cts`), where a message has it.
    """
    return read_json(opened, hint, _BybitMessages(opened, hint).take)


class _BybitMessages:
    """Takes one message after the other; what a file's path says holds for all of them."""

    def __init__(self, opened: OpenedFile, hint: Hint) -> None:
        file_name = opened.name.rpartition("/")[2]
        self._stem = re.sub("[^a-z]", "", file_name.lower())
        self._path = about_path(opened.name)
        archive = _BOOK_ARCHIVE.fullmatch(file_name)
        if archive is not None:
            self._path = self._path._replace(kind="book", exchange="bybit", symbol=archive["symbol"])
        self._hint_market = hint.market

    def take(self, message: JsonMessage) -> Sequence[Piece] | str:
        """The rows of a message, or what it is. Raises KeyError, TypeError, ValueError where it is not as Bybit sends it."""
        document = message.document
        if not isinstance(document, dict):
            return "JSON of an unknown shape"
        if "topic" in document and "data" in document:
            return self._of_stream(document, message)
        if "retCode" in document:
            if document["retCode"] != 0:
                return f"a refusal of Bybit ({document.get('retMsg')})"
            return self._of_body(document["result"], document.get("time"), message)
        if "ret_code" in document or "args" in document:
            return "messages of Bybit's v2 interface, retired in 2023; v5 bodies, streams and archives are read"
        if "success" in document or "op" in document:
            return "the answer to a subscription"
        return "JSON of an unknown shape"

    def _about(self, kind: str | None, *, market: Any = None, symbol: Any = None, timeframe: str | None = None) -> About:
        named = About(kind, "bybit", MARKET_WORDS[market] if market else None, str(symbol) if symbol else None, timeframe)
        about = named.filled(self._path._replace(kind=None))
        inverse = (about.market or self._hint_market) == "inverse"
        return about._replace(volume_unit=VolumeUnit.QUOTE) if inverse and (kind is None or kind in _SIZED) else about

    # -- bodies ----------------------------------------------------------------------------------------------------------

    def _of_body(self, result: dict[str, Any], answered_ms: Any, message: JsonMessage) -> Sequence[Piece] | str:
        market = result.get("category")
        if {"s", "b", "a", "u"} <= result.keys():
            return [self._book(result, result, message, snapshot=True, market=market)]
        rows = result.get("list")
        if not isinstance(rows, list) or not rows:
            return "an empty answer"
        first = rows[0]
        if isinstance(first, list):
            if len(first) not in {5, 7}:
                return f"rows of {len(first)} values, which are no bars"
            return [self._bars(rows, result, answered_ms)]
        keys = first.keys()
        if {"fundingRate", "fundingRateTimestamp"} <= keys and "lastPrice" not in keys:
            funding = [(whole(row["fundingRateTimestamp"]), number(row["fundingRate"]), None, None) for row in rows]
            return self._by_symbol("funding", market, [(row["symbol"], one) for row, one in zip(rows, funding, strict=True)])
        if {"openInterest", "timestamp"} <= keys:
            about = self._about("open_interest", market=market, symbol=result.get("symbol"))
            return [Piece(about, [(whole(row["timestamp"]), number(row["openInterest"]), None) for row in rows], entries=True)]
        if {"execId", "price", "size", "side", "time"} <= keys:
            return self._by_symbol(
                "trades", market, [(row["symbol"], _trade(row, "time", "price", "size", "side", "execId")) for row in rows]
            )
        if "lastPrice" in keys or "bid1Price" in keys:
            return "tickers, the state of one moment, which are no series"
        if {"takerFeeRate", "makerFeeRate"} <= keys:
            return "fee rates of an account, which are no market data; state them by --fees where a run needs them"
        if {"priceFilter", "lotSizeFilter"} & keys:
            return f"instruments-info, the trading rules of Bybit; {INSTRUMENTS}"
        if "riskLimitValue" in keys:
            return f"risk limits of Bybit; {INSTRUMENTS}"
        return f"a list of an unknown shape ({', '.join(list(first)[:6])})"

    def _by_symbol(self, kind: str, market: Any, rows: list[tuple[Any, Row]]) -> list[Piece]:
        by_symbol: dict[str, list[Row]] = {}
        for symbol, row in rows:
            by_symbol.setdefault(str(symbol), []).append(row)
        return [
            Piece(self._about(kind, market=market, symbol=symbol), of_symbol, entries=True)
            for symbol, of_symbol in by_symbol.items()
        ]

    def _bars(self, rows: list[Any], result: dict[str, Any], answered_ms: Any) -> Piece:
        """Rows of 7 are candles; of rows of 5 the name of the call says what they are, or the user."""
        kind = "candles" if len(rows[0]) >= 7 else self._path.kind
        if len(rows[0]) < 7:
            kind = next((named for word, named in _BAR_KINDS.items() if word in self._stem), kind)
        about = self._about(kind, market=result.get("category"), symbol=result.get("symbol"))
        if kind != "candles":
            bars = [(whole(row[0]), *map(number, row[1:5])) for row in rows]
        else:
            inverse = about.volume_unit is VolumeUnit.QUOTE
            bars = [(whole(row[0]), *map(number, row[1:6]), None if inverse else number(row[6]), None, None, None) for row in rows]
        return Piece(about, bars, seen_ms=None if answered_ms is None else whole(answered_ms), entries=True)

    # -- streams ---------------------------------------------------------------------------------------------------------

    def _of_stream(self, document: dict[str, Any], message: JsonMessage) -> Sequence[Piece] | str:
        channel, *words = str(document["topic"]).split(".")
        data = document["data"]
        if channel == "orderbook":
            return [self._book(data, document, message, snapshot=document["type"] == "snapshot", market=None)]
        if channel in {"publicTrade", "trade"}:
            if data and "trade_time_ms" in data[0]:
                return "messages of Bybit's v2 interface, retired in 2023; v5 bodies, streams and archives are read"
            market = words[0] if len(words) == 2 else None
            pieces = self._by_symbol("trades", market, [(row["s"], _trade(row, "T", "p", "v", "S", "i")) for row in data])
            return [piece._replace(entries=False) for piece in pieces]
        if channel == "kline":
            return self._klines(words, data)
        if channel == "tickers":
            return "tickers, the state of one moment, which are no series"
        if channel.startswith("orderBookL2"):
            return "messages of Bybit's v2 interface, retired in 2023; v5 bodies, streams and archives are read"
        return f"messages of the topic {channel!r}, which are not stored"

    def _klines(self, words: list[str], data: list[dict[str, Any]]) -> Sequence[Piece] | str:
        interval, symbol = words
        if interval not in _INTERVALS:
            return "candles of a month, which has no fixed length"
        about = self._about("candles", symbol=symbol, timeframe=_INTERVALS[interval])
        inverse = about.volume_unit is VolumeUnit.QUOTE
        closed = [bar for bar in data if truth(bar["confirm"])]
        if not closed:
            return "a bar that has not closed"
        rows = [
            (
                whole(bar["start"]),
                *(number(bar[name]) for name in ("open", "high", "low", "close", "volume")),
                None if inverse else number(bar["turnover"]),
                None,
                None,
                None,
            )
            for bar in closed
        ]
        return [Piece(about, rows, [whole(bar["end"]) for bar in closed])]

    def _book(self, data: dict[str, Any], stamps: dict[str, Any], message: JsonMessage, *, snapshot: bool, market: Any) -> Piece:
        """`u` = 1 is a restart of the service: such a message replaces the book, whatever it is called."""
        time_us = whole(stamps.get("cts", stamps["ts"])) * 1000
        update_id = whole(data["u"])
        rows = book_rows(
            time_us,
            message.line,
            snapshot=snapshot or update_id == 1,
            bids=data["b"],
            asks=data["a"],
            ids=(None, update_id, None),
        )
        return Piece(self._about("book", market=market, symbol=data["s"]), rows)


def _trade(row: dict[str, Any], time: str, price: str, size: str, side: str, trade_id: str) -> Row:
    return (whole(row[time]) * 1000, number(row[price]), number(row[size]), sold(row[side]), str(row[trade_id]))
