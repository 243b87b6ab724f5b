"""Runs of every kind: several strategies, several markets, spot, a warm start, an end that sells, ruin, a daily limit."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.audit.journal import read_journal
from tests.e2e.program import START_MS, bt_here, import_candles, manifest_of, waves, write_csv, write_strategy

HOUR_MS = 3_600_000

BUYS = """
    class Params(StrategyParams, frozen=True):
        qty: Decimal = Decimal("0.01")

    def on_candle(self, candle):
        if not self.ctx.position(candle.symbol) and not self.ctx.open_orders(candle.symbol):
            self.ctx.log("buying", cash=self.ctx.cash)
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=self.params.qty)
"""


def rows_of(run: Path, name: str) -> list[dict[str, str]]:
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_strategies_in_one_run_have_positions_and_orders_of_their_own(tmp_path, stored):
    write_strategy(tmp_path / "buys.py", BUYS)
    sells = BUYS.replace("Side.BUY", "Side.SELL").replace(
        "if not self.ctx.position", "if candle.end_ms % 7 == 0 and not self.ctx.position"
    )
    write_strategy(tmp_path / "sells.py", sells.replace("candle.end_ms % 7 == 0", "candle.end_ms // 3_600_000 % 7 == 0"))
    (tmp_path / "both.toml").write_text(
        '[run]\nsymbols = ["BTCUSDT", "ETHUSDT"]\n\n[data]\ndata_path = "' + str(stored) + '"\n\n'
        '[[strategies]]\nname = "buys.py"\nstrategy_id = "long"\ntimeframe = "1h"\n\n[strategies.params]\nqty = "0.03"\n\n'
        '[[strategies]]\nname = "sells.py:Mine"\nstrategy_id = "short"\ntimeframe = "2h"\n\n[strategies.params]\nqty = "0.02"\n'
    )
    bt_here("--config", "both.toml", "--run-id", "one", "--quiet", cwd=tmp_path)
    run = tmp_path / "runs/one"
    fills = rows_of(run, "fills.csv")
    assert {(row["strategy_id"], row["side"]) for row in fills} == {("long", "buy"), ("short", "sell")}
    assert {row["order_id"].partition("-")[0] for row in fills} == {"long", "short"}
    assert [record["strategy_id"] for record in manifest_of(run)["strategies"]] == ["long", "short"]
    open_trades = [row for row in rows_of(run, "trades.csv") if row["is_open"] == "true"]
    assert {(row["symbol"], row["side"]) for row in open_trades} <= {("BTCUSDT", "buy"), ("ETHUSDT", "buy")}
    assert "repeats" in bt_here("verify", "runs/one", cwd=tmp_path).stdout
    bt_here("--config", "runs/one/config.toml", "--run-id", "two", "--quiet", cwd=tmp_path)
    assert manifest_of(tmp_path / "runs/two")["digest"] == manifest_of(run)["digest"]


@pytest.fixture(scope="module")
def two_markets(tmp_path_factory) -> Path:
    """BTCUSDT on spot and on linear; the perpetual trades a little higher."""
    folder = tmp_path_factory.mktemp("markets")
    for market, middle in (("spot", 100_000.0), ("linear", 100_100.0)):
        file = write_csv(folder / f"{market}.csv", waves(2 * 1440, middle=middle))
        import_candles(file, folder / "catalog", symbol="BTCUSDT", market=market)
    return folder / "catalog"


def test_two_markets_in_one_run_use_qualified_names(tmp_path, two_markets):
    write_strategy(tmp_path / "buys.py", BUYS)
    names = ("binance.spot:BTCUSDT", "binance.linear:BTCUSDT")
    asked = ("--strategy", "buys.py", "--timeframe", "1h", "--data", str(two_markets), "--run-id", "one")
    done = bt_here(*asked, "--symbols", *names, cwd=tmp_path)
    assert all(name in done.stdout for name in names)
    run = tmp_path / "runs/one"
    manifest = manifest_of(run)
    assert (manifest["symbols"], manifest["market"]) == (list(names), "")
    fills = rows_of(run, "fills.csv")
    assert [row["symbol"] for row in fills] == list(names)
    spot, linear = (Decimal(row["fee"]) / (Decimal(row["qty"]) * Decimal(row["price"])) for row in fills)
    assert round(spot, 6) == Decimal("0.001")
    assert round(linear, 6) == Decimal("0.0005")
    last = rows_of(run, "equity.csv")[-1]
    paid = Decimal(fills[0]["qty"]) * Decimal(fills[0]["price"]) + sum(Decimal(row["fee"]) for row in fills)
    assert Decimal(last["cash"]) == 10_000 - paid
    assert "repeats" in bt_here("verify", "runs/one", cwd=tmp_path).stdout
    done = bt_here(*asked[:-1], "two", "--symbols", "BTCUSDT", cwd=tmp_path, code=2)
    assert "--exchange binance --market spot" in done.stderr


def test_a_spot_run_holds_what_it_bought_and_cannot_go_short(tmp_path, two_markets):
    both = BUYS.replace(
        "if not self",
        "if self.ctx.position(candle.symbol):\n            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=1)\n        if not self",
        1,
    )
    write_strategy(tmp_path / "buys.py", both)
    asked = (
        "--strategy",
        "buys.py",
        "--timeframe",
        "1h",
        "--data",
        str(two_markets),
        "--market",
        "spot",
        "--run-id",
        "one",
        "--json",
    )
    summary = json.loads(bt_here(*asked, "--symbols", "BTCUSDT", cwd=tmp_path).stdout)
    assert set(summary["refusals_by_reason"]) == {"SHORT_SPOT"}
    assert not any("funding not charged" in one["rule"] for one in summary["assumptions"])
    run = tmp_path / "runs/one"
    (fill,) = rows_of(run, "fills.csv")
    last = rows_of(run, "equity.csv")[-1]
    cash = 10_000 - Decimal(fill["qty"]) * Decimal(fill["price"]) - Decimal(fill["fee"])
    assert Decimal(last["cash"]) == cash
    assert Decimal(last["equity"]) == cash + Decimal(last["exposure"])


def test_end_close_really_sells_and_pays(tmp_path, stored):
    write_strategy(tmp_path / "buys.py", BUYS)
    asked = ("--strategy", "buys.py", "--symbols", "BTCUSDT", "--timeframe", "1h", "--data", str(stored), "--quiet")
    bt_here(*asked, "--run-id", "kept", cwd=tmp_path)
    bt_here(*asked, "--run-id", "sold", "--set", "end.close=true", cwd=tmp_path)
    kept, sold = (rows_of(tmp_path / f"runs/{name}", "fills.csv") for name in ("kept", "sold"))
    assert sold[:-1] == kept
    assert (sold[-1]["side"], sold[-1]["reason"], Decimal(sold[-1]["fee"]) > 0) == ("sell", "END", True)
    (kept_trade,), (sold_trade,) = (rows_of(tmp_path / f"runs/{name}", "trades.csv") for name in ("kept", "sold"))
    assert (kept_trade["is_open"], kept_trade["close_reason"], kept_trade["exit_time_ms"]) == ("true", "END", "")
    assert (sold_trade["is_open"], sold_trade["close_reason"]) == ("false", "END")
    metrics = [json.loads((tmp_path / f"runs/{name}/metrics.json").read_text()) for name in ("kept", "sold")]
    assert [one["trades"] for one in metrics] == [0, 1]
    assert metrics[0]["win_rate"] is None
    assert metrics[1]["fees"] > metrics[0]["fees"]
    last = rows_of(tmp_path / "runs/sold", "equity.csv")[-1]
    assert float(last["equity"]) == pytest.approx(10_000 * (1 + metrics[1]["total_return"]))
    assert Decimal(last["exposure"]) == 0


def test_a_start_in_the_middle_is_warm_and_trades_nothing_before_it(tmp_path, stored):
    body = BUYS.replace(
        "def on_candle(self, candle):",
        "warmup_bars = 5\n\n    def on_candle(self, candle):\n        self.ctx.log('seen', warming=self.ctx.warming, end_ms=candle.end_ms)",
    )
    write_strategy(tmp_path / "buys.py", body)
    asked = ("--strategy", "buys.py", "--symbols", "BTCUSDT", "--timeframe", "1h", "--data", str(stored), "--quiet")
    bt_here(*asked, "--run-id", "one", "--start", "2025-05-06T06:00", cwd=tmp_path)
    run, start_ms = tmp_path / "runs/one", START_MS + 30 * HOUR_MS
    assert manifest_of(run)["start"] == "2025-05-06 06:00:00"
    seen = [json.loads(line.raw)["facts"] for line in read_journal(run / "journal.jsonl") if b'"event":"seen"' in line.raw]
    warm = [int(facts["end_ms"]) for facts in seen if facts["warming"] == "True"]
    live = [int(facts["end_ms"]) for facts in seen if facts["warming"] == "False"]
    assert warm == [start_ms - back * HOUR_MS for back in (4, 3, 2, 1, 0)]
    assert live[0] == start_ms + HOUR_MS
    assert int(rows_of(run, "fills.csv")[0]["time_ms"]) == start_ms + HOUR_MS + 125
    assert int(rows_of(run, "equity.csv")[0]["time_ms"]) == start_ms + HOUR_MS


class Short(Strategy):
    """Sells once and waits for ruin."""

    def on_candle(self, candle: Candle):
        if not self.ctx.position(candle.symbol):
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty="0.09")
        return None


def test_ruin_ends_the_run_at_once_and_says_so(tmp_path):
    columns = waves(600)
    for name in ("open", "high", "low", "close"):
        columns[name] = [value if row < 300 else value * 3 for row, value in enumerate(columns[name])]
    result = backtester.run(Short, symbols="BTCUSDT", data=columns, timeframe="5m", output=tmp_path, run_id="one")
    assert (result.status, result.end_reason, result.exit_code) == ("complete", "bankrupt", 0)
    assert "bankrupt" in repr(result)
    assert result.summary["end_equity"] <= 0
    (fill,) = result.fills.iter_rows(named=True)
    (ended,) = [line for line in read_journal(tmp_path / "one/journal.jsonl") if b'"run_ended"' in line.raw]
    assert json.loads(ended.raw)["time_ms"] == START_MS + 301 * 60_000
    tripled = columns["close"][300]
    lost = float(fill["qty"]) * (tripled - float(fill["price"])) + float(fill["fee"])
    assert result.summary["end_equity"] == pytest.approx(10_000 - lost)
    assert result.metrics["total_return"] <= -1
    assert result.metrics["max_drawdown"] >= 1
    assert result.metrics["cagr"] is None
    assert manifest_of(tmp_path / "one")["end_reason"] == "bankrupt"
    text = (tmp_path / "one/metrics.json").read_text()
    assert "NaN" not in text
    assert all(math.isfinite(value) for value in json.loads(text).values() if isinstance(value, (int, float)))


def test_a_daily_loss_limit_stops_entries_until_the_next_day(tmp_path, stored):
    loses = """
    def on_candle(self, candle):
        held = self.ctx.position(candle.symbol)
        if held:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=held, reduce_only=True)
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=Decimal("0.09"))
"""
    write_strategy(tmp_path / "loses.py", loses)
    asked = ("--strategy", "loses.py", "--symbols", "BTCUSDT", "--timeframe", "15m", "--data", str(stored), "--fees", "10")
    limits = ("--set", "risk.daily_loss_limit=0.02", "--set", "risk.daily_loss_action=flatten")
    summary = json.loads(bt_here(*asked, *limits, "--run-id", "one", "--json", cwd=tmp_path).stdout)
    assert summary["refusals_by_reason"].keys() == {"DAILY_LOSS"}
    days: dict[int, int] = {}
    for row in rows_of(tmp_path / "runs/one", "fills.csv"):
        day = int(row["time_ms"]) // (24 * HOUR_MS)
        days[day] = days.get(day, 0) + 1
    assert len(days) == 4
    assert all(count < 40 for count in days.values())
    switched = [
        json.loads(line.raw)["action"] for line in read_journal(tmp_path / "runs/one/journal.jsonl") if line.topic == "control"
    ]
    assert switched == (["daily_loss_flatten", "daily_loss_rearm"] * 4)[: len(switched)]
    assert len(switched) >= 7


def test_memory_stays_flat_while_a_series_gets_ten_times_as_long(tmp_path):
    """Coarse on purpose: the bench measures; this sees a list that keeps every candle."""
    (tmp_path / "grow.py").write_text(
        "import resource, sys\nimport numpy as np\nimport backtester\n\n"
        "class Idle(backtester.Strategy):\n    pass\n\n"
        "def frame(rows):\n"
        "    start = 1_746_403_200_000 + 60_000 * np.arange(rows)\n"
        "    price = np.full(rows, 100.0)\n"
        "    return dict(start_ms=start, open=price, high=price, low=price, close=price, volume=price)\n\n"
        "longest = frame(1_000_000)\n"
        "for rows in (100_000, 1_000_000):\n"
        "    data = {name: values[:rows] for name, values in longest.items()}\n"
        "    result = backtester.run(Idle, symbols='BTCUSDT', data=data, timeframe='1d')\n"
        "    print(result.counts['candles'], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    done = subprocess.run([sys.executable, "grow.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    (few, before_mb), (many, after_mb) = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    assert (few, many) == (100_000, 1_000_000)
    assert after_mb - before_mb < 100
