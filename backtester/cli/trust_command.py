"""`bt check STRATEGY ...` and `bt check RUN`: whether a result can be believed."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from backtester.audit.run_store import MANIFEST_NAME
from backtester.cli.settings import DATA_VARIABLE, flag_settings, params_of
from backtester.domain.errors import ConfigError
from backtester.report.terminal import Row, Section, print_sections
from backtester.trust.check import CheckReport, CheckRequest, check, check_run
from backtester.trust.findings import Finding

_TONES = {"error": "bad", "warning": "warn", "note": ""}


def check_strategy(options: Namespace) -> int:
    """Verdicts and findings are shown, on stdout alone with --json; 1 when a finding is an error."""
    report = _checked(options)
    if options.json:
        import msgspec

        shown = {"ok": report.ok, **msgspec.to_builtins(report)}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    elif not options.quiet or not report.ok:
        print_sections(_sections(report), sys.stdout)
        for finding in report.findings:
            _print_finding(finding)
    return report.exit_code


def _checked(options: Namespace) -> CheckReport:
    target: str | None = options.target
    if target is not None and (Path(target) / MANIFEST_NAME).is_file():
        return check_run(Path(target), data=Path(options.data) if options.data is not None else None)
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


def _sections(report: CheckReport) -> list[Section]:
    what = f"{report.strategy} on {', '.join(report.symbols)}, {report.start} to {report.end} UTC"
    rows = [Row("checked", f"{what}, in {report.runs} runs")]
    for verdict in report.verdicts:
        label = f"{verdict.outcome} ({verdict.severity})" if verdict.severity is not None else verdict.outcome
        tone = _TONES[verdict.severity] if verdict.severity is not None else ""
        rows.append(Row(verdict.check, f"{label}: {verdict.text}", tone))
    return [Section("Check", tuple(rows))]


def _print_finding(finding: Finding) -> None:
    place = f" [{finding.place}]" if finding.place else ""
    print(f"{finding.severity}: {finding.check}, {finding.name}{place}\n  {finding.evidence}")
