"""`bt explain` shows where every balance came from, from a run's directory alone, and says what does not add up."""

from __future__ import annotations

import json
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import backtester
from backtester import MarketOrderIntent, Side, Strategy
from backtester.cli.main import main
from tests.oracle.driver import frame_of
from tests.oracle.generate import make_bars

SYMBOL = "AAAUSDT"
MINUTES = 400


class Swing(Strategy):
    """In and out of the market every ten minutes."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Any) -> MarketOrderIntent | None:
        self.count += 1
        if self.count % 10:
            return None
        held = self.ctx.position(SYMBOL)
        reason = f"REASON{self.count % 30}"
        return MarketOrderIntent(symbol=SYMBOL, side=Side.SELL if held else Side.BUY, qty="0.5", reason=reason)


def make_run(output: Path, market: str) -> Path:
    result = backtester.run(
        Swing, symbols=[SYMBOL], data={SYMBOL: frame_of(make_bars(3, MINUTES))}, exchange="binance", market=market, timeframe="1m",
        specs=[spec(market)], cash=10_000, settings={"account.snapshot_every": "30m"}, output=output, run_id="one",
    )  # fmt: skip
    assert result.path is not None
    return result.path


def spec(market: str) -> backtester.SymbolSpec:
    facts = {"tick_size": "0.01", "lot_size": "0.001", "min_qty": "0.001"}
    return backtester.SymbolSpec(
        symbol=SYMBOL, exchange="binance", market=backtester.Market(market), base="AAA", quote="USDT",
        **{name: backtester.domain.money.Decimal(value) for name, value in facts.items()},  # type: ignore[attr-defined] # loaded
    )  # fmt: skip


@pytest.fixture(scope="module", params=["linear", "spot"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs"), request.param)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil, under another name."""
    return Path(shutil.copytree(made, tmp_path / "copied"))


def explained(capsys: pytest.CaptureFixture[str], run: Path, *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["explain", str(run), "--json", *words]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def text_of(capsys: pytest.CaptureFixture[str], run: Path, *words: str, code: int = 0) -> str:
    assert main(["explain", str(run), *words]) == code
    return capsys.readouterr().out


def test_the_wallet_is_the_sum_of_its_postings_and_equity_adds_unrealised_profit(run, capsys):
    found = explained(capsys, run, "--all")
    assert (found["problems"], found["notes"], found["asset"]) == ([], [], "USDT")
    given = {"wallet": 1, "other": -1}
    moved = [Fraction(one["amount"]) * given["wallet" if one["debit"] == "wallet" else "other"] for one in found["postings"]]
    assert found["posting_count"] == len(moved) > 40
    assert sum(moved) == Fraction(found["balances"]["wallet"]) == sum(Fraction(one["amount"]) for one in found["totals"])
    assert sum(map(Fraction, found["balances"].values())) == 0
    equity = found["equity"]
    assert Fraction(equity["sum_of_postings"]) + Fraction(equity["unrealised"]) == Fraction(equity["equity"])
    assert equity["equity"] == equity["snapshot_equity"]
    last = (run / "equity.csv").read_text().splitlines()[-1].split(",")
    assert Fraction(last[1]) == Fraction(equity["equity"])


def test_every_posting_has_a_cause_that_stands_in_the_files_of_the_run(run, capsys):
    found = explained(capsys, run, "--all")
    header, *rows = [line.split(",") for line in (run / "fills.csv").read_text().splitlines()]
    fills = {row[header.index("fill_id")]: dict(zip(header, row, strict=True)) for row in rows}
    assert {one["cause"] for one in found["postings"]} == {"start", *fills}
    fees = [one for one in found["postings"] if one["debit"] == "fees"]
    assert {one["cause"]: Fraction(one["amount"]) for one in fees} == {name: Fraction(row["fee"]) for name, row in fills.items()}
    assert all(one["time_ms"] == int(fills[one["cause"]]["time_ms"]) for one in fees)


def test_the_text_is_bounded_and_says_how_to_see_more(run, capsys):
    text = text_of(capsys, run)
    assert "up to " in text and "= wallet" in text and "= equity" in text
    assert "the last 20 of " in text and "--all shows every one" in text
    assert len(text.splitlines()) < 60
    assert "it adds up: every event sums to zero" in text
    assert len(re.findall(r"-f\d+ ", text_of(capsys, run, "--last", "3"))) == 3
    assert len(re.findall(r"-f\d+ ", text_of(capsys, run, "--all"))) > 40
    assert text_of(capsys, run, "--quiet") == ""


def test_a_balance_is_explained_at_a_time_and_postings_are_listed_from_one(run, capsys):
    everything = explained(capsys, run, "--all")["postings"]
    at_ms = everything[30]["time_ms"]
    found = explained(capsys, run, "--all", "--at", iso(at_ms))
    earlier = [one for one in everything if one["time_ms"] <= at_ms]
    assert found["postings"] == earlier
    assert found["balances"]["wallet"] == earlier[-1]["wallet"]
    assert found["equity"]["time_ms"] <= at_ms < found["equity"]["time_ms"] + 30 * 60_000
    assert found["equity"]["equity"] == found["equity"]["snapshot_equity"]
    from_ms = everything[10]["time_ms"]
    part = explained(capsys, run, "--all", "--from", iso(from_ms), "--at", iso(at_ms))
    assert part["postings"] == [one for one in earlier if one["time_ms"] >= from_ms]
    assert part["balances"] == found["balances"]


def iso(time_ms: int) -> str:
    return backtester.domain.timeframe.iso_text(time_ms)  # type: ignore[attr-defined] # loaded


def test_before_the_run_there_is_nothing(run, capsys):
    found = explained(capsys, run, "--at", "2000-01-01")
    assert (found["posting_count"], found["balances"], found["equity"], found["problems"]) == (0, {}, None, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--asset", "EUR"), "has no balance of EUR; its ledger holds USDT"),
        (("--at", "tomorrow"), "--at 'tomorrow' is not an ISO date or time"),
        (("--last", "-1"), "--last '-1' is not a whole number"),
        (("--from", "2025-01-02", "--at", "2025-01-01"), "--from is later than --at"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(made, capsys, words, said):
    assert main(["explain", str(made), *words]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_run_is_the_users_mistake(tmp_path, run, capsys):
    assert main(["explain", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is no run: neither a run's directory nor an id" in capsys.readouterr().err
    (run / "journal.jsonl").unlink()
    assert main(["explain", str(run)]) == 2
    assert "journal.jsonl" in capsys.readouterr().err


def test_a_run_that_was_killed_is_explained_as_far_as_it_came(run, capsys):
    manifest = run / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "complete"', '"status": "running"'))
    journal = run / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[: journal.stat().st_size // 2])
    found = explained(capsys, run)
    assert "is not complete (its status is running); explained as far as its journal goes, up to event " in found["notes"][0]
    assert "are not sealed" in found["notes"][1]
    assert found["problems"] == []
    assert found["equity"]["equity"] == found["equity"]["snapshot_equity"]
    assert "note: run one is not complete" in text_of(capsys, run)


def test_a_complete_run_whose_journal_was_cut_is_found_out(run, capsys):
    journal = run / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[: journal.stat().st_size // 2])
    assert "before the end of the run: its last lines are missing" in explained(capsys, run, code=1)["problems"][0]
    assert "it does not add up:" in text_of(capsys, run, code=1)


def test_a_changed_amount_is_found_out(run, capsys):
    journal = run / "journal.jsonl"
    text = journal.read_text()
    assert '"fee_e8":' in text
    journal.write_text(text.replace('"fee_e8":', '"fee_e8":1', 1))
    problems = explained(capsys, run, code=1)["problems"]
    assert any("by the postings" in problem for problem in problems)
    assert any("the seal does not match" in problem for problem in problems)
