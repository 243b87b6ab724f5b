"""`bt verify RUN`: execute a run again and say whether it is the same."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from backtester.app.verify import verify
from backtester.cli.run_argument import chosen_data, default_runs_directory, run_directory
from backtester.domain.errors import EXIT_DONE, EXIT_FOUND
from backtester.report.progress_line import RunProgress


def verify_run(options: Namespace) -> int:
    """0 when the run repeats event by event, 1 when it does not; what was found is on stdout."""
    run_dir = Path(options.run)
    if not run_dir.is_dir():
        run_dir = run_directory(options.run, default_runs_directory())
    line = RunProgress(sys.stderr) if sys.stderr.isatty() and not options.quiet else None
    try:
        report = verify(run_dir, data=chosen_data(options, run_dir), progress=line.update if line is not None else None)
    finally:
        if line is not None:
            line.close()
    if not (options.quiet and report.ok):
        print(report.message)
        for text in report.lines:
            print(f"  {text}")
    return EXIT_DONE if report.ok else EXIT_FOUND
