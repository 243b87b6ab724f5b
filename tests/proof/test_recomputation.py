"""Runs recomputed by the program that shares no code with the engine: whole ones agree, and each lie is found where it stands."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

import backtester
from backtester import Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy, TrailingStopIntent
from backtester.audit.events import decode_event
from backtester.audit.journal import FileJournal, read_journal
from backtester.cli.main import main
from backtester.proof.recomputation import recompute
from tests.support.shared_data import SHARED, needs_shared


class Busy(Strategy):
    """Market and limit orders, flips and partial closes, drawn from the run's own stream."""

    def on_candle(self, candle: Candle):
        stream = self.ctx.rng("orders")
        if stream.random() < 0.7:
            return None
        held = self.ctx.position(candle.symbol)
        size = Decimal(stream.randint(1, 40)) / 1000
        may_sell = self.ctx.spec(candle.symbol).market.value != "spot" or held >= size
        side = Side.SELL if may_sell and stream.random() < 0.5 else Side.BUY
        if stream.random() < 0.5:
            return MarketOrderIntent(symbol=candle.symbol, side=side, qty=size)
        price = Decimal(str(candle.close)) * (Decimal("0.999") if side is Side.BUY else Decimal("1.001"))
        return LimitOrderIntent(symbol=candle.symbol, side=side, qty=size, price=price)


@pytest.fixture(scope="module", params=["linear", "spot"])
def whole_run(request, tmp_path_factory) -> Path:
    """A complete run with some hundred fills."""
    output = tmp_path_factory.mktemp("proof")
    result = backtester.run(
        Busy, symbols=["BTCUSDT", "ETHUSDT"], market=request.param, timeframe="15m", cash=100_000, output=output,
        settings={"data.sample_days": "6"},
    )  # fmt: skip
    assert result.counts["fills"] > 100
    return result.path


def altered(run: Path, at: Path, name: str, old: str, new: str) -> tuple[str, ...]:
    """What is said of a copy in which the last `old` in a file reads `new`."""
    copy = Path(shutil.copytree(run, at / "copy"))
    text = (copy / name).read_text()
    assert old in text
    head, _, tail = text.rpartition(old)
    (copy / name).write_text(head + new + tail)
    return recompute(copy).differences


def test_a_whole_run_agrees_to_the_last_digit(whole_run):
    done = recompute(whole_run)
    assert done.differences == ()
    assert done.fills > 100 and done.snapshots > 100 and done.trades >= 2 and done.figures >= 14


class Trailing(Strategy):
    """Always long of a thousand contracts, behind a stop that follows at 77 bps."""

    def on_candle(self, candle: Candle):
        if self.ctx.position(candle.symbol) or self.ctx.open_orders(candle.symbol):
            return None
        follows = TrailingStopIntent(symbol=candle.symbol, side=Side.SELL, qty=1000, trail_bps=77, reduce_only=True)
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=1000), follows]


def test_stops_that_follow_an_entry_in_coins_agree(tmp_path):
    run = backtester.run(
        Trailing, symbols=["BTCUSD"], market="inverse", timeframe="1h", cash="0.5", output=tmp_path, settings={"data.sample_days": "4"}
    )  # fmt: skip
    assert recompute(run.path).differences == ()
    assert run.trades["stop_price"].null_count() == 0 and len(run.trades) > 10
    said = altered(run.path, tmp_path, "trades.csv", ",trailing_stop,", ",stop_market,")
    assert any("order_type" in sentence for sentence in said)


class Holds(Strategy):
    """Long from the first candle on."""

    def on_candle(self, candle: Candle):
        return None if self.ctx.position(candle.symbol) else MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.1")


def test_positions_that_are_closed_because_the_data_ends_agree(tmp_path):
    run = backtester.run(
        Holds, symbols=["BTCUSDT"], market="linear", timeframe="1h", output=tmp_path,
        settings={"data.sample_days": "4", "end.close": "true"},
    )  # fmt: skip
    assert run.fills["reason"].to_list()[-1] == "END"
    assert recompute(run.path).differences == ()


@needs_shared
def test_a_run_with_funding_agrees(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part in ("candles/binance_um/BTCUSDT_1m.parquet", "funding/binance_um/BTCUSDT.parquet"):
        assert main(["data", "import", str(SHARED / "data" / part), "--data", "cat", "--quiet"]) == 0
    words = ["--strategy", "sma_extended", "--symbols", "BTCUSDT", "--data", "cat", "--run-id", "r", "--quiet"]
    assert main(words) == 0
    done = recompute(Path("runs/r"))
    assert done.differences == ()
    assert json.loads(Path("runs/r/metrics.json").read_text())["funding"] != 0


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("fills.csv", ",taker,", ",maker,", "liquidity differ from the journal's fill"),
        ("trades.csv", ",false,", ",true,", "is_open"),
        ("trades.csv", "\nBTCUSDT,buy,", "\nETHUSDT,buy,", "symbol"),
        ("metrics.json", '\n  "trades": ', '\n  "trades": 1', "trades is 1"),
        ("metrics.json", '\n  "sharpe": ', '\n  "sharpe": 1', "sharpe is"),
        ("metrics.json", '\n  "total_return": ', '\n  "total_return": 1', "total_return is"),
        ("metrics.json", '"max_drawdown": 0.', '"max_drawdown": 0.9', "max_drawdown is 0.9"),
        ("journal.jsonl", '"side":"buy"', '"side":"sell"', "the seal is not that of these lines"),
        ("manifest.json", '"digest": "', '"digest": "0', "its digest is"),
    ],
)
def test_a_lie_is_found_where_it_stands(whole_run, tmp_path, name, old, new, said):
    differences = altered(whole_run, tmp_path, name, old, new)
    assert any(said in line for line in differences), differences


@pytest.mark.parametrize(
    ("column", "said"), [("cash", "cash is"), ("equity", "equity"), ("equity_min", "minimum"), ("time_ms", "time does not rise")]
)
def test_a_row_of_the_curve_that_does_not_fit_is_found(whole_run, tmp_path, column, said):
    copy = Path(shutil.copytree(whole_run, tmp_path / "copy"))
    head, *rows = (copy / "equity.csv").read_text().splitlines()
    values = dict(zip(head.split(","), rows[300].split(","), strict=True))
    values[column] = rows[299].split(",")[0] if column == "time_ms" else str(Decimal(values[column]) + 1_000)
    rows[300] = ",".join(values.values())
    (copy / "equity.csv").write_text("\n".join((head, *rows, "")))
    assert any(line.startswith("equity.csv: line 302") and said in line for line in recompute(copy).differences)


def test_a_row_that_is_missing_or_invented_is_found(whole_run, tmp_path):
    for name in ("fills.csv", "trades.csv"):
        lines = (whole_run / name).read_text().splitlines(keepends=True)
        for number, kept in enumerate((lines[:-1], [*lines, lines[-1]])):
            copy = Path(shutil.copytree(whole_run, tmp_path / f"{name}-{number}"))
            (copy / name).write_text("".join(kept))
            assert any(line.startswith(name) for line in recompute(copy).differences)


def test_an_account_that_books_wrongly_is_found_although_its_journal_is_sound(whole_run, tmp_path):
    """The journal is written anew, seals and digest included, around a snapshot that is off by one unit."""
    copy = Path(shutil.copytree(whole_run, tmp_path / "copy"))
    lines = list(read_journal(whole_run / "journal.jsonl"))
    last = max(index for index, line in enumerate(lines) if line.topic == "account.snapshot")
    (copy / "journal.jsonl").unlink()
    journal = FileJournal(copy / "journal.jsonl")
    for index, line in enumerate(lines):
        message = decode_event(line.raw)
        if index == last:
            message = msgspec.structs.replace(message, equity=message.equity + Decimal("0.00000001"))
        journal.append(line.seq, line.cause, line.topic, message)
    journal.close()
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["digest"] = journal.digest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert any("the snapshot's equity is" in line for line in recompute(copy).differences)


class Doubling(Strategy):
    """A short that is bought back at the open after the price has more than doubled."""

    def on_candle(self, candle: Candle):
        orders = {1: (Side.SELL, "2.9"), 3: (Side.BUY, "2.9")}
        number = int(candle.start_ms // 60_000) % 60
        return MarketOrderIntent(symbol=candle.symbol, side=orders[number][0], qty=orders[number][1]) if number in orders else None


def test_a_run_that_ends_between_two_rows_of_its_equity_agrees(tmp_path: Path) -> None:
    prices = [100.0, 100.0, 100.0, 100.0, 250.0, 250.0]
    frame = {"start_ms": [1_736_121_600_000 + 60_000 * n for n in range(6)], "volume": [1e6] * 6}
    frame |= dict.fromkeys(("open", "high", "low", "close"), prices)
    settings = {"risk.price_collar_bps": "off"}
    run = backtester.run(Doubling, symbols=["BTCUSDT"], data=frame, timeframe="1m", cash=300, output=tmp_path, settings=settings)
    assert run.end_reason == "bankrupt"
    assert run.metrics["max_drawdown"] > 1
    assert recompute(run.path).differences == ()
