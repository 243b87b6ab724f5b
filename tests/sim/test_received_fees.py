"""Spot fees in the coin received: what is bought is less by the fee, what cannot be sold stays as dust."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester import Candle, Strategy
from backtester.account.ledger import FEES, WALLET
from backtester.domain.intents import AnyIntent
from backtester.domain.money import money_from_decimal
from backtester.domain.vocabulary import Market, Side
from backtester.strategy.execution import ExitPlan, ExitRules
from tests.sim.small_run import A, SmallRun, expect, flat, intent_of, ms, small_run, spec

QUIET = flat("00:00", 8)
GOLDEN = f"{flat('00:00', 2, price=60000)}\n00:02 61000 61000 61000 61000 1000\n00:03 61000 61000 61000 61000 1000"
FINE = spec(market=Market.SPOT, lot_size=Decimal("0.0001"), min_qty=Decimal("0.0001"))


def received(bars: Any, orders: Any, **given: Any) -> SmallRun:
    """A spot run with fees in the coin received; fees of 10 bps unless given."""
    facts = {"market": Market.SPOT, "cash": "100000", "fee_bps": ("10", "10"), "snapshot_every": "1m", "spot_fee": "received"}
    return small_run(bars, orders, **(facts | given))


def fees(run: SmallRun) -> list[str]:
    return [f"{fill.order_id} {fill.fee.normalize():f} {fill.fee_asset}" for fill in run.fills]


def test_golden_e01_a_buy_pays_in_the_coin_and_all_that_is_held_is_sold() -> None:
    run = received(GOLDEN, "00:01 in buy 0.5\n00:02 out sell 0.4995", specs=[FINE])
    assert run.told() == expect("00:01 in buy 0.5 @ 60000 taker\n00:02 out sell 0.4995 @ 61000 taker")
    assert fees(run) == ["in 0.0005 AAA", "out 30.4695 USDT"]
    books, ledger = run.engine.account.books, run.engine.account.ledger
    assert books.cash == money_from_decimal(Decimal("100439.0305"))
    assert books.position(A) == 0
    assert ledger.balance(FEES, "AAA") == money_from_decimal(Decimal("0.0005"))
    assert ledger.balance(FEES, "USDT") == money_from_decimal(Decimal("60.4695"))  # the coins of the fee at 60,000


def test_golden_e06_a_makers_rebate_comes_in_the_coin_given() -> None:
    bars = "00:00 60000 60000 60000 60000 9\n00:01 60000 60000 59000 60000 9\n00:02 60000 61000 60000 60000 9\n00:03 60000 60000 60000 60000 9"
    orders = "00:01 in buy 1 at 59999\n00:02 out sell 0.9 at 60001"
    run = received(bars, orders, specs=[FINE], fee_bps=("-0.5", "10"))
    assert [fill.liquidity.value for fill in run.fills] == ["maker", "maker"]
    assert fees(run) == ["in -2.99995 USDT", "out -0.000045 AAA"]
    assert run.engine.account.books.position(A) == Decimal("0.100045")


def test_equity_at_the_fill_is_that_of_a_fee_in_quote() -> None:
    runs = [received(QUIET, "00:01 in buy 2", spot_fee=coin) for coin in ("received", "quote")]
    first, second = ([shot.equity for shot in run.snapshots] for run in runs)
    assert first == second
    held = [run.snapshots[-1].balances[0].amount for run in runs]
    assert held == [Decimal("1.998"), Decimal(2)]


class Holder(Strategy):
    """Buys one, then sends one sale."""

    sale = ""

    def on_candle(self, candle: Candle) -> AnyIntent | None:
        if candle.end_ms == ms("00:01"):
            return intent_of(["in", "buy", "1"])
        if candle.end_ms == ms("00:03"):
            self.ctx.log("held", position=self.ctx.position(A), closable=self.ctx.closable(A), balance=self.ctx.balance("AAA"))
            return intent_of(self.sale.format(held=self.ctx.position(A)).split())
        return None


@pytest.mark.parametrize(
    ("sale", "told"),
    [
        ("out sell {held} reduce", ["00:03 out sell 0.998 @ 100 taker"]),
        ("out sell {held}", ["00:03 out sell 0.998 @ 100 taker"]),
        ("out sell 1 reduce", ["00:03 out sell 0.998 @ 100 taker", "00:03 out ends REDUCE_ONLY 0.002"]),
        ("out sell 1", ["00:03 out refused SHORT_SPOT"]),
    ],
    ids=["all of it", "all of it, not reduce-only", "what was ordered, reduce-only", "more than is held"],
)
def test_all_that_is_held_can_be_sold_down_to_the_lot(sale: str, told: list[str]) -> None:
    made = type("Made", (Holder,), {"sale": sale})
    run = received(QUIET, made, fee_bps=("15", "15"))
    assert run.told()[1:] == told
    (note,) = (message for _, _, topic, message in run.entries if topic == "logs")
    assert note.facts == {"position": "0.99850000", "closable": "0.99800000", "balance": "0.99850000"}


def test_dust_is_worth_what_it_is_worth_and_sums_up() -> None:
    orders = "".join(f"00:0{n} in{n} buy 1\n00:0{n + 1} out{n} sell 0.998\n" for n in (1, 3, 5))
    run = received(QUIET, orders, fee_bps=("15", "15"))
    assert run.snapshots[-1].balances[0].amount == Decimal("0.0015")  # 3 x 0.0005: by now a whole lot of it can be sold
    assert run.engine.account.books.lots[A] == 1


def test_a_spot_buy_may_spend_all_the_cash_when_its_fee_comes_off_the_coin() -> None:
    assert received(QUIET, "00:01 in buy 1", cash="100").told() == ["00:01 in buy 1 @ 100 taker"]
    assert received(QUIET, "00:01 in buy 1", cash="100", spot_fee="quote").told() == ["00:01 in refused INSUFFICIENT"]


def test_attached_exits_are_for_what_is_held_of_the_coins() -> None:
    bars = f"{flat('00:00', 3)}\n00:03 100 100 90 90 1000\n00:04 90 90 90 90 1000"
    run = received(bars, "00:01 in buy 1 sl 95", fee_bps=("10", "15"))
    assert run.told() == expect(
        """
        00:01 in buy 1 @ 100 taker
        00:04 in-sl1 sell 0.998 @ 95 taker bar
        """
    )


class Planned(Strategy):
    """Buys whenever it is flat and leaves by rules."""

    def on_start(self) -> None:
        self.plan = ExitPlan(A, ExitRules(max_hold_ms=60_000))
        self.count = 0

    def on_candle(self, candle: Candle) -> list[AnyIntent]:
        intents = self.plan.on_candle(self.ctx, candle)
        if not intents and not self.ctx.closable(A) and not self.ctx.open_orders():
            self.count += 1
            intents.append(intent_of([f"in{self.count}", "buy", "1"]))
        return intents

    def on_fill(self, fill: Any) -> list[AnyIntent]:
        return self.plan.on_fill(fill)


def test_a_plan_of_exits_is_done_when_dust_is_left() -> None:
    run = received(QUIET, Planned, fee_bps=("15", "15"))
    sides = [fill.side for fill in run.fills]
    assert sides == [Side.BUY, Side.SELL] * (len(sides) // 2) + [Side.BUY] * (len(sides) % 2)
    assert len(sides) >= 4
    assert not any("refused" in line for line in run.told())


class Churn(Strategy):
    """Buys and sells sizes that it is told."""

    trades: tuple[tuple[bool, int], ...] = ()

    def on_start(self) -> None:
        self.left = list(self.trades)

    def on_candle(self, candle: Candle) -> AnyIntent | None:
        if not self.left:
            return None
        buys, lots = self.left.pop(0)
        return intent_of(["", "buy" if buys else "sell", str(Decimal(lots) / 1000), *([] if buys else ["reduce"])])


@settings(max_examples=60)
@given(
    trades=st.lists(st.tuples(st.booleans(), st.integers(1, 3000)), max_size=12),
    bps=st.sampled_from(("10", "7.7", "15", "-1", "0", "9999")),
)
def test_each_balance_of_the_ledger_is_the_sum_of_its_fills(trades: list[tuple[bool, int]], bps: str) -> None:
    run = received(flat("00:00", 14), type("Made", (Churn,), {"trades": tuple(trades)}), fee_bps=("10", bps))
    coin, cash = Decimal(0), Decimal(100000)
    for fill in run.fills:
        coin += fill.side.sign * fill.qty - (fill.fee if fill.fee_asset == "AAA" else 0)
        cash -= fill.side.sign * fill.qty * fill.price + (fill.fee if fill.fee_asset == "USDT" else 0)
        assert coin >= 0 and cash >= 0
    ledger = run.engine.account.ledger
    assert ledger.balance(WALLET, "AAA") == money_from_decimal(coin)
    assert ledger.balance(WALLET, "USDT") == money_from_decimal(cash)
    run.engine.account.check()
    assert run.snapshots[-1].equity == cash + coin * 100
