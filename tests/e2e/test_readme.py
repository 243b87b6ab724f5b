"""Every command of the README runs as it stands there, in an empty directory, with the installed `bt`.

The two set-up commands are run by `.ci/run`, which takes them from the README too.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.archive_server import ArchiveServer

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
MINUTE_MS = 60_000
START_MS = 1_746_403_200_000  # 2025-05-05 00:00 UTC


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def write_candles(path: Path) -> None:
    """Two days of minutes of a market that goes in circles, as the README's own candles."""
    rows = ["open_time_ms,open,high,low,close,volume"]
    before = 100_000.0
    for minute in range(2 * 1440):
        close = round(100_000 + 800 * math.sin(minute / 90), 1)
        high, low = max(before, close) + 5, min(before, close) - 5
        rows.append(f"{START_MS + minute * MINUTE_MS},{before},{high},{low},{close},25.5")
        before = close
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def day_of_klines(day: str) -> str:
    """A day of minutes as the archive publishes it."""
    first_ms = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
    rows = ["open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"]
    for minute in range(1440):
        start_ms, close = first_ms + minute * MINUTE_MS, 42_000 + minute % 60
        rows.append(
            f"{start_ms},{close},{close + 5},{close - 5},{close},10,{start_ms + MINUTE_MS - 1},{close * 10},9,5,{close * 5},0"
        )
    return "\n".join(rows) + "\n"


def run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """What a user sees who types the command in `directory` with the environment active."""
    environment = {name: value for name, value in os.environ.items() if name not in {"BT_DATA", "PYTHONPATH"}}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment.get('PATH', '')}"
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: " ".join(block.split()[:3]))
def test_every_command_of_the_tour_runs(block: str, tmp_path: Path) -> None:
    write_candles(tmp_path / "candles.csv")
    with ArchiveServer() as archive:
        for day in ("2024-01-01", "2024-01-02"):
            archive.publish(f"/data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{day}.zip", day_of_klines(day))
        for line in block.splitlines():
            command = shlex.split(line)
            assert command[0] == "bt", line
            if command[1:3] == ["data", "download"]:  # the exchange is played by a server on this machine
                command += ["--base-url", archive.url, "--rest-url", archive.url]
            done = run(command, tmp_path)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            assert done.stdout, line


@pytest.mark.parametrize("program", blocks("python"))
def test_the_python_example_runs(program: str, tmp_path: Path) -> None:
    done = run([sys.executable, "-c", program], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_set_up_is_two_commands_that_need_nothing_but_python() -> None:
    (first, second) = "".join(blocks("sh")).splitlines()
    assert first.startswith("python3.11 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/bt ")
    assert second == "python3.11 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python scripts/check.py"


def test_ci_runs_the_set_up_commands_of_the_readme() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "README.md" in script.read_text(encoding="utf-8")
