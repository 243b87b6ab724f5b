"""Spot: cash never falls below zero, and nothing is sold that is not held."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backtester import Candle, Fill, Strategy
from backtester.domain.intents import AnyIntent
from backtester.domain.orders import OrderCanceled
from backtester.domain.vocabulary import Market
from tests.engine.test_routes import random_bars, trader
from tests.sim.small_run import A, B, SmallRun, expect, flat, intent_of, ms, small_run

QUIET = flat("00:00", 6, volume=10)
LEAP = """
    00:00 100 100 100 100 10
    00:01 103 103 103 103 10
    00:02 103 103 103 103 10
"""
CREEP = """
    00:00 100 100   100   100 10
    00:01 100 100    90   100 10
    00:02 100 100    90   100 10
    00:03 140 140   140   140 10
    00:04 140 140   140   140 10
"""


def spot(bars: Any, orders: Any, **settings: Any) -> SmallRun:
    run = small_run(bars, orders, market=Market.SPOT, **settings)
    cash = Decimal(settings["cash"])
    for fill in run.fills:
        cash -= fill.side.sign * fill.qty * fill.price + fill.fee
        assert cash >= 0, f"cash is {cash} after {fill.fill_id}"
    assert all(lots >= 0 for lots in run.engine.account.books.lots.values())
    return run


def test_a_market_buy_spends_at_most_what_was_reserved() -> None:
    run = spot(LEAP, "00:01 a buy 1", cash="102")
    assert run.told() == expect(
        "00:01 a buy 0.98 @ 103 taker\n00:01 a ends INSUFFICIENT 0.02"
    )  # 101 is held, one in a hundred more


def test_with_cash_to_spare_it_is_filled_whole() -> None:
    assert spot(LEAP.replace("103", "101"), "00:01 a buy 1", cash="200").told() == ["00:01 a buy 1 @ 101 taker"]


def test_all_the_cash_can_be_spent_on_limits_filled_in_parts() -> None:
    dips = "\n".join(["00:00 100 100 100 100 0.07", *(f"00:{minute:02d} 100 100 80 100 0.07" for minute in range(1, 30))])
    run = spot(dips, "00:01 a buy 0.111 at 90.1", cash="1000", fee_bps=("7.77", "7.77"), participation_bps=1000)
    assert sum(fill.qty for fill in run.fills) == Decimal("0.111")


def test_the_fees_of_parts_never_make_cash_negative() -> None:
    dips = "\n".join(["00:00 100 100 100 100 0.07", *(f"00:{minute:02d} 100 100 80 100 0.07" for minute in range(1, 30))])
    run = spot(dips, "00:01 a buy 0.111 at 90.1", cash="10.0088709", fee_bps=("7.77", "7.77"), participation_bps=1000)
    assert run.told()[-1].endswith("a ends INSUFFICIENT 0.001")
    assert sum(fill.qty for fill in run.fills) == Decimal("0.110")


def test_the_higher_of_the_two_fees_is_reserved() -> None:
    assert spot(CREEP, "00:01 a buy 1 at 99", cash="99.98", fee_bps=("100", "0")).told() == ["00:01 a refused INSUFFICIENT"]
    assert spot(CREEP, "00:01 a buy 1 at 99", cash="99.99", fee_bps=("100", "0")).told() == ["00:02 a buy 1 @ 99 maker bar"]


def test_what_an_order_saved_is_not_spent_twice() -> None:
    class Saver(Strategy):
        def on_candle(self, candle: Candle) -> AnyIntent | None:
            plan = {ms("00:01"): "first buy 2", ms("00:03"): "other buy 0.96 at 100"}
            return intent_of(plan[candle.end_ms].split()) if candle.end_ms in plan else None

    bars = """
        00:00 100 100 100 100 10
        00:01  50  50  50  50 10
        00:02  50  50  50  50 0
        00:03  50  50  50  50 0
        00:04 149 149  99 149 10
        00:05 149 149  99 149 10
    """
    run = spot(bars, Saver, cash="250", participation_bps=1000)
    assert run.fills
    assert min(snapshot.cash for snapshot in run.snapshots) >= 0


def test_resting_sales_of_the_same_holding_sell_it_once() -> None:
    bars = f"{flat('00:00', 4, volume=10)}\n00:04 100 130 100 100 10"
    orders = """
        00:01 in buy 1
        00:02 low sell 1 at 110
        00:02 high sell 1 at 120
    """
    assert spot(bars, orders, cash="1000").told()[1:] == expect("00:05 low sell 1 @ 110 maker bar\n00:05 high ends INSUFFICIENT 1")


def test_a_sale_ends_when_another_has_sold_everything() -> None:
    orders = """
        00:01 in buy 1
        00:02 target sell 1 at 150
        00:03 out sell 1
    """
    assert spot(QUIET, orders, cash="1000").told()[1:] == expect("00:03 out sell 1 @ 100 taker\n00:03 target ends INSUFFICIENT 1")


def test_a_sale_is_capped_at_what_is_held_when_it_trades() -> None:
    orders = """
        00:01 in buy 1
        00:02 half sell 0.6
        00:02 most sell 0.6
    """
    assert spot(QUIET, orders, cash="1000").told()[1:] == expect(
        """
        00:02 half sell 0.6 @ 100 taker
        00:02 most sell 0.4 @ 100 taker
        00:02 most ends INSUFFICIENT 0.2
        """
    )


class AllIn(Strategy):
    """Buys with all the cash there is, in market and limit orders, and sells now and then."""

    seed = 0

    def on_start(self) -> None:
        self.rng = random.Random(self.seed)

    def on_candle(self, candle: Candle) -> list[AnyIntent]:
        if self.rng.random() < 0.3 and self.ctx.position(candle.symbol):
            return [intent_of([f"x{candle.symbol}{candle.end_ms}", "sell", str(self.ctx.position(candle.symbol))], candle.symbol)]
        return self.spend(candle.symbol, candle.close) if self.rng.random() < 0.7 else []

    def on_fill(self, fill: Fill) -> list[AnyIntent]:
        return self.spend(fill.symbol, float(fill.price)) if self.rng.random() < 0.5 else []

    def on_cancel(self, canceled: OrderCanceled) -> list[AnyIntent]:
        return self.spend(canceled.symbol, 100.0) if self.rng.random() < 0.5 else []

    def spend(self, symbol: str, price: float) -> list[AnyIntent]:
        """Several orders that together would use up about all the cash; some are refused."""
        intents = []
        for _ in range(self.rng.randint(1, 3)):
            qty = str(round(float(self.ctx.cash) / price * self.rng.choice((0.3, 0.97, 0.999)), 3))
            at = ["at", str(round(price + self.rng.randint(-5, 5) / 10, 1))] if self.rng.random() < 0.6 else []
            intents.append(intent_of(["", "buy", qty, *at], symbol))
        return intents


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rates=st.sampled_from((("10", "10"), ("7.77", "7.77"), ("0", "0"), ("10", "5"))),
    latency_ms=st.sampled_from((0, 125)),
    all_in=st.booleans(),
)
def test_cash_never_falls_below_zero(seed: int, rates: tuple[str, str], latency_ms: int, all_in: bool) -> None:
    rng = random.Random(seed)
    made = type("Made", (AllIn,), {"seed": seed}) if all_in else trader(seed)
    bars = {A: random_bars(rng), B: random_bars(rng)}
    run = spot(
        bars,
        made,
        cash=str(rng.randint(10, 2_000)),
        fee_bps=rates,
        participation_bps=1000,
        spread_bps=rng.choice((0, 30)),
        slippage_bps=rng.choice((0, 50)),
        order_latency_ms=latency_ms,
        response_latency_ms=latency_ms,
    )
    assert all(snapshot.cash >= 0 for snapshot in run.snapshots)
    assert run.engine.risk.reservations.total == 0
