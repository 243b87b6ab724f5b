"""A leveraged position on the real minutes of 2025, liquidated on 5 May, and every step of it told."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from backtester.data.catalog import Catalog
from tests.e2e.program import bt, manifest_of, write_strategy
from tests.support.shared_data import SHARED, needs_shared

pytestmark = needs_shared

LONG = """
    def on_start(self):
        self.qty = Decimal(2)

    def on_candle(self, candle):
        qty, self.qty = self.qty, 0
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=qty) if qty else None
"""
OPTIONS = ("--symbols", "BTCUSDT", "--leverage", "25", "--set", "account.margin=isolated", "--end", "2025-05-06")


@pytest.fixture(scope="module")
def folder(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run `one` is."""
    place = tmp_path_factory.mktemp("liquidation")
    write_strategy(place / "long.py", LONG)
    shutil.copytree(real, place / "data")
    bt("data", "import", str(SHARED / "data/funding/binance_um/BTCUSDT.parquet"), cwd=place)
    bt("--strategy", "long.py", *OPTIONS, "--run-id", "one", cwd=place)
    return place


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "runs/one" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_position_is_settled_at_its_bankruptcy_price(folder: Path) -> None:
    entry, liquidation = rows(folder, "fills.csv")
    assert (entry["price"], entry["fee"]) == ("95517.20000000", "95.51720000")
    # 95517.2 x (1 - 1/25) = 91696.512, to the tick that loses no more than the margin
    assert (liquidation["order_id"], liquidation["reason"], liquidation["price"]) == ("liq-1", "LIQUIDATION", "91696.60000000")
    (trade,) = rows(folder, "trades.csv")
    assert (trade["close_reason"], trade["gross_pnl"], trade["is_open"]) == ("LIQUIDATION", "-7641.20000000", "false")


def test_the_last_minute_before_had_stayed_above_the_price_shown(folder: Path) -> None:
    events = [
        json.loads(line).get("event", {}) for line in (folder / "runs/one/journal.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    views = [view for event in events for view in event.get("positions", [])]
    (ordered,) = [event for event in events if event.get("type") == "liquidation_order"]
    (shown,) = {view["liquidation_price"] for view in views}
    assert ordered["liquidation_price"] == shown == "93567.90000000"  # 91696.512... / (1 - 0.02), as long as no tiers are stored
    assert float(ordered["mark"]) <= float(shown)
    candles = Catalog(folder / "data").read("binance", "linear", "BTCUSDT", "1m", 0, ordered["time_ms"] - 60_000)
    assert min(float(chunk.low[-600:].min()) for chunk in candles) > float(shown)


def test_the_explanation_tells_the_loss_and_the_fee(folder: Path) -> None:
    told = bt("explain", "one", cwd=folder).stdout
    assert "liq-1-f1 BTCUSDT LIQUIDATION" in " ".join(told.split())
    assert "7641.20000000" in told and "91.69660000" in told
    assert "it adds up" in told


def test_every_line_of_its_ledger_is_the_one_that_the_documents_explain(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/explaining_balances.md").read_text(encoding="utf-8")
    explained = page.partition("```text\n")[2].partition("```")[0].splitlines()
    told = bt("explain", "one", "--all", cwd=folder).stdout.splitlines()
    first = next(number for number, line in enumerate(told) if line.startswith("time (UTC)")) + 1
    assert told[first : told.index("", first)] == explained
    postings = json.loads(bt("explain", "one", "--all", "--json", cwd=folder).stdout)["postings"]
    assert len(postings) == len(explained) == 6
    entry, exit_, margin = Decimal("95517.2"), Decimal("91696.6"), 2 * Decimal("95517.2") / 25
    assert 0 <= margin - 2 * (entry - exit_) < 2 * Decimal("0.1"), "the loss is the margin, to the tick"


def test_the_way_of_the_liquidation_is_told_with_its_price_and_rules(folder: Path) -> None:
    told = " ".join(bt("why", "one", "liq-1", cwd=folder).stdout.split())
    assert "the mark 93500 has reached the liquidation price 93567.9 (isolated)" in told
    assert "rule: Margin: else, isolated" in told and "rule: Margin: liquidation fee" in told
    assert "met BTCUSDT 1m bar from 2025-05-05 02:08:00" in told and "low 93500" in told
    assert "seen" not in told, "nobody decided it"


def test_the_run_says_what_it_assumed_and_repeats(folder: Path) -> None:
    said = [one["rule"] for one in manifest_of(folder / "runs/one")["assumptions"]]
    assert any("BTCUSDT: liquidation on the last price" in rule for rule in said)
    assert "repeats" in bt("verify", "runs/one", cwd=folder).stdout
