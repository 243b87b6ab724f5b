"""How stops and take-profits meet bars: orders in, fills out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester import Candle, StopOrderIntent, Strategy
from backtester.domain.orders import OrderAck, OrderCanceled, OrderTriggered
from backtester.domain.vocabulary import Market, OrderStatus, RejectReason, Side
from tests.sim.small_run import expect, flat, small_run

CALM = flat("00:00", 4, price=105)
GAP_DOWN = """
    00:00  105 105 105 105  100
    00:01  105 105 105 105  100
    00:02   90  93  88  92  100   # golden H04
    00:03   92  92  92  92  100
"""
SLIDE = """
    00:00  105 105 105   105  100
    00:01  105 105 100.1 101  100   # not quite
    00:02  101 102  99   100.5 100  # through 100
    00:03  100.5 101 98 98  100
"""
CLIMB = """
    00:00   95  95    95    95  100
    00:01   95  99.9  95    99  100
    00:02   99 101    98    99.5 100
    00:03   99.5 102  99.5 102  100
"""
GAP_UP = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:02  106 107 104 105  100
    00:03  105 105 105 105  100
"""
BOTH = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:02  102 104  97 102  100   # golden H06: target and stop in one bar
    00:03  102 102 102 102  100
"""
THIN = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02  105 105  99 100  10
    00:03  100 100 100 100  10
"""
LONG = "00:01 in buy 1\n"
IN = "00:01 in buy 1 @ {} taker\n"


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(GAP_DOWN, LONG + "00:01 s sell 1 stop 100 reduce", {"slippage_bps": 5}, IN.format(105.1) + "00:03 s sell 1 @ 89.9 taker bar", id="golden H04: over a gap a stop trades at the open and its costs"),
        pytest.param(SLIDE, LONG + "00:01 s sell 1 stop 100 reduce", {}, IN.format(105) + "00:03 s sell 1 @ 100 taker bar", id="inside a bar at its trigger"),
        pytest.param(SLIDE, LONG + "00:01 s sell 1 stop 100.1 reduce", {}, IN.format(105) + "00:02 s sell 1 @ 100.1 taker bar", id="a touch of the trigger is enough"),
        pytest.param(SLIDE, LONG + "00:01 s sell 1 stop 100 reduce", {"spread_bps": 20}, IN.format(105.2) + "00:03 s sell 1 @ 99.9 taker bar", id="half the spread is paid at a trigger too"),
        pytest.param(CLIMB, "00:01 s buy 1 stop 100", {}, "00:03 s buy 1 @ 100 taker bar", id="a buy stop waits for a rise"),
        pytest.param(GAP_UP, "00:01 s buy 1 stop 104", {}, "00:03 s buy 1 @ 106 taker bar", id="and pays the open of a gap"),
        pytest.param(GAP_UP, LONG + "00:01 t sell 1 target 104 reduce", {}, IN.format(100) + "00:03 t sell 1 @ 104 taker bar", id="a take-profit never trades better than its trigger"),
        pytest.param(SLIDE, "00:01 s sell 1\n00:01 t buy 1 target 100 reduce", {}, "00:01 s sell 1 @ 105 taker\n00:03 t buy 1 @ 100 taker bar", id="a buy take-profit waits for a fall"),
        pytest.param(
            BOTH, LONG + "00:01 t sell 1 target 103 reduce\n00:01 s sell 1 stop 98 reduce", {}, IN.format(100) + "00:03 s sell 1 @ 98 taker bar\n00:03 t ends REDUCE_ONLY 1",
            id="golden H06: stop before take-profit, whatever the path, and the other ends",
        ),
        pytest.param(
            BOTH, LONG + "00:02 t sell 1 at 103 reduce\n00:01 s sell 1 stop 98 reduce", {}, IN.format(100) + "00:03 s sell 1 @ 98 taker bar\n00:03 t ends REDUCE_ONLY 1",
            id="stop before a resting limit too",
        ),
        pytest.param(CALM, "00:01 s sell 1 stop 105", {}, "00:01 s rejected TRIGGER_SIDE", id="a stop at the market would trigger at once"),
        pytest.param(CALM, "00:01 s buy 1 stop 104.9", {}, "00:01 s rejected TRIGGER_SIDE", id="a buy stop below the market too"),
        pytest.param(CALM, "00:01 t sell 1 target 104", {}, "00:01 t rejected TRIGGER_SIDE", id="so a take-profit on the wrong side"),
        pytest.param(CALM, "00:01 s sell 1 stop 100\n00:02 cancel s", {}, "00:02 s ends USER 1", id="what waits can be cancelled"),
        pytest.param(CALM, "00:01 s sell 1 stop 100 gtd 00:03", {}, "00:03 s ends GOOD_TILL 1", id="and ends at its date"),
        pytest.param(CALM, "00:01 s sell 1 stop 100", {}, "00:04 s ends END_OF_RUN 1", id="or with the run"),
        pytest.param(
            SLIDE, LONG + "00:01 s sell 1 stop 100 reduce\n00:02 out sell 1 reduce", {}, IN.format(105) + "00:02 out sell 1 @ 101 taker\n00:02 s ends REDUCE_ONLY 1",
            id="a stop ends with the position it guards",
        ),
        pytest.param(
            THIN, "00:01 in buy 2\n00:01 s sell 2 stop 100", {"participation_bps": 2000}, "00:01 in buy 2 @ 105 taker\n00:03 s sell 2 @ 100 taker bar",
            id="a stop within the share pays its trigger",
        ),
        pytest.param(
            THIN, "00:00:30 x buy 1\n00:01 s sell 5 stop 100", {"participation_bps": 1000}, "00:03 s sell 5 @ 97.5 taker bar over_share",
            id="above the share it trades whole and pays impact",
        ),
        pytest.param(SLIDE, LONG + "00:01 s sell 1 stop 100 at 99.5 reduce", {}, IN.format(105) + "00:03 s sell 1 @ 99.5 taker bar", id="a stop-limit the close confirms trades at its limit"),
        pytest.param(
            SLIDE, LONG + "00:01 s sell 1 stop 100 at 100.5 reduce", {}, IN.format(105) + "00:04 s sell 1 @ 100.5 maker bar", id="one it does not confirm rests, and is a maker later"
        ),
        pytest.param(SLIDE, LONG + "00:01 s sell 1 stop 100 at 100.5 reduce ioc", {}, IN.format(105) + "00:03 s ends NO_LIQUIDITY 1", id="or ends where it may not rest"),
        pytest.param(GAP_DOWN, LONG + "00:01 s sell 1 stop 100 at 99 reduce", {}, IN.format(105) + "00:04 s ends END_OF_RUN 1", id="a gap beyond a stop's limit leaves it unfilled"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_waiting_order(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    assert small_run(bars, orders, **sim).told() == expect(told)


def test_a_stop_that_arrives_inside_a_bar_meets_that_bar_and_a_take_profit_does_not() -> None:
    bars = (
        "00:00 100 100 100 100 9\n00:01 100 100 100 100 9\n00:02 100 104 96 100 9\n00:03 100 104 100 100 9\n00:04 100 100 100 100 9"
    )
    late: dict[str, Any] = {"order_latency_ms": 61_000}
    assert small_run(bars, "00:01 s sell 1 stop 97", **late).told() == expect("00:03 s sell 1 @ 97 taker bar")
    assert small_run(bars, "00:01 t sell 1 target 103", **late).told() == expect("00:04 t sell 1 @ 103 taker bar")


def test_the_journal_tells_waiting_triggered_and_filled() -> None:
    run = small_run(SLIDE, LONG + "00:01 s sell 1 stop 100 reduce")
    acks = {ack.order_id: ack.is_waiting for ack in run.messages(OrderAck)}
    assert acks == {"in": False, "s": True}
    (triggered,) = run.messages(OrderTriggered)
    assert triggered.order_id == "s" and triggered.time_ms == run.fills[-1].time_ms


@pytest.mark.parametrize("market", [Market.LINEAR, Market.SPOT])
def test_an_untriggered_stop_holds_no_margin_on_derivatives_and_its_value_on_spot(market: Market) -> None:
    run = small_run(CALM, "00:01 s buy 1 stop 110\n00:02 m buy 5", market=market, cash="600")
    told = run.told()
    assert ("00:02 m buy 5 @ 105 taker" in told) is (market is Market.LINEAR)
    assert ("00:02 m refused INSUFFICIENT" in told) is (market is Market.SPOT)


def test_margin_is_asked_for_at_the_trigger_and_without_it_the_order_ends() -> None:
    run = small_run(CLIMB, "00:01 m buy 5\n00:01 s buy 2 stop 100", cash="600")
    assert run.told() == expect("00:01 m buy 5 @ 95 taker\n00:03 s ends INSUFFICIENT 2")
    (ended,) = run.messages(OrderCanceled)
    assert ended.status is OrderStatus.CANCELED and ended.reason is RejectReason.INSUFFICIENT
    rich = small_run(CLIMB, "00:01 m buy 5\n00:01 s buy 2 stop 100", cash="700")
    assert rich.told()[-1] == "00:03 s buy 2 @ 100 taker bar"
    assert not rich.engine.risk.reservations.total


def test_a_trigger_is_rounded_so_that_it_is_reached_later() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 100 100 100 100 9\n00:02 100 100 97.1 98 9\n00:03 98 98 97 97 9\n00:04 97 97 97 97 9"
    assert small_run(bars, "00:01 s sell 1 stop 97.05").told() == expect("00:04 s sell 1 @ 97 taker bar")


def test_interest_and_broadcast_agree_on_waiting_orders() -> None:
    orders = LONG + "00:01 t sell 1 target 103 reduce\n00:01 s sell 1 stop 98 reduce"
    assert small_run(BOTH, orders).entries == small_run(BOTH, orders, routing="broadcast").entries


def test_open_orders_show_the_trigger() -> None:
    seen: list[Decimal | None] = []

    class Looks(Strategy):
        def on_candle(self, candle: Candle) -> list[StopOrderIntent]:
            orders = self.ctx.open_orders(candle.symbol)
            seen.extend(order.trigger_price for order in orders)
            return [] if orders else [StopOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=1, trigger_price=100, price=99)]

    small_run(CALM, Looks)
    assert seen and set(seen) == {Decimal(100)}
