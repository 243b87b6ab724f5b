"""A whole spot run whose fees are taken from the coin received: its files, its proof and its explanation agree."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import backtester
from backtester import MarketOrderIntent, Side, Strategy
from backtester.app.verify import verify
from backtester.cli.main import main
from backtester.domain.errors import ConfigError
from backtester.proof.recomputation import recompute
from tests.cli.test_explain_command import SYMBOL, spec
from tests.oracle.driver import frame_of
from tests.oracle.generate import make_bars


class InAndOut(Strategy):
    """In and out of the market every ten minutes; a sale is all that can be sold."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Any) -> MarketOrderIntent | None:
        self.count += 1
        held = self.ctx.closable(SYMBOL)
        if self.count % 10:
            return None
        return MarketOrderIntent(
            symbol=SYMBOL, side=Side.SELL if held else Side.BUY, qty=self.ctx.position(SYMBOL) if held else "0.5"
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = run_of(InAndOut, output=tmp_path_factory.mktemp("runs"), run_id="one")
    assert result.path is not None
    return result.path


def run_of(strategy: Any, *, more: Mapping[str, Any] | None = None, **given: Any) -> Any:
    chosen = {"sim.spot_fee": "received", "sim.taker_bps": 7, "sim.maker_bps": 7, "account.snapshot_every": "30m", **(more or {})}
    return backtester.run(
        strategy, symbols=[SYMBOL], data={SYMBOL: frame_of(make_bars(3, 400))}, exchange="binance", market="spot",
        timeframe="1m", specs=[spec("spot")], cash=10_000, settings=chosen, **given,
    )  # fmt: skip


def table(made: Path, name: str) -> list[dict[str, str]]:
    with (made / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_independent_recomputation_agrees(made: Path) -> None:
    found = recompute(made)
    assert found.differences == ()
    assert found.fills > 30 and found.trades > 10


def test_a_fee_that_was_taken_from_another_coin_is_found(made: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "one"
    spoiled.mkdir()
    for file in made.iterdir():
        text = file.read_bytes()
        (spoiled / file.name).write_bytes(text.replace(b',"fee_in_base":true', b"", 1) if file.name == "journal.jsonl" else text)
    assert any("seal" in line or "digest" in line or "positions" in line for line in recompute(spoiled).differences)
    assert not verify(spoiled).ok


def test_fills_say_the_coin_of_the_fee(made: Path) -> None:
    rows = table(made, "fills.csv")
    assert {(row["side"], row["fee_asset"]) for row in rows} == {("buy", "AAA"), ("sell", "USDT")}


def test_trades_end_although_dust_is_left_and_sum_up_to_the_run(made: Path) -> None:
    rows = table(made, "trades.csv")
    equity = table(made, "equity.csv")
    assert [row["is_open"] for row in rows] == ["false"] * (len(rows) - 1) + ["true"]
    assert len(rows) > 10
    total = sum(Fraction(row["net_pnl"]) for row in rows)
    assert total == Fraction(equity[-1]["equity"]) - 10_000


def test_metrics_have_the_fees_in_quote(made: Path) -> None:
    fees = sum(
        Fraction(row["fee"]) * (Fraction(row["price"]) if row["fee_asset"] == "AAA" else 1) for row in table(made, "fills.csv")
    )
    assert json.loads((made / "metrics.json").read_text())["fees"] == pytest.approx(float(fees))


def test_dust_is_no_exposure(made: Path) -> None:
    exposure = json.loads((made / "metrics.json").read_text())["exposure"]
    held = [row for row in table(made, "equity.csv") if Fraction(row["exposure"])]
    assert 0.3 < exposure < 0.7 < len(held) / len(table(made, "equity.csv"))


def test_explain_tells_where_the_coins_came_from(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["explain", str(made), "--asset", "AAA", "--all", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    bought = sum(Fraction(row["qty"]) for row in table(made, "fills.csv") if row["side"] == "buy")
    sold = sum(Fraction(row["qty"]) for row in table(made, "fills.csv") if row["side"] == "sell")
    fees = sum(Fraction(row["fee"]) for row in table(made, "fills.csv") if row["fee_asset"] == "AAA")
    assert Fraction(said["balances"]["wallet"]) == bought - sold - fees
    assert Fraction(said["balances"]["fees"]) == fees
    assert said["asset"] == "AAA" and said["equity"] is None and said["problems"] == []
    assert {posting["asset"] for posting in said["postings"]} == {"AAA"}
    assert main(["explain", str(made), "--asset", "AAA"]) == 0
    assert "where its AAA came from" in capsys.readouterr().out


def test_explain_of_the_cash_adds_up_too(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_the_reference_strategy_takes_dust_for_nothing() -> None:
    fills = run_of(
        "sma_extended", params={"timeframe": "1m", "fast": 3, "slow": 8}, more={"sim.participation_bps": 0}
    ).fills.to_dicts()
    assert len(fills) > 20
    assert [row["side"] for row in fills] == ["buy", "sell"] * (len(fills) // 2) + ["buy"] * (len(fills) % 2)


def test_a_fee_is_paid_in_one_coin_only() -> None:
    with pytest.raises(ConfigError, match="leaves the coin whole"):
        backtester.run(
            InAndOut, symbols=[SYMBOL], data={SYMBOL: frame_of(make_bars(3, 40))}, exchange="binance", market="spot",
            timeframe="1m", specs=[spec("spot")], settings={"sim.spot_fee": "received", "sim.bnb_discount": True},
        )  # fmt: skip
