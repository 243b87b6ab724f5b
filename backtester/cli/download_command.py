"""`bt data download`."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Self

from backtester.app.download_sources import SourceSettings, sources_for
from backtester.app.downloading import Downloaded, download_series, series_to_download
from backtester.app.market_choice import market_name
from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog
from backtester.data.findings import policies_from
from backtester.data.series import Series
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import EXIT_DATA, EXIT_DONE, ConfigError
from backtester.domain.timeframe import DAY_MS, iso_text, parse_time_ms
from backtester.report.terminal import print_table

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHOW_AFTER_S = 2.0
_LISTED = 5
"""Lines shown of each sort of message; how many more there are is said."""
_HEADER = ("exchange", "market", "symbol", "kind", "timeframe", "new rows", "stored before", "findings", "missing")


def download(options: Namespace) -> int:
    """What was asked for is in the catalog as far as it could be had; a table says what was new, messages what is missing."""
    start_ms, end_ms = parse_time_ms(options.start, what="--start"), parse_time_ms(options.end, what="--end")
    if start_ms >= end_ms:
        raise ConfigError(f"--start {options.start} is not before --end {options.end}; the end is exclusive")
    now_ms = _system_ms
    if start_ms >= now_ms():
        raise ConfigError(f"--start {options.start} is in the future")
    exchange, market = options.exchange.lower(), market_name(options.market)
    series = series_to_download(
        exchange=exchange,
        market=market,
        symbols=_words(options.symbols),
        kinds=_words([options.kind]),
        timeframe=options.timeframe,
        network=options.network,
    )
    catalog = Catalog(catalog_directory(options))
    with _Progress(len(series), end_ms - start_ms, shown=not options.quiet and sys.stderr.isatty()) as progress:
        settings = SourceSettings(
            base=catalog.base,
            now_ms=now_ms,
            allow_net=not options.offline,
            network=options.network,
            base_url=options.base_url,
            rest_url=options.rest_url,
            policies=policies_from(dict(_pair(word) for word in options.policy)),
            on_wait=progress.waiting,
        )
        results: list[Downloaded] = []
        with closing(settings):
            for one in series:
                sources = sources_for(exchange, one.market, one.kind, options.via, settings)
                progress.begin(one, start_ms)
                request = DataRequest(one, start_ms, end_ms)
                results.append(
                    download_series(request, catalog=catalog, sources=sources, now_ms=now_ms, on_progress=progress.reached)
                )
                progress.end()
    if not options.quiet:
        _print_results(results, catalog)
        _print_some("without a checksum", settings.unverified)
    return _print_failures(results)


def _words(texts: Sequence[str]) -> list[str]:
    """`a,b c` as three words."""
    return [word for text in texts for word in text.split(",") if word]


def _pair(word: str) -> tuple[str, str]:
    rule, _, policy = word.partition("=")
    return rule.strip(), policy.strip()


def _print_results(results: Sequence[Downloaded], catalog: Catalog) -> None:
    rows = [
        (
            one.series.venue,
            one.series.market,
            one.series.symbol,
            one.series.kind,
            one.series.timeframe,
            f"{one.rows_written:,}",
            "all" if one.stored_before else f"{one.rows_already_stored:,}",
            f"{sum(finding.count for finding in one.findings):,}" if one.findings else "",
            _days_text(sum(end - start for start, end in one.absent)),
        )
        for one in results
    ]
    print_table(_HEADER, rows, sys.stdout)
    for one in results:
        _print_some(f"{one.series}: not there", [f"{iso_text(start)} to {iso_text(end)}" for start, end in one.absent])
        _print_some("found", [str(finding) for finding in one.findings])
        _print_some("had from elsewhere after", list(one.notes))
    print(f"in {catalog.base}")


def _days_text(length_ms: int) -> str:
    """`3 days`; a part of a day counts as one; empty for nothing."""
    days = -(-length_ms // DAY_MS)
    return f"{days} day{'s' if days > 1 else ''}" if days else ""


def _print_some(what: str, lines: Sequence[str]) -> None:
    for line in lines[:_LISTED]:
        print(f"  {what}: {line}")
    if len(lines) > _LISTED:
        print(f"  {what}: and {len(lines) - _LISTED:,} more")


def _print_failures(results: Sequence[Downloaded]) -> int:
    """What could not be had is told on stderr; the exit code."""
    failed = [one for one in results if one.failures]
    for one in failed:
        for failure in one.failures[:_LISTED]:
            sys.stderr.write(f"bt: error: {one.series}: {failure}\n")
        stretches = ", ".join(f"{iso_text(start)} to {iso_text(end)}" for start, end in one.absent[:_LISTED])
        sys.stderr.write(
            f"bt: {one.series}: missing {stretches} UTC; what came before is stored, the same command goes on from there\n"
        )
    return EXIT_DATA if failed else EXIT_DONE


class _Progress:
    """A bar with rate and time left once a download takes longer than two seconds; nothing where `shown` is False."""

    def __init__(self, count: int, length_ms: int, *, shown: bool) -> None:
        self._count = count
        self._length_ms = length_ms
        self._shown = shown
        self._begun_s = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._finished = 0
        self._start_ms = 0
        self._rows = 0
        self._what = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, series: Series, start_ms: int) -> None:
        """The next series is downloaded."""
        self._start_ms, self._what = start_ms, f"{series.symbol} {series.kind}"
        self._show(0)

    def reached(self, reached_ms: int, rows: int) -> None:
        """Rows up to a time are stored."""
        self._rows += rows
        self._show(min(max(reached_ms - self._start_ms, 0), self._length_ms))

    def end(self) -> None:
        """A series is done."""
        self._finished += 1
        self._show(0)

    def waiting(self, seconds: float, reason: str) -> None:
        """The source waits before it tries again; said at once, since nothing moves meanwhile."""
        if self._shown and seconds >= _SHOW_AFTER_S:
            sys.stderr.write(f"waiting {seconds:.0f} s: {reason}\n")

    def _show(self, done_ms: int) -> None:
        if not self._shown or time.monotonic() - self._begun_s < _SHOW_AFTER_S:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._count * self._length_ms)
        if self._task is not None:
            rate = self._rows / max(time.monotonic() - self._begun_s, 1e-9)
            done = self._finished * self._length_ms + done_ms
            self._bar.update(self._task, completed=done, description=f"{self._what} {rate:,.0f} rows/s")


def _system_ms() -> int:
    return time.time_ns() // 1_000_000  # noqa: TID251 - says which days are over; no stored row depends on it
