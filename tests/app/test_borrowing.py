"""A whole run on borrowed coins and money: its files, its proof, its explanation, and a recomputation in fractions."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest

import backtester
from backtester import Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.app.explain import explain
from backtester.proof.accounting import Accounting
from backtester.proof.interest import Charges
from backtester.proof.recomputation import recompute
from tests.app.test_starting_coins import SYMBOL, frame_of, make_bars, spec

RATES = {"USDT": "0.0001", "AAA": "0.00002"}


class Swings(Strategy):
    """Long with borrowed money, short with borrowed coins, by turns; every swing crosses zero."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Candle) -> list[Any]:
        self.count += 1
        one, held = float(self.ctx.equity) / candle.close, float(self.ctx.position(SYMBOL))
        if self.count % 150 == 50:
            return [MarketOrderIntent(symbol=SYMBOL, side=Side.BUY, qty=f"{2.5 * one - held:.3f}")]
        if self.count % 150 == 120:
            price = round(candle.close * 1.0002, 1)
            return [
                MarketOrderIntent(symbol=SYMBOL, side=Side.SELL, qty=f"{held + one:.3f}"),
                LimitOrderIntent(symbol=SYMBOL, side=Side.SELL, qty=f"{one / 2:.3f}", price=price),
            ]
        return []


def run_of(strategy: Any = Swings, *, settings: dict[str, Any] | None = None, count: int = 2000, **given: Any) -> Any:
    rates = {f"account.borrow_rates.{asset}": rate for asset, rate in RATES.items()}
    chosen = {
        "account.borrow": "on",
        "account.leverage": "3",
        "account.snapshot_every": "30m",
        "sim.participation_bps": "0",
        **rates,
        **(settings or {}),
    }
    return backtester.run(
        strategy, symbols=[SYMBOL], data={SYMBOL: frame_of(make_bars(3, count))}, exchange="binance", market="spot",
        timeframe="1m", specs=[spec("spot")], cash=10_000, settings=chosen, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = run_of(output=tmp_path_factory.mktemp("runs"), run_id="one")
    assert result.path is not None
    return result.path


def events(made: Path, *topics: str) -> list[tuple[str, dict[str, Any]]]:
    lines = (json.loads(line) for line in (made / "journal.jsonl").read_text(encoding="utf-8").splitlines())
    return [(line["topic"], line["event"]) for line in lines if line.get("topic") in topics]


def last_snapshot(made: Path) -> dict[str, Any]:
    found: dict[str, Any] = events(made, "account.snapshot")[-1][1]
    return found


def table(made: Path, name: str) -> list[dict[str, str]]:
    with (made / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_proof_agrees(made: Path) -> None:
    assert recompute(made).differences == ()


def test_each_charge_is_what_exact_fractions_make_of_the_fills(made: Path) -> None:
    cash, coins, charged = Fraction(10_000), Fraction(0), []
    for topic, one in events(made, "fills", "interest"):
        if topic == "fills":
            size = Fraction(one["qty"]) * (1 if one["side"] == "buy" else -1)
            cash, coins = cash - size * Fraction(one["price"]) - Fraction(one["fee"]), coins + size
            continue
        owed = -cash if one["asset"] == "USDT" else -coins
        amount = Fraction(ceil(owed * Fraction(RATES[one["asset"]]) * 10**8), 10**8)
        assert (Fraction(one["owed"]), Fraction(one["amount"])) == (owed, amount)
        charged.append(one["asset"])
        if one["asset"] == "USDT":
            cash -= amount
        else:
            coins -= amount
    assert len(charged) > 20 and {*charged} == {"USDT", "AAA"}
    last = last_snapshot(made)
    assert Fraction(last["cash"]) == cash
    assert Fraction(last["equity"]) == cash + coins * Fraction(last["positions"][0]["mark"])


def test_the_ledger_of_each_asset_is_explained_from_the_journal(made: Path) -> None:
    for asset in ("USDT", "AAA"):
        found = explain(made, asset=asset, last=1000)
        assert found.problems == ()
        assert "interest" in {total.account for total in found.totals}
        assert sum(found.balances.values()) == 0


def test_profits_of_trades_less_interest_are_that_of_the_run(made: Path) -> None:
    metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
    last = last_snapshot(made)
    nets = sum(Fraction(row["net_pnl"]) for row in table(made, "trades.csv"))
    values = [Fraction(one["amount"]) * Fraction(one["price"]) for _, one in events(made, "interest")]
    assert metrics["interest"] == pytest.approx(float(sum(values))) and metrics["interest"] > 0
    assert nets - sum(values) == Fraction(last["equity"]) - 10_000
    assert Fraction(table(made, "equity.csv")[-1]["equity"]) == Fraction(last["equity"])


@pytest.mark.parametrize("change", ["amount", "missing"])
def test_the_proof_finds_interest_that_is_wrong_or_missing(made: Path, tmp_path: Path, change: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in made.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    config = (copy / "config.toml").read_text(encoding="utf-8")
    if change == "amount":
        changed = config.replace("USDT = 0.0001", "USDT = 0.0002")
        assert changed != config
        (copy / "config.toml").write_text(changed, encoding="utf-8")
        assert [said for said in recompute(copy).differences if "the rate of USDT" in said] != [], recompute(copy).differences
        return
    account = Accounting(Fraction(-5), outright=frozenset({SYMBOL}))
    charges = Charges(account, {"borrow_rates": RATES}, coins={SYMBOL: "AAA"}, quote="USDT", start_ms=0)
    assert list(charges.wrong("fills", {"time_ms": 300_001, "symbol": SYMBOL})) == ["no interest is charged on USDT at 300000"]


def test_a_liquidation_is_counted_told_and_proven(tmp_path: Path) -> None:
    class Holds(Strategy):
        def on_candle(self, candle: Candle) -> list[Any]:
            if self.ctx.position(SYMBOL) or self.ctx.open_orders(SYMBOL):
                return []
            return [MarketOrderIntent(symbol=SYMBOL, side=Side.SELL, qty=f"{8.5 * float(self.ctx.equity) / candle.close:.3f}")]

    result = run_of(Holds, output=tmp_path, run_id="one", settings={"account.leverage": "10"}, count=1500)
    assert result.path is not None
    assert result.summary["liquidations"] == 1
    reasons = [row["close_reason"] for row in table(result.path, "trades.csv")]
    assert "LIQUIDATION" in reasons
    assert recompute(result.path).differences == ()
    assert explain(result.path, asset="AAA").problems == ()
    assert [one["action"] for _, one in events(result.path, "control")] == ["borrow_liquidation"]


def test_the_same_run_is_the_same_events() -> None:
    assert run_of(count=300).manifest.digest == run_of(count=300).manifest.digest
