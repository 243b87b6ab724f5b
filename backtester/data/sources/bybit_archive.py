"""Bybit's public archives: trades as csv.gz, a file a day, and order books as zips of JSON lines, a file a day.

There are no checksums: a file counts as whole when it unpacks to its end, and what is cached is asked about by its ETag.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from backtester.data.batch import Batch
from backtester.data.download_cache import CachedFile, DownloadCache
from backtester.data.findings import Policies
from backtester.data.http_client import HttpClient
from backtester.data.kinds import kind_named
from backtester.data.series import LIVE, Series
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ConfigError, DataUnavailableError, DownloadError, NetworkForbiddenError, NotFoundError
from backtester.domain.timeframe import DAY_MS, iso_text, parse_time_ms

if TYPE_CHECKING:
    import pyarrow as pa

TRADES_URL = "https://public.bybit.com"
BOOKS_URL = "https://quote-saver.bycsi.com"
SHALLOW_SINCE_MS = parse_time_ms("2025-08-21")
"""From this day on, files of futures have 200 levels in place of 500."""
MARKETS = {"trades": ("linear", "inverse", "spot"), "book": ("linear", "inverse", "spot")}
_CHUNK = 1 << 20


class _Day(NamedTuple):
    """A file and the days that are taken from it: [start_ms, end_ms)."""

    name: str
    file: CachedFile
    start_ms: int
    end_ms: int


class BybitArchive:
    """Both archives, or with `base_url` one mirror of both. Only the live network is archived."""

    name = "bybit archive"

    def __init__(self, http: HttpClient, cache: DownloadCache, base_url: str | None, *, policies: Policies | None = None) -> None:
        self._http = http
        self._cache = cache
        self._trades_url = (base_url or TRADES_URL).rstrip("/")
        self._books_url = (base_url or BOOKS_URL).rstrip("/")
        self._policies = policies or Policies()

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """See Source. Books come in whole days, since each day's file begins with the snapshot that the rest builds on.

        Raises: DataUnavailableError - no such kind, or no file of the range. NetworkForbiddenError - a file is not cached.
        DownloadError - the archive does not answer, or what came is not whole. DataError - a file is not what its name says.
        """
        series = request.series
        if series.exchange != "bybit":
            raise ConfigError(f"{self.name} has no data of {series.exchange}")
        if series.network != LIVE:
            raise DataUnavailableError(f"{self.name} holds the live network only, not {series.network}; use --via rest")
        if series.market not in MARKETS.get(series.kind, ()):
            raise DataUnavailableError(
                f"{self.name} has no {series.kind} of {series.market}; it has trades and book; use --via rest"
            )
        return self._batches(request)

    def _batches(self, request: DataRequest) -> Iterator[Batch]:
        from backtester.data.parsing.formats import Hint, parse_file
        from backtester.data.sanitize import sanitize

        series = request.series
        hint = Hint(exchange="bybit", market=series.market, symbol=series.symbol, kind=series.kind)
        empty = True
        for day in self._days(request):
            for raw in parse_file(day.file.path, name=day.name, hint=hint):
                batch = sanitize(raw, self._policies)
                table = batch.table
                if series.kind == "trades":
                    table = _between(table, series, max(day.start_ms, request.start_ms), min(day.end_ms, request.end_ms))
                if table.num_rows:
                    empty = False
                    yield batch._replace(series=series, table=table)
        if empty:
            raise DataUnavailableError(
                f"{self.name} has nothing of {series} from {iso_text(request.start_ms)} to {iso_text(request.end_ms)} "
                f"({self._url(series, self._names(series, request.start_ms // DAY_MS * DAY_MS)[0])} and what follows)"
            )

    def _days(self, request: DataRequest) -> Iterator[_Day]:
        """The files of the range in order of time; days without a file are left out."""
        series = request.series
        month = ""
        in_month: _Day | None = None
        for day_ms in range(request.start_ms // DAY_MS * DAY_MS, request.end_ms, DAY_MS):
            found = self._first(series, self._names(series, day_ms), day_ms, day_ms + DAY_MS)
            if found is not None:
                yield found
            elif series.kind == "trades" and series.market == "spot":
                # Older spot trades are in files of months; each is asked for once, and gives the days that have no file.
                name = f"spot/{series.symbol}/{series.symbol}-{_date(day_ms)[:7]}.csv.gz"
                if name != month:
                    month, in_month = name, self._first(series, (name,), day_ms, day_ms + DAY_MS)
                if in_month is not None:
                    yield in_month._replace(start_ms=day_ms, end_ms=day_ms + DAY_MS)

    def _names(self, series: Series, day_ms: int) -> tuple[str, ...]:
        """The names that the file of a day may have, likeliest first."""
        symbol, date = series.symbol, _date(day_ms)
        if series.kind == "trades":
            return (
                f"spot/{symbol}/{symbol}_{date}.csv.gz" if series.market == "spot" else f"trading/{symbol}/{symbol}{date}.csv.gz",
            )
        deep_first = series.market != "spot" and day_ms < SHALLOW_SINCE_MS
        depths = (500, 200) if deep_first else (200, 500)
        return tuple(f"orderbook/{series.market}/{symbol}/{date}_{symbol}_ob{depth}.data.zip" for depth in depths)

    def _first(self, series: Series, names: tuple[str, ...], start_ms: int, end_ms: int) -> _Day | None:
        for name in names:
            file = self._received(self._url(series, name))
            if file is not None:
                return _Day(name, file, start_ms, end_ms)
        return None

    def _url(self, series: Series, name: str) -> str:
        return f"{self._trades_url if series.kind == 'trades' else self._books_url}/{name}"

    def _received(self, url: str) -> CachedFile | None:
        """The file at `url`, whole; None where there is none."""
        if not self._http.allow_net:
            held = self._cache.held(url)
            if held is None and not self._cache.known_absent(url):
                raise NetworkForbiddenError(f"{url} is not cached, and the network may not be used (allow_net=False, --offline)")
            return held
        try:
            file = self._cache.fetch(self._http, url)
        except NotFoundError:
            self._cache.note_absent(url)
            return None
        reason = _broken(file) if file.fetched else None
        if reason is not None:
            self._cache.discard(url)
            raise DownloadError(f"{url} is not whole ({reason}); nothing of it was used; try again later")
        return file


def _broken(file: CachedFile) -> str | None:
    """Why a file does not unpack; None where it does. Of zips only the directory is looked at: members carry checksums."""
    try:
        if file.url.endswith(".zip"):
            zipfile.ZipFile(file.path).close()
        else:
            with gzip.open(file.path) as content:
                while content.read(_CHUNK):
                    pass
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError) as error:
        return str(error)
    return None


def _between(table: pa.Table, series: Series, start_ms: int, end_ms: int) -> pa.Table:
    """The rows whose time is in [start_ms, end_ms)."""
    time_us = table.column(kind_named(series.kind).time).to_numpy()
    return table.filter((time_us >= start_ms * 1000) & (time_us < end_ms * 1000))


def _date(day_ms: int) -> str:
    return datetime.fromtimestamp(day_ms // 1000, tz=UTC).strftime("%Y-%m-%d")
