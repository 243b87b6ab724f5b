"""Options as a user runs them: candles imported, a strategy of docs/options.md, the run verified and explained."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

import backtester
from tests.architecture.source_tree import ROOT
from tests.e2e.program import bt_here, manifest_of
from tests.support.shared_data import SHARED, needs_shared

CALL, PUT = "ETH-250530-2500-C", "ETH-250530-2500-P"
EXPIRY_MS = 1_748_592_000_000
"""2025-05-30 08:00 UTC."""
MINUTE_MS = 60_000


def write_bars(path: Path, prices: list[float]) -> Path:
    """Minutes that end at the expiry."""
    start_ms = EXPIRY_MS - len(prices) * MINUTE_MS
    rows = [(start_ms + place * MINUTE_MS, price, price, price, price, 1000) for place, price in enumerate(prices)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("open_time", "open", "high", "low", "close", "volume"), *rows])
    return path


def stored(directory: Path, *, underlying: bool = True) -> None:
    """A call and a put of the last two hours, and what they are on: 2,600 until an hour before the end, then 2,550."""
    for name, price in ((CALL, 100.0), (PUT, 20.0)):
        bars = write_bars(directory / f"{name}.csv", [price] * 110)
        place = ("--exchange", "binance", "--market", "option", "--symbol", name, "--timeframe", "1m")
        bt_here("data", "import", str(bars), "--data", "D", *place, cwd=directory)
    if underlying:
        bars = write_bars(directory / "ETHUSDT.csv", [2600.0] * 60 + [2550.0] * 60)
        place = ("--exchange", "binance", "--market", "linear", "--symbol", "ETHUSDT", "--timeframe", "1m")
        bt_here("data", "import", str(bars), "--data", "D", *place, cwd=directory)


def examples() -> list[str]:
    """The strategies of docs/options.md."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/options.md").read_text(encoding="utf-8"), re.DOTALL)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def straddle(tmp_path: Path) -> Path:
    """The straddle of docs/options.md, run to the expiry."""
    stored(tmp_path)
    (tmp_path / "straddle.py").write_text(examples()[0])
    words = ("--market", "option", "--symbols", CALL, PUT, "--end", "2025-05-30T08:00:00", "--run-id", "one", "--quiet")
    bt_here("--strategy", "straddle.py", "--data", "D", *words, "--set", "sim.option_spread_bps=0", cwd=tmp_path)
    return tmp_path / "runs/one"


def test_a_run_held_to_the_expiry_repeats_and_is_recomputed(straddle):
    trades = {row["symbol"]: row for row in rows_of(straddle / "trades.csv")}
    assert {row["close_reason"] for row in trades.values()} == {"DELIVERY"}
    assert (float(trades[CALL]["exit_price"]), float(trades[PUT]["exit_price"])) == (50, 0)  # in and out of the money
    assert [row["order_type"] for row in rows_of(straddle / "fills.csv")] == ["market", "market", "delivery", "delivery"]
    done = bt_here("verify", "runs/one", cwd=straddle.parents[1])
    assert "repeats" in done.stdout
    assert "4 fills" in done.stdout


def test_a_delivery_that_is_not_what_the_option_was_worth_is_found(straddle):
    from backtester.proof.delivery import wrong_delivery

    event = {"symbol": CALL, "price": "50", "settlement_price": "2550"}
    assert wrong_delivery(event) == ""
    assert "it is worth 50.0" in wrong_delivery(event | {"price": "51"})
    assert "it is worth 0.0" in wrong_delivery(event | {"symbol": PUT})
    future = event | {"symbol": "ETHUSDT_250530", "price": "2550"}
    assert wrong_delivery(future) == ""
    assert "delivered at 50" in wrong_delivery(future | {"price": "50"})


def test_the_way_of_the_money_is_explained(straddle):
    told = bt_here("explain", "runs/one", cwd=straddle.parents[1]).stdout
    assert "it adds up" in told
    assert f"{CALL} DELIVERY" in told
    assert "settled at 2550" in told
    figures = manifest_of(straddle)["assumptions"]
    assert any("settled at the mean of the last half hour, of binance.linear:ETHUSDT" in one["rule"] for one in figures)


def test_without_prices_of_what_an_option_is_on_the_run_does_not_start_and_says_what_to_do(tmp_path):
    stored(tmp_path, underlying=False)
    (tmp_path / "straddle.py").write_text(examples()[0])
    done = bt_here("--strategy", "straddle.py", "--data", "D", "--market", "option", "--symbols", CALL, cwd=tmp_path, code=3)
    assert "sim.underlying={ETH=" in done.stderr


def test_a_name_that_is_no_option_is_refused_with_the_forms_there_are(tmp_path):
    bars = write_bars(tmp_path / "x.csv", [1.0] * 10)
    place = ("--exchange", "binance", "--market", "option", "--symbol", "ETHCALL", "--timeframe", "1m")
    bt_here("data", "import", str(bars), "--data", "D", *place, cwd=tmp_path)
    (tmp_path / "straddle.py").write_text(examples()[0])
    done = bt_here("--strategy", "straddle.py", "--data", "D", "--market", "option", "--symbols", "ETHCALL", cwd=tmp_path, code=2)
    assert "BASE-YYMMDD-STRIKE-C" in done.stderr


@needs_shared
def test_a_covered_call_on_real_prices_is_settled_by_the_minutes_of_its_last_half_hour(tmp_path):
    bars = write_bars(tmp_path / "call.csv", [100.0 - place / 10 for place in range(600)])
    place = ("--exchange", "binance", "--market", "option", "--symbol", CALL, "--timeframe", "1m")
    bt_here("data", "import", str(bars), "--data", "D", *place, cwd=tmp_path)
    real = str(SHARED / "data/candles/binance_um/ETHUSDT_1m.parquet")
    place = ("--exchange", "binance", "--market", "linear", "--symbol", "ETHUSDT", "--timeframe", "1m")
    bt_here("data", "import", real, "--data", "D", *place, cwd=tmp_path)
    (tmp_path / "covered.py").write_text(examples()[1])
    symbols = ("--symbols", "binance.linear:ETHUSDT", f"binance.option:{CALL}")
    span = ("--start", "2025-05-29T23:00:00", "--end", "2025-05-30T09:00:00")
    bt_here("--strategy", "covered.py", "--data", "D", *symbols, *span, "--run-id", "one", "--quiet", cwd=tmp_path)
    trades = {row["symbol"]: row for row in rows_of(tmp_path / "runs/one/trades.csv")}
    call = trades[f"binance.option:{CALL}"]
    assert (call["side"], call["close_reason"]) == ("sell", "DELIVERY")
    assert trades["binance.linear:ETHUSDT"]["is_open"] == "true"
    assert '"is_last":true' not in (tmp_path / "runs/one/journal.jsonl").read_text()
    assert "repeats" in bt_here("verify", "runs/one", cwd=tmp_path).stdout


def test_frames_may_say_where_they_are_traded(tmp_path):
    """An option and what it is on, handed over in Python."""
    start_ms = EXPIRY_MS - 120 * MINUTE_MS
    columns = ("open", "high", "low", "close")
    frames = {
        name: {"start_ms": [start_ms + place * MINUTE_MS for place in range(120)], "volume": [1000.0] * 120}
        | dict.fromkeys(columns, [price] * 120)
        for name, price in ((f"binance.option:{CALL}", 100.0), ("binance.linear:ETHUSDT", 2600.0))
    }
    namespace: dict[str, Any] = {}
    exec(examples()[0], namespace)
    result = backtester.run(namespace["Straddle"], data=frames, settings={"sim.option_spread_bps": 0, "sim.spread_bps": 0})
    (trade,) = result.trades.to_dicts()
    assert (trade["close_reason"], float(trade["exit_price"])) == ("DELIVERY", 100)


def test_equity_goes_by_the_mark_price_of_an_option_where_it_is_asked_for(tmp_path):
    stored(tmp_path)
    bars = write_bars(tmp_path / "mark.csv", [90.0] * 120)
    place = ("--exchange", "binance", "--market", "option", "--symbol", CALL, "--timeframe", "1m", "--kind", "mark")
    bt_here("data", "import", str(bars), "--data", "D", *place, cwd=tmp_path)
    (tmp_path / "straddle.py").write_text(examples()[0])
    words = ("--market", "option", "--symbols", CALL, "--run-id", "one", "--quiet", "--set", "account.mark=mark")
    bt_here("--strategy", "straddle.py", "--data", "D", *words, "--set", "sim.option_spread_bps=0", cwd=tmp_path)
    rows = rows_of(tmp_path / "runs/one/equity.csv")
    assert float(rows[5]["exposure"]) == 90
    assert "repeats" in bt_here("verify", "runs/one", cwd=tmp_path).stdout


def test_a_liquidated_short_repeats_is_recomputed_and_explained(tmp_path):
    bars = write_bars(tmp_path / "call.csv", [100.0] * 60 + [700.0] * 60)
    place = ("--exchange", "binance", "--market", "option", "--symbol", CALL, "--timeframe", "1m")
    bt_here("data", "import", str(bars), "--data", "D", *place, cwd=tmp_path)
    bars = write_bars(tmp_path / "ETHUSDT.csv", [2600.0] * 120)
    place = ("--exchange", "binance", "--market", "linear", "--symbol", "ETHUSDT", "--timeframe", "1m")
    bt_here("data", "import", str(bars), "--data", "D", *place, cwd=tmp_path)
    (tmp_path / "sold.py").write_text(examples()[1])
    words = ("--market", "option", "--symbols", CALL, "--cash", "750", "--run-id", "one", "--quiet")
    bt_here("--strategy", "sold.py", "--data", "D", *words, cwd=tmp_path)
    (trade,) = rows_of(tmp_path / "runs/one/trades.csv")
    assert (trade["side"], trade["close_reason"]) == ("sell", "LIQUIDATION")
    assert float(trade["fees"]) == pytest.approx(0.0003 * 2600 * 2 + 0.0019 * 2600)
    assert "repeats" in bt_here("verify", "runs/one", cwd=tmp_path).stdout
    assert "it adds up" in bt_here("explain", "runs/one", cwd=tmp_path).stdout
