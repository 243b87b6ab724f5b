"""Any exchange that ccxt knows: candles, mark, index and premium bars, and settled funding, walked through page by page here.

ccxt's own paging is not used: it asks for the newest candles first and stops early, or answers one page again and again.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from backtester.data.batch import Batch
from backtester.data.findings import Policies
from backtester.data.series import LIVE, Series
from backtester.data.sources.answer_batch import batch_of, collected, still_open
from backtester.data.sources.ccxt_names import market_word, stored_symbol
from backtester.data.sources.paging import Ask, Row, start_of_history, whole_window, windows
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ConfigError, DataUnavailableError, DownloadError, NetworkForbiddenError
from backtester.domain.timeframe import HOUR_MS, iso_text

T = TypeVar("T")

_FETCHES = {
    "candles": ("fetch_ohlcv", "fetchOHLCV"),
    "mark": ("fetch_mark_ohlcv", "fetchMarkOHLCV"),
    "index": ("fetch_index_ohlcv", "fetchIndexOHLCV"),
    "premium": ("fetch_premium_index_ohlcv", "fetchPremiumIndexOHLCV"),
    "funding": ("fetch_funding_rate_history", "fetchFundingRateHistory"),
}
"""Method and capability of each kind."""
_MARKET_TYPES: Mapping[str, Mapping[str, list[str]]] = {
    "binance": {"spot": ["spot"], "linear": ["linear"], "inverse": ["inverse"]},
    "bybit": {"spot": ["spot"], "linear": ["linear"], "inverse": ["inverse"]},
    "okx": {"spot": ["spot"], "linear": ["swap", "future"], "inverse": ["swap", "future"]},
}
"""Lists of instruments that need not all be fetched for one symbol."""
_FUNDING_UNTIL = {"okx": "after"}
"""Exchanges whose funding history takes an end only by the exchange's own name of it."""
_PAGE_ROWS = 500
_FUNDING_ROWS = 100
_WAIT_S_MAX = 60.0
_HOST = re.compile(r"^(https?|wss?)://[^/]+")
_TAKES_UNTIL = "params.until"
"""Stands in the documentation of a ccxt method that takes an end."""


class CcxtSource:
    """One exchange through ccxt, which is imported when something is fetched.

    Args:   exchange - ccxt's id of it, also the exchange of the series. rest_url - another address for all its hosts.
            now_ms - our clock, used where the exchange does not tell its own. wait - does the waiting between attempts (s).
            paced - ccxt keeps to the exchange's limit of requests; only a server of one's own does without.
    Volumes are in the base asset, as ccxt converts them.
    """

    def __init__(
        self,
        exchange: str,
        rest_url: str | None,
        network: str,
        allow_net: bool,
        now_ms: Callable[[], int],
        *,
        policies: Policies | None = None,
        wait: Callable[[float], object] | None = None,
        timeout_s: float = 10.0,
        retries: int = 4,
        paced: bool = True,
    ) -> None:
        self._exchange = exchange
        self._rest_url = rest_url.rstrip("/") if rest_url else None
        self._network = network
        self._allow_net = allow_net
        self._now_ms = now_ms
        self._policies = policies or Policies()
        self._wait = wait or threading.Event().wait
        self._timeout_s = timeout_s
        self._retries = retries
        self._paced = paced
        self._clients: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """As in messages."""
        return f"ccxt {self._exchange}" if self._network == LIVE else f"ccxt {self._exchange} {self._network}"

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """See Source.

        Raises: ConfigError - an exchange, symbol, kind or timeframe that there is not. DownloadError - the exchange refuses or
        does not answer. DataUnavailableError - nothing in the range. NetworkForbiddenError - before any request.
        """
        series = request.series
        if series.exchange != self._exchange or series.network != self._network:
            raise ConfigError(f"{self.name} has no data of {series.venue}")
        if series.kind not in _FETCHES:
            raise ConfigError(f"ccxt has no {series.kind}; it has {', '.join(_FETCHES)}")
        if not self._allow_net:
            raise NetworkForbiddenError(f"{self.name}: {series} is not cached, and the network may not be used (allow_net=False)")
        client = self._client(series.market)
        method, capability = _FETCHES[series.kind]
        if not client.has.get(capability):
            raise ConfigError(f"{self.name} cannot fetch {series.kind} ({capability} is not supported)")
        if series.kind != "funding" and series.timeframe not in client.timeframes:
            raise ConfigError(f"{self.name} has no timeframe {series.timeframe}; it has {', '.join(client.timeframes)}")
        return self._batches(client, method, request)

    def _batches(self, client: Any, method: str, request: DataRequest) -> Iterator[Batch]:
        series = request.series
        symbol = self._symbol(client, series)
        # What had closed before the first page was asked for does not change any more.
        now_ms = self._server_ms(client)
        length_ms = series.length_ms
        read = self._funding if series.kind == "funding" else self._bars
        names = {"candles": ("start_ms", "open", "high", "low", "close", "volume"), "funding": ("time_ms", "rate")}.get(
            series.kind, ("start_ms", "open", "high", "low", "close")
        )
        origin = f"{self.name} {method} {symbol}" + (f" {series.timeframe}" if length_ms else "")
        empty = True
        for rows in collected(read(client, method, symbol, request, min(request.end_ms, now_ms))):
            closed = [row[: len(names)] for row in rows if row[0] + length_ms <= now_ms]
            if closed:
                empty = False
                findings = still_open(len(rows) - len(closed), file=origin, row=len(closed) + 1)
                yield batch_of(series, names, closed, origin=origin, policies=self._policies, findings=findings)
        if empty:
            raise DataUnavailableError(
                f"{self.name} has nothing of {series} from {iso_text(request.start_ms)} to {iso_text(request.end_ms)}"
            )

    # -- pages -------------------------------------------------------------------------------------------------------

    def _bars(self, client: Any, method: str, symbol: str, request: DataRequest, end_ms: int) -> Iterator[Sequence[Row]]:
        series = request.series
        limit = _page_rows(client, series)
        fetch = getattr(client, method)
        has_end = _TAKES_UNTIL in (client.fetch_ohlcv.__doc__ or "")

        def ask(first_ms: int, last_ms: int) -> list[Row]:
            params = {"until": last_ms} if has_end else {}
            rows = self._call(lambda: fetch(symbol, series.timeframe, first_ms, limit, params))
            return [tuple(row) for row in rows]

        step_ms = series.length_ms
        if has_end:
            yield from _by_windows(ask, request.start_ms, end_ms, limit * step_ms, step_ms)
        else:
            yield from _since(ask, request.start_ms, end_ms, limit * step_ms, step_ms)

    def _funding(self, client: Any, method: str, symbol: str, request: DataRequest, end_ms: int) -> Iterator[Sequence[Row]]:
        fetch = getattr(client, method)
        end_name = _FUNDING_UNTIL.get(self._exchange, "until" if _TAKES_UNTIL in (fetch.__doc__ or "") else "")

        def ask(first_ms: int, last_ms: int) -> list[Row]:
            params = {end_name: last_ms} if end_name else {}
            rows = self._call(lambda: fetch(symbol, first_ms, _FUNDING_ROWS, params))
            return [(row["timestamp"], row["fundingRate"]) for row in rows]

        span_ms = _FUNDING_ROWS * 8 * HOUR_MS
        if end_name:
            yield from _by_windows(ask, request.start_ms, end_ms, span_ms, 1)
        else:
            yield from _since(ask, request.start_ms, end_ms, span_ms, 1)

    # -- the client --------------------------------------------------------------------------------------------------

    def _client(self, market: str) -> Any:
        """A client that knows the instruments of `market`; one for each, since lists are limited to what is needed."""
        if market in self._clients:
            return self._clients[market]
        import ccxt  # type: ignore[import-untyped] # ccxt ships no types

        if self._exchange not in ccxt.exchanges:
            near = difflib.get_close_matches(self._exchange, ccxt.exchanges, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"it knows {len(ccxt.exchanges)}, such as binance, bybit, okx"
            raise ConfigError(f"ccxt has no exchange {self._exchange!r}; {hint}")
        client = getattr(ccxt, self._exchange)({"enableRateLimit": self._paced, "timeout": int(self._timeout_s * 1000)})
        try:
            if self._network == "testnet":
                client.set_sandbox_mode(True)
            elif self._network == "demo":
                client.enable_demo_trading(True)
        except (ccxt.NotSupported, AttributeError):
            raise ConfigError(f"{self._exchange} has no {self._network} in ccxt") from None
        client.has["fetchCurrencies"] = False  # costs requests, and nothing here needs it
        types = _MARKET_TYPES.get(self._exchange, {}).get(market)
        if types is not None:
            options = client.options.get("fetchMarkets")
            client.options["fetchMarkets"] = {**(options if isinstance(options, Mapping) else {}), "types": types}
        if self._rest_url is not None:
            client.urls["api"] = _redirected(client.urls["api"], self._rest_url)
        self._clients[market] = client
        return client

    def _symbol(self, client: Any, series: Series) -> str:
        """ccxt's name of the series' symbol. Raises ConfigError with the nearest names where there is none."""
        markets = self._call(client.load_markets)
        names = {
            stored_symbol(one["symbol"]): str(one["symbol"])
            for one in markets.values()
            if market_word(one["symbol"], one) == series.market
        }
        if series.symbol not in names:
            near = difflib.get_close_matches(series.symbol, names, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {len(names)} there"
            raise ConfigError(f"{self.name} has no {series.market} market {series.symbol}; {hint}")
        return names[series.symbol]

    def _server_ms(self, client: Any) -> int:
        """The exchange's time where it tells one that is before ours, else ours: what is over by both is over."""
        if not client.has.get("fetchTime"):
            return self._now_ms()
        stated = self._call(client.fetch_time)
        return min(stated, self._now_ms()) if isinstance(stated, int) else self._now_ms()

    def _call(self, once: Callable[[], T]) -> T:
        """What `once` returns; what may pass is tried again after a wait. Raises DownloadError."""
        import ccxt

        attempt = 0
        while True:
            attempt += 1
            try:
                return once()
            except ccxt.OperationFailed as error:  # timeouts, rate limits, maintenance, answers that make no sense
                if attempt > self._retries:
                    raise DownloadError(f"{self.name}: {_words(error)} ({attempt} attempts)") from error
            except ccxt.BaseError as error:
                raise DownloadError(f"{self.name} refuses: {_words(error)}") from error
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:  # ccxt reads whatever JSON came
                raise DownloadError(f"{self.name}: the answer is not as ccxt expects it ({_words(error)})") from error
            self._wait(min(2.0 ** (attempt - 1), _WAIT_S_MAX))


def _by_windows(ask: Ask, start_ms: int, end_ms: int, span_ms: int, step_ms: int) -> Iterator[Sequence[Row]]:
    """Stretch by stretch, each whole, from the first that has anything."""
    with suppress(DownloadError):  # some exchanges refuse a long range: then every stretch is asked for
        start_ms = start_of_history(ask, start_ms, end_ms, span_ms)
    for first_ms, last_ms in windows(start_ms, end_ms, span_ms):
        yield whole_window(ask, first_ms, last_ms, step_ms=step_ms)


def _since(ask: Ask, start_ms: int, end_ms: int, span_ms: int, step_ms: int) -> Iterator[Sequence[Row]]:
    """For exchanges that take no end: each page begins after the last row of the one before. Time always goes on."""
    since_ms = start_ms
    while since_ms < end_ms:
        page = ask(since_ms, end_ms - 1)
        rows = sorted((row for row in page if since_ms <= row[0] < end_ms), key=lambda row: row[0])
        if rows:
            yield rows
            since_ms = rows[-1][0] + step_ms
        elif any(row[0] >= end_ms for row in page):
            return
        else:
            since_ms += span_ms


def _page_rows(client: Any, series: Series) -> int:
    """How many bars a page may hold, as far as ccxt knows."""
    features = client.features if isinstance(client.features, Mapping) else {}
    of_market: Any = features.get("spot" if series.market == "spot" else "swap") or {}
    if series.market in {"linear", "inverse"}:
        of_market = of_market.get(series.market) or {}
    told = of_market.get("fetchOHLCV") or {}
    limit = told.get(series.kind) or told.get("limit")
    return limit if isinstance(limit, int) and limit > 0 else _PAGE_ROWS


def _redirected(urls: object, base: str) -> Any:
    """The same nested addresses, each at `base` in place of its host."""
    if isinstance(urls, Mapping):
        return {name: _redirected(value, base) for name, value in urls.items()}
    return _HOST.sub(base, urls) if isinstance(urls, str) else urls


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
