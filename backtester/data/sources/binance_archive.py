"""Binance's public archive: files of months first, files of days for the rest and where a month lacks days."""

from __future__ import annotations

import re
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from backtester.config.configs import ARCHIVE_URL
from backtester.data.batch import Batch, RawBatch
from backtester.data.download_cache import CachedFile, DownloadCache
from backtester.data.findings import Policies
from backtester.data.http_client import HttpClient
from backtester.data.kinds import kind_named
from backtester.data.series import LIVE, Series
from backtester.data.sources.archive_files import (
    ArchiveKind,
    Month,
    archive_kind,
    file_name,
    month_prefix,
    months_over,
)
from backtester.data.sources.listing import S3Listing
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ChecksumError, DataUnavailableError, DownloadError, NetworkForbiddenError, NotFoundError
from backtester.domain.timeframe import DAY_MS, bucket_offset_ms, iso_text

if TYPE_CHECKING:
    import pyarrow as pa

A = TypeVar("A")
B = TypeVar("B")

LISTING_URL = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
PARALLEL = 4
"""Files that are asked for at the same time."""
_CHECKSUM = re.compile(r"(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>\S+)\s*")
_DAYS_TO_TRY = 3
"""With more missing days than these in a month, the archive is asked once which of them it has."""

Tell = Callable[..., None]
"""Is told what happens: a word, and what it is about by name."""


def _untold(event: str, **about: object) -> None:
    """Nobody listens."""


class ArchivePiece(NamedTuple):
    """A received file, and the stretch [start_ms, end_ms) of `series` that is taken from it. `verified`: by a checksum."""

    series: Series
    start_ms: int
    end_ms: int
    name: str
    file: CachedFile
    verified: bool

    def raw_batches(self) -> Iterator[RawBatch]:
        """The rows of the stretch as the file has them. Raises DataError - the file is not what its name says."""
        for raw in _parsed(self):
            cut = _cut(raw, self.start_ms, self.end_ms)
            if cut.table.num_rows or cut.findings:
                yield cut._replace(series=self.series)


class BinanceArchive:
    """The archive at `base_url`, or a mirror of it, which need not have checksums, files of days or a listing.

    Args: now_ms - the time, to know which days are over. tell - is told what was received, verified or absent. listing_url -
          where the files are listed; the archive itself has one, a mirror is taken to have none. parallel - downloads at a time.
    """

    name = "binance archive"

    def __init__(
        self,
        http: HttpClient,
        cache: DownloadCache,
        *,
        now_ms: Callable[[], int],
        base_url: str | None = None,
        policies: Policies | None = None,
        tell: Tell | None = None,
        listing_url: str | None = None,
        parallel: int = PARALLEL,
    ) -> None:
        self._http = http
        self._cache = cache
        self._now_ms = now_ms
        self._base_url = (base_url or ARCHIVE_URL).rstrip("/")
        self._is_original = self._base_url == ARCHIVE_URL
        self._policies = policies or Policies()
        self._tell = tell or _untold
        listed_at = listing_url or (LISTING_URL if self._is_original else None)
        self._listing = S3Listing(http, listed_at) if listed_at and http.allow_net else None
        self._parallel = parallel

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """The rows there are of the days that are over; see `Source`. Files stay in the cache, verified."""
        from backtester.data.sanitize import sanitize

        found = False
        for piece in self.pieces(request):
            for raw in piece.raw_batches():
                found = True
                yield sanitize(raw, self._policies)
        if not found:
            raise DataUnavailableError(
                f"the binance archive at {self._base_url} has nothing of {request.series} from {iso_text(request.start_ms)} to "
                f"{iso_text(request.end_ms)}"
            )

    def pieces(self, request: DataRequest) -> Iterator[ArchivePiece]:
        """Files received and verified, in order of time, that hold what there is of the request; days without a file are absent.

        Raises: DataUnavailableError - the archive has no such kind. NetworkForbiddenError - a file is not cached.
                ChecksumError, DownloadError, StorageError - a file could not be had as it was published.
        """
        series = request.series
        if series.network != LIVE:
            raise DataUnavailableError(f"the binance archive holds the live network only, not {series.network}; use --via rest")
        kind = archive_kind(series)
        months = months_over(request.start_ms, request.end_ms, self._now_ms())
        with _workers(self._parallel, self._http) as workers:
            monthly = _in_order(workers, lambda month: self._month_file(series, kind, month), months, self._parallel)
            for month, file in monthly:
                yield from self._month(request, kind, month, file, workers)

    def _month_file(self, series: Series, kind: ArchiveKind, month: Month) -> ArchivePiece | None:
        """The file of a month, where it is worth its size: for the ticks of some days their own files are smaller."""
        some_ticks = not month.whole and not kind.bars and series.market in kind.daily
        return None if some_ticks else self._monthly(series, kind, month)

    def _monthly(self, series: Series, kind: ArchiveKind, month: Month) -> ArchivePiece | None:
        if series.market not in kind.monthly or month.end_ms > self._now_ms():
            return None
        name = file_name(series, kind, month.start_ms, monthly=True)
        if not self._http.allow_net and series.market in kind.daily and self._cache.held(self._url(name)) is None:
            return None  # its days may be cached; where they are not, that is told by their names
        return self._received(series, name, month.start_ms, month.end_ms)

    def _month(
        self, request: DataRequest, kind: ArchiveKind, month: Month, whole: ArchivePiece | None, workers: ThreadPoolExecutor
    ) -> Iterator[ArchivePiece]:
        """The pieces of one month: of each day the file that has more of it."""
        series = request.series
        counts = _rows_by_day(whole) if whole is not None else Counter()
        chosen = dict.fromkeys(month.days, whole)
        lacking = [day_ms for day_ms in month.days if counts[day_ms] < _rows_expected(series, day_ms)]
        if lacking and series.market in kind.daily:
            there = self._days_there(series, kind, month, lacking)
            days = _in_order(workers, lambda day_ms: self._daily(series, kind, day_ms, there), lacking, self._parallel)
            for day_ms, piece in days:
                if piece is not None and (not counts[day_ms] or _rows_by_day(piece)[day_ms] > counts[day_ms]):
                    chosen[day_ms] = piece
        if whole is not None:
            empty = [day_ms for day_ms in lacking if chosen[day_ms] is whole and not counts[day_ms]]
            chosen |= dict.fromkeys(empty)
        absent = [day_ms for day_ms in month.days if chosen[day_ms] is None]
        if absent and whole is None and (late := self._late_month(series, kind, month)) is not None:
            chosen |= dict.fromkeys(absent, late)
        for piece, days_of in groupby(month.days, key=lambda day_ms: chosen[day_ms]):
            run = list(days_of)
            if piece is None:
                self._tell("absent", series=str(series), start_ms=run[0], end_ms=run[-1] + DAY_MS)
                continue
            start_ms, end_ms = max(run[0], request.start_ms), min(run[-1] + DAY_MS, request.end_ms)
            yield piece._replace(start_ms=start_ms, end_ms=end_ms)

    def _late_month(self, series: Series, kind: ArchiveKind, month: Month) -> ArchivePiece | None:
        """The month's file where it was not asked for at first, since files of days seemed to do."""
        if kind.bars or month.whole or series.market not in kind.daily:
            return None
        return self._monthly(series, kind, month)

    def _daily(self, series: Series, kind: ArchiveKind, day_ms: int, there: frozenset[str] | None) -> ArchivePiece | None:
        name = file_name(series, kind, day_ms, monthly=False)
        if there is not None and name not in there:
            self._cache.note_absent(self._url(name))
            return None
        return self._received(series, name, day_ms, day_ms + DAY_MS)

    def _days_there(self, series: Series, kind: ArchiveKind, month: Month, lacking: list[int]) -> frozenset[str] | None:
        if self._listing is None or len(lacking) <= _DAYS_TO_TRY:
            return None
        return self._listing.names(month_prefix(series, kind, month.start_ms))

    # -- one file ----------------------------------------------------------------------------------------------------

    def _received(self, series: Series, name: str, start_ms: int, end_ms: int) -> ArchivePiece | None:
        """The file at `name`, whole and as published; None where there is none."""
        url = self._url(name)
        if not self._http.allow_net:
            return self._held(series, name, start_ms, end_ms)
        sha256 = self._published_digest(url, name)
        try:
            file = self._cache.fetch(self._http, url, sha256=sha256)
        except NotFoundError:
            self._cache.note_absent(url)
            return None
        if sha256 is None:
            self._require_plausible(file)
        self._tell("received" if file.fetched else "cached", url=url, sha256=file.sha256, bytes=file.size)
        self._tell("verified" if sha256 else "unverified", url=url, sha256=file.sha256)
        return ArchivePiece(series, start_ms, end_ms, name, file, sha256 is not None)

    def _held(self, series: Series, name: str, start_ms: int, end_ms: int) -> ArchivePiece | None:
        url = self._url(name)
        held = self._cache.held(url)
        if held is not None:
            self._tell("cached", url=url, sha256=held.sha256, bytes=held.size)
            return ArchivePiece(series, start_ms, end_ms, name, held, verified=False)
        if self._cache.known_absent(url):
            return None
        raise NetworkForbiddenError(f"{url} is not cached, and the network may not be used (allow_net=False, --offline)")

    def _published_digest(self, url: str, name: str) -> str | None:
        """The sha256 that the publisher gives for a file; None where there is none. Raises ChecksumError."""
        try:
            text = self._http.get(f"{url}.CHECKSUM").decode("utf-8", "replace")
        except NotFoundError:
            return None
        match = _CHECKSUM.fullmatch(text)
        if match is None:
            raise ChecksumError(f"{url}.CHECKSUM is no checksum: {text[:100]!r}; try again later")
        bare_name = name.rsplit("/", 1)[1]
        if match["name"] != bare_name:
            raise ChecksumError(f"{url}.CHECKSUM is of another file: it names {match['name']}, not {bare_name}; try again later")
        return match["digest"].lower()

    def _require_plausible(self, file: CachedFile) -> None:
        """Returns if a file without a checksum is whole as far as it says itself; a mirror may go without, the original not."""
        if self._is_original:
            self._cache.discard(file.url)
            raise ChecksumError(f"{file.url} has no checksum, as every file of this archive has; try again later")
        try:
            with zipfile.ZipFile(file.path) as archive:
                damaged = archive.testzip()
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
            damaged = str(error)
        if damaged is not None:
            self._cache.discard(file.url)
            raise DownloadError(f"{file.url} is no whole zip archive ({damaged}); nothing of it was used")

    def _url(self, name: str) -> str:
        return f"{self._base_url}/{quote(name)}"


# -- rows ----------------------------------------------------------------------------------------------------------------


def _parsed(piece: ArchivePiece) -> Iterator[RawBatch]:
    from backtester.data.parsing.formats import Hint, parse_file

    series = piece.series
    hint = Hint(exchange=series.exchange, market=series.market, kind=series.kind, network=series.network)
    return parse_file(piece.file.path, name=piece.name, hint=hint)


def _cut(raw: RawBatch, start_ms: int, end_ms: int) -> RawBatch:
    """The rows in [start_ms, end_ms), with their numbers in the file; rows without a time stay, to be found wrong."""
    import numpy as np
    import pyarrow as pa

    time_ms = times_ms(raw)
    inside = (time_ms >= start_ms) & (time_ms < end_ms)
    empty = raw.table.column(0).is_null().to_numpy()
    rows = np.flatnonzero(inside | empty)
    if len(rows) == len(time_ms):
        return raw
    extra = raw.extra if raw.extra is not None else pa.table({"row": np.arange(1, len(time_ms) + 1)})
    if "row" not in extra.column_names:
        extra = extra.append_column("row", pa.array(np.arange(1, len(time_ms) + 1)))
    return raw._replace(table=raw.table.take(rows), extra=extra.take(rows))


def times_ms(rows: RawBatch | Batch) -> Any:
    """The time of each row in UTC epoch ms, as an int64 array; 0 where it is empty."""
    return column_ms(rows.table, rows.series.kind)


def column_ms(table: pa.Table, kind: str) -> Any:
    """The time column of a table of a kind in UTC epoch ms, as an int64 array; 0 where it is empty."""
    import numpy as np

    name = kind_named(kind).time
    column = table.column(name)
    values = np.nan_to_num(column.to_numpy()).astype(np.int64) if column.null_count else column.to_numpy()
    return values // 1000 if name.endswith("_us") else values


def _rows_by_day(piece: ArchivePiece) -> Counter[int]:
    """How many rows a file has of each day, by the day's start."""
    import numpy as np

    counts: Counter[int] = Counter()
    for raw in _parsed(piece):
        days, times = np.unique(times_ms(raw) // DAY_MS, return_counts=True)
        counts.update(dict(zip((days * DAY_MS).tolist(), times.tolist(), strict=True)))
    return counts


def _rows_expected(series: Series, day_ms: int) -> int:
    """How many rows a whole day has: one for each bar that starts in it; at least one of anything else."""
    if not kind_named(series.kind).periodic or series.kind in {"option_summary", "metrics"}:
        return 1
    length_ms = series.length_ms
    offset_ms = day_ms - bucket_offset_ms(length_ms)
    return -(-(offset_ms + DAY_MS) // length_ms) - -(-offset_ms // length_ms)


# -- work in parallel, results in order --------------------------------------------------------------------------------------


@contextmanager
def _workers(count: int, http: HttpClient) -> Iterator[ThreadPoolExecutor]:
    """Threads that are done when this ends: what they are receiving is kept, unless the user does not want to wait for it."""
    workers = ThreadPoolExecutor(count, thread_name_prefix="download")
    try:
        yield workers
    except KeyboardInterrupt:
        http.close()
        raise
    finally:
        workers.shutdown(wait=True, cancel_futures=True)


def _in_order(workers: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A], ahead: int) -> Iterator[tuple[A, B]]:
    """Each item with its result, in order; at most `ahead` are begun before the one that is waited for."""
    begun: deque[tuple[A, Future[B]]] = deque()
    for item in items:
        begun.append((item, workers.submit(function, item)))
        if len(begun) >= ahead:
            first, future = begun.popleft()
            yield first, future.result()
    while begun:
        first, future = begun.popleft()
        yield first, future.result()
