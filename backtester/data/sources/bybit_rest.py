"""Bybit's interface v5: bars, funding, open interest, and the latest trades and book.

Everything is answered newest first, a page at a time; a stretch is asked for by its start and end, and its end moved to just
before the oldest row until nothing is left (data formats, section 2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from backtester.data.batch import Batch
from backtester.data.findings import Policies
from backtester.data.kinds import VolumeUnit
from backtester.data.series import LIVE, Series
from backtester.data.sources.answer_batch import batch_of, collected, still_open
from backtester.data.sources.bybit_client import BybitClient, Envelope
from backtester.data.sources.paging import Ask, Row, start_of_history, whole_window, windows
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ConfigError, DataUnavailableError, DownloadError
from backtester.domain.timeframe import HOUR_MS, iso_text

PAGE_ROWS = 1000
SHORT_PAGE_ROWS = 200
"""Rows of a page of bars, and of funding or open interest."""
SPOT_TRADES = 60
BOOK_LEVELS = {"spot": 200, "linear": 1000, "inverse": 1000, "option": 25}
_INTERVALS = {
    "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120", "4h": "240", "6h": "360", "12h": "720",
    "1d": "D", "1w": "W",
}  # fmt: skip
_INTEREST_INTERVALS = {"5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h", "1d": "1d"}


class _Bars(NamedTuple):
    """How bars of a kind are asked for."""

    method: str
    path: str


_BARS = {
    "candles": _Bars("get_kline", "/v5/market/kline"),
    "mark": _Bars("get_mark_price_kline", "/v5/market/mark-price-kline"),
    "index": _Bars("get_index_price_kline", "/v5/market/index-price-kline"),
    "premium": _Bars("get_premium_index_price_kline", "/v5/market/premium-index-price-kline"),
}
KINDS = {
    "spot": ("candles", "trades", "book"),
    "linear": (*_BARS, "funding", "open_interest", "trades", "book"),
    "inverse": (*_BARS, "funding", "open_interest", "trades", "book"),
    "option": ("trades", "book"),
}
"""What the interface has of each market."""
_OHLC = ("start_ms", "open", "high", "low", "close")


class BybitRest:
    """Bybit through pybit. `rest_url`: another address of the interface; `now_ms`: our clock, where the venue states no time."""

    def __init__(
        self,
        rest_url: str | None,
        network: str,
        allow_net: bool,
        now_ms: Callable[[], int],
        *,
        policies: Policies | None = None,
        wait: Callable[[float], object] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._client = BybitClient(rest_url, network, allow_net, now_ms, wait=wait, timeout_s=timeout_s)
        self._network = network
        self._now_ms = now_ms
        self._policies = policies or Policies()

    @property
    def name(self) -> str:
        """As in messages."""
        return "bybit v5" if self._network == LIVE else f"bybit v5 {self._network}"

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """See Source. Volumes: linear and spot in base, inverse in quote (USD). Of trades and books only the latest exist.

        Raises: ConfigError - a kind, timeframe, exchange or network that this source has not. DownloadError - the venue
        refuses or does not answer. DataUnavailableError - nothing in the range. NetworkForbiddenError - before any request.
        """
        series = request.series
        if series.exchange != "bybit" or series.network != self._network:
            raise ConfigError(f"{self.name} has no data of {series.venue}")
        kinds = KINDS.get(series.market, ())
        if series.kind not in kinds:
            raise ConfigError(f"{self.name} has no {series.kind} of {series.market}; it has {', '.join(kinds) or 'nothing'}")
        if series.kind in _BARS:
            batches = self._bars(request)
        elif series.kind == "funding":
            batches = self._funding(request)
        elif series.kind == "open_interest":
            batches = self._open_interest(request)
        else:
            batches = self._latest(request)
        return self._some(batches, request)

    def _some(self, batches: Iterator[Batch], request: DataRequest) -> Iterator[Batch]:
        """The batches, at least one of which has rows."""
        empty = True
        for batch in batches:
            if batch.table.num_rows:
                empty = False
                yield batch
        if empty:
            hint = ""
            if request.series.kind in {"trades", "book"}:
                hint = "; the interface has only the latest, older ones are in the archive"
            raise DataUnavailableError(
                f"{self.name} has nothing of {request.series} from {iso_text(request.start_ms)} to {iso_text(request.end_ms)}{hint}"
            )

    # -- kinds -------------------------------------------------------------------------------------------------------

    def _bars(self, request: DataRequest) -> Iterator[Batch]:
        series = request.series
        interval = _named(_INTERVALS, series)
        bars, length_ms = _BARS[series.kind], series.length_ms
        told = _Told(self._now_ms)

        def ask(first_ms: int, last_ms: int) -> list[Row]:
            answer = self._client.ask(
                bars.method,
                bars.path,
                category=series.market,
                symbol=series.symbol,
                interval=interval,
                start=first_ms,
                end=last_ms,
                limit=PAGE_ROWS,
            )
            told.hear(answer)
            return _rows(answer, lambda row: (int(row[0]), *row[1:]))

        names: tuple[str, ...] = _OHLC
        if series.kind == "candles":
            # The turnover of an inverse contract is in its coin: no quote volume.
            names = (*_OHLC, "volume") if series.market == "inverse" else (*_OHLC, "volume", "quote_volume")
        pages = self._pages(ask, request, rows=PAGE_ROWS, step_ms=length_ms)
        address = self._client.address(bars.path, {"category": series.market, "symbol": series.symbol, "interval": interval})
        for rows in collected(pages):
            closed = [row for row in rows if row[0] + length_ms <= told.server_ms]
            findings = still_open(len(rows) - len(closed), file=address, row=len(closed) + 1)
            if closed:
                yield batch_of(
                    series,
                    names,
                    [row[: len(names)] for row in closed],
                    origin=address,
                    policies=self._policies,
                    volume_unit=_unit(series),
                    findings=findings,
                )

    def _funding(self, request: DataRequest) -> Iterator[Batch]:
        path = "/v5/market/funding/history"

        def ask(first_ms: int, last_ms: int) -> list[Row]:
            answer = self._client.ask(
                "get_funding_rate_history",
                path,
                category=request.series.market,
                symbol=request.series.symbol,
                startTime=first_ms,
                endTime=last_ms,
                limit=SHORT_PAGE_ROWS,
            )
            return _rows(answer, lambda row: (int(row["fundingRateTimestamp"]), row["fundingRate"]))

        # Settlements are 8 hours apart as a rule; where they are closer, a stretch has more pages.
        pages = self._pages(ask, request, rows=SHORT_PAGE_ROWS, step_ms=8 * HOUR_MS, least_ms=1)
        yield from self._plain(request, ("time_ms", "rate"), pages, path)

    def _open_interest(self, request: DataRequest) -> Iterator[Batch]:
        path, interval = "/v5/market/open-interest", _named(_INTEREST_INTERVALS, request.series)

        def ask(first_ms: int, last_ms: int) -> list[Row]:
            answer = self._client.ask(
                "get_open_interest",
                path,
                category=request.series.market,
                symbol=request.series.symbol,
                intervalTime=interval,
                startTime=first_ms,
                endTime=last_ms,
                limit=SHORT_PAGE_ROWS,
            )
            return _rows(answer, lambda row: (int(row["timestamp"]), row["openInterest"]))

        pages = self._pages(ask, request, rows=SHORT_PAGE_ROWS, step_ms=request.series.length_ms)
        yield from self._plain(request, ("time_ms", "open_interest"), pages, path)

    def _latest(self, request: DataRequest) -> Iterator[Batch]:
        """The trades or the book of this moment, as far as they are in the range."""
        series = request.series
        where: dict[str, object] = {"category": series.market, "symbol": series.symbol}
        if series.kind == "trades":
            path = "/v5/market/recent-trade"
            names: tuple[str, ...] = ("time_us", "price", "qty", "is_buyer_maker", "trade_id")
            limit = SPOT_TRADES if series.market == "spot" else PAGE_ROWS
            answer = self._client.ask("get_public_trade_history", path, **where, limit=limit)
            rows = _rows(answer, _trade)[::-1]  # newest first
        else:
            path, names = "/v5/market/orderbook", ("time_us", "message", "is_snapshot", "is_bid", "price", "qty", "last_id")
            answer = self._client.ask("get_orderbook", path, **where, limit=BOOK_LEVELS[series.market])
            rows = _book(answer)
        inside = [row for row in rows if request.start_ms * 1000 <= row[0] < request.end_ms * 1000]
        yield from self._plain(request, names, [inside], path)

    # -- pages -------------------------------------------------------------------------------------------------------

    def _pages(
        self, ask: Ask, request: DataRequest, *, rows: int, step_ms: int, least_ms: int | None = None
    ) -> Iterator[Sequence[Row]]:
        """All rows of the range in stretches of `rows` steps; `least_ms` where rows may be closer than a step."""
        end_ms = min(request.end_ms, self._now_ms() + step_ms)
        start_ms = start_of_history(ask, request.start_ms, end_ms, rows * step_ms)
        for first_ms, last_ms in windows(start_ms, end_ms, rows * step_ms):
            yield whole_window(ask, first_ms, last_ms, step_ms=least_ms or step_ms, newest_first=True)

    def _plain(
        self, request: DataRequest, names: tuple[str, ...], pages: Iterator[Sequence[Row]] | list[list[Row]], path: str
    ) -> Iterator[Batch]:
        series = request.series
        address = self._client.address(path, {"category": series.market, "symbol": series.symbol})
        for rows in collected(pages):
            yield batch_of(series, names, rows, origin=address, policies=self._policies, volume_unit=_unit(series))


class _Told:
    """The time at the venue when it answered last; ours until it has."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._stated_ms: int | None = None

    def hear(self, answer: Envelope) -> None:
        stated = answer.get("time")
        if isinstance(stated, int) and stated > 0:
            self._stated_ms = stated

    @property
    def server_ms(self) -> int:
        return self._now_ms() if self._stated_ms is None else self._stated_ms


def _unit(series: Series) -> VolumeUnit:
    """Inverse contracts are counted in USD."""
    counted = series.kind in {"candles", "open_interest", "trades", "book"}
    return VolumeUnit.QUOTE if series.market == "inverse" and counted else VolumeUnit.BASE


def _named(intervals: Mapping[str, str], series: Series) -> str:
    if series.timeframe not in intervals:
        raise ConfigError(f"Bybit has no {series.kind} of {series.timeframe}; it has {', '.join(intervals)}")
    return intervals[series.timeframe]


def _rows(answer: Envelope, read: Callable[[Any], Row]) -> list[Row]:
    """The rows of an answer. Raises DownloadError where they are not as documented."""
    listed = answer["result"].get("list")
    try:
        return [read(row) for row in listed or ()]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DownloadError(
            f"Bybit answered with rows of another shape than documented ({type(error).__name__}: {error})"
        ) from error


def _trade(row: Mapping[str, Any]) -> Row:
    """`side` is the taker's: a seller who takes meets a buyer who waited."""
    return int(row["time"]) * 1000, row["price"], row["size"], row["side"] == "Sell", str(row["execId"])


def _book(answer: Envelope) -> list[Row]:
    """One row a level, bids first, best first, at the time of the matching engine."""
    book = answer["result"]
    try:
        time_us, update = int(book.get("cts") or book["ts"]) * 1000, int(book["u"])
        sides = ((True, book["b"]), (False, book["a"]))
        return [(time_us, 0, True, is_bid, price, qty, update) for is_bid, levels in sides for price, qty in levels]
    except (KeyError, TypeError, ValueError) as error:
        raise DownloadError(
            f"Bybit answered with a book of another shape than documented ({type(error).__name__}: {error})"
        ) from error
