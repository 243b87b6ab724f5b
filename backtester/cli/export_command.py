"""`bt export RUN --format ...`: a run's results for other programs."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from backtester.cli.run_argument import default_runs_directory, run_directory
from backtester.domain.errors import EXIT_DONE
from backtester.report.exporting import export_run


def export(options: Namespace) -> int:
    """The files stand in --output, or in exports/<run id>."""
    run = run_directory(options.run, default_runs_directory())
    to = Path(options.output) if options.output is not None else Path("exports") / run.resolve().name
    written = export_run(run, to, form=options.format, per_symbol=options.per_symbol)
    if options.json:
        print(json.dumps({"run": str(run), "output": str(to), "files": [str(path) for path in written]}))
    elif not options.quiet:
        for path in written:
            print(f"{path}  {path.stat().st_size:,} bytes")
    return EXIT_DONE
