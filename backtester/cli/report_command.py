"""`bt report RUN`: the report of a run, and its short form in the terminal."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from backtester.app.reporting import MadeReport, make_report
from backtester.cli.run_argument import run_directory, runs_directory
from backtester.domain.errors import EXIT_DONE
from backtester.report.terminal import Row, Section, print_sections, run_sections


def report_run(options: Namespace) -> int:
    """The report is written, shown in short on stdout, and open in the browser where that was asked for."""
    made = make_report(
        run_directory(options.run, runs_directory(Namespace(output=None))),
        output=Path(options.output) if options.output is not None else None,
        png=options.png,
        data=Path(options.data) if options.data is not None else None,
    )
    if not options.quiet:
        print_sections(_sections(made), sys.stdout)
    if options.open:
        _open(made.path)
    return EXIT_DONE


def _sections(made: MadeReport) -> tuple[Section, ...]:
    found = run_sections(made.facts) if made.facts is not None else (_unfinished(made),)
    files = [Row("report", str(made.path)), *(Row("picture", str(path)) for path in made.pictures)]
    return (*found, Section("Report", tuple(files)))


def _unfinished(made: MadeReport) -> Section:
    """What there is to say of a run that left no result."""
    manifest, journal = made.run.manifest, made.run.journal
    rows = [
        Row("status", manifest.status, "bad"),
        *([Row("error", manifest.error, "bad")] if manifest.error else []),
        Row("strategy", manifest.strategy),
        Row("symbols", ", ".join(manifest.symbols)),
        Row("journal", f"{journal.events:,} events, {journal.fills:,} fills"),
    ]
    return Section(f"Run {manifest.run_id}", tuple(rows))


def _open(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        sys.stderr.write(f"bt: no browser could be started; open {path.resolve()} yourself\n")
