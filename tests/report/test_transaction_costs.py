"""Costs told apart: each part by hand on a few bars, and the parts' sum on a whole run."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

import backtester
from backtester import Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.app.run_costs import run_costs
from backtester.cli.main import main
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns

MINUTE_MS = 60_000
START_MS = 1_735_689_600_000
OPENS = (100.0, 101.0, 102.0, 104.0, 107.0, 111.0)


class OneOfEach(Strategy):
    """After the first bar a market buy; after the second a limit sale that is never reached."""

    def on_candle(self, candle: Candle):
        if candle.start_ms == START_MS:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="2")
        if candle.start_ms == START_MS + MINUTE_MS:
            return LimitOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="1", price="90")
        return None


@pytest.fixture
def run(tmp_path):
    import numpy as np

    opens = np.array(OPENS)
    columns = CandleColumns(
        START_MS + np.arange(len(OPENS)) * MINUTE_MS, opens, opens + 2, opens - 1, opens + 0.5, np.full(6, 1000.0)
    )
    Catalog(tmp_path / "data").write("binance", "linear", "SOLUSDT", "1m", columns)
    return backtester.run(
        OneOfEach, symbols=["SOLUSDT"], data=tmp_path / "data", output=tmp_path / "runs", fees_bps=10, slippage_bps=20,
        settings={"sim.spread_bps": "10", "account.starting_cash": "100000"},
    ).path  # fmt: skip


def test_each_part_is_what_the_bars_say(run):
    found = run_costs(run)
    (one,) = found.fills
    # decided at the close of the first bar, 100.5; arrived in the second, which opened at 101 and was never below 100
    assert (one.decision_e8, one.arrival_e8, one.next_open_e8) == (10_050_000_000, 10_100_000_000, 10_100_000_000)
    assert one.typical_e8 == round((103.0 + 100.0 + 101.5) / 3 * 10**8)
    price = one.fill.price
    assert price == Decimal("101.26")  # 101 x 1.0005 x 1.002, up to the tick
    money = 10**16
    assert one.delay == int(Decimal("0.5") * 2 * money)
    assert one.spread == int(Decimal(101) * Decimal("0.0005") * 2 * money)
    assert one.slippage == int((price - 101) * 2 * money) - one.spread
    assert one.fee == 20_252_000 * 10**8  # 202.52 x 10 bps
    assert one.total == int((price - Decimal("100.5")) * 2 * money) + one.fee
    assert one.against_bps(one.next_open_e8) == pytest.approx((101.26 / 101 - 1) * 10_000)


def test_an_order_that_is_never_filled_missed_what_the_market_ran_away(run):
    (missed,) = run_costs(run).missed
    # decided at 101.5; the run ended at 111.5
    assert (missed.reason, missed.size_e8, missed.missed) == ("END_OF_RUN", 10**8, 10 * 10**16)


class Busy(Strategy):
    """Orders of both kinds on both sides."""

    def on_candle(self, candle: Candle):
        stream = self.ctx.rng("orders")
        side = Side.BUY if stream.random() < 0.5 else Side.SELL
        if stream.random() < 0.5:
            return MarketOrderIntent(symbol=candle.symbol, side=side, qty="0.01")
        factor = Decimal("0.999") if side is Side.BUY else Decimal("1.001")
        return LimitOrderIntent(symbol=candle.symbol, side=side, qty="0.01", price=Decimal(str(candle.close)) * factor)


def test_the_parts_of_every_fill_sum_to_the_shortfall_and_the_fees_to_those_of_the_run(tmp_path):
    result = backtester.run(
        Busy, symbols=["BTCUSDT"], timeframe="15m", cash=1_000_000, output=tmp_path, settings={"data.sample_days": "4"}
    )
    found = run_costs(result.path)
    assert len(found.fills) == result.counts["fills"] > 100
    kinds = {(one.fill.order_type.value, one.fill.liquidity.value) for one in found.fills}
    assert {("market", "taker"), ("limit", "maker")} <= kinds
    for one in found.fills:
        size, price = one.fill.qty * 10**8, one.fill.price * 10**8
        assert one.total - one.fee == one.fill.side.sign * int((price - one.decision_e8) * size)
        assert (one.spread > 0) is (one.fill.liquidity.value == "taker")
    assert sum(one.fee for one in found.fills) / 10**16 == pytest.approx(result.metrics["fees"])


def test_the_command_tells_groups_fills_and_json(run, capsys):
    assert main(["costs", str(run), "--fills"]) == 0
    said = capsys.readouterr().out
    assert "market, taker" in said and "1 orders ended with something unfilled" in said and "101.26" in said
    assert main(["costs", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fills"][0]["arrival"] == "101.00" and told["missed"][0]["missed"] == "10.00000000"
