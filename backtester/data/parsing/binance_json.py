"""Binance's JSON: bodies of its interface, messages of its streams, and recordings of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from backtester.data.batch import RawBatch
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, about_path
from backtester.data.parsing.json_messages import JsonMessage, is_json
from backtester.data.parsing.json_reading import INSTRUMENTS, read_json
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.pieces import Piece, Row, book_rows, number, truth, whole
from backtester.domain.timeframe import timeframe_ms, timeframe_text

_HOSTS = {"fapi": "linear", "fstream": "linear", "dapi": "inverse", "dstream": "inverse", "api": "spot", "stream": "spot"}
_URL_HOST = re.compile(r"\w+://([a-z]+)[0-9]*\.")
_URL_SYMBOL = re.compile(r"[?&]symbol=([A-Z0-9_]+)")
_BAR_KINDS = {"markpricekline": "mark", "indexpricekline": "index", "premiumindexkline": "premium"}
_BAR_LENGTHS = frozenset(
    map(timeframe_ms, ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"))
)
_NO_TIME = "a {} without a time: when it was so is not said"
_REFUSED_EVENTS = {
    "24hrTicker": "a 24-hour ticker, which is no series",
    "24hrMiniTicker": "a 24-hour ticker, which is no series",
    "markPriceUpdate": "the mark price and expected funding of one moment; mark candles and settled rates are what is stored",
}
_REFUSED_KEYS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"symbols", "timezone"}), f"exchangeInfo, the trading rules of Binance; {INSTRUMENTS}"),
    (frozenset({"longShortRatio"}), "ratios of long and short accounts; the archive's metrics files hold them with open interest"),
    (frozenset({"buySellRatio"}), "ratios of bought and sold volume; the archive's metrics files hold them with open interest"),
    (frozenset({"bidBuffer", "askBuffer"}), "the asset index of multi-asset margin, which is no series"),
    (frozenset({"baseAssetList"}), "the composition of an index, which is no series"),
    (frozenset({"priceChangePercent"}), "a 24-hour ticker, which is no series"),
    (frozenset({"markPrice", "lastFundingRate"}), "the mark price and expected funding of one moment, which is no series"),
    (frozenset({"mins", "price"}), "the average price of one moment, which is no series"),
    (frozenset({"symbol", "price"}), "the price of one moment, which is no series"),
    (frozenset({"symbol", "openInterest"}), "the open interest of one moment; its history is openInterestHist"),
    (frozenset({"serverTime"}), "the time of the server"),
    (frozenset({"result", "id"}), "the answer to a subscription"),
)


def matches_binance_json(name: str, head: bytes) -> bool:
    """Any JSON that no publisher before this one has recognised."""
    return is_json(head)


def read_binance_json(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Candles (last, mark, index, premium), trades, aggregated trades, funding, open interest, quotes, books, liquidations.

    A bar of a stream counts when it has closed. Quotes and snapshots without a time of their own, as spot sends them, are taken
    from recordings only: quotes at the time of receipt, a snapshot at the time of the message before it.
    """
    return read_json(opened, hint, _BinanceMessages(opened.name, hint).take)


class _BinanceMessages:
    """Takes one message after the other; remembers of which symbol a recording is, and how far its clock has come."""

    def __init__(self, name: str, hint: Hint) -> None:
        self._stem = re.sub("[^a-z]", "", name.rpartition("/")[2].lower())
        self._path = about_path(name)
        self._hint = hint
        self._book_times: dict[str, int] = {}
        self._early: list[JsonMessage] = []

    def take(self, message: JsonMessage) -> Sequence[Piece] | str:
        """The rows of a message, or what it is. Raises KeyError, TypeError, ValueError where it is not as Binance sends it."""
        document = message.document
        if isinstance(document, dict) and isinstance(document.get("data"), dict) and "stream" in document:
            document = document["data"]
        if isinstance(document, list):
            return self._of_list(document, message)
        if not isinstance(document, dict):
            return "a bare value"
        event = document.get("e")
        if event is not None:
            return self._of_event(str(event), document, message)
        if "lastUpdateId" in document:
            return self._of_snapshot(document, message)
        if {"u", "s", "b", "B", "a", "A"} <= document.keys():
            return self._quote(document, message, ("b", "B", "a", "A"))
        if {"bidPrice", "askPrice", "bidQty", "askQty"} <= document.keys() and "priceChangePercent" not in document:
            return self._quote(document, message, ("bidPrice", "bidQty", "askPrice", "askQty"))
        return _refusal(document)

    def _about(self, kind: str | None, message: JsonMessage, *, symbol: Any = None, timeframe: str | None = None) -> About:
        """What is known of a message's rows; sizes of coin-margined contracts count contracts."""
        url_symbol = _URL_SYMBOL.search(message.url)
        said = str(symbol) if symbol else (url_symbol[1] if url_symbol else None)
        named = About(kind, "binance", self._market(message), said, timeframe)
        about = named.filled(self._path._replace(kind=None, volume_unit=None))
        sized = kind in {None, "candles", "trades", "agg_trades", "quotes", "book", "open_interest", "liquidations"}
        return about._replace(volume_unit=VolumeUnit.CONTRACTS) if sized and self._is_inverse(message) else about

    def _market(self, message: JsonMessage) -> str | None:
        host = _URL_HOST.match(message.url)
        return _HOSTS.get(host[1]) if host else self._path.market

    def _is_inverse(self, message: JsonMessage) -> bool:
        return (self._market(message) or self._hint.market) == "inverse"

    # -- bodies that are lists -------------------------------------------------------------------------------------------

    def _of_list(self, rows: list[Any], message: JsonMessage) -> Sequence[Piece] | str:
        if not rows:
            return "an empty list"
        first = rows[0]
        if isinstance(first, list) and len(first) >= 11:
            return self._bars(rows, message)
        if not isinstance(first, dict):
            return "a list of an unknown shape"
        keys = first.keys()
        symbol = first.get("symbol")
        if {"a", "p", "q", "f", "l", "T", "m"} <= keys:
            return [Piece(self._about("agg_trades", message), [_agg_trade(row) for row in rows], entries=True)]
        if {"id", "price", "qty", "time", "isBuyerMaker"} <= keys:
            trades = [
                (whole(row["time"]) * 1000, number(row["price"]), number(row["qty"]), truth(row["isBuyerMaker"]), str(row["id"]))
                for row in rows
            ]
            return [Piece(self._about("trades", message), trades, entries=True)]
        if {"fundingRate", "fundingTime"} <= keys:
            return self._by_symbol("funding", message, rows, _funding)
        if {"sumOpenInterest", "timestamp"} <= keys:
            return self._by_symbol("open_interest", message, rows, _open_interest)
        if symbol is not None and {"bidPrice", "askPrice", "bidQty", "askQty"} <= keys and "priceChangePercent" not in keys:
            return "quotes of many symbols at one moment; they are taken from a recording of the stream"
        return _refusal(first)

    def _by_symbol(self, kind: str, message: JsonMessage, rows: list[Any], row_of: Any) -> list[Piece]:
        by_symbol: dict[str | None, list[Row]] = {}
        for row in rows:
            by_symbol.setdefault(row.get("symbol"), []).append(row_of(row))
        return [
            Piece(self._about(kind, message, symbol=symbol), of_symbol, entries=True) for symbol, of_symbol in by_symbol.items()
        ]

    def _bars(self, rows: list[Any], message: JsonMessage) -> Sequence[Piece] | str:
        """Arrays of 12; of which kind is said by the name of the call only, and the interval by open and close times."""
        called = self._stem + re.sub("[^a-z]", "", message.url.partition("?")[0].lower())
        if "blvtnav" in called:
            return "net asset values of a leveraged token, which are no market's prices"
        kind = next((kind for word, kind in _BAR_KINDS.items() if word in called), None)
        if kind is None and any(number(row[5]) for row in rows):
            kind = "candles"
        length_ms = Counter(whole(row[6]) - whole(row[0]) + 1 for row in rows).most_common(1)[0][0]
        about = self._about(kind, message, timeframe=timeframe_text(length_ms) if length_ms in _BAR_LENGTHS else None)
        if kind is None:
            about = about._replace(kind=self._path.kind or self._hint.kind)
        bars = [_bar(row, of_prices=about.kind != "candles", inverse=self._is_inverse(message)) for row in rows]
        return [Piece(about, bars, [whole(row[6]) for row in rows], entries=True)]

    # -- messages of streams ---------------------------------------------------------------------------------------------

    def _of_event(self, event: str, data: dict[str, Any], message: JsonMessage) -> Sequence[Piece] | str:
        if event == "trade":
            if data.get("X", "MARKET") != "MARKET":
                return "an entry of the trade stream that no market order made, such as of the insurance fund"
            row = (whole(data["T"]) * 1000, number(data["p"]), number(data["q"]), truth(data["m"]), str(data["t"]))
            return [Piece(self._about("trades", message, symbol=data["s"]), [row])]
        if event == "aggTrade":
            return [Piece(self._about("agg_trades", message, symbol=data["s"]), [_agg_trade(data)])]
        if event == "bookTicker":
            return self._quote(data, message, ("b", "B", "a", "A"))
        if event == "depthUpdate":
            return self._of_update(data, message)
        if event == "kline":
            return self._of_kline(data["k"], message)
        if event == "forceOrder":
            order = data["o"]
            return [Piece(self._about("liquidations", message, symbol=order["s"]), [_liquidation(order)])]
        return _REFUSED_EVENTS.get(event, f"a message {event!r}, which is not stored")

    def _of_kline(self, bar: dict[str, Any], message: JsonMessage) -> Sequence[Piece] | str:
        if not truth(bar["x"]):
            return "a bar that has not closed"
        if bar["i"] == "1M":
            return "candles of a month, which has no fixed length"
        inverse = self._is_inverse(message)
        values = [number(bar[name]) for name in ("o", "h", "l", "c", "v", "q", "n", "V", "Q")]
        if inverse:
            values[5] = values[8] = None
        about = self._about("candles", message, symbol=bar["s"], timeframe=str(bar["i"]))
        return [Piece(about, [(whole(bar["t"]), *values)], [whole(bar["T"])])]

    def _quote(self, data: dict[str, Any], message: JsonMessage, names: tuple[str, str, str, str]) -> Sequence[Piece] | str:
        stamp_ms = data.get("T", data.get("E", data.get("time")))
        time_us = message.received_us if stamp_ms is None else whole(stamp_ms) * 1000
        if time_us is None:
            return _NO_TIME.format("quote")
        update_id = data.get("u")
        row = (time_us, *(number(data[name]) for name in names), None if update_id is None else whole(update_id))
        return [Piece(self._about("quotes", message, symbol=data.get("s", data.get("symbol"))), [row])]

    # -- books ------------------------------------------------------------------------------------------------------------

    def _of_update(self, data: dict[str, Any], message: JsonMessage) -> Sequence[Piece]:
        symbol, time_us = str(data["s"]), whole(data.get("T", data["E"])) * 1000
        first = symbol not in self._book_times
        self._book_times[symbol] = time_us
        early, self._early = (self._early, []) if first and len(self._book_times) == 1 else ([], self._early)
        pieces = [self._snapshot(held.document, held, symbol, time_us) for held in early]
        previous = None if data.get("pu") is None else whole(data["pu"])
        ids = (whole(data["U"]), whole(data["u"]), previous)
        rows = book_rows(time_us, message.line, snapshot=False, bids=data["b"], asks=data["a"], ids=ids)
        return [*pieces, Piece(self._about("book", message, symbol=symbol), rows)]

    def _of_snapshot(self, data: dict[str, Any], message: JsonMessage) -> Sequence[Piece] | str:
        symbol = self._about("book", message, symbol=data.get("symbol")).symbol
        stamp_ms = data.get("T", data.get("E"))
        if stamp_ms is not None:
            return [self._snapshot(data, message, symbol, whole(stamp_ms) * 1000)]
        if message.received_us is None:
            return _NO_TIME.format("book")
        if symbol is None and len(self._book_times) == 1:
            symbol = next(iter(self._book_times))
        if symbol in self._book_times:
            return [self._snapshot(data, message, symbol, self._book_times[symbol])]
        if self._book_times:
            return "a book of which it is not said of what symbol it is"
        self._early.append(message)
        return []

    def _snapshot(self, data: dict[str, Any], message: JsonMessage, symbol: str | None, time_us: int) -> Piece:
        ids = (None, whole(data["lastUpdateId"]), None)
        rows = book_rows(time_us, message.line, snapshot=True, bids=data["bids"], asks=data["asks"], ids=ids)
        return Piece(self._about("book", message, symbol=symbol), rows)


def _agg_trade(row: dict[str, Any]) -> Row:
    ids = (whole(row["a"]), whole(row["f"]), whole(row["l"]))
    return (whole(row["T"]) * 1000, number(row["p"]), number(row["q"]), truth(row["m"]), *ids)


def _funding(row: dict[str, Any]) -> Row:
    return (whole(row["fundingTime"]), number(row["fundingRate"]), None, number(row.get("markPrice")))


def _open_interest(row: dict[str, Any]) -> Row:
    return (whole(row["timestamp"]), number(row["sumOpenInterest"]), number(row.get("sumOpenInterestValue")))


def _bar(row: list[Any], *, of_prices: bool, inverse: bool) -> Row:
    start_ms, open_, high, low, close, volume, _, quote_volume, count, taker, taker_quote = row[:11]
    prices = (whole(start_ms), number(open_), number(high), number(low), number(close))
    if of_prices:
        return prices
    quotes = (None, None) if inverse else (number(quote_volume), number(taker_quote))
    return (*prices, number(volume), quotes[0], number(count), number(taker), quotes[1])


def _liquidation(order: dict[str, Any]) -> Row:
    texts = (str(order["S"]).lower(), order.get("o"), order.get("f"), order.get("X"))
    sizes = (number(order["q"]), number(order["p"]), number(order.get("ap")), number(order.get("l")), number(order.get("z")))
    return (whole(order["T"]), *texts, *sizes)


def _refusal(document: dict[str, Any]) -> str:
    for keys, what in _REFUSED_KEYS:
        if keys <= document.keys():
            return what
    if not document:
        return "an empty answer"
    shown = ", ".join(list(document)[:6])
    return f"JSON of an unknown shape ({shown})"
