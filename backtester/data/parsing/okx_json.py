"""OKX's v5 JSON: bodies of its interface and messages of its streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from backtester.data.batch import RawBatch
from backtester.data.findings import Rule
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, about_path
from backtester.data.parsing.json_messages import JsonMessage, is_json
from backtester.data.parsing.json_reading import INSTRUMENTS, read_json
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.pieces import Piece, Row, book_rows, number, sold, whole

_BODY = re.compile(rb'"code"\s*:\s*"[0-9]+"')
_STREAM = re.compile(rb'"arg"\s*:\s*\{\s*"channel"')
_CANDLE = re.compile(r"(mark-price-candle|index-candle|candle)([0-9]+[smHDW])(utc)?")
_KINDS = {"candle": "candles", "mark-price-candle": "mark", "index-candle": "index"}


def market_of(instrument: str) -> str:
    """The market of an OKX instrument: `BTC-USDT` spot, `BTC-USDT-SWAP` linear, `BTC-USD-SWAP` inverse, five words an option."""
    words = instrument.split("-")
    if len(words) == 2:
        return "spot"
    if len(words) >= 5:
        return "option"
    return "inverse" if words[1] == "USD" else "linear"


def matches_okx_json(name: str, head: bytes) -> bool:
    """A v5 body (`code` as text) or a stream message (`arg` with a channel)."""
    return is_json(head) and (_BODY.search(head[:200]) is not None or _STREAM.search(head) is not None)


def read_okx_json(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Candles, settled funding rates, trades, best quotes and books.

    Volumes of candles are in the base coin, which OKX gives for every market; sizes of trades and books of derivatives count
    contracts. Bars that OKX calls unfinished (`confirm` 0) break the rule `still_open`.
    """
    return read_json(opened, hint, _OkxMessages(opened.name, hint).take)


class _OkxMessages:
    """Takes one message after the other; what a file's path says holds for all of them."""

    def __init__(self, name: str, hint: Hint) -> None:
        self._path = about_path(name)
        self._hint = hint

    def take(self, message: JsonMessage) -> Sequence[Piece] | str:
        """The rows of a message, or what it is. Raises KeyError, TypeError, ValueError where it is not as OKX sends it."""
        document = message.document
        if not isinstance(document, dict):
            return "JSON of an unknown shape"
        if "arg" in document:
            if "data" not in document:
                return "the answer to a subscription"
            argument = document["arg"]
            snapshot = document.get("action", "snapshot") == "snapshot"
            return self._rows(document["data"], message, str(argument["channel"]), argument.get("instId"), snapshot=snapshot)
        if str(document["code"]) != "0":
            return f"a refusal of OKX ({document.get('msg')})"
        return self._rows(document["data"], message, "", None, snapshot=True)

    def _about(self, kind: str | None, instrument: Any, timeframe: str | None = None) -> About:
        symbol = str(instrument) if instrument else None
        named = About(kind, "okx", market_of(symbol) if symbol else None, symbol, timeframe)
        about = named.filled(self._path._replace(kind=None))
        market = about.market or self._hint.market
        counted = kind in {"trades", "quotes", "book"} and market in {"linear", "inverse", "option"}
        return about._replace(volume_unit=VolumeUnit.CONTRACTS) if counted else about

    def _rows(self, rows: Any, message: JsonMessage, channel: str, instrument: Any, *, snapshot: bool) -> Sequence[Piece] | str:
        if not rows:
            return "an empty answer"
        first = rows[0]
        if isinstance(first, list):
            return self._bars(rows, channel, instrument)
        keys = first.keys()
        if {"asks", "bids", "ts"} <= keys:
            return self._books(rows, message, channel, instrument, snapshot=snapshot)
        if {"tradeId", "px", "sz", "side", "ts"} <= keys:
            trades = [(row["instId"], _trade(row)) for row in rows]
            return self._by_instrument("trades", trades, entries=not channel)
        if "fundingRate" in keys and "realizedRate" in keys:
            rates = [(row["instId"], (whole(row["fundingTime"]), number(row["realizedRate"]), None, None)) for row in rows]
            return self._by_instrument("funding", rates, entries=True)
        if "fundingRate" in keys:
            return "the funding rate expected at one moment; the settled rates are funding-rate-history"
        if {"lotSz", "tickSz"} & keys:
            return f"the trading rules of OKX; {INSTRUMENTS} from binance and bybit"
        if {"imr", "mmr"} <= keys:
            return "position tiers of OKX, which are trading rules and no market data"
        return f"OKX data of an unknown shape ({', '.join(list(first)[:6])})"

    def _by_instrument(self, kind: str, rows: list[tuple[Any, Row]], *, entries: bool) -> list[Piece]:
        by_instrument: dict[str, list[Row]] = {}
        for instrument, row in rows:
            by_instrument.setdefault(str(instrument), []).append(row)
        return [Piece(self._about(kind, name), of_one, entries=entries) for name, of_one in by_instrument.items()]

    def _bars(self, rows: list[Any], channel: str, instrument: Any) -> Sequence[Piece] | str:
        """ts, open, high, low, close, then for candles volume, in coin, in quote; the last says whether the bar has closed."""
        match = _CANDLE.fullmatch(channel)
        if channel and match is None:
            return f"candles of the channel {channel!r}, which has no fixed length"
        timeframe = match[2].lower() if match else None
        if len(rows[0]) not in {6, 9}:
            return f"rows of {len(rows[0])} values, which are no bars"
        priced = len(rows[0]) == 6
        kind = (_KINDS[match[1]] if match else self._path.kind) if priced else "candles"
        about = self._about(kind, instrument, timeframe)
        still_open = [Rule.STILL_OPEN.value if str(row[-1]) == "0" else None for row in rows]
        if priced:
            bars: list[Row] = [(whole(row[0]), *map(number, row[1:5])) for row in rows]
        else:
            spot = (about.market or self._hint.market) == "spot"
            base = 5 if spot else 6
            bars = [(whole(row[0]), *map(number, row[1:5]), number(row[base]), number(row[7]), None, None, None) for row in rows]
        return [Piece(about, bars, faults=still_open, entries=not channel)]

    def _books(self, rows: Any, message: JsonMessage, channel: str, instrument: Any, *, snapshot: bool) -> Sequence[Piece] | str:
        if channel.startswith("bbo"):
            quotes = []
            for row in rows:
                bid, ask = row["bids"][0], row["asks"][0]
                update_id = None if row.get("seqId") is None else whole(row["seqId"])
                quotes.append((whole(row["ts"]) * 1000, number(bid[0]), number(bid[1]), number(ask[0]), number(ask[1]), update_id))
            return [Piece(self._about("quotes", instrument), quotes)]
        levels: list[Row] = []
        for row in rows:
            last, before = (None if row.get(name) is None else whole(row[name]) for name in ("seqId", "prevSeqId"))
            ids = (None, last, None if before == -1 else before)
            time_us = whole(row["ts"]) * 1000
            levels += book_rows(time_us, message.line, snapshot=snapshot, bids=row["bids"], asks=row["asks"], ids=ids)
        return [Piece(self._about("book", instrument), levels)]


def _trade(row: dict[str, Any]) -> Row:
    return (whole(row["ts"]) * 1000, number(row["px"]), number(row["sz"]), sold(row["side"]), str(row["tradeId"]))
