"""A result does not depend on the process, its environment or where it is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oracle.driver import frame_of
from tests.oracle.generate import make_bars
from tests.oracle.real_data import real_path
from tests.support.shared_data import needs_shared

STRATEGY = '''
from decimal import Decimal
from backtester import LimitOrderIntent, MarketOrderIntent, Side, Strategy

class Busy(Strategy):
    """Trades on a set's order only through sorted(); keeps a named random stream busy."""

    def on_start(self):
        self.names = {"BTCUSDT", "ETHUSDT", "a", "b", "c"}
        self.count = 0

    def on_candle(self, candle):
        self.count += 1
        wanted = sorted(self.names)[self.count % 5]
        side = Side.BUY if self.count % 7 < 4 else Side.SELL
        if self.count % 11 == 0:
            price = Decimal(str(round(candle.close * (0.999 if side is Side.BUY else 1.001), 1)))
            return LimitOrderIntent(symbol=candle.symbol, side=side, qty="0.002", price=price)
        if wanted == candle.symbol or self.count % 13 == 0:
            return MarketOrderIntent(symbol=candle.symbol, side=side, qty=Decimal("0.003"))
        return None
'''

ENVIRONMENTS = [
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "POLARS_MAX_THREADS": "1"},
    {"PYTHONHASHSEED": "4242", "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8", "POLARS_MAX_THREADS": "2"},
]
RESULTS = ("fills.csv", "trades.csv", "equity.csv", "metrics.json")


BT = "import sys; from backtester.cli.main import main; sys.exit(main())"
TELLS_LIBRARIES = BT.replace("sys.exit(main())", "code = main(); print(*sys.modules, sep='\\n'); sys.exit(code)")


def bt(
    *arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None, code: str = BT
) -> subprocess.CompletedProcess[str]:
    """`bt` in a fresh process."""
    variables = {key: value for key, value in os.environ.items() if key not in ("BT_DATA", "PYTHONHASHSEED")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, env=variables | (environment or {}), cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of two symbols with different gaps, imported from parquet."""
    folder = tmp_path_factory.mktemp("market")
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        bars = make_bars(seed, 1500, price_ticks=10_000_000 if symbol == "BTCUSDT" else 300_000)
        path = folder / f"{symbol}.parquet"
        frame_of(bars).write_parquet(path)
        done = bt(
            "data",
            "import",
            str(path),
            "--exchange",
            "binance",
            "--market",
            "futures",
            "--symbol",
            symbol,
            "--timeframe",
            "1m",
            "--data",
            str(folder / "catalog"),
        )
        assert done.returncode == 0, done.stderr
    (folder / "busy.py").write_text(STRATEGY)
    return folder


def run_in(environment: dict[str, str], cwd: Path, run_id: str, arguments: list[str]) -> Path:
    """The directory of a run made in another process."""
    cwd.mkdir()
    output = cwd / "out"
    done = bt(*arguments, "--output", str(output), "--run-id", run_id, environment=environment, cwd=cwd)
    assert done.returncode == 0, done.stderr + done.stdout
    return output / run_id


def assert_equal_runs(one: Path, two: Path) -> None:
    """Equal digests, byte-equal results."""
    digests = [json.loads((run / "manifest.json").read_text())["digest"] for run in (one, two)]
    assert digests[0] == digests[1] != ""
    for name in RESULTS:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_runs_on_a_catalog_are_equal_under_any_environment(catalog: Path, tmp_path: Path) -> None:
    arguments = ["--strategy", f"{catalog / 'busy.py'}:Busy", "--symbols", "BTCUSDT", "ETHUSDT", "--data", str(catalog / "catalog")]
    arguments += ["--timeframe", "1m", "--cash", "10000000"]
    runs = [run_in(env, tmp_path / f"cwd{i}", f"run-{i}", arguments) for i, env in enumerate(ENVIRONMENTS)]
    assert_equal_runs(*runs)
    assert len((runs[0] / "fills.csv").read_text().splitlines()) > 100


def test_a_run_loads_no_library_that_it_does_not_need(catalog: Path, tmp_path: Path) -> None:
    """pyarrow loads pandas, half a second, for some conversions; a run must not pay for what happens to be installed."""
    arguments = ["--strategy", f"{catalog / 'busy.py'}:Busy", "--symbols", "BTCUSDT", "--data", str(catalog / "catalog"), "--json"]
    done = bt(*arguments, "--output", str(tmp_path), code=TELLS_LIBRARIES)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines())
    assert "pyarrow" in loaded, "the catalog was read"
    heavy = {"pandas", "pyarrow.compute", "matplotlib", "plotly", "ccxt", "pybit", "httpx"}
    assert sorted(loaded & heavy) == []


def test_runs_on_the_sample_are_equal_under_any_environment(tmp_path: Path) -> None:
    arguments = ["--strategy", "sma_extended", "--symbols", "BTCUSDT", "ETHUSDT", "--set", "data.sample_days=12"]
    runs = [run_in(env, tmp_path / f"cwd{i}", f"run-{i}", arguments) for i, env in enumerate(ENVIRONMENTS)]
    assert_equal_runs(*runs)
    assert len((runs[0] / "fills.csv").read_text().splitlines()) > 2


@needs_shared
def test_runs_on_the_real_pair_are_equal_and_verified(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    for symbol in ("BTCUSDT", "ETHUSDT"):
        what = ["--exchange", "binance", "--market", "futures", "--symbol", symbol, "--timeframe", "1m", "--data", str(catalog)]
        done = bt("data", "import", str(real_path(symbol)), *what)
        assert done.returncode == 0, done.stderr
    arguments = ["--strategy", "sma_extended", "--symbols", "BTCUSDT", "ETHUSDT", "--data", str(catalog)]
    runs = [run_in(env, tmp_path / f"cwd{i}", f"run-{i}", arguments) for i, env in enumerate(ENVIRONMENTS)]
    assert_equal_runs(*runs)
    assert len((runs[0] / "fills.csv").read_text().splitlines()) > 20
    verified = bt("verify", str(runs[1]), environment=ENVIRONMENTS[0], cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr + verified.stdout


def test_verify_accepts_a_renamed_run_and_changes_nothing_in_it(catalog: Path, tmp_path: Path) -> None:
    arguments = ["--strategy", f"{catalog / 'busy.py'}:Busy", "--symbols", "BTCUSDT", "--data", str(catalog / "catalog")]
    run = run_in(ENVIRONMENTS[0], tmp_path / "cwd", "first", [*arguments, "--timeframe", "5m"])
    moved = run.rename(run.with_name("another-name"))
    before = {path.name: path.read_bytes() for path in moved.iterdir() if path.is_file()}
    verified = bt("verify", str(moved), environment=ENVIRONMENTS[1], cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr + verified.stdout
    assert {path.name: path.read_bytes() for path in moved.iterdir() if path.is_file()} == before
