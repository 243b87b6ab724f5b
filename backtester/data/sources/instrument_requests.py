"""What to ask venues for to know their trading rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from backtester.data.http_client import HttpClient
from backtester.data.series import LIVE
from backtester.data.sources.bybit_client import BybitClient
from backtester.domain.errors import ConfigError, DownloadError

VENUES = ("binance", "bybit")
_LISTED_ROWS = 1000
_OPTION_COINS = ("BTC", "ETH", "SOL", "XRP", "MNT", "DOGE")
"""Bybit lists options of one coin at a time."""
_BINANCE: Mapping[str, tuple[str, str | None, str]] = {
    "spot": ("https://api.binance.com", "https://testnet.binance.vision", "/api/v3"),
    "linear": ("https://fapi.binance.com", "https://testnet.binancefuture.com", "/fapi/v1"),
    "inverse": ("https://dapi.binance.com", "https://testnet.binancefuture.com", "/dapi/v1"),
    "option": ("https://eapi.binance.com", None, "/eapi/v1"),
}
"""The live network, the testnet where there is one, and the path of each market."""


class Answered(NamedTuple):
    """A decoded body and the address that gave it. `time_ms`: when, where the body itself does not say."""

    body: Any
    source: str
    time_ms: int | None = None


def ask_binance(http: HttpClient, market: str, *, rest_url: str | None, network: str) -> Iterator[Answered]:
    """The rules of all symbols, and for futures the funding that is not the usual; brackets need a key and come from files.

    Raises: ConfigError - no such network. Also what HttpClient raises.
    """
    if network not in {LIVE, "testnet"}:
        raise ConfigError(f"binance has no network {network}; use live or testnet")
    live, testnet, path = _BINANCE[market]
    host = rest_url or (live if network == LIVE else testnet)
    if host is None:
        raise ConfigError(f"binance {market} has no testnet")
    base = host.rstrip("/") + path
    rules = http.get_json(f"{base}/exchangeInfo", weight=20)
    if not isinstance(rules, Mapping) or not {"symbols", "optionSymbols"} & rules.keys():
        raise DownloadError(f"{base}/exchangeInfo did not answer as Binance does; is the address right?")
    yield Answered(rules, f"{base}/exchangeInfo")
    if market in {"linear", "inverse"}:
        stated = rules.get("serverTime")
        yield Answered(http.get_json(f"{base}/fundingInfo"), f"{base}/fundingInfo", stated if isinstance(stated, int) else None)


def ask_bybit(client: BybitClient, market: str, symbols: Sequence[str]) -> Iterator[Answered]:
    """The rules and, for futures, the risk limits of `symbols`, or of all. Raises what BybitClient raises."""
    wanted: list[dict[str, object]] = [{"symbol": symbol} for symbol in symbols]
    if not wanted:
        wanted = [{"baseCoin": coin} for coin in _OPTION_COINS] if market == "option" else [{}]
    rules_path, limits_path = "/v5/market/instruments-info", "/v5/market/risk-limit"
    for where in wanted:
        yield _pages(client, "get_instruments_info", rules_path, {"category": market, **where, "limit": _LISTED_ROWS})
    if market in {"linear", "inverse"}:
        for where in wanted:
            yield _pages(client, "get_risk_limit", limits_path, {"category": market, **where})


def _pages(client: BybitClient, method: str, path: str, params: Mapping[str, object]) -> Answered:
    """All pages as one body, of the time of the first: they are one answer."""
    rows: list[Any] = []
    cursor, seen = "", {""}
    first: Mapping[str, Any] | None = None
    while True:
        answer = client.ask(method, path, **params, **({"cursor": cursor} if cursor else {}))
        first = first or answer
        result = answer["result"]
        rows += result.get("list") or []
        cursor = str(result.get("nextPageCursor") or "")
        if not cursor:
            break
        if cursor in seen:
            raise DownloadError(f"{client.address(path, params)} names the same next page again and again")
        seen.add(cursor)
    body = {**first, "result": {**first["result"], "category": params["category"], "list": rows}}
    return Answered(body, client.address(path, {name: value for name, value in params.items() if name != "limit"}))


def ask_instruments(
    exchange: str,
    market: str,
    symbols: Sequence[str],
    *,
    rest_url: str | None,
    network: str,
    now_ms: Callable[[], int],
) -> Iterator[Answered]:
    """What a venue answers about its instruments, body by body.

    Raises: ConfigError - a venue, market or network that cannot be asked. DownloadError - it refuses or does not answer.
    """
    if exchange == "bybit":
        yield from ask_bybit(BybitClient(rest_url, network, True, now_ms), market, symbols)
        return
    http = HttpClient(allow_net=True)
    try:
        yield from ask_binance(http, market, rest_url=rest_url, network=network)
    finally:
        http.close()
