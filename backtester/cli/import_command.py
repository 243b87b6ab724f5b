"""`bt data import`."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from backtester.app.market_choice import market_name
from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog
from backtester.data.findings import Finding, Policies, Policy, Rule, policies_from
from backtester.data.importer import FileImport, ImportReport, SeriesImport
from backtester.data.importer import import_files as import_all
from backtester.data.parsing.hint import Hint
from backtester.data.series import NETWORKS, Series
from backtester.data.sources.local_files import files_in
from backtester.domain.errors import EXIT_DATA, EXIT_DONE, ConfigError
from backtester.domain.timeframe import iso_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHOW_AFTER_S = 2.0
_TIDIED = frozenset({Rule.OUT_OF_ORDER, Rule.DUPLICATE})


def import_files(options: Namespace) -> int:
    """The files' rows are in the catalog; what was read, what was new and what was found is told, series by series.

    A file alone that cannot be imported ends with its error. Of several, those that can be are imported, the others are told
    on stderr, and the exit code is 3.
    """
    catalog = Catalog(catalog_directory(options))
    hint, policies = _hint(options), _policies(options.policy)
    paths = files_in([Path(path) for path in options.paths], apart_from=catalog.base)
    with _Shown(len(paths), shown=sys.stderr.isatty() and not options.quiet) as progress:
        report = import_all(paths, catalog=catalog, hint=hint, policies=policies, progress=progress)
    if len(paths) == 1 and report.refused:
        raise report.refused[0].error
    if not options.quiet:
        _print_report(report, catalog.base)
    for refused in report.refused:
        notes = "".join(f"; {note}" for note in getattr(refused.error, "__notes__", ()))
        sys.stderr.write(f"bt: not imported: {refused.error}{notes}\n")
    if report.refused:
        sys.stderr.write(f"bt: {len(report.files):,} of {len(paths):,} files were imported, {len(report.refused):,} were not\n")
        return EXIT_DATA
    return EXIT_DONE


def _hint(options: Namespace) -> Hint:
    """What was stated. Raises ConfigError for a market or network that there is not."""
    if options.network not in NETWORKS:
        raise ConfigError(f"network {options.network!r} is not known; use one of {', '.join(NETWORKS)}")
    return Hint(
        exchange=options.exchange.lower() if options.exchange else None,
        market=market_name(options.market) if options.market else None,
        symbol=options.symbol,
        kind=options.kind,
        timeframe=options.timeframe,
        network=options.network,
        stamp=options.stamp,
        volume_unit=options.volume_unit,
    )


def _policies(words: Iterable[str]) -> Policies:
    """Policies of `RULE=POLICY`. Raises ConfigError."""
    texts: dict[str, str] = {}
    for word in words:
        rule, equals, policy = word.partition("=")
        if not equals:
            raise ConfigError(f"--policy {word!r} is not RULE=POLICY, such as high_low=fix")
        texts[rule] = policy
    return policies_from(texts)


def _print_report(report: ImportReport, base: Path) -> None:
    """A paragraph for each series, over all files."""
    by_series: dict[Series, list[tuple[FileImport, SeriesImport]]] = {}
    for file in report.files:
        for one in file.series:
            by_series.setdefault(one.series, []).append((file, one))
    for series, found in by_series.items():
        source = str(found[0][0].path) if len(found) == 1 else f"{len(found):,} files"
        kind = "" if series.kind == "candles" else f" {series.kind}"
        timeframe = f" {series.timeframe}" if series.length_ms else ""
        print(f"{source} -> {series.venue} {series.market} {series.symbol}{kind}{timeframe} in {base}")
        _print_series([one for _, one in found])


def _gaps_between(found: list[SeriesImport]) -> int:
    """Stretches of time between these files that none of them covers."""
    gaps, covered_ms = 0, None
    for one in sorted(found, key=lambda one: one.first_ms):
        gaps += covered_ms is not None and one.first_ms > covered_ms
        covered_ms = one.last_ms if covered_ms is None else max(covered_ms, one.last_ms)
    return gaps


def _print_series(found: list[SeriesImport]) -> None:
    read, new, stored, out_of_order, duplicated, gaps = (
        sum(getattr(one, name) for one in found)
        for name in ("rows_read", "rows_written", "rows_already_stored", "rows_out_of_order", "rows_duplicated", "gaps")
    )
    print(f"  rows   {read:,} read, {new:,} new, {stored:,} already stored")
    if duplicated or out_of_order:
        print(f"  tidied {duplicated:,} identical repetitions left out, {out_of_order:,} rows put in order")
    first_ms, last_ms = min(one.first_ms for one in found), max(one.last_ms for one in found)
    last_ms -= 0 if found[0].series.length_ms else 1  # a row without length is shown at its own time
    counted = f", {gaps + _gaps_between(found):,} gaps" if found[0].series.length_ms else ""
    print(f"  range  {iso_text(first_ms)} to {iso_text(last_ms)} UTC{counted}")
    by_rule: dict[tuple[Rule, Policy], list[Finding]] = {}
    for finding in (finding for one in found for finding in one.findings):
        if not (finding.rule in _TIDIED and finding.policy is Policy.FIX):
            by_rule.setdefault((finding.rule, finding.policy), []).append(finding)
    for (rule, policy), findings in by_rule.items():
        count, first = sum(finding.count for finding in findings), findings[0]
        rows = f"{count:,} rows" if count > 1 else "1 row"
        print(f"  found  {rule.value} ({rows}, {policy.value}), first in {first.file}, row {first.row}: {first.detail}")


class _Shown:
    """Says on a terminal how far an import is, once it takes more than two seconds."""

    def __init__(self, files: int, *, shown: bool) -> None:
        self._files = files
        self._shown = shown
        self._begun_s = time.monotonic()
        self._done = -1
        self._rows = 0
        self._what = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def file(self, path: Path) -> None:
        """A file is begun."""
        self._done += 1
        self._what = path.name
        self._show()

    def rows(self, count: int) -> None:
        """So many more rows were read."""
        self._rows += count
        self._show()

    def _show(self) -> None:
        elapsed_s = time.monotonic() - self._begun_s
        if not self._shown or elapsed_s < _SHOW_AFTER_S:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
            self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._files)
        if self._task is not None:
            described = f"{self._what} {self._rows / elapsed_s:,.0f} rows/s"
            self._bar.update(self._task, completed=self._done, description=described)
