"""Inverse contracts as a user runs them: the sample market, and a dated future that is delivered; verified and explained."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.e2e.program import bt_here, manifest_of

FUTURE = "BTCUSDF25"
DELIVERY_MS = 1_738_310_400_000
"""2025-01-31 08:00 UTC, the last Friday of January."""
MINUTE_MS = 60_000
HOLDER = """
from backtester import Candle, MarketOrderIntent, Side, Strategy


class Holder(Strategy):
    def on_candle(self, candle: Candle):
        if not self.ctx.position(candle.symbol) and not self.ctx.open_orders(candle.symbol):
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=10000)
"""
INSTRUMENT = f"""
[[instruments]]
symbol = "{FUTURE}"
exchange = "bybit"
market = "inverse"
base = "BTC"
quote = "USD"
settle = "BTC"
contract_size = "1"
tick_size = "0.5"
lot_size = "1"
min_qty = "1"
source = "a test"
"""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_on_the_sample_market_is_in_coins_and_verifies(tmp_path):
    words = ("--market", "inverse", "--symbols", "BTCUSD", "--cash", "0.1", "--leverage", "5", "--fees", "5.5")
    span = ("--start", "2025-01-01", "--end", "2025-01-12", "--run-id", "one")
    told = bt_here("--strategy", "sma_extended", *words, *span, cwd=tmp_path).stdout
    assert "0.10000000 -> " in told
    assert " BTC" in told
    manifest = manifest_of(tmp_path / "runs/one")
    assert (manifest["quote"], manifest["contracts"]) == ("BTC", {"BTCUSD": "1"})
    fills = rows_of(tmp_path / "runs/one/fills.csv")
    assert {row["fee_asset"] for row in fills} == {"BTC"}
    assert len(fills) > 2
    assert "agree" in bt_here("verify", "runs/one", cwd=tmp_path).stdout
    assert "it adds up" in bt_here("explain", "runs/one", cwd=tmp_path).stdout
    assert "; in BTC: gross" in bt_here("trades", "runs/one", cwd=tmp_path).stdout
    assert "amounts are in BTC" in bt_here("costs", "runs/one", cwd=tmp_path).stdout
    bt_here("report", "runs/one", cwd=tmp_path)
    assert "BTC" in (tmp_path / "runs/one/report.html").read_text()


def test_a_dated_future_is_delivered_and_the_run_verifies(tmp_path):
    start_ms = DELIVERY_MS - 120 * MINUTE_MS
    prices = [100_000.0] * 60 + [99_000.0 + place for place in range(60)] + [99_000.0] * 10
    rows = [(start_ms + place * MINUTE_MS, price, price, price, price, 1e7) for place, price in enumerate(prices)]
    with (tmp_path / "f.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("open_time", "open", "high", "low", "close", "volume"), *rows])
    place = ("--exchange", "bybit", "--market", "inverse", "--symbol", FUTURE, "--timeframe", "1m", "--volume-unit", "contracts")
    bt_here("data", "import", "f.csv", "--data", "D", *place, cwd=tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/instruments.toml").write_text(INSTRUMENT)
    (tmp_path / "holder.py").write_text(HOLDER)
    words = ("--market", "inverse", "--symbols", FUTURE, "--cash", "1", "--run-id", "one", "--quiet")
    bt_here("--strategy", "holder.py", "--data", "D", *words, cwd=tmp_path)
    (trade,) = [row for row in rows_of(tmp_path / "runs/one/trades.csv") if row["is_open"] == "false"]
    assert (trade["side"], trade["close_reason"], trade["order_type"]) == ("sell", "DELIVERY", "delivery")
    assert float(trade["exit_price"]) == 99_044.5  # the mean of 99,030 to 99,059
    assert "agree" in bt_here("verify", "runs/one", cwd=tmp_path).stdout
    told = bt_here("explain", "runs/one", cwd=tmp_path).stdout
    assert f"{FUTURE} DELIVERY" in told
    assert "it adds up" in told
    assert any("itself, no index of which is stored" in one["rule"] for one in manifest_of(tmp_path / "runs/one")["assumptions"])
