"""`bt compare RUN RUN ...`: what differs between runs, as text and as a page."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backtester.cli.run_argument import run_directory, runs_directory
from backtester.domain.errors import EXIT_DONE, ConfigError, StorageError
from backtester.report.comparison import Compared, Comparison, TradeDifference, compare_runs
from backtester.report.listing import Column, print_listing

_SHOWN = {
    "total_return": "%", "cagr": "%", "volatility": "%", "sharpe": "", "sharpe_standard_error": "", "sortino": "", "calmar": "",
    "max_drawdown": "%", "longest_underwater_days": " days", "trades": "", "win_rate": "%", "profit_factor": "",
    "expectancy": " quote", "average_holding_hours": " h", "exposure": "%", "turnover": "", "gross_pnl": " quote",
    "net_pnl": " quote", "fees": " quote", "funding": " quote", "interest": " quote", "slippage": " quote",
}  # fmt: skip
"""Figures shown to people, with their units; --json has all."""
_CELL_MAX = 48


def compare(options: Namespace) -> int:
    """Settings that differ, figures side by side and the first difference are told; the page with the equity is written."""
    output = runs_directory(options)
    runs = [run_directory(word, output) for word in options.runs]
    if len(runs) < 2:
        raise ConfigError("compare needs at least two runs; `bt runs` lists what there is")
    compared = compare_runs(runs)
    settings = [("setting", *compared.names), *((row.name, *map(_setting, row.values)) for row in compared.settings)]
    figures = [("figure", *compared.names), *_figure_rows(compared.figures)]
    told = _first_differences(compared)
    page = _written_page(options, compared, settings, figures, told)
    if options.json:
        print(json.dumps(_json(compared, page)))
        return EXIT_DONE
    if not options.quiet:
        if len(settings) > 1:
            _print_table(settings)
        else:
            print("No setting differs.")
        print()
        _print_table(figures)
        print(f"\n{told}")
        if page is not None:
            print(f"\nequity on one chart: {page}")
    return EXIT_DONE


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    head, *body = rows
    print_listing([Column(head[0]), *(Column(name, right=True) for name in head[1:])], body, sys.stdout)


def _figure_rows(figures: Sequence[Compared]) -> list[tuple[str, ...]]:
    by_name = {row.name: row for row in figures}
    rows = []
    for name, unit in _SHOWN.items():
        row = by_name.get(name)
        if row is not None and any(value is not None for value in row.values):
            label = name.removesuffix("_days").removesuffix("_hours").replace("_", " ")
            rows.append((label, *(_figure(value, unit) for value in row.values)))
    return rows


def _figure(value: Any, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "%":
        return f"{value:.2%}"
    return f"{value:,}{unit}" if isinstance(value, int) else f"{value:,.2f}{unit}"


def _setting(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _CELL_MAX else f"...{text[-_CELL_MAX + 3 :]}"


def _first_differences(compared: Comparison) -> str:
    first, *others = compared.names
    lines = []
    for name, trade, event in zip(others, compared.first_trades, compared.first_events, strict=True):
        if trade is None and event is None:
            lines.append(f"{name}: every order, fill and trade is that of {first}")
            continue
        lines.append(f"{name} against {first}:")
        lines.append(f"  {_trade_text(trade, first, name)}" if trade is not None else "  all trades are the same")
        if event is not None:
            said = event.describe(first, name).replace("\n", "\n  ")
            lines.append(f"  {said}")
    return "\n".join(lines)


def _trade_text(trade: TradeDifference, left: str, right: str) -> str:
    if trade.left is None or trade.right is None:
        return f"first trade that differs: number {trade.number}, which {left if trade.left is None else right} does not have"
    parts = [f"{name} {trade.left.get(name, '-')} and {trade.right.get(name, '-')}" for name in trade.columns()]
    return f"first trade that differs: number {trade.number} ({trade.left['symbol']}): {'; '.join(parts)}"


def _written_page(
    options: Namespace, compared: Comparison, settings: Sequence[Sequence[str]], figures: Sequence[Sequence[str]], told: str
) -> Path | None:
    """Where the page was written; None with --json and no --html."""
    if options.html is None and options.json:
        return None
    from backtester.report.compare_page import compare_page

    path = Path(options.html or "compare.html")
    try:
        path.write_text(compare_page(compared, settings=settings, figures=figures, told=told), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; choose another place with --html") from error
    return path


def _json(compared: Comparison, page: Path | None) -> dict[str, Any]:
    return {
        "runs": compared.names,
        "settings": {row.name: row.values for row in compared.settings},
        "figures": {row.name: row.values for row in compared.figures},
        "first_trades": [
            None if one is None else {"number": one.number, "left": one.left, "right": one.right, "columns": one.columns()}
            for one in compared.first_trades
        ],
        "first_events": [
            None if one is None else {"position": one.position, "left": _event(one.left), "right": _event(one.right)}
            for one in compared.first_events
        ],
        "page": str(page) if page is not None else None,
    }


def _event(line: Any) -> dict[str, Any] | None:
    return None if line is None else {"seq": line.seq, "cause": line.cause, "topic": line.topic, "event": json.loads(line.raw)}
