"""A run with a reporting currency, in files: equity, figures, explanation and proof agree, and say so when one is changed."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import backtester
from backtester import Candle, LimitOrderIntent, MarketOrderIntent, PositionSide, Side, Strategy, SymbolSpec
from backtester.app.explain import explain
from backtester.app.run_trades import run_trades
from backtester.audit.run_store import RunDir
from backtester.cli.main import main
from backtester.domain.errors import ConfigError
from backtester.domain.vocabulary import Market
from backtester.proof.recomputation import recompute
from backtester.report.currency_shown import last_rates
from tests.oracle.driver import frame_of
from tests.oracle.generate import make_bars

LINEAR, INVERSE, PAIR = "bybit.linear:BTCUSDT", "bybit.inverse:BTCUSD", "bybit.spot:BTCUSDT"


class Turns(Strategy):
    """In and out every seven candles, in whatever symbol the candle is of."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Candle) -> MarketOrderIntent | None:
        self.count += 1
        if self.count % 7:
            return None
        held = self.ctx.position(candle.symbol)
        side = Side.SELL if held > 0 or (not held and self.count % 2) else Side.BUY
        qty = abs(held) or (Decimal("0.3") if candle.symbol != INVERSE else Decimal(200))
        return MarketOrderIntent(symbol=candle.symbol, side=side, qty=qty, reduce_only=bool(held))


def spec(symbol: str) -> SymbolSpec:
    market, name = Market(symbol.partition(":")[0].partition(".")[2]), symbol.partition(":")[2]
    step = Decimal(1) if market is Market.INVERSE else Decimal("0.001")
    return SymbolSpec(
        symbol=symbol, exchange="bybit", market=market, base=name[:3], quote=name[3:],
        tick_size=Decimal("0.01"), lot_size=step, min_qty=step,
    )  # fmt: skip


def run(output: Path, symbols: tuple[str, ...] = (LINEAR, INVERSE), **given: Any) -> backtester.RunResult:
    settings = {
        "account.snapshot_every": "30m", "account.currency": "USDT", "account.balances": {"BTC": "20"}, "sim.participation_bps": 0,
        **given,
    }  # fmt: skip
    return backtester.run(
        Turns, symbols=list(symbols), data={symbol: frame_of(make_bars(3 + n, 400)) for n, symbol in enumerate(symbols)},
        timeframe="1m", specs=[spec(symbol) for symbol in symbols], cash=10_000, settings=settings, output=output, run_id="one",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = run(tmp_path_factory.mktemp("runs"), **{"account.leverage": 5})
    assert result.path is not None
    return result.path


def rows(path: Path, name: str) -> list[dict[str, str]]:
    with (path / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_agree_with_a_recomputation_in_exact_fractions(made: Path) -> None:
    found = recompute(made)
    assert found.differences == ()
    assert found.fills > 100
    assert {row["fee_asset"] for row in rows(made, "fills.csv")} == {"USDT", "BTC"}


def test_equity_is_the_wallets_and_profits_of_the_assets_at_the_prices_beside_them(made: Path) -> None:
    found = rows(made, "equity.csv")
    assert list(found[0])[-6:] == ["cash_USDT", "equity_USDT", "price_USDT", "cash_BTC", "equity_BTC", "price_BTC"]
    for row in found:
        told = Fraction(row["equity_USDT"]) + Fraction(row["equity_BTC"]) * Fraction(row["price_BTC"])
        assert 0 <= told - Fraction(row["equity"]) < Fraction(1, 10**15)
    assert {row["price_USDT"] for row in found} == {"1.00000000"}


def test_the_end_is_what_was_there_and_what_was_earned_at_the_last_prices(made: Path) -> None:
    """Profits, fees and funding of metrics.json are at the prices of the end: with them the wallets add up."""
    metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
    manifest = RunDir(made).read_manifest()
    rates = last_rates(made, manifest)
    trades = rows(made, "trades.csv")
    earned = sum(Fraction(row["net_pnl"]) * rates[row["symbol"]] for row in trades)
    start = 10_000 + 20 * rates[INVERSE]
    last = Fraction(rows(made, "equity.csv")[-1]["equity"])
    open_fees = 0  # the fees of trades that are open are in their net profit
    assert float(start + earned + open_fees) == pytest.approx(float(last), abs=1e-9)
    closed = [row for row in trades if row["is_open"] == "false"]
    assert metrics["net_pnl"] == pytest.approx(float(sum(Fraction(row["net_pnl"]) * rates[row["symbol"]] for row in closed)))


def test_every_balance_is_explained_and_the_totals_in_the_currency(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asset in (None, "USDT", "BTC"):
        found = explain(made, asset=asset)
        assert (found.problems, found.asset) == ((), asset or "USDT")
        assert found.snapshot_count > 10
    assert main(["explain", str(made)]) == 0
    told = capsys.readouterr().out
    assert "BTC at" in told
    assert "it adds up" in told
    with pytest.raises(ConfigError, match="no balance of ETH"):
        explain(made, asset="ETH")


def test_trades_are_listed_in_the_asset_that_each_settles_in(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_trades(made).settles == {LINEAR: "USDT", INVERSE: "BTC"}
    assert main(["trades", str(made)]) == 0
    told = capsys.readouterr().out
    assert "in USDT: gross" in told
    assert "in BTC: gross" in told
    assert main(["report", str(made)]) == 0


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [("equity.csv", "cash_BTC", "cash_BTC"), ("equity.csv", "equity", "equity is"), ("trades.csv", "net_pnl", "net_pnl")],
)
def test_a_changed_amount_is_found(made: Path, tmp_path: Path, name: str, column: str, expected: str) -> None:
    for file in made.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    found = rows(tmp_path, name)
    found[5][column] = str(Decimal(found[5][column]) + Decimal("0.5"))
    with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    assert any(expected in sentence for sentence in recompute(tmp_path).differences)


def test_the_same_run_without_a_currency_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set account\.currency=USDT"):
        run(tmp_path, **{"account.currency": "", "account.balances": {}})


def test_a_spot_symbol_gives_its_price_and_takes_no_order(tmp_path: Path) -> None:
    result = run(tmp_path, (INVERSE, PAIR))
    assert result.path is not None
    assert result.summary["refusals_by_reason"].keys() == {"NOT_TRADABLE"}
    assert recompute(result.path).differences == ()
    assert explain(result.path).asset == "BTC"  # no wallet holds the currency
    assert any("for its price only" in one.rule for one in result.manifest.assumptions)


COINS = ("bybit.inverse:ETHUSD", "bybit.spot:ETHBTC", "bybit.linear:ETHUSDC")


@pytest.mark.parametrize(
    ("symbols", "currency", "peg", "leverage"),
    [
        ((LINEAR, INVERSE), "USDT", [], 20),
        ((INVERSE, COINS[0]), "USD", [], 3),
        ((INVERSE, *COINS[:2]), "ETH", [], 1),
        ((LINEAR, COINS[2], INVERSE), "USDC", ["USDT=USDC"], 1),
        ((INVERSE,), "USD", [], 1),
    ],
)
def test_whatever_is_traded_the_proof_and_the_explanation_agree(
    tmp_path: Path, symbols: tuple[str, ...], currency: str, peg: list[str], leverage: int
) -> None:
    class Anything(Strategy):
        def on_candle(self, candle: Candle) -> MarketOrderIntent | LimitOrderIntent | None:
            stream = self.ctx.rng("orders")
            if stream.random() < 0.7 or "spot" in candle.symbol:
                return None
            side = Side.BUY if stream.random() < 0.5 else Side.SELL
            size = Decimal(stream.randint(1, 300)) / (1 if "inverse" in candle.symbol else 300)
            if stream.random() < 0.6:
                return MarketOrderIntent(symbol=candle.symbol, side=side, qty=size.quantize(Decimal("0.001")))
            price = round(candle.close * (0.999 if side is Side.BUY else 1.001), 2)
            return LimitOrderIntent(symbol=candle.symbol, side=side, qty=size.quantize(Decimal("0.001")), price=price)

    settings: dict[str, Any] = {
        "account.currency": currency, "account.peg": peg, "account.leverage": leverage, "account.snapshot_every": "20m",
        "account.balances": {asset: "3" if asset in ("BTC", "ETH") else "900" for asset in assets(symbols)},
        "sim.participation_bps": 0, "end.close": True, "risk.max_drawdown": "0.3", "risk.max_drawdown_action": "flatten", "risk.max_total_exposure": "8",
    }  # fmt: skip
    result = backtester.run(
        Anything, symbols=list(symbols), data={symbol: frame_of(make_bars(5 + n, 300)) for n, symbol in enumerate(symbols)},
        timeframe="5m", specs=[spec(symbol) for symbol in symbols], settings=settings, output=tmp_path, run_id="one",
    )  # fmt: skip
    assert result.path is not None
    assert result.summary["fills"] >= 10
    assert recompute(result.path).differences == ()
    assert explain(result.path).problems == ()


def assets(symbols: tuple[str, ...]) -> set[str]:
    """What the symbols settle in."""
    return {spec(symbol).money_asset for symbol in symbols if "spot" not in symbol}


def test_spot_symbols_of_several_quotes_stay_an_error(tmp_path: Path) -> None:
    other = SymbolSpec(
        symbol="bybit.spot:BTCUSDC", exchange="bybit", market=Market.SPOT, base="BTC", quote="USDC", tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"), min_qty=Decimal("0.001"),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="must have one quote asset"):
        backtester.run(
            Turns, symbols=[PAIR, other.symbol], data={symbol: frame_of(make_bars(3, 50)) for symbol in (PAIR, other.symbol)},
            timeframe="1m", specs=[spec(PAIR), other], settings={"account.currency": "USDT"}, output=tmp_path,
        )  # fmt: skip


def test_a_run_from_the_catalog_is_executed_again_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for market, symbol, first in (("linear", "BTCUSDT", 60_000), ("inverse", "BTCUSD", 60_010)):
        lines = ["start_ms,open,high,low,close,volume"]
        for n in range(720):
            price = first + (n * 37 % 101) * 7
            lines.append(f"{1735689600000 + n * 60_000},{price},{price + 9},{price - 9},{price + 3},900000")
        Path("bars.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        assert (
            main(["data", "import", "bars.csv", *_words("--exchange bybit --timeframe 1m --market", market, "--symbol", symbol)])
            == 0
        )
    strategy = _words("--strategy sma_extended --timeframe 5m --symbols", LINEAR, INVERSE)
    values = _words("--set account.currency=USDT --set account.balances.BTC=0.5 --run-id one --params", '{"fast": 2, "slow": 4}')
    assert main([*strategy, *values]) == 0
    assert recompute(tmp_path / "runs/one").fills > 10
    assert main(["verify", "one"]) == 0


def _words(*texts: str) -> list[str]:
    """The words of texts; one with a brace is a word of its own."""
    return [word for text in texts for word in ([text] if "{" in text else text.split())]


class BothSides(Strategy):
    """A long and a short position in every symbol, each opened and closed in turn."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Candle) -> MarketOrderIntent | None:
        self.count += 1
        if self.count % 3:
            return None
        side = PositionSide.LONG if self.count % 2 else PositionSide.SHORT
        held = self.ctx.position(candle.symbol, side=side)
        qty = abs(held) or (Decimal("0.3") if candle.symbol != INVERSE else Decimal(200))
        way = side.opens.opposite if held else side.opens
        return MarketOrderIntent(symbol=candle.symbol, side=way, qty=qty, position_side=side)


def test_a_hedged_run_of_several_assets_is_explained_and_recomputed_to_the_last_digit(tmp_path: Path) -> None:
    symbols = (LINEAR, INVERSE, PAIR)
    result = backtester.run(
        BothSides, symbols=list(symbols), data={symbol: frame_of(make_bars(3 + n, 400)) for n, symbol in enumerate(symbols)},
        timeframe="1m", specs=[spec(symbol) for symbol in symbols], cash=10_000, output=tmp_path, run_id="one",
        settings={
            "account.snapshot_every": "30m", "account.currency": "USDT", "account.balances": {"BTC": "20"}, "account.leverage": 5,
            "account.position_mode": "hedge", "sim.participation_bps": 0,
        },
    )  # fmt: skip
    assert result.counts["fills"] > 100
    assert recompute(result.path).differences == ()
    assert explain(result.path, asset="BTC").problems == ()
    assert {row["position_side"] for row in result.trades.to_dicts()} == {"long", "short"}
