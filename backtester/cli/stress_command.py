"""`bt stress RUN`: does the result survive worse assumptions?"""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from backtester.app.stress import StressReport, stress
from backtester.cli.run_argument import chosen_data, run_directory, runs_directory
from backtester.domain.errors import EXIT_DONE
from backtester.domain.money import amount_text
from backtester.report.progress_line import RunProgress


def stress_run(options: Namespace) -> int:
    """The table, the break-even cost and one verdict line are on stdout."""
    run_dir = run_directory(options.run, runs_directory(options))
    line = RunProgress(sys.stderr) if sys.stderr.isatty() and not options.quiet else None
    try:
        report = stress(run_dir, data=chosen_data(options, run_dir), progress=line.update if line is not None else None)
    finally:
        if line is not None:
            line.close()
    if options.json:
        print(json.dumps(report.as_dict()))
    else:
        print("\n".join(_table(report)))
    return EXIT_DONE


def _table(report: StressReport) -> list[str]:
    net = f"net ({report.asset})"
    head = f"{'':<26}{net:>16}{'return':>10}{'drawdown':>10}{'trades':>8}"
    lines = [head, "-" * len(head)]
    lines += [
        f"{row.name:<26}{amount_text(row.net_quote, report.asset):>16}{_percent(row.total_return, sign=True):>10}"
        f"{_percent(row.max_drawdown):>10}{row.trades:>8,}"
        for row in report.rows
    ]
    if report.paid_bps is not None and report.break_even_bps is not None:
        lines.append(f"costs: {report.paid_bps:.2f} bps a side were paid; at {report.break_even_bps:.2f} bps nothing would be left")
    return [*lines, f"verdict: {report.verdict}"]


def _percent(fraction: float | None, *, sign: bool = False) -> str:
    return "-" if fraction is None else f"{fraction:+.2%}" if sign else f"{fraction:.2%}"
