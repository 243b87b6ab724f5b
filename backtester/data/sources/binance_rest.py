"""Binance's interface: the newest days, which the archive does not have yet, in pages of what one answer may hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from backtester.config.configs import REST_URL
from backtester.data.batch import Batch, Origin, RawBatch
from backtester.data.findings import Policies
from backtester.data.http_client import HttpClient
from backtester.data.kinds import VolumeUnit, kind_named
from backtester.data.series import LIVE, Series
from backtester.data.sources.archive_files import INTERVALS, pair_of
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import DataUnavailableError, DownloadError, NotFoundError, SchemaMismatchError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, iso_text

_LIVE_URLS = {"spot": REST_URL, "linear": "https://fapi.binance.com", "inverse": "https://dapi.binance.com"}
_TEST_URL = "https://testnet.binancefuture.com"
_TESTNET_URLS = {"spot": "https://testnet.binance.vision", "linear": _TEST_URL, "inverse": _TEST_URL}
_PATHS = {"spot": "/api/v3", "linear": "/fapi/v1", "inverse": "/dapi/v1"}
WEIGHT_PER_MINUTE = {"spot": 5000, "linear": 2000, "inverse": 2000}
"""Somewhat less than the venue allows one address (6000 on spot, 2400 on futures), since others may stand behind it."""
_BAR_CALLS = {"candles": "klines", "mark": "markPriceKlines", "index": "indexPriceKlines", "premium": "premiumIndexKlines"}
_BAR_LIMITS = {"spot": 1000, "linear": 1500, "inverse": 1500}
_BAR_WEIGHTS = {"spot": 2, "linear": 10, "inverse": 10}
_INVERSE_SPAN_MS = 200 * DAY_MS
"""The longest stretch that one call for coin-margined bars may ask for."""
_TRADE_LIMIT = 1000
_TRADE_WEIGHTS = {"spot": 4, "linear": 20, "inverse": 20}
_FUNDING_LIMIT = 1000
_INTEREST_LIMIT = 500
_INTEREST_SPAN_MS = 30 * DAY_MS - HOUR_MS
"""Open interest is kept for 30 days; the oldest hour is left, which may go while it is asked for."""
INTEREST_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
BATCH_ROWS = 50_000
"""A month of minutes is little less: so few rows are held, and so seldom a month is written again."""
_SECOND_MICROSECONDS = 10**14
"""Times above it are microseconds, below it milliseconds."""


class _Page(NamedTuple):
    """The rows of one answer as the venue gave them."""

    rows: list[Any]
    origin: Origin


class BinanceRest:
    """The interface of spot, linear and inverse markets; `rest_url` stands for all three where it is given.

    `now_ms` serves where the server does not tell its time. `network` is live or testnet.
    """

    name = "binance rest"

    def __init__(
        self,
        http: HttpClient,
        *,
        now_ms: Callable[[], int],
        rest_url: str | None = None,
        network: str = LIVE,
        policies: Policies | None = None,
    ) -> None:
        self._http = http
        self._now_ms = now_ms
        own_url = rest_url.rstrip("/") if rest_url else None
        self._rest_url = None if own_url == REST_URL else own_url
        self._network = network
        self._policies = policies or Policies()

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """The rows there are, each page sanitized; see `Source`."""
        from backtester.data.sanitize import sanitize

        for raw in self.raw_batches(request):
            yield sanitize(raw, self._policies)

    def raw_batches(self, request: DataRequest) -> Iterator[RawBatch]:
        """The rows there are as the venue gave them, in order of time; bars that had not closed at the server's time left out.

        Raises: DataUnavailableError - no such kind here, or nothing in the range. DownloadError - refused or not answered.
        """
        series = request.series
        pages = self._pages_of(series)
        end_ms = min(request.end_ms, self._end_of_closed_ms(series, request.end_ms))
        start_ms = min(request.start_ms, end_ms)
        found = (_raw_batch(series, page, start_ms, end_ms) for page in pages(series, start_ms, end_ms))
        empty = True
        for raw in _collected(one for one in found if one.table.num_rows):
            empty = False
            yield raw
        if empty:
            raise DataUnavailableError(
                f"{self._base(series)} has nothing of {series} from {iso_text(request.start_ms)} to {iso_text(request.end_ms)}"
            )

    def _pages_of(self, series: Series) -> Callable[[Series, int, int], Iterator[_Page]]:
        """The function that asks for the pages of a kind. Raises DataUnavailableError."""
        futures = series.market in {"linear", "inverse"}
        calls: dict[str, Callable[[Series, int, int], Iterator[_Page]]] = {"candles": self._bars, "agg_trades": self._trades}
        if futures:
            calls |= {"mark": self._bars, "index": self._bars, "premium": self._bars, "funding": self._funding}
            calls["open_interest"] = self._interest
        found = calls.get(series.kind) if series.market in _PATHS else None
        if found is None:
            there = ", ".join(calls) if series.market in _PATHS else "spot, linear and inverse markets"
            raise DataUnavailableError(f"binance's interface has no {series.kind} of the {series.market} market; it has {there}")
        periods = {"open_interest": INTEREST_PERIODS}.get(series.kind, INTERVALS)
        if kind_named(series.kind).periodic and series.timeframe not in periods:
            raise DataUnavailableError(f"binance has no {series.kind} of {series.timeframe}; it has {', '.join(periods)}")
        return found

    # -- kinds -------------------------------------------------------------------------------------------------------

    def _bars(self, series: Series, start_ms: int, end_ms: int) -> Iterator[_Page]:
        market, limit = series.market, _BAR_LIMITS[series.market]
        named = "pair" if series.kind == "index" else "symbol"
        symbol = pair_of(series.symbol) if named == "pair" else series.symbol
        asked_ms = start_ms
        while asked_ms < end_ms:
            until_ms = min(end_ms, asked_ms + _INVERSE_SPAN_MS) if market == "inverse" else end_ms
            params: dict[str, str | int] = {
                named: symbol,
                "interval": series.timeframe,
                "startTime": asked_ms,
                "endTime": until_ms - 1,
                "limit": limit,
            }
            rows, origin = self._list(series, f"{_PATHS[market]}/{_BAR_CALLS[series.kind]}", params, _BAR_WEIGHTS[market])
            yield _Page(rows, origin)
            asked_ms = _after(int(rows[-1][0]), series, asked_ms) + series.length_ms - 1 if rows else until_ms

    def _funding(self, series: Series, start_ms: int, end_ms: int) -> Iterator[_Page]:
        asked_ms = start_ms
        while asked_ms < end_ms:
            params: dict[str, str | int] = {
                "symbol": series.symbol,
                "startTime": asked_ms,
                "endTime": end_ms - 1,
                "limit": _FUNDING_LIMIT,
            }
            rows, origin = self._list(series, f"{_PATHS[series.market]}/fundingRate", params, 1)
            yield _Page(rows, origin)
            if len(rows) < _FUNDING_LIMIT:
                return
            asked_ms = _after(int(rows[-1]["fundingTime"]), series, asked_ms)

    def _interest(self, series: Series, start_ms: int, end_ms: int) -> Iterator[_Page]:
        """In windows that one answer can hold, since the venue would hand over the newest rows of a longer one."""
        about: dict[str, str | int] = {"symbol": series.symbol}
        if series.market == "inverse":
            if not series.symbol.endswith("_PERP"):
                raise DataUnavailableError(f"binance's interface has open interest of perpetuals only, not of {series.symbol}")
            about = {"pair": pair_of(series.symbol), "contractType": "PERPETUAL"}
        span_ms = _INTEREST_LIMIT * series.length_ms
        for asked_ms in range(max(start_ms, self._now_ms() - _INTEREST_SPAN_MS), end_ms, span_ms):
            until_ms = min(asked_ms + span_ms, end_ms) - 1
            params = {**about, "period": series.timeframe, "startTime": asked_ms, "endTime": until_ms, "limit": _INTEREST_LIMIT}
            rows, origin = self._list(series, "/futures/data/openInterestHist", params, 1)
            yield _Page(sorted(rows, key=lambda row: int(row["timestamp"])), origin)

    def _trades(self, series: Series, start_ms: int, end_ms: int) -> Iterator[_Page]:
        """By time until the first trade of an hour is found, then by number, so that none of one millisecond is lost."""
        path, weight = f"{_PATHS[series.market]}/aggTrades", _TRADE_WEIGHTS[series.market]
        asked_ms, from_id = start_ms, None
        while asked_ms < end_ms:
            params: dict[str, str | int] = {"symbol": series.symbol, "limit": _TRADE_LIMIT}
            until_ms = min(asked_ms + HOUR_MS, end_ms)
            params |= {"fromId": from_id} if from_id is not None else {"startTime": asked_ms, "endTime": until_ms - 1}
            rows, origin = self._list(series, path, params, weight)
            yield _Page(rows, origin)
            if from_id is None and not rows:
                asked_ms = until_ms
                continue
            if not rows:
                return
            if from_id is not None and int(rows[-1]["a"]) < from_id:
                raise DownloadError(f"{path} answers trade {rows[-1]['a']} when asked from {from_id} on; try again later")
            from_id, asked_ms = int(rows[-1]["a"]) + 1, _time_us(rows[-1]["T"]) // 1000

    # -- requests ----------------------------------------------------------------------------------------------------

    def _list(self, series: Series, path: str, params: dict[str, str | int], weight: int) -> tuple[list[Any], Origin]:
        """The rows of one answer and where they came from. Raises DownloadError, DataUnavailableError."""
        url = f"{self._base(series)}{path}"
        # Spot tells times in microseconds where it is asked to, as its archive does since 2025.
        headers = {"X-MBX-TIME-UNIT": "MICROSECOND"} if series.market == "spot" and series.kind == "agg_trades" else None
        try:
            rows = self._http.get_json(url, params=params, headers=headers, weight=weight)
        except NotFoundError as error:
            raise DataUnavailableError(f"{url} does not exist; is the address of the interface right?") from error
        except DownloadError as error:
            if "-1121" in str(error):
                raise DataUnavailableError(f"{urlsplit(url).hostname} does not know the symbol {series.symbol}") from error
            raise
        if not isinstance(rows, list):
            raise DownloadError(f"{url} answers {str(rows)[:200]!r} in place of rows")
        asked = "&".join(f"{name}={value}" for name, value in params.items())
        return rows, Origin(f"{url}?{asked}", hashlib.sha256(repr(rows).encode()).hexdigest())

    def _end_of_closed_ms(self, series: Series, end_ms: int) -> int:
        """The time until which rows are final: the start of the bar that is open by the server's time; now, for the rest."""
        now_ms = self._now_ms()
        if end_ms + DAY_MS > now_ms:
            try:
                answer = self._http.get_json(f"{self._base(series)}{_PATHS[series.market]}/time")
                now_ms = int(answer["serverTime"])
                now_ms = now_ms // 1000 if now_ms > _SECOND_MICROSECONDS else now_ms
            except (NotFoundError, KeyError, TypeError, ValueError):
                pass  # a mirror may not tell the time: our own serves
        # A bar counts when it has closed: one that starts at now - length or later has not, except at that very instant.
        return now_ms - series.length_ms + 1 if series.kind in _BAR_CALLS else now_ms

    def _base(self, series: Series) -> str:
        if self._rest_url is not None:
            return self._rest_url
        if self._network == LIVE:
            return _LIVE_URLS.get(series.market, REST_URL)
        if self._network != "testnet":
            raise DataUnavailableError(f"binance has no network {self._network!r} to download from; use live or testnet")
        return _TESTNET_URLS.get(series.market, _TEST_URL)


def _after(last_ms: int, series: Series, asked_ms: int) -> int:
    """The millisecond behind the last row. Raises DownloadError where that is no step on, as it would be asked for ever."""
    if last_ms < asked_ms:
        raise DownloadError(f"the answer for {series} from {iso_text(asked_ms)} on ends before, at {iso_text(last_ms)}")
    return last_ms + 1


# -- rows ----------------------------------------------------------------------------------------------------------------


def _raw_batch(series: Series, page: _Page, start_ms: int, end_ms: int) -> RawBatch:
    """The rows of a page that lie in [start_ms, end_ms), in the kind's columns. Raises SchemaMismatchError."""
    import pyarrow as pa

    read = {"agg_trades": _trade, "funding": _rate, "open_interest": _open_interest}.get(series.kind)
    inverse = series.market == "inverse"
    sized = series.kind in {"candles", "agg_trades", "open_interest"}
    kind = kind_named(series.kind)
    micros = kind.time.endswith("_us")
    try:
        rows = [read(row) if read else _bar(row, series.kind == "candles", inverse=inverse) for row in page.rows]
        rows = [row for row in rows if start_ms <= (row[0] // 1000 if micros else row[0]) < end_ms]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(kind.columns)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, kind.schema(), strict=True)]
        table = pa.Table.from_arrays(arrays, schema=kind.schema())
    except (IndexError, KeyError, TypeError, ValueError, pa.ArrowInvalid) as error:
        raise SchemaMismatchError(
            f"{page.origin.name}: rows of another shape than known ({error}): {str(page.rows[:1])[:200]}"
        ) from error
    unit = VolumeUnit.CONTRACTS if inverse and sized else VolumeUnit.BASE
    return RawBatch(series, table, page.origin, unit)


def _collected(pages: Iterable[RawBatch]) -> Iterator[RawBatch]:
    """The same rows in batches of about BATCH_ROWS, each said to come from the first address it holds rows of."""
    held: list[RawBatch] = []
    for page in pages:
        held.append(page)
        if sum(one.table.num_rows for one in held) >= BATCH_ROWS:
            yield _together(held)
            held = []
    if held:
        yield _together(held)


def _together(held: list[RawBatch]) -> RawBatch:
    import pyarrow as pa

    digest = hashlib.sha256("".join(one.origin.sha256 for one in held).encode()).hexdigest()
    table = pa.concat_tables([one.table for one in held]).combine_chunks()
    return held[0]._replace(table=table, origin=Origin(held[0].origin.name, digest))


def _bar(row: list[Any], traded: bool, *, inverse: bool) -> tuple[Any, ...]:
    prices = (int(row[0]), *(float(value) for value in row[1:5]))
    if not traded:
        return prices
    # Of coin-margined contracts these two count the base coin, which is no quote volume.
    quote, taker_quote = (None, None) if inverse else (float(row[7]), float(row[10]))
    return (*prices, float(row[5]), quote, float(row[8]), float(row[9]), taker_quote)


def _trade(row: dict[str, Any]) -> tuple[Any, ...]:
    ids = (int(row["a"]), int(row["f"]), int(row["l"]))
    return (_time_us(row["T"]), float(row["p"]), float(row["q"]), bool(row["m"]), *ids)


def _rate(row: dict[str, Any]) -> tuple[Any, ...]:
    mark = row.get("markPrice")
    return (int(row["fundingTime"]), float(row["fundingRate"]), None, float(mark) if mark else None)


def _open_interest(row: dict[str, Any]) -> tuple[Any, ...]:
    value = row.get("sumOpenInterestValue")
    return (int(row["timestamp"]), float(row["sumOpenInterest"]), float(value) if value else None)


def _time_us(value: Any) -> int:
    return int(value) if int(value) > _SECOND_MICROSECONDS else int(value) * 1000
