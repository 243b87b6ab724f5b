"""What a stored series is of: the identity that decides where it lies, and that no other data can pass for."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from backtester.data.kinds import TICK, kind_named
from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import timeframe_ms, timeframe_text
from backtester.domain.vocabulary import Market

LIVE = "live"
NETWORKS = (LIVE, "testnet", "demo")
_EXCHANGE = re.compile(r"[a-z0-9_]{1,32}")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,63}")
_MARKETS = tuple(market.value for market in Market)


class Series(NamedTuple):
    """One symbol's data of one kind. `network` is part of the identity: prices of a testnet never pass as real ones."""

    exchange: str
    market: str
    symbol: str
    kind: str
    timeframe: str
    network: str = LIVE

    @property
    def venue(self) -> str:
        """The name of the first directory: the exchange, with `.testnet` or `.demo` behind it off the live network."""
        return self.exchange if self.network == LIVE else f"{self.exchange}.{self.network}"

    @property
    def directory(self) -> PurePosixPath:
        """`<venue>/<market>/<symbol>/<kind>/<timeframe>` under the catalog's base."""
        return PurePosixPath(self.venue, self.market, self.symbol, self.kind, self.timeframe)

    @property
    def length_ms(self) -> int:
        """The timeframe in milliseconds; 0 for ticks."""
        return 0 if self.timeframe == TICK else timeframe_ms(self.timeframe)

    def __str__(self) -> str:
        return f"{self.venue} {self.market} {self.symbol} {self.kind} {self.timeframe}"


def series_of(
    *, exchange: str, market: str, symbol: str, kind: str = "candles", timeframe: str | None = None, network: str = LIVE
) -> Series:
    """A checked series: names become parts of a path, so only plain ones pass. Raises ConfigError.

    `timeframe` is required for periodic kinds and refused for others.
    """
    if not _EXCHANGE.fullmatch(exchange):
        raise ConfigError(f"exchange {exchange!r} is not a name of lower-case letters, digits and _")
    if market not in _MARKETS:
        raise ConfigError(f"market {market!r} is not known; use one of {', '.join(_MARKETS)}")
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"symbol {symbol!r} is not a name of upper-case letters, digits, dots, - and _")
    if network not in NETWORKS:
        raise ConfigError(f"network {network!r} is not known; use one of {', '.join(NETWORKS)}")
    if not kind_named(kind).periodic:
        if timeframe not in {None, TICK}:
            raise ConfigError(f"{kind} have no timeframe; leave {timeframe!r} away")
        return Series(exchange, market, symbol, kind, TICK, network)
    if timeframe is None:
        raise ConfigError(f"{kind} have a timeframe; state it, for example 1m")
    return Series(exchange, market, symbol, kind, timeframe_text(timeframe_ms(timeframe)), network)


def series_at(directory: PurePosixPath) -> Series | None:
    """The series whose directory (relative to the base) this is; None for a path that no series has."""
    if len(directory.parts) != 5:
        return None
    venue, market, symbol, kind, timeframe = directory.parts
    exchange, _, network = venue.partition(".")
    try:
        found = series_of(exchange=exchange, market=market, symbol=symbol, kind=kind, timeframe=timeframe, network=network or LIVE)
    except ConfigError:
        return None
    return found if found.directory == directory else None
