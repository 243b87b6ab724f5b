"""Saved answers of a venue from two times, and a run over the second of them, as a user does it."""

from __future__ import annotations

import csv
import json
import math
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.domain.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, iso_text, parse_time_ms
from tests.e2e.program import bt_here, manifest_of

START_MS = parse_time_ms("2024-03-01")
NOON_MS = START_MS + DAY_MS // 2
TRADER = """
from backtester import Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy


class Trader(Strategy):
    def on_candle(self, candle: Candle):
        held = self.ctx.position(candle.symbol)
        if held:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=held, reduce_only=True)
        return [
            MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.0137"),
            LimitOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.0137", price=candle.close * 0.9993),
        ]
"""


def answer(time_ms: int, *, tick: str, lot: str, notional: str) -> dict[str, Any]:
    """An exchangeInfo of Binance USD-M futures."""
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "1", "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000", "stepSize": lot},
        {"filterType": "MIN_NOTIONAL", "notional": notional},
    ]
    symbol = {
        "symbol": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
        "marginAsset": "USDT", "filters": filters,
    }  # fmt: skip
    return {"serverTime": time_ms, "futuresType": "U_MARGINED", "symbols": [symbol]}


HOLDER = """
from backtester import Candle, MarketOrderIntent, Side, Strategy


class Holder(Strategy):
    def on_candle(self, candle: Candle):
        if not self.ctx.position(candle.symbol):
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.1")
"""


def brackets(rate: float) -> list[dict[str, Any]]:
    """A leverageBracket of one bracket."""
    bracket = {
        "bracket": 1,
        "initialLeverage": 20,
        "notionalCap": 50_000_000,
        "notionalFloor": 0,
        "maintMarginRatio": rate,
        "cum": 0,
    }
    return [{"symbol": "BTCUSDT", "brackets": [bracket]}]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a day of candles, the answers stored, and the run `one`."""
    here = tmp_path_factory.mktemp("rules")
    minutes = np.arange(1440)
    close = np.array([60_000 + 200 * math.sin(minute / 40) for minute in minutes]).round(1)
    columns = CandleColumns(START_MS + minutes * MINUTE_MS, close, close + 60, close - 60, close, np.full(1440, 25.0))
    Catalog(here / "data").write("binance", "linear", "BTCUSDT", "1m", columns)
    (here / "first.json").write_text(json.dumps(answer(START_MS - DAY_MS, tick="0.1", lot="0.001", notional="5")))
    (here / "second.json").write_text(json.dumps(answer(NOON_MS, tick="25", lot="0.01", notional="100")))
    (here / "old_brackets.json").write_text(json.dumps(brackets(0.004)))
    (here / "new_brackets.json").write_text(json.dumps(brackets(0.02)))
    (here / "trader.py").write_text(TRADER)
    store = ("data", "instruments", "--exchange", "binance", "--market", "futures", "--data", "data", "--file")
    for words in (
        ("second.json",),
        ("first.json",),
        ("old_brackets.json", "--at", iso_text(START_MS - DAY_MS)),
        ("new_brackets.json", "--at", iso_text(NOON_MS)),
    ):
        bt_here(*store, *words, cwd=here)
    words = ("--symbols", "BTCUSDT", "--timeframe", "15m", "--leverage", "10", "--data", "data", "--run-id", "one")
    bt_here("--strategy", "trader.py", *words, cwd=here)
    return here


def rows(here: Path) -> list[dict[str, str]]:
    with (here / "runs/one/fills.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_fills_before_and_after_the_second_answer_are_by_its_own_rules(ran: Path) -> None:
    found = rows(ran)
    before = [row for row in found if int(row["time_ms"]) < NOON_MS]
    after = [row for row in found if int(row["time_ms"]) >= NOON_MS + 2 * 15 * MINUTE_MS]
    assert {row["qty"].rstrip("0") for row in before if row["side"] == "buy"} == {"0.013"}
    assert {row["qty"].rstrip("0") for row in after if row["side"] == "buy"} == {"0.01"}
    assert any(Decimal(row["price"]) % 25 for row in before)
    assert all(Decimal(row["price"]) % 25 == 0 for row in after)


def test_the_change_stands_in_the_manifest_and_in_the_journal_at_its_time(ran: Path) -> None:
    (told,) = [one["rule"] for one in manifest_of(ran / "runs/one")["assumptions"] if "instrument rules" in one["rule"]]
    assert told == (
        "BTCUSDT: instrument rules change within the run at 2024-03-01 12:00:00 "
        "(tick_size 0.1 -> 25, lot_size 0.001 -> 0.01, min_qty 0.001 -> 0.01, min_notional 5 -> 100, leverage_tiers)"
    )
    (line,) = [line for line in (ran / "runs/one/journal.jsonl").read_text().splitlines() if '"rules_changed"' in line]
    assert f'"time_ms":{NOON_MS}' in line
    assert '"leverage_tiers":"0:0.02/20"' in line


def test_the_run_is_verified_explained_and_checked(ran: Path) -> None:
    assert "agree" in bt_here("verify", "runs/one", cwd=ran).stdout
    assert "it adds up" in bt_here("explain", "runs/one", cwd=ran).stdout
    words = ("--strategy", "trader.py", "--symbols", "BTCUSDT", "--timeframe", "15m", "--leverage", "10", "--data", "data")
    assert bt_here("check", *words, cwd=ran).returncode == 0


@pytest.mark.parametrize("fee", ["quote", "received"])
def test_a_spot_run_whose_lot_changes_twice_verifies(tmp_path: Path, fee: str) -> None:
    """Coins that were a multiple of one lot are dust by the next, and can be sold again by the third."""
    minutes = np.arange(1440)
    close = np.array([60_000 + 200 * math.sin(minute / 40) for minute in minutes]).round(1)
    columns = CandleColumns(START_MS + minutes * MINUTE_MS, close, close + 60, close - 60, close, np.full(1440, 25.0))
    Catalog(tmp_path / "data").write("binance", "spot", "BTCUSDT", "1m", columns)
    (tmp_path / "trader.py").write_text(TRADER.replace("self.ctx.position(", "self.ctx.closable("))
    for hour, tick, lot in ((-24, "0.1", "0.001"), (12, "25", "0.01"), (18, "0.04", "0.0004")):
        row = answer(START_MS + hour * HOUR_MS, tick=tick, lot=lot, notional="5")
        del row["futuresType"], row["symbols"][0]["contractType"], row["symbols"][0]["marginAsset"]
        (tmp_path / "answer.json").write_text(json.dumps(row))
        bt_here(
            *["data", "instruments", "--exchange", "binance", "--market", "spot", "--data", "data", "--file", "answer.json"],
            cwd=tmp_path,
        )
    words = ("--strategy", "trader.py", "--symbols", "BTCUSDT", "--timeframe", "15m", "--data", "data", "--run-id", "one")
    bt_here(*words, "--market", "spot", "--set", f"sim.spot_fee={fee}", cwd=tmp_path)
    sizes = {Decimal(row["qty"]) for row in rows(tmp_path) if row["side"] == "buy"}
    assert {Decimal("0.013"), Decimal("0.01"), Decimal("0.0136")} <= sizes
    assert "agree" in bt_here("verify", "runs/one", cwd=tmp_path).stdout
    assert "it adds up" in bt_here("explain", "runs/one", cwd=tmp_path).stdout


def test_a_perpetual_that_is_delisted_within_the_run_is_settled_and_the_run_verifies(ran: Path) -> None:
    """What the venue names only at noon, as the end of trading at 18:00."""
    ends_ms = START_MS + 18 * HOUR_MS
    known = answer(START_MS + 13 * HOUR_MS, tick="25", lot="0.01", notional="100")
    known["symbols"][0] |= {"deliveryDate": ends_ms, "onboardDate": START_MS - DAY_MS}
    (ran / "third.json").write_text(json.dumps(known))
    (ran / "holder.py").write_text(HOLDER)
    shutil.copytree(ran / "data", ran / "other")
    bt_here(
        *["data", "instruments", "--exchange", "binance", "--market", "futures", "--data", "other", "--file", "third.json"], cwd=ran
    )
    words = ("--strategy", "holder.py", "--symbols", "BTCUSDT", "--timeframe", "15m", "--data", "other")
    bt_here(*words, "--run-id", "two", cwd=ran)
    with (ran / "runs/two/trades.csv").open(newline="") as file:
        (trade,) = csv.DictReader(file)
    assert (trade["close_reason"], int(trade["exit_time_ms"])) == ("DELIVERY", ends_ms)
    assert '"reason":"NOT_TRADABLE"' in (ran / "runs/two/journal.jsonl").read_text()
    told = [one["rule"] for one in manifest_of(ran / "runs/two")["assumptions"] if "trading" in one["rule"]]
    assert any("positions are settled at the mean of the last half hour" in rule for rule in told)
    assert "agree" in bt_here("verify", "runs/two", cwd=ran).stdout
    assert "it adds up" in bt_here("explain", "runs/two", cwd=ran).stdout
    assert bt_here("check", *words, cwd=ran).returncode == 0
