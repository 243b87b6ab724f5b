"""Whose data a file holds: from what its path and content say, filled by what was stated, never against it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from backtester.data.kinds import VolumeUnit, kind_named
from backtester.data.parsing.hint import Hint
from backtester.data.series import LIVE, Series, series_of
from backtester.domain.errors import SchemaMismatchError
from backtester.domain.timeframe import timeframe_ms, timeframe_text

MARKET_WORDS = {
    "spot": "spot",
    "um": "linear",
    "linear": "linear",
    "cm": "inverse",
    "inverse": "inverse",
    "option": "option",
}
"""Directory names that say which market."""

EXCHANGES = ("binance", "bybit", "okx", "bitget", "kraken", "kucoin", "gateio", "htx", "deribit", "coinbase", "mexc", "hyperliquid")
"""Directory names that say which exchange; any other name counts only where a directory of a kind stands above it."""

KIND_WORDS = {
    "candles": "candles",
    "mark": "mark",
    "index": "index",
    "premium": "premium",
    "funding": "funding",
    "open_interest": "open_interest",
    "trades": "trades",
    "agg_trades": "agg_trades",
    "quotes": "quotes",
    "book": "book",
}
"""Directory names that say which kind."""

_PAIR = re.compile(r"([a-z0-9]+)_(spot|um|linear|cm|inverse|option)")
_STEM = re.compile(
    r"(?P<symbol>[A-Z0-9]{2,}(?:[-_](?:PERP|[0-9]{6}))?)"
    r"(?:_(?P<word>bbo1m|bbo|[1-9][0-9]{0,3}[smhdw]))?(?P<date>_[0-9]{4}(?:-[0-9]{2}){0,2})?"
)


class About(NamedTuple):
    """What a file, or a message in it, says of its rows; None where it says nothing."""

    kind: str | None = None
    exchange: str | None = None
    market: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    volume_unit: VolumeUnit | None = None

    def filled(self, other: About) -> About:
        """With `other`'s words where this one says nothing."""
        return About(
            self.kind or other.kind,
            self.exchange or other.exchange,
            self.market or other.market,
            self.symbol or other.symbol,
            self.timeframe or other.timeframe,
            self.volume_unit or other.volume_unit,
        )


def about_path(name: str) -> About:
    """What directories such as `funding/binance_um` or `bybit/linear` and a name such as `BTCUSDT_1m.parquet` say.

    A bare file name says something only together with an interval, a date or such directories: `DATA.csv` is no symbol.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    exchange, market, kind = _directories(path.parts[:-1])
    match = _STEM.fullmatch(path.name.partition(".")[0])
    if match is None or not (match["word"] or match["date"] or (exchange and market)):
        return About(kind, exchange, market)
    word = match["word"]
    if word in {"bbo", "bbo1m"}:
        return About(
            "quotes" if word == "bbo" else "quote_candles", exchange, market, match["symbol"], None if word == "bbo" else "1m"
        )
    return About(kind, exchange, market, match["symbol"], word)


def _directories(parts: tuple[str, ...]) -> tuple[str | None, str | None, str | None]:
    """The exchange, the market and the kind that directories name; the one nearest to the file counts."""
    exchange = market = kind = None
    for index in range(len(parts) - 1, -1, -1):
        part, above = parts[index].lower(), parts[index - 1].lower() if index else ""
        if kind is None and part in KIND_WORDS:
            kind = KIND_WORDS[part]
        if exchange is not None:
            continue
        pair = _PAIR.fullmatch(part)
        if pair is not None and (pair[1] in EXCHANGES or above in KIND_WORDS):
            exchange, market = pair[1], MARKET_WORDS[pair[2]]
        elif part in EXCHANGES:
            exchange = part
            market = next((MARKET_WORDS[word] for word in map(str.lower, parts[index + 1 :]) if word in MARKET_WORDS), None)
    return exchange, market, kind


def series_for(about: About, hint: Hint, *, file: str) -> Series:
    """The series of rows that say `about`, completed by what was stated.

    Raises: SchemaMismatchError - both say different things, or neither says something that is needed. ConfigError - a name
    that no series can have.
    """
    kind = agreed(about.kind, hint.kind, what="the kind", option="--kind", file=file)
    periodic = kind_named(kind).periodic
    exchange = agreed(about.exchange, hint.exchange, what="the exchange", option="--exchange", file=file)
    market = agreed(about.market, hint.market, what="the market", option="--market", file=file)
    symbol = agreed(about.symbol, hint.symbol, what="the symbol", option="--symbol", file=file)
    timeframe = None
    if periodic:
        timeframe = agreed(
            _canonical(about.timeframe), _canonical(hint.timeframe), what="the timeframe", option="--timeframe", file=file
        )
    return series_of(exchange=exchange, market=market, symbol=symbol, kind=kind, timeframe=timeframe, network=hint.network or LIVE)


def agreed(found: str | None, stated: str | None, *, what: str, option: str, file: str) -> str:
    """What the file says, or what was stated; both must say the same. Raises SchemaMismatchError."""
    if found is not None and stated is not None and found != stated:
        raise SchemaMismatchError(
            f"{file}: {what} is {found} by its path or content, but {option} says {stated}; leave the option away, or import the "
            "right file"
        )
    value = found if found is not None else stated
    if value is None:
        raise SchemaMismatchError(f"{file}: nothing in its name or content says {what}; state it with {option}")
    return value


def unit_for(about: About, hint: Hint, *, file: str) -> VolumeUnit:
    """What sizes count: as the format says, else as stated, else the base coin. Raises SchemaMismatchError where they differ."""
    stated = VolumeUnit(hint.volume_unit) if hint.volume_unit else None
    if about.volume_unit is not None and stated not in {None, about.volume_unit}:
        raise SchemaMismatchError(
            f"{file}: its sizes count {about.volume_unit.value}, but --volume-unit says {hint.volume_unit}; leave the option away"
        )
    return about.volume_unit or stated or VolumeUnit.BASE


def _canonical(timeframe: str | None) -> str | None:
    """`60m` is `1h`. Raises ConfigError for what is no timeframe."""
    return None if timeframe is None else timeframe_text(timeframe_ms(timeframe))
