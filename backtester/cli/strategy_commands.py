"""`bt strategies` and `bt new`."""

from __future__ import annotations

import inspect
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from backtester.config.loading import strategy_layer
from backtester.domain.errors import EXIT_DONE
from backtester.report.terminal import print_table
from backtester.strategy.registry import BUILTIN, describe, load_strategy
from backtester.strategy.skeleton import write_skeleton


def list_strategies(options: Namespace) -> int:
    """Every strategy that has a name, or those asked for, with parameters, types and defaults."""
    rows = [_described(name) for name in (options.names or [*BUILTIN, *_configured_names()])]
    if options.json:
        print(json.dumps({"strategies": rows}))
        return EXIT_DONE
    for row in rows:
        print(f"{row['name']}  {row['summary']}".rstrip())
        table = [(one["name"], one["type"], one["default"], one["configured"], one["doc"]) for one in row["parameters"]]
        print_table(("parameter", "type", "default", "configured", "meaning"), table, sys.stdout)
        print()
    print("Also module:Class and file.py[:Class]; set parameters with --params '{\"name\": value}' or --set params.name=value.")
    return EXIT_DONE


def new_strategy(options: Namespace) -> int:
    """A new strategy file stands where it was asked for; nothing is overwritten."""
    path = write_skeleton(Path(options.file))
    if not options.quiet:
        print(f"wrote {path}; run it: bt --strategy {path} --symbols BTCUSDT")
    return EXIT_DONE


def _described(name: str) -> dict[str, Any]:
    layer = strategy_layer(name, Path())
    configured = (layer.params or {}) if layer is not None else {}
    strategy = load_strategy((layer.info.strategy if layer is not None else "") or name).strategy
    rows = [
        {**msgspec.to_builtins(row), "configured": json.dumps(configured[row.name]) if row.name in configured else ""}
        for row in describe(strategy)
    ]
    text = (layer.info.description if layer is not None else "") or (inspect.getdoc(strategy) or "").partition("\n")[0]
    return {"name": name, "summary": text, "parameters": rows}


def _configured_names() -> list[str]:
    """Names that configs/ of the current directory gives to strategies of the user's own."""
    names = sorted({path.stem for path in Path("configs").glob("*") if path.suffix in {".toml", ".yaml", ".yml", ".json"}})
    return [name for name in names if name not in BUILTIN and (layer := strategy_layer(name, Path())) and layer.info.strategy]
