"""`bt --strategy ... --scenarios`: harsh, base and lenient side by side."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

from backtester.app.result import RunResult, percent
from backtester.app.scenarios import ScenarioBand, run_scenarios
from backtester.cli.run_command import resolved_run, summary_of
from backtester.domain.money import amount_text
from backtester.report.ambiguous_bars import ambiguity_text
from backtester.report.progress_line import RunProgress
from backtester.report.terminal import Row, Section, print_sections

_WIDTH = 18


def run_band(options: Namespace) -> int:
    """Three runs are on disk and shown side by side; the exit code is that of the last one."""
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        band = _executed(options)
    if options.json:
        sys.stdout.write(band_json(band) + "\n")
    elif not options.quiet:
        print_sections(band_sections(band), sys.stdout)
    return band.exit_code


def _executed(options: Namespace) -> ScenarioBand:
    resolved = resolved_run(options)
    line = RunProgress(sys.stderr) if sys.stderr.isatty() and not (options.quiet or options.json) else None
    try:
        return run_scenarios(
            resolved,
            output=Path(resolved.config.run.output),
            run_id=options.run_id,
            progress=line.update if line is not None else None,
        )
    finally:
        if line is not None:
            line.close()


def band_json(band: ScenarioBand) -> str:
    """One JSON object: status, exit code, and by scenario what `--json` says of a single run."""
    import msgspec

    last = list(band.results.values())[-1]
    whole = {
        "status": last.status,
        "exit_code": band.exit_code,
        "scenarios": {name: summary_of(result) for name, result in band.results.items()},
    }
    return msgspec.json.encode(whole).decode()


def band_sections(band: ScenarioBand) -> list[Section]:
    """The results as a table, a column for each scenario, and what of the base run hangs on the order inside bars."""
    results = band.results
    rows = [Row("", _line(results.keys()))]
    rows += [Row(label, _line(value(result) for result in results.values())) for label, value in _FIGURES]
    sections = [Section("Scenarios", tuple(rows))]
    base = results.get("base")
    if base is not None:
        quote = base.manifest.quote
        told = ambiguity_text(base.manifest, quote)
        rows = [Row("order inside bars", told)]
        if {"harsh", "lenient"} <= results.keys():
            low, high = (Decimal(str(results[name].summary["end_equity"])) for name in ("harsh", "lenient"))
            rows.append(
                Row(
                    "assumptions",
                    f"{amount_text(high - low, quote)} {quote} lie between the harsh and the lenient run",
                )
            )
        sections.append(Section("Unknown in the base run", tuple(rows)))
    where = tuple(Row(name, str(result.path)) for name, result in results.items())
    sections.append(Section("Written to", where))
    return sections


def _line(cells: Any) -> str:
    return "".join(f"{cell:>{_WIDTH}}" for cell in cells).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


_FIGURES: tuple[tuple[str, Callable[[RunResult], str]], ...] = (
    ("status", lambda result: result.end_reason),
    ("end equity", lambda result: amount_text(result.summary["end_equity"], result.manifest.quote)),
    ("total return", lambda result: percent(result.metrics["total_return"], sign=True)),
    ("max drawdown", lambda result: percent(result.metrics["max_drawdown"])),
    ("sharpe", lambda result: _number(result.metrics["sharpe"])),
    ("closed trades", lambda result: f"{result.metrics['trades']:,}"),
    ("win rate", lambda result: percent(result.metrics["win_rate"])),
    ("fees", lambda result: amount_text(result.metrics["fees"], result.manifest.quote)),
    ("ambiguous bars", lambda result: f"{result.manifest.ambiguous_bars:,}"),
    ("  of them resolved", lambda result: f"{result.manifest.resolved_by_candles + result.manifest.resolved_by_trades:,}"),
    ("hangs on the rest", lambda result: amount_text(Decimal(result.manifest.ambiguous_quote), result.manifest.quote)),
)
