"""`bt --strategy ...`: run, show the summary."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtester.app.resolve import resolve
from backtester.app.runner import execute
from backtester.cli.settings import DATA_VARIABLE, flag_settings, params_of
from backtester.config.loading import RunRequest, load_run_config
from backtester.report.progress_line import RunProgress
from backtester.report.terminal import Row, RunFacts, Section, print_sections, run_sections

if TYPE_CHECKING:
    from backtester.app.resolve import ResolvedRun
    from backtester.app.result import RunResult
    from backtester.data.gaps import GapReport

_GAPS_SHOWN = 3


def run(options: Namespace) -> int:
    """The run is on disk and its summary shown; the exit code says whether it came to its end."""
    # What a strategy prints must not stand between a script and the JSON that it asked for.
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        result = _executed(options)
    if options.json:
        sys.stdout.write(summary_json(result) + "\n")
    elif not options.quiet:
        print_sections(run_sections(run_facts(result)), sys.stdout)
    return result.exit_code


def resolved_run(options: Namespace) -> ResolvedRun:
    """What was asked for, with nothing left open."""
    loaded = load_run_config(
        RunRequest(
            flags=flag_settings(options),
            settings=tuple(options.set),
            config_file=Path(options.config) if options.config is not None else None,
            strategy=options.strategy,
            params=params_of(options.params),
            data_dir=os.environ.get(DATA_VARIABLE) or None,
        )
    )
    return resolve(loaded.config, data_explicit=loaded.data_explicit)


def _executed(options: Namespace) -> RunResult:
    resolved = resolved_run(options)
    line = RunProgress(sys.stderr) if sys.stderr.isatty() and not (options.quiet or options.json) else None
    try:
        return execute(
            resolved,
            output=Path(resolved.config.run.output),
            run_id=options.run_id,
            progress=line.update if line is not None else None,
            on_gaps=None if options.quiet or options.json else print_gaps,
        )
    finally:
        if line is not None:
            line.close()


def print_gaps(gaps: Mapping[str, GapReport]) -> None:
    """Where the data of the run that begins has gaps, it is told; otherwise nothing is."""
    rows: list[Row] = []
    for symbol, report in gaps.items():
        for what, found in zip(("missing", "flat, no volume"), report, strict=True):
            rows += [Row(f"{symbol} {what}", str(stretch), "warn") for stretch in found.first[:_GAPS_SHOWN]]
            if found.total > _GAPS_SHOWN:
                more = f"and {found.total - _GAPS_SHOWN:,} more, {found.bars:,} bars in all: bt data check"
                rows.append(Row(f"{symbol} {what}", more, "warn"))
    if rows:
        print_sections([Section("Gaps in the data", tuple(rows))], sys.stdout)


def run_facts(result: RunResult) -> RunFacts:
    """What the summary table shows of a run."""
    return RunFacts(
        manifest=result.manifest,
        config=result.resolved.config,
        summary=result.summary,
        path=result.path,
        quote=result.manifest.quote,
    )


def summary_json(result: RunResult) -> str:
    """`summary_of` as one JSON object."""
    import msgspec

    return msgspec.json.encode(summary_of(result)).decode()


def summary_of(result: RunResult) -> dict[str, Any]:
    """What ran, the result, counts and timings. None where a figure is undefined."""
    import msgspec

    manifest = msgspec.to_builtins(result.manifest)
    what = {name: value for name, value in manifest.items() if name not in {"files", "format_version"}}
    return {
        **what,
        "path": str(result.path) if result.path is not None else None,
        "quote": result.manifest.quote,
        "metrics": result.metrics,
        **result.summary,
    }
