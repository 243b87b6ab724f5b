"""`bt check STRATEGY ...` and `bt check RUN`: whether a result can be believed."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from backtester.audit.run_store import MANIFEST_NAME
from backtester.cli.run_argument import runs_directory
from backtester.cli.settings import DATA_VARIABLE, flag_settings, params_of
from backtester.domain.errors import ConfigError
from backtester.report.terminal import Row, Section, print_sections
from backtester.trust.check import CheckReport, CheckRequest, check, check_run, keep, report_json
from backtester.trust.findings import Finding

_TONES = {"error": "bad", "warning": "warn", "note": ""}


def check_strategy(options: Namespace) -> int:
    """Verdicts and findings are shown, on stdout alone with --json; 1 when a finding is an error."""
    if options.scenarios:
        raise ConfigError("--scenarios runs three configurations; check one of them, such as --set of its values")
    run_dir = _run_directory(options)
    if run_dir is None:
        report, kept = _checked(options), ""
    else:
        report = check_run(run_dir, data=Path(options.data) if options.data is not None else None)
        kept = keep(report, run_dir)
    if options.json:
        sys.stdout.write(report_json(report) + "\n")
    elif not options.quiet or not report.ok:
        print_sections(_sections(report, kept), sys.stdout)
        for finding in report.findings:
            _print_finding(finding)
    return report.exit_code


def _run_directory(options: Namespace) -> Path | None:
    """The run that is to be checked: its directory, or its id below --output; None where a strategy is named."""
    target: str | None = options.target
    if target is None:
        return None
    places = (Path(target), runs_directory(options) / target)
    return next((place for place in places if (place / MANIFEST_NAME).is_file()), None)


def _checked(options: Namespace) -> CheckReport:
    target: str | None = options.target
    if target is not None and options.strategy is not None:
        raise ConfigError(f"both {target!r} and --strategy {options.strategy!r} name a strategy; give one of them")
    if target is not None and Path(target).is_dir():
        raise ConfigError(f"{target} is no run: it has no {MANIFEST_NAME}; name a run's directory or a strategy")
    if target is None and options.strategy is None and options.config is None:
        raise ConfigError("nothing to check: name a strategy, a run's directory, or give --config (see `bt check --help`)")
    return check(
        CheckRequest(
            flags=list(flag_settings(options)),
            settings=list(options.set),
            config_file=options.config,
            strategy=target if target is not None else options.strategy,
            params=params_of(options.params),
            data_dir=os.environ.get(DATA_VARIABLE) or None,
        )
    )


def _sections(report: CheckReport, kept: str) -> list[Section]:
    what = f"{report.strategy} on {', '.join(report.symbols)}, {report.start} to {report.end} UTC"
    rows = [Row("checked", f"{what}, in {report.runs} runs")]
    for verdict in report.verdicts:
        label = f"{verdict.outcome} ({verdict.severity})" if verdict.severity is not None else verdict.outcome
        tone = _TONES[verdict.severity] if verdict.severity is not None else ""
        rows.append(Row(verdict.check, f"{label}: {verdict.text}", tone))
    if kept:
        rows.append(Row("kept", kept))
    return [Section("Check", tuple(rows))]


def _print_finding(finding: Finding) -> None:
    place = f" [{finding.place}]" if finding.place else ""
    print(f"{finding.severity}: {finding.check}, {finding.name}{place}\n  {finding.evidence}")
