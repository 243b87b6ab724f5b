"""A spot account may begin with coins: valued at the first price, in the ledger, in every file, sold like any other."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.cli.main import main
from backtester.config.loading import RunRequest, load_run_config
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import ConfigError
from backtester.domain.vocabulary import Market
from backtester.proof.recomputation import recompute
from backtester.report.positions import held_by_symbol
from backtester.report.recorded_run import read_run
from tests.cli.test_explain_command import SYMBOL, spec
from tests.oracle.driver import frame_of
from tests.oracle.generate import make_bars
from tests.sim.small_run import A, expect, flat, small_run

RISING = f"{flat('00:00', 2)}\n00:02 110 110 110 110 1000\n00:03 110 110 110 110 1000"


def test_they_are_worth_the_first_price_and_can_be_sold() -> None:
    run = small_run(
        RISING, "00:02 out sell 0.5", market=Market.SPOT, cash="1000", account={"balances": {"AAA": Decimal("0.7")}},
        snapshot_every="1m",
    )  # fmt: skip
    (deposit,) = run.messages(CoinsDeposited)
    assert (deposit.symbol, deposit.qty, deposit.price, deposit.strategy_id) == (A, Decimal("0.7"), Decimal(100), "s")
    assert run.told() == expect("00:02 out sell 0.5 @ 110 taker")
    assert [snapshot.equity for snapshot in run.snapshots[-2:]] == [Decimal(1077), Decimal(1077)]
    assert run.snapshots[-1].balances[0].amount == Decimal("0.2")
    assert run.snapshots[-1].realised_pnl == 5
    run.engine.account.check()


def test_they_are_the_position_of_the_first_strategy_from_the_start() -> None:
    seen: list[tuple[Decimal, ...]] = []

    class Looks(Strategy):
        def on_start(self) -> None:
            seen.append((self.ctx.position(A), self.ctx.balance("AAA"), self.ctx.balance("USDT"), self.ctx.equity))

    small_run(RISING, [Looks, Looks], market=Market.SPOT, cash="1000", account={"balances": {"AAA": Decimal(2)}})
    assert seen == [(Decimal(2), Decimal(2), Decimal(1000), Decimal(1200)), (Decimal(0), Decimal(2), Decimal(1000), Decimal(1200))]


def test_a_floor_watches_them_from_the_first_bar() -> None:
    falling = f"{flat('00:00', 1)}\n00:01 50 50 50 50 1000\n00:02 50 50 50 50 1000\n00:03 50 50 50 50 1000"
    run = small_run(
        falling, market=Market.SPOT, cash="1", account={"balances": {"AAA": Decimal(2)}},
        risk={"max_drawdown": Decimal("0.2"), "max_drawdown_action": "flatten"},
    )  # fmt: skip
    assert [line.split()[1:] for line in run.told()] == [["risk-1", "sell", "2", "@", "50", "taker"]]


def test_what_is_less_than_a_lot_stays_also_with_fees_in_quote() -> None:
    run = small_run(
        RISING, "00:01 out sell 0.7005 reduce", market=Market.SPOT, cash="1000", account={"balances": {"AAA": Decimal("0.7005")}}
    )
    assert run.told() == expect("00:01 out sell 0.7 @ 100 taker")
    assert run.engine.account.books.position(A) == Decimal("0.0005")


class Sells(Strategy):
    """Sells half after ten minutes, buys again after twenty, and so on."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Candle) -> MarketOrderIntent | None:
        self.count += 1
        if self.count % 10:
            return None
        return MarketOrderIntent(symbol=SYMBOL, side=Side.SELL if self.count % 20 else Side.BUY, qty="0.25")


def run_of(strategy: Any, *, settings: dict[str, Any] | None = None, **given: Any) -> Any:
    chosen = {"account.balances.AAA": "0.5", "account.snapshot_every": "30m", "sim.spot_fee": "received", **(settings or {})}
    return backtester.run(
        strategy, symbols=[SYMBOL], data={SYMBOL: frame_of(make_bars(3, 400))}, exchange="binance", market="spot",
        timeframe="1m", specs=[spec("spot")], cash=10_000, settings=chosen, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = run_of(Sells, output=tmp_path_factory.mktemp("runs"), run_id="one")
    assert result.path is not None
    return result.path


def table(made: Path, name: str) -> list[dict[str, str]]:
    with (made / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_proof_agrees(made: Path) -> None:
    assert recompute(made).differences == ()


def test_the_return_is_counted_from_what_all_was_worth(made: Path) -> None:
    first = Fraction(str(make_bars(3, 400)[0].open))
    start = 10_000 + first / 2
    equity = table(made, "equity.csv")
    rows = table(made, "trades.csv")
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["total_return"] == pytest.approx(float(Fraction(equity[-1]["equity"]) / start - 1))
    assert Fraction(rows[0]["qty"]) > 0 and rows[0]["entry_time_ms"] == str(make_bars(3, 400)[0].start_ms)
    assert sum(Fraction(row["net_pnl"]) for row in rows) == Fraction(equity[-1]["equity"]) - start


@pytest.mark.parametrize("asset", ["AAA", "USDT"])
def test_explain_begins_with_them(made: Path, capsys: pytest.CaptureFixture[str], asset: str) -> None:
    capsys.readouterr()
    assert main(["explain", str(made), "--asset", asset, "--all", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    starts = [posting for posting in said["postings"] if posting["cause"].startswith("start")]
    assert said["problems"] == []
    assert {posting["why"] for posting in starts} == {"start"}
    if asset == "AAA":
        assert [(posting["debit"], posting["amount"]) for posting in starts] == [("wallet", "0.50000000")]


def test_the_report_and_the_trades_are_made(made: Path) -> None:
    assert main(["report", str(made)]) == 0
    assert main(["trades", str(made)]) == 0
    run = read_run(made)
    (held,) = held_by_symbol(run.fills, quote="USDT", coins=run.journal.coins).values()
    assert 0 <= min(held.size) <= held.size[0] < 0.5


def test_the_reference_strategy_sells_them_when_the_trend_says_so() -> None:
    result = run_of("sma_extended", params={"timeframe": "1m", "fast": 3, "slow": 8}, settings={"sim.participation_bps": 0})
    assert result.fills.to_dicts()[0]["side"] == "sell"


def test_settings_of_single_coins_stand_together() -> None:
    request = RunRequest(strategy="sma_extended", settings=("account.balances.BTC=0.5", "account.balances.ETH=2"))
    assert load_run_config(request).config.account.balances == {"BTC": Decimal("0.5"), "ETH": Decimal(2)}


@pytest.mark.parametrize(
    ("asset", "amount", "said"),
    [
        ("BTC", "1", "spot coins of this run: AAA"),
        ("USDT", "1", "account.starting_cash"),
        ("AAA", "-1", "must be above 0"),
    ],
)
def test_a_coin_that_cannot_be_held_is_refused(asset: str, amount: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_of(Sells, settings={f"account.balances.{asset}": amount})
