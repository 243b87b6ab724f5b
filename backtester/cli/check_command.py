"""`bt data check`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog
from backtester.data.checking import CheckReport, Step, check_catalog
from backtester.domain.errors import EXIT_DATA, EXIT_DONE
from backtester.domain.timeframe import iso_text
from backtester.report.progress_line import ProgressLine, duration_text
from backtester.report.terminal import print_table

if TYPE_CHECKING:
    from backtester.data.gaps import Stretches

SHOWN = 20
"""Lines of one rule, and stretches of one series, that are shown; the rest is counted. `--json` has a thousand of a series."""


def check_stored(options: Namespace) -> int:
    """All that is stored was read and what was found is told; the exit code is 0 clean, 1 found, 3 unreadable."""
    catalog = Catalog(catalog_directory(options))
    quiet = options.quiet or options.json
    line = _CheckProgress(sys.stderr) if sys.stderr.isatty() and not quiet else None
    try:
        report = check_catalog(catalog, symbols=options.symbols, fix=options.fix, on_step=line.update if line is not None else None)
    finally:
        if line is not None:
            line.close()
    if options.json:
        print(report_json(report, str(catalog.base)))
    else:
        _print_report(report, str(catalog.base), quiet=options.quiet)
    return report.exit_code


def report_json(report: CheckReport, base: str) -> str:
    """One JSON object: counts, problems, gaps and outages with times, what was mended."""
    import msgspec

    status = {EXIT_DONE: "clean", EXIT_DATA: "unreadable"}.get(report.exit_code, "found")
    return msgspec.json.encode(
        {
            "data": base,
            "status": status,
            "exit_code": report.exit_code,
            "files": report.files,
            "rows": report.rows,
            "series": report.series,
            "problems": report.problems,
            "gaps": [
                {**one.series._asdict(), "missing": _plain(one.report.missing), "outages": _plain(one.report.outages)}
                for one in report.gaps
            ],
            "fixed": report.fixed,
        }
    ).decode()


def _plain(found: Stretches) -> dict[str, object]:
    return {"total": found.total, "bars": found.bars, "first": [stretch._asdict() for stretch in found.first]}


def _print_report(report: CheckReport, base: str, *, quiet: bool) -> None:
    problems = _problem_rows(report)
    if problems:
        print_table(("found", "file", "times", "what"), problems, sys.stdout)
    gaps = [row for one in report.gaps for what, found in _named(one.report) for row in _gap_rows(str(one.series), what, found)]
    if gaps:
        print_table(("found", "series", "from (UTC)", "to (UTC)", "bars"), gaps, sys.stdout)
    for text in report.fixed:
        print(f"mended: {text}")
    if quiet:
        return
    missing, outages = (sum(part.total for part in parts) for parts in _transposed(report))
    read = f"{report.files:,} files of {report.series:,} series with {report.rows:,} rows read in {base}"
    if not (report.problems or report.gaps):
        print(f"{read}: nothing found")
        return
    print(f"{read}: {len(report.problems):,} problems, {missing:,} gaps, {outages:,} outages")
    if any(row[0] in {"unrecorded", "outdated", "no_file", "leftover"} for row in problems):
        print("manifest and leftovers are put right by --fix; data is never invented: import what is missing or damaged again")


def _problem_rows(report: CheckReport) -> list[tuple[str, ...]]:
    """The problems by rule, of each so many; those that keep data from being read come first."""
    by_rule: dict[str, list[tuple[str, ...]]] = {"unreadable": [], "misplaced": []}
    for problem in report.problems:
        row = (problem.rule, problem.file, f"{problem.count:,}" if problem.count > 1 else "", problem.detail)
        by_rule.setdefault(problem.rule, []).append(row)
    rows: list[tuple[str, ...]] = []
    for rule, found in by_rule.items():
        rows += found[:SHOWN]
        if len(found) > SHOWN:
            rows.append((rule, f"and {len(found) - SHOWN:,} more files", "", ""))
    return rows


def _gap_rows(series: str, what: str, found: Stretches) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (what, series, iso_text(one.from_ms), iso_text(one.to_ms), f"{one.bars:,}") for one in found.first[:SHOWN]
    ]
    if found.total > SHOWN:
        rest = found.bars - sum(one.bars for one in found.first[:SHOWN])
        rows.append((what, series, f"and {found.total - SHOWN:,} more", "", f"{rest:,}"))
    return rows


def _named(report: Sequence[Stretches]) -> tuple[tuple[str, Stretches], ...]:
    missing, outages = report
    return (("missing", missing), ("flat", outages))


def _transposed(report: CheckReport) -> tuple[list[Stretches], list[Stretches]]:
    return [one.report.missing for one in report.gaps], [one.report.outages for one in report.gaps]


class _CheckProgress(ProgressLine):
    """Files, rows per second, time left."""

    def update(self, step: Step) -> None:
        """The line shows how many files of how many are read, when it is due."""
        took_s = self.due_s()
        if took_s is None:
            return
        left = duration_text(took_s / step.files_done * (step.files_total - step.files_done))
        self.show(f"{step.files_done:,} of {step.files_total:,} files  {step.rows / took_s:,.0f} rows/s, {left} left")
