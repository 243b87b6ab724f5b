"""Scenarios on margin: what an order costs, when a position is liquidated, at which price, and what is left."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester import MarketOrderIntent, Side, Strategy
from backtester.domain.orders import LiquidationOrder
from backtester.domain.settlement import Settlement
from backtester.domain.tiers import LeverageTier
from tests.sim.small_run import A, B, SmallRun, expect, flat, ms, small_run, spec

HALF_PERCENT = (LeverageTier(floor=Decimal(0), maintenance_frac=Decimal("0.005"), leverage_max=Decimal(100)),)
TIERS = tuple(
    LeverageTier(floor=Decimal(floor), cap=Decimal(cap), maintenance_frac=Decimal(rate), leverage_max=Decimal(most))
    for floor, cap, rate, most in ((0, 1000, "0.005", 50), (1000, 5000, "0.05", 10), (5000, 20000, "0.1", 5))
)


def margin_run(
    bars: str | dict[str, str], orders: Any, *, tiers: tuple[LeverageTier, ...] = HALF_PERCENT, **facts: Any
) -> SmallRun:
    account = {"leverage": 10, "margin": "isolated"} | facts.pop("account", {})
    facts = {"cash": "150", "fee_bps": ("2", "5.5"), "snapshot_every": "1m"} | facts
    run = small_run(bars, orders, specs=facts.pop("specs", None) or [spec(leverage_tiers=tiers)], account=account, **facts)
    run.engine.account.check()
    return run


FALL = """
    00:00 100   100   100  100  1000
    00:01 100   100    99   99.5 1000
    00:02  99.5  99.5  89   95  1000
    00:03  95    96    94   95  1000
"""


def test_an_isolated_long_is_liquidated_at_its_bankruptcy_price_and_loses_its_margin_and_the_fee() -> None:
    run = margin_run(FALL, "00:01 a buy 10 \n 00:01 x buy 1 at 80")
    assert run.told() == expect("""
        00:01 a buy 10 @ 100 taker
        00:03 x ends LIQUIDATION 1
        00:03 liq-1 sell 10 @ 90 taker bar
    """)
    assert run.snapshots[-1].realised_pnl == -100
    assert run.snapshots[-1].cash == Decimal(150) - 100 - Decimal("0.55") - Decimal("0.495")
    assert run.fills[-1].reason == "LIQUIDATION"


def test_the_price_shown_before_is_the_price_that_liquidates() -> None:
    run = margin_run(FALL, "00:01 a buy 10")
    held = [snapshot.positions[0] for snapshot in run.snapshots if snapshot.positions]
    assert {view.liquidation_price for view in held} == {Decimal("90.5")}  # 90 / (1 - 0.005), at the tick that comes earlier
    assert run.messages(LiquidationOrder)[0].liquidation_price == Decimal("90.5")


@pytest.mark.parametrize(("low", "fills"), [("90.6", 1), ("90.5", 2)])
def test_a_bar_liquidates_only_when_its_low_reaches_that_price(low: str, fills: int) -> None:
    assert len(margin_run(FALL.replace("89 ", f"{low} "), "00:01 a buy 10").fills) == fills


@pytest.mark.parametrize(("high", "fills"), [("109.3", 1), ("109.4", 2)])
def test_a_short_is_liquidated_by_the_high(high: str, fills: int) -> None:
    bars = f"00:00 100 100 100 100 1000 \n 00:01 100 {high} 100 101 1000 \n {flat('00:02', 2, price=101)}"
    run = margin_run(bars, "00:01 a sell 10")
    assert len(run.fills) == fills  # 110 / 1.005 = 109.45...: the tick that comes earlier is below
    if fills == 2:
        assert run.told()[-1] == "00:02 liq-1 buy 10 @ 110 taker bar"


def test_a_cross_position_is_liquidated_when_the_wallet_is_used_up_and_nothing_below_zero_is_left() -> None:
    run = margin_run(FALL.replace("89 ", "85.5 "), "00:01 a buy 10 \n 00:01 x buy 0.1 at 80", account={"margin": "cross"})
    assert run.told() == expect("""
        00:01 a buy 10 @ 100 taker
        00:03 x ends LIQUIDATION 0.1
        00:03 liq-1 sell 10 @ 85.2 taker bar
    """)
    assert 0 <= run.snapshots[-1].equity < 1  # one tick of ten pieces at most


def test_a_gap_beyond_bankruptcy_costs_no_more_and_is_flagged() -> None:
    bars = "00:00 100 100 100 100 1000 \n 00:01 100 100 99 99.5 1000 \n 00:02 70 75 65 70 1000 \n 00:03 70 70 70 70 1000"
    run = margin_run(bars, "00:01 a buy 10")
    assert run.told()[-1] == "00:03 liq-1 sell 10 @ 90 taker bar gap_loss"
    assert run.messages(LiquidationOrder)[0].gap_loss == 200  # 10 x (90 - 70)
    cross = margin_run(bars, "00:01 a buy 10", account={"margin": "cross"})
    assert cross.told()[-1] == "00:03 liq-1 sell 10 @ 85.2 taker bar gap_loss"
    assert 0 <= cross.snapshots[-1].equity < 1


def test_an_order_that_arrives_at_a_gap_finds_the_position_liquidated() -> None:
    bars = "00:00 100 100 100 100 1000 \n 00:01 100 100 99 99.5 1000 \n 00:02 70 75 65 70 1000 \n 00:03 70 70 70 70 1000"
    run = margin_run(bars, "00:01 a buy 10 \n 00:02 out sell 10 reduce")
    assert run.told() == expect("""
        00:01 a buy 10 @ 100 taker
        00:02 liq-1 sell 10 @ 90 taker gap_loss
        00:02 out ends REDUCE_ONLY 10
    """)


def test_a_stop_before_the_liquidation_price_saves_the_rest_of_the_margin() -> None:
    run = margin_run(FALL, "00:01 a buy 10 \n 00:01 s sell 10 stop 95 reduce")
    assert run.told() == expect("""
        00:01 a buy 10 @ 100 taker
        00:03 s sell 10 @ 95 taker bar
    """)


def test_a_stop_beyond_the_liquidation_price_comes_too_late() -> None:
    run = margin_run(FALL, "00:01 a buy 10 \n 00:01 s sell 10 stop 90 reduce")
    assert run.told()[1:] == ["00:03 s ends LIQUIDATION 10", "00:03 liq-1 sell 10 @ 90 taker bar"]


def test_a_take_profit_of_the_same_bar_does_not_save_the_position() -> None:
    bars = FALL.replace("99.5  99.5  89   95 ", "99.5 111 89 95 ")
    run = margin_run(bars, "00:01 a buy 10 \n 00:02 t sell 10 at 110 reduce")
    assert run.told()[1:] == ["00:03 t ends LIQUIDATION 10", "00:03 liq-1 sell 10 @ 90 taker bar"]


def test_a_limit_entry_may_be_liquidated_in_the_bar_that_fills_it() -> None:
    run = margin_run(FALL, "00:01 a buy 10 at 98")
    assert run.told() == ["00:03 a buy 10 @ 98 maker bar"]  # 88.2 / 0.995 is 88.64...: the low of 89 stays above
    run = margin_run(FALL.replace("89 ", "88.7 "), "00:01 a buy 10 at 98")
    assert run.told() == ["00:03 a buy 10 @ 98 maker bar", "00:03 liq-1 sell 10 @ 88.2 taker bar"]


def test_a_position_in_a_higher_tier_is_cut_down_to_one_that_its_margin_carries() -> None:
    run = margin_run(FALL.replace("89 ", "92 "), "00:01 a buy 20", tiers=TIERS, cash="500")
    assert run.told() == expect("""
        00:01 a buy 20 @ 100 taker
        00:03 liq-1 sell 9.131 @ 90 taker bar
    """)  # 10.869 x 92 is the most that is worth no more than 1,000, where maintenance is 0.5 %
    assert run.engine.account.books.lots[A] == 10869


def test_a_cross_position_is_cut_down_at_the_adverse_extreme() -> None:
    run = margin_run(
        FALL.replace("89 ", "94.5 "), "00:01 a buy 20", tiers=TIERS, cash="203", fee_bps=("0", "0"), account={"margin": "cross"}
    )
    assert run.fills[-1].order_id == "a"
    run = margin_run(
        FALL.replace("89 ", "92 "), "00:01 a buy 20", tiers=TIERS, cash="203", fee_bps=("0", "0"), account={"margin": "cross"}
    )
    assert run.told()[-1] == "00:03 liq-1 sell 9.131 @ 92 taker bar"
    assert run.snapshots[-1].equity > 0


def test_cross_profits_of_one_symbol_carry_another_and_isolated_ones_do_not() -> None:
    up = "00:00 100 100 100 100 1000 \n 00:01 100 130 100 130 1000 \n 00:02 130 130 130 130 1000 \n 00:03 130 130 130 130 1000"
    bars = {A: FALL, B: up}

    class Both(Strategy):
        def on_candle(self, candle: Any) -> Any:
            if candle.end_ms == ms("00:01") and candle.symbol == B:
                return [MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=5) for symbol in (A, B)]
            return None

    specs = [spec(symbol, leverage_tiers=HALF_PERCENT) for symbol in (A, B)]
    assert len(margin_run(bars, Both, specs=specs, cash="110", account={"margin": "cross"}).fills) == 2
    isolated = margin_run(bars, Both, specs=specs, cash="110")
    assert [fill.symbol for fill in isolated.fills] == [A, B, A]


def test_leverage_of_a_symbol_is_its_own() -> None:
    account = {"leverage": 10, "leverage_by_symbol": {A: 2}}
    assert margin_run(FALL, "00:01 a buy 10", account=account).told() == ["00:01 a refused INSUFFICIENT"]
    assert margin_run(FALL, "00:01 a buy 2.5", account=account).fills


@pytest.mark.parametrize(("qty", "told"), [("14.7", "00:01 a buy 14.7 @ 100 taker"), ("14.9", "00:01 a refused INSUFFICIENT")])
def test_an_order_costs_its_margin_and_both_fees(qty: str, told: str) -> None:
    assert margin_run(FALL, f"00:01 a buy {qty}").told()[0] == told


def test_an_order_into_a_tier_of_lower_leverage_is_refused() -> None:
    facts = {"tiers": TIERS, "cash": "10000"}
    assert margin_run(FALL, "00:01 a buy 49", **facts).told()[0] == "00:01 a buy 49 @ 100 taker"
    assert margin_run(FALL, "00:01 a buy 51", **facts).told() == ["00:01 a refused MAX_NOTIONAL"]
    assert margin_run(FALL, "00:01 a buy 30 \n 00:01 b buy 30", **facts).told()[0] == "00:01 b refused MAX_NOTIONAL"


def test_margin_is_asked_for_again_at_the_fill() -> None:
    bars = "00:00 100 100 100 100 1000 \n 00:01 101 101 101 101 1000 \n 00:02 101 101 101 101 1000"
    run = margin_run(bars, "00:01 a buy 14.7")
    assert run.told() == ["00:01 a ends INSUFFICIENT 14.7"]


def test_margin_is_asked_for_at_the_trigger() -> None:
    run = margin_run(FALL.replace("89 ", "94 "), "00:01 a buy 10 \n 00:01 s sell 100 stop 98.5")
    assert run.told() == ["00:01 a buy 10 @ 100 taker", "00:03 s ends INSUFFICIENT 100"]


def test_funding_that_the_wallet_cannot_pay_comes_off_the_margin() -> None:
    settled = Settlement(ms("00:02"), A, Decimal("0.05"), 100 * 10**8)
    run = margin_run(FALL.replace("89 ", "93 "), "00:01 a buy 10", cash="105", settlements=[settled])
    shown = [snapshot.positions[0].liquidation_price for snapshot in run.snapshots if snapshot.positions]
    assert shown[-1] > Decimal(94)
    assert run.fills[-1].order_id == "liq-1"
    assert run.snapshots[-1].equity >= 0


def test_the_strategy_hears_of_its_liquidation() -> None:
    heard: list[str] = []

    class Listener(Strategy):
        def on_candle(self, candle: Any) -> Any:
            return [MarketOrderIntent(symbol=A, side=Side.BUY, qty=10)] if candle.end_ms == ms("00:01") else None

        def on_fill(self, fill: Any) -> None:
            heard.append(f"{fill.order_id} {self.ctx.position(A)}")

    margin_run(FALL, Listener)
    assert heard == ["s-1 10.00000000", "liq-1 0"]


def test_several_strategies_lose_their_own_parts_of_the_position() -> None:
    def sends(side: Side, qty: int) -> type[Strategy]:
        class Sender(Strategy):
            def on_candle(self, candle: Any) -> Any:
                return [MarketOrderIntent(symbol=A, side=side, qty=qty)] if candle.end_ms == ms("00:01") else None

        return Sender

    run = margin_run(FALL, [sends(Side.BUY, 12), sends(Side.SELL, 2)])
    assert [(fill.strategy_id, fill.side.value, fill.qty) for fill in run.fills[2:]] == [("s", "sell", 12), ("t", "buy", 2)]
    assert not run.engine.account.books.lots[A]


@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_calls_by_interest_and_by_broadcast_agree(mode: str) -> None:
    runs = [margin_run(FALL, "00:01 a buy 10", account={"margin": mode}, routing=way) for way in ("interest", "broadcast")]
    assert runs[0].entries == runs[1].entries


def test_without_leverage_nothing_is_watched() -> None:
    run = margin_run(FALL, "00:01 a buy 1", account={"leverage": 1})
    assert run.engine.account.liquidations is None
    assert run.engine.venue._standing.filling.covers is None
    assert run.snapshots[-1].positions[0].liquidation_price is None


def test_a_position_opened_while_the_last_close_lies_beyond_its_liquidation_price_is_watched() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 80 80 80 80 0\n00:02 100 100 95 98 9\n00:03 98 98 89 95 9"
    for routing in ("interest", "broadcast"):
        run = small_run(bars, "00:01 a buy 10", cash="250", account={"leverage": 10, "margin": "isolated"}, routing=routing)
        assert [fill.order_id for fill in run.fills] == ["a", "liq-1"]


STOPPED_FIRST = """
    00:00 100 100 100 100 1000
    00:01 100 100 100 100 1000
    00:02 100 105  {low}  {low} 1000
    00:03  {low} {low} {low} {low} 1000
"""


@pytest.mark.parametrize(
    ("low", "cash", "orders", "told"),
    [
        pytest.param(
            86, "150", "00:01 a buy 10\n00:02 s sell 10 stop 88 reduce\n00:02 x buy 5 at 87",
            "00:01 a buy 10 @ 100 taker\n00:03 s sell 10 @ 88 taker bar\n00:03 x ends INSUFFICIENT 5",
            id="a stop has lost what another order was to use",
        ),
        pytest.param(
            86, "200", "00:01 a buy 10\n00:02 s sell 10 stop 88 reduce\n00:02 x buy 5 at 87",
            "00:01 a buy 10 @ 100 taker\n00:03 s sell 10 @ 88 taker bar\n00:03 x buy 5 @ 87 maker bar",
            id="and where enough is left it trades",
        ),
        pytest.param(
            94, "12", "00:01 a buy 1\n00:02 s sell 1 stop 95 reduce\n00:02 x sell 1 at 104",
            "00:01 a buy 1 @ 100 taker\n00:03 s sell 1 @ 95 taker bar\n00:03 x ends INSUFFICIENT 1",
            id="what was to close opens, once a stop has closed",
        ),
        pytest.param(
            94, "20", "00:01 a buy 1\n00:02 s sell 1 stop 95 reduce\n00:02 x sell 1 at 104",
            "00:01 a buy 1 @ 100 taker\n00:03 s sell 1 @ 95 taker bar\n00:03 x sell 1 @ 104 maker bar",
            id="which it may with its margin",
        ),
        pytest.param(
            94, "12", "00:01 a buy 1\n00:02 s sell 1 stop 96 reduce\n00:02 x sell 1 stop 95",
            "00:01 a buy 1 @ 100 taker\n00:03 s sell 1 @ 96 taker bar\n00:03 x ends INSUFFICIENT 1",
            id="so a stop that is triggered after it",
        ),
    ],
)  # fmt: skip
def test_margin_at_a_fill_is_what_the_fills_before_it_in_its_bar_have_left(low: int, cash: str, orders: str, told: str) -> None:
    run = margin_run(STOPPED_FIRST.format(low=low), orders, cash=cash, account={"margin": "cross"})
    assert run.told() == expect(told)
    assert not run.engine.risk.reservations.total
