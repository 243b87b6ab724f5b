"""`bt` as a user starts it: in a process of its own, in a directory of the user's."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from backtester.cli.main import main

MINUTE_MS = 60_000
START_MS = 1_746_403_200_000
"""2025-05-05 00:00 UTC."""
COMMAND = (sys.executable, "-c", "import sys; from backtester.cli.main import main; sys.exit(main())")
RESULTS = ("fills.csv", "trades.csv", "equity.csv", "metrics.json")
HEAD = "from decimal import Decimal\nfrom backtester import LimitOrderIntent, MarketOrderIntent, Side, Strategy, StrategyParams\n\n"

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # what is started by a script in the background ignores it, and so do its children
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would name a catalog."""
    return {name: value for name, value in os.environ.items() if name != "BT_DATA"} | extra


def bt(*words: str, cwd: Path, code: int | None = 0, **extra: str) -> subprocess.CompletedProcess[str]:
    """`bt` with these words, which ends with `code` (None: with any)."""
    done = subprocess.run(
        [*COMMAND, *words], cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=120, check=False
    )
    assert code is None or done.returncode == code, f"bt {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def bt_here(*words: str, cwd: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """The same in this process, which is quicker; for what needs no process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = main(words)
    done = subprocess.CompletedProcess(words, ended, out.getvalue(), err.getvalue())
    assert code is None or ended == code, f"bt {' '.join(words)}: {ended}\n{done.stdout}\n{done.stderr}"
    return done


def start_bt(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """`bt` at work; the caller ends it."""
    return subprocess.Popen(
        [*COMMAND, *words], cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def manifest_of(run: Path) -> dict[str, Any]:
    """The run's manifest."""
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return manifest


def files_of(run: Path) -> dict[str, bytes]:
    """Every file of a directory, by its relative name."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def write_strategy(path: Path, body: str, *, name: str = "Mine") -> Path:
    """A strategy file; `body` is indented as the class's own."""
    path.write_text(f"{HEAD}class {name}(Strategy):\n{body}")
    return path


def waves(rows: int, *, middle: float = 100_000.0, phase: float = 0.0, start_ms: int = START_MS) -> dict[str, list[Any]]:
    """Minutes of a market that goes in circles, as columns."""
    closes = [round(middle * (1 + 0.008 * math.sin(minute / 90 + phase)), 1) for minute in range(rows)]
    opens = [middle, *closes[:-1]]
    return {
        "start_ms": [start_ms + minute * MINUTE_MS for minute in range(rows)],
        "open": opens,
        "high": [max(pair) + 5 for pair in zip(opens, closes, strict=True)],
        "low": [min(pair) - 5 for pair in zip(opens, closes, strict=True)],
        "close": closes,
        "volume": [25.5] * rows,
    }


def write_csv(path: Path, columns: dict[str, list[Any]]) -> Path:
    """The columns as a file that `bt data import` takes."""
    lines = [",".join(columns)] + [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def import_candles(file: Path, catalog: Path, *, symbol: str, market: str = "futures", exchange: str = "binance") -> None:
    """The file's minutes stand in the catalog."""
    where = ("--exchange", exchange, "--market", market, "--symbol", symbol, "--timeframe", "1m", "--data", str(catalog))
    bt("data", "import", str(file), *where, cwd=file.parent)
