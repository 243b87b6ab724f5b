"""ccxt writes `BTC/USDT:USDT`; the catalog has plain names. How the one becomes the other.

| ccxt | market | symbol in the catalog |
|---|---|---|
| BTC/USDT | spot | BTCUSDT |
| BTC/USDT:USDT | linear | BTCUSDT |
| BTC/USD:BTC | inverse | BTCUSD |
| BTC/USDT:USDT-241227 | linear | BTCUSDT-241227 |
| BTC/USD:USDC | linear, settled in a third coin | BTCUSD_USDC |
| BTC/USD:BTC-240628-60000-C | option | BTCUSD-240628-60000-C |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from backtester.domain.vocabulary import Market

_UNIFIED = re.compile(r"(?P<base>[^/:]+)/(?P<quote>[^/:]+?)(?::(?P<settle>[^/:-]+)(?P<rest>(?:-[^/:]+)*))?")


class UnifiedName(NamedTuple):
    """The parts of a unified symbol; `settle` is empty on spot, `rest` is `-241227` or `-240628-60000-C`."""

    base: str
    quote: str
    settle: str
    rest: str


def unified_name(text: str) -> UnifiedName | None:
    """The parts of `BTC/USDT:USDT`; None for a name that is not written so."""
    match = _UNIFIED.fullmatch(text)
    return None if match is None else UnifiedName(match["base"], match["quote"], match["settle"] or "", match["rest"] or "")


def stored_symbol(text: str) -> str:
    """The catalog's name of a symbol as ccxt writes it; any other name in upper case."""
    name = unified_name(text)
    if name is None:
        return text.upper()
    third = f"_{name.settle}" if name.settle not in {"", name.base, name.quote} else ""
    return f"{name.base}{name.quote}{third}{name.rest}".upper()


def market_word(text: str, facts: Mapping[str, Any] | None = None) -> str | None:
    """Our word for the market of a symbol as ccxt writes it; None where the name does not say it.

    `facts` are ccxt's own about the market, which win over what the name looks like.
    """
    if facts is not None:
        for market in (Market.OPTION, Market.SPOT, Market.LINEAR, Market.INVERSE):
            if facts.get(market.value):
                return str(market.value)
        return None
    name = unified_name(text)
    if name is None:
        return None
    if not name.settle:
        return str(Market.SPOT.value)
    if name.rest.count("-") > 1:
        return str(Market.OPTION.value)
    return str((Market.INVERSE if name.settle == name.base else Market.LINEAR).value)
