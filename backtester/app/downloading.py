"""A download into the catalog: what is stored already is not asked for, what came is stored before the next is fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from backtester.data.batch import Batch
from backtester.data.batch_joining import joined
from backtester.data.catalog import Catalog
from backtester.data.findings import Finding
from backtester.data.finished_days import FinishedDays
from backtester.data.kinds import kind_named
from backtester.data.series import LIVE, Series, series_of
from backtester.data.sources.binance_archive import column_ms
from backtester.data.sources.ccxt_names import market_word, stored_symbol
from backtester.data.sources.source import DataRequest, Source
from backtester.domain.errors import ConfigError, DataError, DataUnavailableError, NetworkForbiddenError, VenueError
from backtester.domain.timeframe import DAY_MS, bucket_offset_ms

COUNTED = frozenset({"candles", "mark", "index", "premium"})
"""Kinds of which a whole day has a known number of rows."""
_OWN_TIMEFRAMES = {"metrics": "5m", "option_summary": "1h"}
Stretch = tuple[int, int]


class Downloaded(NamedTuple):
    """What became of one request: rows new and stored before, what was found, and the stretches that no source had.

    `failures` say why something could not be had; `notes` what went wrong on the way to what was had from elsewhere.
    """

    series: Series
    rows_written: int
    rows_already_stored: int
    stored_before: bool
    findings: tuple[Finding, ...]
    absent: tuple[Stretch, ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...]


class _Tally:
    """What one request has come to so far."""

    def __init__(self) -> None:
        self.written = 0
        self.already = 0
        self.findings: list[Finding] = []
        self.days: set[int] = set()
        self.problems: list[str] = []
        self.reasons: list[str] = []
        self.broken_off = False


def series_to_download(
    *, exchange: str, market: str, symbols: Sequence[str], kinds: Sequence[str], timeframe: str | None, network: str = LIVE
) -> list[Series]:
    """The series that these words name, in their order. Raises ConfigError.

    A symbol may be written as ccxt does (`BTC/USDT:USDT`): it says its market itself and is stored as `BTCUSDT`. Kinds have
    the timeframe if they take one; metrics and option summaries have their own.
    """
    found = []
    for word in symbols:
        symbol, own_market = (stored_symbol(word), market_word(word)) if "/" in word else (word, None)
        for kind in kinds or (("option_summary",) if market == "option" else ("candles",)):
            periodic = kind_named(kind).periodic
            length = _OWN_TIMEFRAMES.get(kind, timeframe)
            if periodic and length is None:
                raise ConfigError(f"{kind} have a timeframe; state it, for example --timeframe 1m")
            found.append(
                series_of(
                    exchange=exchange,
                    market=own_market or market,
                    symbol=symbol,
                    kind=kind,
                    timeframe=length if periodic else None,
                    network=network,
                )
            )
    return list(dict.fromkeys(found))


def download_series(
    request: DataRequest,
    *,
    catalog: Catalog,
    sources: Sequence[Source],
    now_ms: Callable[[], int],
    on_progress: Callable[[int, int], None],
) -> Downloaded:
    """All that the sources have of the request is stored, each asked only for the days that are not yet there.

    Args:   on_progress(reached_ms, rows) - the time up to which rows of a stretch are stored, and how many came with them.
    Raises: StorageError - the disk refuses. ConfigError - a name that the source does not know. What failed otherwise is told
            in the result; what was had is stored.
    """
    series = request.series
    request = request._replace(end_ms=min(request.end_ms, now_ms()))
    finished = FinishedDays(catalog.base)
    lacking = lacking_days(catalog, finished, request, now_ms=now_ms())
    stored_before = not lacking
    tally = _Tally()
    for source in sources:
        for start_ms, end_ms in _stretches(lacking, request):
            days = _fetch(source, DataRequest(series, start_ms, end_ms), catalog, tally, on_progress)
            tally.days |= days
            finished.add(
                series, [day_ms for day_ms in days if request.start_ms <= day_ms <= min(request.end_ms, now_ms()) - DAY_MS]
            )
        lacking = [day_ms for day_ms in lacking if day_ms not in tally.days]
        if not lacking:
            break
    absent = tuple(_stretches(lacking, request))
    problems = tuple(dict.fromkeys(tally.problems))
    if absent and not tally.written and not tally.already and not problems:
        problems = tuple(dict.fromkeys(tally.reasons)) or (f"there is no source for {series}",)
    failures, notes = (problems, ()) if absent else ((), problems)
    return Downloaded(series, tally.written, tally.already, stored_before, tuple(tally.findings), absent, failures, notes)


def _fetch(
    source: Source, request: DataRequest, catalog: Catalog, tally: _Tally, on_progress: Callable[[int, int], None]
) -> set[int]:
    """The days (their starts, UTC epoch ms) of which all that the source has is stored; what went wrong is in the tally."""
    days: Counter[int] = Counter()
    for batch in joined(_until_failure(source, request, tally)):
        tally.findings += batch.findings
        if not batch.table.num_rows:
            continue
        times_ms = column_ms(batch.table, batch.series.kind)
        touched = Counter((times_ms - times_ms % DAY_MS).tolist())
        try:
            stored = catalog.store(batch)
        except DataError as error:  # the other batches have nothing to do with it
            tally.problems.append(f"{batch.origin.name}: {error}")
            for day_ms in touched:
                del days[day_ms]
            continue
        tally.written += stored.rows_written
        tally.already += stored.rows_already_stored
        days += touched
        on_progress(int(times_ms[-1]), len(times_ms))
    last_ms = max(days, default=0)
    bars = _bar_count(last_ms, last_ms + DAY_MS, request.series.length_ms) if request.series.kind in COUNTED else days[last_ms] + 1
    if tally.broken_off and days[last_ms] < bars:
        del days[last_ms]  # it may have more rows than came
    return set(days)


def _until_failure(source: Source, request: DataRequest, tally: _Tally) -> Iterator[Batch]:
    """What a source gives; it ends where the source fails, so that what came before is stored."""
    tally.broken_off = False
    try:
        yield from source.fetch(request)
    except DataUnavailableError as error:
        tally.reasons.append(str(error))
    except (DataError, NetworkForbiddenError, VenueError) as error:
        tally.problems.append(str(error))
        tally.broken_off = True


def lacking_days(catalog: Catalog, finished: FinishedDays, request: DataRequest, *, now_ms: int) -> list[int]:
    """The days (their starts, UTC epoch ms) of the request that are not stored whole, in order.

    A day of bars is whole with every bar of it that is asked for and has closed; any other day when it was downloaded to its end.
    """
    series, length_ms = request.series, request.series.length_ms
    counts = _stored_by_day(catalog, request)
    done = finished.of(series)
    days: list[int] = []
    for day_ms in range(request.start_ms - request.start_ms % DAY_MS, request.end_ms, DAY_MS):
        if counts[day_ms] and day_ms in done:
            continue
        if series.kind in COUNTED:
            start_ms, end_ms = max(day_ms, request.start_ms), min(day_ms + DAY_MS, request.end_ms, now_ms - length_ms + 1)
            if counts[day_ms] >= _bar_count(start_ms, end_ms, length_ms):
                continue
        days.append(day_ms)
    return days


def _bar_count(start_ms: int, end_ms: int, length_ms: int) -> int:
    """How many bars start in [start_ms, end_ms)."""
    offset_ms = bucket_offset_ms(length_ms)
    return max(-(-(end_ms - offset_ms) // length_ms) - -(-(start_ms - offset_ms) // length_ms), 0)


def _stored_by_day(catalog: Catalog, request: DataRequest) -> Counter[int]:
    """How many rows of the request are stored of each day, by the day's start."""
    import numpy as np

    counts: Counter[int] = Counter()
    try:
        for table in catalog.read_tables(request.series, request.start_ms, request.end_ms):
            times_ms = column_ms(table, request.series.kind)
            days, rows = np.unique(times_ms - times_ms % DAY_MS, return_counts=True)
            counts.update(dict(zip(days.tolist(), rows.tolist(), strict=True)))
    except DataUnavailableError:
        return Counter()
    return counts


def _stretches(days: Sequence[int], request: DataRequest) -> list[Stretch]:
    """Days that follow each other as one stretch [start_ms, end_ms), cut to the request."""
    stretches: list[Stretch] = []
    for day_ms in days:
        start_ms, end_ms = max(day_ms, request.start_ms), min(day_ms + DAY_MS, request.end_ms)
        if stretches and stretches[-1][1] == start_ms:
            start_ms = stretches.pop()[0]
        stretches.append((start_ms, end_ms))
    return stretches
