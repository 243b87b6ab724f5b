"""Commands that look into a run that is over: trades, comparison, export, why and at."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.program import bt_here, write_strategy

BUSY = """
    def on_start(self):
        self.bar = 0

    def on_candle(self, candle):
        self.bar += 1
        step = self.bar % 9
        if step == 1:
            side = Side.BUY if self.bar % 2 else Side.SELL
            yield MarketOrderIntent(symbol=candle.symbol, side=side, qty="0.02", take_profit=None)
        elif step == 4:
            yield LimitOrderIntent(symbol=candle.symbol, side=Side.SELL, qty="0.03", price=round(candle.close * 1.001, 1))
        elif step == 7:
            yield MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.05", reason="FLIP")
        elif step == 8:
            yield MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="90")
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, stored: Path) -> Path:
    """A directory with two runs of one strategy, `one` and `two`, on the stored catalog."""
    folder = tmp_path_factory.mktemp("work")
    write_strategy(folder / "busy.py", BUSY.lstrip("\n"), name="Busy")
    common = ("--strategy", "busy.py", "--symbols", "BTCUSDT", "ETHUSDT", "--timeframe", "15m", "--data", str(stored), "--quiet")
    bt_here(*common, "--run-id", "one", cwd=folder)
    bt_here(*common, "--run-id", "two", "--slippage", "20", cwd=folder)
    return folder


def json_of(*words: str, cwd: Path):
    return json.loads(bt_here(*words, "--json", cwd=cwd).stdout)


def test_trades_say_what_trades_csv_says_and_slippage_is_that_of_the_metrics(work):
    trades = json_of("trades", "one", cwd=work)["trades"]
    rows = list(csv.DictReader((work / "runs/one/trades.csv").read_text().splitlines()))
    for name in ("symbol", "side", "qty", "entry_price", "gross_pnl", "fees", "net_pnl", "close_reason"):
        assert [trade[name] for trade in trades] == [row[name] for row in rows]
    metrics = json.loads((work / "runs/one/metrics.json").read_text())
    assert float(sum(Decimal(trade["slippage"]) for trade in trades)) == pytest.approx(metrics["slippage"], abs=1e-9)
    for trade in trades:
        assert Decimal(trade["mae"]) <= min(0, Decimal(trade["gross_pnl"]))
        assert max(0, Decimal(trade["gross_pnl"])) <= Decimal(trade["mfe"])


def test_trades_are_limited_and_chosen_by_symbol(work):
    told = json_of("trades", "runs/one", "--symbol", "ETHUSDT", "--limit", "2", cwd=work)
    assert [trade["symbol"] for trade in told["trades"]] == ["ETHUSDT"] * 2
    assert told["matching"] > 2
    assert "it traded" in bt_here("trades", "one", "--symbol", "SOLUSDT", cwd=work, code=2).stderr


def test_trades_of_a_run_whose_candles_are_gone_are_told_without_excursions(work, tmp_path):
    config = (work / "runs/one/config.toml").read_text()
    moved = tmp_path / "moved"
    shutil.copytree(work / "runs/one", moved)
    stored = next(line.split('"')[1] for line in config.splitlines() if line.startswith("data_path"))
    (moved / "config.toml").write_text(config.replace(stored, str(tmp_path / "gone")))
    done = bt_here("trades", str(moved), cwd=tmp_path)
    assert "no excursions and slippage" in done.stderr
    assert "MAE" in done.stdout
    again = json_of("trades", str(moved), "--data", stored, cwd=tmp_path)
    assert again["note"] == ""
    assert again["trades"] == json_of("trades", "one", cwd=work)["trades"]


def test_a_run_without_trades_is_said(work, tmp_path):
    failed = tmp_path / "failed"
    failed.mkdir()
    (failed / "manifest.json").write_text('{"run_id": "failed", "status": "failed"}')
    assert "the run is failed" in bt_here("trades", str(failed), cwd=tmp_path, code=2).stderr
    assert "did you mean one" in bt_here("trades", "onne", cwd=work, code=2).stderr
