"""`bt runs`: all runs, one line each; `bt runs prune`, `pin` and `unpin`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from backtester.audit.retention import PrunePlan, pin, prune, prune_plan, unpin
from backtester.audit.run_filter import condition, ordered, short_name
from backtester.audit.run_index import DAMAGED, RunRow, runs_in
from backtester.cli.run_argument import run_directory, runs_directory, whole_number
from backtester.domain.errors import EXIT_DONE
from backtester.domain.timeframe import span_ms
from backtester.report.listing import Cell, Column, print_listing

_COLUMNS = (
    Column("run"),
    Column("made (UTC)", least=10),
    Column("strategy", least=12),
    Column("symbols", least=10),
    Column("range (UTC)", least=10),
    Column("return", right=True),
    Column("Sharpe a year", right=True),
    Column("max drawdown", right=True),
    Column("trades", right=True),
    Column("status"),
    Column("data", least=9),
    Column("trials", right=True),
    Column(""),
    Column("what is wrong", least=20),
)
_STATUS_TONES = {"failed": "bad", "interrupted": "warn", "running": "warn", DAMAGED: "bad"}
_SYMBOLS_SHOWN = 3


def list_runs(options: Namespace) -> int:
    """The runs asked for are told, damaged ones as such."""
    conditions = [condition(text) for text in options.filter]
    limit = whole_number(options.limit, "--limit", least=1)
    output = runs_directory(options)
    every = runs_in(output) if options.output is not None or output.exists() else []
    rows = [row for row in every if all(holds(row) for holds in conditions)]
    if options.sort is not None:
        rows = ordered(rows, options.sort)
    if options.reverse:
        rows.reverse()
    shown = rows[:limit]
    if options.json:
        listed = [{**msgspec.structs.asdict(row), "synthetic": row.synthetic} for row in shown]
        sys.stdout.write(
            msgspec.json.encode({"output": str(output), "runs": listed, "matching": len(rows), "all": len(every)}).decode() + "\n"
        )
        return EXIT_DONE
    if shown:
        print_listing(_COLUMNS, [_cells(row) for row in shown], sys.stdout)
    if not options.quiet:
        print(_said(len(shown), len(rows), len(every), output))
    return EXIT_DONE


def prune_runs(options: Namespace) -> int:
    """What the rules leave out is removed, or only told with --dry-run."""
    keep_last = whole_number(options.keep_last, "--keep-last", least=0)
    older_than_ms = span_ms(options.older_than, what="--older-than") if options.older_than is not None else None
    output = runs_directory(options)
    now = datetime.now(UTC)  # noqa: TID251 - the age of a run is judged by the clock on the wall
    plan = prune_plan(output, keep_last=keep_last, older_than_ms=older_than_ms, now_ms=int(now.timestamp() * 1000))
    gone = [] if options.dry_run else prune(output, plan.leaving, removed=now.isoformat(timespec="seconds"))
    if options.json:
        print(json.dumps(_plan_json(plan, output, gone)))
    elif not options.quiet:
        _tell_plan(plan, output, is_dry=options.dry_run)
    return EXIT_DONE


def pin_runs(options: Namespace) -> int:
    """These runs are never pruned."""
    for path in _directories(options):
        changed = pin(path)
        if not options.quiet:
            print(f"pinned {path}" if changed else f"{path} was pinned already")
    return EXIT_DONE


def unpin_runs(options: Namespace) -> int:
    """These runs may be pruned again."""
    for path in _directories(options):
        changed = unpin(path)
        if not options.quiet:
            print(f"unpinned {path}" if changed else f"{path} was not pinned")
    return EXIT_DONE


def _directories(options: Namespace) -> list[Path]:
    """All of them are found before anything is done to one."""
    output = runs_directory(options)
    return [run_directory(word, output) for word in options.runs]


def _cells(row: RunRow) -> Sequence[Cell | str]:
    gain = row.total_return
    tone = "" if not gain else "good" if gain > 0 else "bad"
    place = "SYNTHETIC" if row.synthetic else f"{row.exchange} {row.market}".strip() or row.data_source
    return (
        row.run_id,
        row.created[:16].replace("T", " "),
        short_name(row.strategy),
        _symbols(row.symbols),
        f"{row.start[:10]} to {row.end[:10]}" if row.start else "",
        Cell("-" if gain is None else f"{gain:+.2%}", tone),
        "-" if row.sharpe is None else f"{row.sharpe:.2f}",
        "-" if row.max_drawdown is None else f"{row.max_drawdown:.2%}",
        "-" if row.trades is None else f"{row.trades:,}",
        Cell(row.status, _STATUS_TONES.get(row.status, "")),
        Cell(place, "warn" if row.synthetic else ""),
        f"{row.trials:,}" if row.trials else "-",
        "pinned" if row.pinned else "",
        Cell(row.problem.partition("\n")[0], "dim"),
    )


def _symbols(symbols: Sequence[str]) -> str:
    shown = " ".join(symbols[:_SYMBOLS_SHOWN])
    return f"{shown} +{len(symbols) - _SYMBOLS_SHOWN}" if len(symbols) > _SYMBOLS_SHOWN else shown


def _said(shown: int, matching: int, every: int, output: Path) -> str:
    if not every:
        return f"no runs in {output}; make one: bt --strategy sma_extended --symbols BTCUSDT"
    if not matching:
        return f"none of the {every:,} runs in {output} fulfils all filters"
    of = f" of {matching:,}" if shown < matching else ""
    among = f"; {every:,} in all" if matching < every else ""
    return f"{shown:,}{of} runs in {output}{among}"


def _plan_json(plan: PrunePlan, output: Path, gone: Sequence[str]) -> dict[str, object]:
    return {
        "output": str(output),
        "leaving": [{"run_id": row.run_id, "created": row.created, "bytes": size} for row, size in plan.leaving],
        "staying": [{"run_id": row.run_id, "why": why} for row, why in plan.staying],
        "bytes": plan.size,
        "removed": list(gone),
    }


def _tell_plan(plan: PrunePlan, output: Path, *, is_dry: bool) -> None:
    rows = [(row.run_id, row.created[:16].replace("T", " "), row.status, _size(size)) for row, size in plan.leaving]
    columns = (
        Column("would be removed" if is_dry else "removed"),
        Column("made (UTC)"),
        Column("status"),
        Column("size", right=True),
    )
    if rows:
        print_listing(columns, rows, sys.stdout)
    for row, why in plan.staying:
        print(f"stays: {row.run_id} ({why})")
    verb = "would be freed by removing" if is_dry else "freed by removing"
    print(f"{_size(plan.size)} {verb} {len(plan.leaving):,} runs from {output}")


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"
