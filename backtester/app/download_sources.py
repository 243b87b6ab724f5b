"""Which sources serve an exchange, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from backtester.data.download_cache import DownloadCache
from backtester.data.findings import Policies
from backtester.data.http_client import HttpClient, RequestPace
from backtester.data.series import LIVE
from backtester.data.sources.source import Source
from backtester.domain.errors import ConfigError

ARCHIVE, REST, CCXT = "archive", "rest", "ccxt"


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all sources share: the catalog's base, which holds the cache, whether the network may be used, and addresses.

    `now_ms` says which days are over; `on_wait` is told of waits between attempts. `opened` are the clients made so far,
    `unverified` the addresses of files that came without a checksum, as some do from a mirror.
    """

    base: Path
    now_ms: Callable[[], int]
    allow_net: bool = True
    network: str = LIVE
    base_url: str | None = None
    rest_url: str | None = None
    policies: Policies = Policies()
    on_wait: Callable[[float, str], None] | None = None
    opened: list[HttpClient] = []
    unverified: list[str] = []

    def http(self, weight_per_minute: int | None = None) -> HttpClient:
        """A client for one source."""
        pace = None if weight_per_minute is None else RequestPace(weight_per_minute)
        self.opened.append(HttpClient(allow_net=self.allow_net, on_wait=self.on_wait, pace=pace))
        return self.opened[-1]

    def heard(self, event: str, **about: object) -> None:
        """What a source tells while it receives files."""
        if event == "unverified":
            self.unverified.append(str(about.get("url")))

    def close(self) -> None:
        """Connections are closed; what is still being received ends."""
        for http in self.opened:
            http.close()


def sources_for(exchange: str, market: str, kind: str, via: str | None, settings: SourceSettings) -> list[Source]:
    """The sources of an exchange for `via` (archive, rest, ccxt; None is archive, then rest). Raises ConfigError."""
    if via == CCXT:
        from backtester.data.sources.ccxt_source import CcxtSource

        source = CcxtSource(
            exchange, settings.rest_url, settings.network, settings.allow_net, settings.now_ms, policies=settings.policies
        )
        return [source]
    makers = {"binance": _binance, "bybit": _bybit}.get(exchange)
    if makers is None:
        raise ConfigError(
            f"exchange {exchange!r} has no archive or interface of its own here (binance and bybit have); most exchanges are "
            "reached with --via ccxt"
        )
    wanted = (ARCHIVE, REST) if via is None else (via,)
    # An archive holds the live network only; a source that lacks the kind says so when it is asked.
    return [makers(way, market, kind, settings) for way in wanted if way == REST or settings.network == LIVE]


def _binance(way: str, market: str, kind: str, settings: SourceSettings) -> Source:
    if way == ARCHIVE:
        from backtester.data.sources.binance_archive import BinanceArchive

        cache = DownloadCache(settings.base)
        return BinanceArchive(
            settings.http(),
            cache,
            now_ms=settings.now_ms,
            base_url=settings.base_url,
            policies=settings.policies,
            tell=settings.heard,
        )
    from backtester.data.sources.binance_rest import WEIGHT_PER_MINUTE, BinanceRest

    http = settings.http(WEIGHT_PER_MINUTE.get(market))
    return BinanceRest(
        http, now_ms=settings.now_ms, rest_url=settings.rest_url, network=settings.network, policies=settings.policies
    )


def _bybit(way: str, market: str, kind: str, settings: SourceSettings) -> Source:
    if way == ARCHIVE:
        from backtester.data.sources.bybit_archive import BybitArchive

        return BybitArchive(settings.http(), DownloadCache(settings.base), settings.base_url, policies=settings.policies)
    from backtester.data.sources.bybit_rest import BybitRest

    return BybitRest(settings.rest_url, settings.network, settings.allow_net, settings.now_ms, policies=settings.policies)
