"""The files of a run have the names that scripts rely on, and every figure follows from the csv files by plain arithmetic."""

from __future__ import annotations

import csv
import json
import math
from decimal import Decimal
from pathlib import Path

import pytest

from backtester.audit.journal import read_journal
from tests.e2e.program import START_MS, bt_here, files_of, import_candles, manifest_of, waves, write_csv, write_strategy

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

FILLS = "time_ms,symbol,side,qty,price,fee,fee_asset,liquidity,order_id,fill_id,reason,order_type,bar_fill"
TRADES = "symbol,side,qty,entry_time_ms,exit_time_ms,entry_price,exit_price,gross_pnl,fees,net_pnl,pnl_frac,close_reason,order_type,is_open"
EQUITY = "time_ms,equity,cash,unrealised_pnl,exposure,equity_min,equity_max"
METRICS = ["total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "win_rate", "exposure", "trades", "fees"]

BODY = """
    def on_candle(self, candle):
        hour = candle.end_ms // 3_600_000
        held = self.ctx.position(candle.symbol)
        if hour % 24 == 23:  # more than the account can pay
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=1000)
        if hour % 5 == 0:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL if held > 0 else Side.BUY, qty=abs(held) * 2 or SIZE)
        if hour % 7 == 0:
            away = 0.998 if held <= 0 else 1.002
            side = Side.BUY if held <= 0 else Side.SELL
            return LimitOrderIntent(symbol=candle.symbol, side=side, qty=SIZE, price=round(candle.close * away, 1))
"""
DAYS = 93


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Longs, shorts, flips, limits and refusals over more than a quarter of a year with a gap."""
    folder = tmp_path_factory.mktemp("files")
    columns = waves(DAYS * 1440)
    holed = {name: values[:5000] + values[5120:] for name, values in columns.items()}
    import_candles(write_csv(folder / "btc.csv", holed), folder / "catalog", symbol="BTCUSDT")
    write_strategy(folder / "mine.py", BODY.replace("SIZE", 'Decimal("0.02")'))
    asked = ("--strategy", "mine.py", "--symbols", "BTCUSDT", "--timeframe", "1h", "--data", "catalog", "--run-id", "one")
    bt_here(*asked, "--cash", "100000", "--seed", "7", "--quiet", cwd=folder)
    return folder / "runs/one"


def rows_of(run: Path, name: str) -> list[dict[str, str]]:
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_columns_are_those_that_scripts_rely_on(run):
    for name, columns in (("fills.csv", FILLS), ("trades.csv", TRADES), ("equity.csv", EQUITY)):
        head, first, *_ = (run / name).read_text().splitlines()
        assert (head + ",").startswith(columns + ",")
        assert first.count(",") == head.count(",")
    assert list(json.loads((run / "metrics.json").read_text()))[: len(METRICS)] == METRICS


def test_the_manifest_has_the_names_that_scripts_rely_on(run):
    manifest = manifest_of(run)
    names = "run_id status digest seed strategy symbols start end data_source git_sha git_dirty timings counts"
    assert set(names.split()) <= set(manifest)
    assert set(manifest["timings"]) == {"load_s", "run_s", "report_s"}
    assert set(manifest["counts"]) == {"candles", "events", "orders", "fills", "refusals", "gaps", "outages", "filled"}
    assert (manifest["run_id"], manifest["status"], manifest["seed"]) == ("one", "complete", 7)
    assert (manifest["symbols"], manifest["data_source"]) == (["BTCUSDT"], "catalog")
    assert all(value > 0 for value in manifest["timings"].values())
    assert set(manifest["files"]) == set(files_of(run)) - {"manifest.json"}


def test_counts_agree_with_the_files(run):
    counts = manifest_of(run)["counts"]
    lines = list(read_journal(run / "journal.jsonl"))
    topics = [line.topic for line in lines]
    assert counts["candles"] == DAYS * 1440 - 120
    assert counts["gaps"] == 1
    assert counts["events"] == len(lines) == lines[-1].seq
    assert counts["fills"] == topics.count("fills") == len(rows_of(run, "fills.csv")) > 100
    assert counts["orders"] == sum(b'"type":"sanitized_order"' in line.raw for line in lines) > 100
    assert counts["refusals"] == topics.count("orders.refused") + topics.count("orders.rejected") > 50


def test_values_are_written_as_agreed(run):
    fills, trades, equity = (rows_of(run, name) for name in ("fills.csv", "trades.csv", "equity.csv"))
    for row in (*fills, *trades):
        assert row["side"] in {"buy", "sell"}
        assert Decimal(row["qty"]) > 0
    assert {row["bar_fill"] for row in fills} == {"true", "false"}
    assert {row["liquidity"] for row in fills} == {"maker", "taker"}
    assert {row["fee_asset"] for row in fills} == {"USDT"}
    assert all(Decimal(row["fee"]) > 0 for row in fills)
    for row in equity:
        assert all(len(row[name].partition(".")[2]) >= 8 for name in EQUITY.split(",")[1:])
    assert [int(row["time_ms"]) for row in fills] == sorted(int(row["time_ms"]) for row in fills)


def test_there_is_one_row_of_equity_at_each_close_of_the_signal_timeframe(run):
    times = [int(row["time_ms"]) for row in rows_of(run, "equity.csv")]
    gap = range(START_MS + 5000 * 60_000, START_MS + 5120 * 60_000)
    expected = [START_MS + hour * HOUR_MS for hour in range(1, DAYS * 24 + 1)]
    hours_without_a_bar = {end_ms for end_ms in expected if end_ms - HOUR_MS >= gap.start and end_ms <= gap.stop}
    assert times == [end_ms for end_ms in expected if end_ms not in hours_without_a_bar]


def test_trades_follow_from_the_fills(run):
    fills, trades = rows_of(run, "fills.csv"), rows_of(run, "trades.csv")
    held, entered, left, flat_to_flat = Decimal(0), Decimal(0), Decimal(0), []
    for fill in fills:
        signed = Decimal(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
        price = Decimal(fill["price"])
        closing = min(abs(signed), abs(held)) if held * signed < 0 else Decimal(0)
        if closing:
            sign = 1 if held > 0 else -1
            left += closing * price
            held -= sign * closing
            if not held:
                flat_to_flat.append((sign, sign * (left - entered), fill["time_ms"]))
                entered = left = Decimal(0)
        opening = abs(signed) - closing
        held += opening * (1 if signed > 0 else -1)
        entered += opening * price
    closed = [row for row in trades if row["is_open"] == "false"]
    found = [(1 if row["side"] == "buy" else -1, Decimal(row["gross_pnl"]), row["exit_time_ms"]) for row in closed]
    assert found == flat_to_flat
    assert len(closed) > 50
    assert [(row["close_reason"], row["exit_time_ms"]) for row in trades[len(closed) :]] == [("END", "")] * bool(held)
    for row in trades:
        assert Decimal(row["net_pnl"]) == Decimal(row["gross_pnl"]) - Decimal(row["fees"])
    assert sum(Decimal(row["fees"]) for row in trades) == sum(Decimal(row["fee"]) for row in fills)


def test_every_figure_follows_from_the_csv_files(run):
    metrics = json.loads((run / "metrics.json").read_text())
    fills, trades, equity = (rows_of(run, name) for name in ("fills.csv", "trades.csv", "equity.csv"))
    start, end = 100_000.0, float(equity[-1]["equity"])
    near = {"rel": 1e-9, "abs": 1e-12}
    assert metrics["total_return"] == pytest.approx(end / start - 1, **near)
    assert metrics["cagr"] == pytest.approx((end / start) ** (365 / DAYS) - 1, **near)
    assert metrics["fees"] == pytest.approx(math.fsum(float(row["fee"]) for row in fills), **near)
    closed = [row for row in trades if row["is_open"] == "false"]
    assert metrics["trades"] == len(closed)
    assert metrics["win_rate"] == pytest.approx(sum(float(row["net_pnl"]) > 0 for row in closed) / len(closed), **near)
    assert metrics["exposure"] == pytest.approx(sum(float(row["exposure"]) > 0 for row in equity) / len(equity), **near)
    daily = [start] + [float(row["equity"]) for row in equity if int(row["time_ms"]) % DAY_MS == 0]
    returns = [after / before - 1 for before, after in zip(daily, daily[1:], strict=False)]
    assert len(returns) == DAYS
    mean = math.fsum(returns) / len(returns)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in returns) / (len(returns) - 1))
    downside = math.sqrt(math.fsum(min(value, 0) ** 2 for value in returns) / len(returns))
    assert metrics["volatility"] == pytest.approx(deviation * math.sqrt(365), rel=1e-6)
    assert metrics["sharpe"] == pytest.approx(mean / deviation * math.sqrt(365), rel=1e-6)
    assert metrics["sortino"] == pytest.approx(mean / downside * math.sqrt(365), rel=1e-6)


def test_the_drawdown_lies_between_what_the_rows_allow(run):
    """The rows hold extremes, not their order within an hour: they bound the drawdown from both sides."""
    drawdown = json.loads((run / "metrics.json").read_text())["max_drawdown"]
    peak = surely_peak = 100_000.0
    most = least = 0.0
    for row in rows_of(run, "equity.csv"):
        low, high, close = (float(row[name]) for name in ("equity_min", "equity_max", "equity"))
        assert low <= close <= high
        least = max(least, (surely_peak - low) / surely_peak)
        peak = max(peak, high)
        most = max(most, (peak - low) / peak)
        surely_peak = peak
    assert least * (1 - 1e-12) <= drawdown <= most * (1 + 1e-12)
    assert drawdown > 0


def test_equity_is_cash_and_what_is_open(run):
    for row in rows_of(run, "equity.csv"):
        assert Decimal(row["equity"]) == Decimal(row["cash"]) + Decimal(row["unrealised_pnl"])
    last, trades, fills = rows_of(run, "equity.csv")[-1], rows_of(run, "trades.csv"), rows_of(run, "fills.csv")
    realised = sum(Decimal(row["gross_pnl"]) for row in trades) - sum(Decimal(row["fee"]) for row in fills)
    assert Decimal(last["equity"]) == 100_000 + realised
