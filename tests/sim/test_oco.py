"""OCO: a limit and a stop on both sides of the market, of which one cancels the other."""

from __future__ import annotations

from typing import Any

import pytest

from backtester.domain.orders import OrderCanceled
from backtester.domain.vocabulary import Market, OrderStatus
from tests.sim.small_run import expect, flat, small_run

UP = """
    00:00  100 100 100 100  10
    00:01  100 100 100 100  10
    00:02  100 112  99 110  10
    00:03  110 110 110 110  10
"""
DOWN = """
    00:00  100 100 100 100  10
    00:01  100 100 100 100  10
    00:02  100 101  90  92  10
    00:03   92  92  92  92  10
"""
BOTH = """
    00:00  100 100 100 100  10
    00:01  100 100 100 100  10
    00:02  100 112  90 100  10
    00:03  100 100 100 100  10
"""
CALM = flat("00:00", 4, price=100, volume=10)
LONG = "00:01 in buy 1\n"
EXIT = LONG + "00:02 x sell 1 oco 110 95 - reduce"
IN = "00:01 in buy 1 @ 100 taker\n"


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(UP, EXIT, {}, IN + "00:03 x sell 1 @ 110 maker bar\n00:03 x-stop ends OCO 1", id="the limit fills and ends the stop"),
        pytest.param(DOWN, EXIT, {}, IN + "00:03 x ends OCO 1\n00:03 x-stop sell 1 @ 95 taker bar", id="the stop is triggered and ends the limit"),
        pytest.param(BOTH, EXIT, {}, IN + "00:03 x ends OCO 1\n00:03 x-stop sell 1 @ 95 taker bar", id="in one bar the stop comes first"),
        pytest.param(CALM, EXIT + "\n00:03 cancel x", {}, IN + "00:03 x ends USER 1\n00:03 x-stop ends OCO 1", id="a cancel of the limit ends both"),
        pytest.param(CALM, EXIT + "\n00:03 cancel x-stop", {}, IN + "00:03 x-stop ends USER 1\n00:03 x ends OCO 1", id="and so one of the stop"),
        pytest.param(CALM, EXIT + "\n00:03 cancel all", {}, IN + "00:03 x ends USER 1\n00:03 x-stop ends OCO 1\n00:03 x-stop rejected TOO_LATE", id="of all: the second finds nothing"),
        pytest.param(CALM, EXIT + "\n00:03 amend x at 111", {}, IN + "00:03 x refused INVALID\n00:04 x ends END_OF_RUN 1\n00:04 x-stop ends OCO 1", id="it cannot be amended"),
        pytest.param(CALM, EXIT + "\n00:03 out sell 1 reduce", {}, IN + "00:03 out sell 1 @ 100 taker\n00:03 x ends REDUCE_ONLY 1\n00:03 x-stop ends OCO 1", id="both end with the position"),
        pytest.param(CALM, "00:01 x sell 1 oco 110 101 -", {}, "00:01 x rejected TRIGGER_SIDE", id="both above the market"),
        pytest.param(CALM, "00:01 x sell 1 oco 100 95 -", {}, "00:01 x rejected TRIGGER_SIDE", id="a limit that would take"),
        pytest.param(CALM, "00:01 x buy 1 oco 95 100 -", {}, "00:01 x rejected TRIGGER_SIDE", id="a trigger that is reached"),
        pytest.param(CALM, "00:01 x sell 1 oco 95 110 -", {}, "00:01 x refused INVALID", id="a sale the wrong way round"),
        pytest.param(CALM, "00:01 x buy 1 oco 110 95 -", {}, "00:01 x refused INVALID", id="a buy the wrong way round"),
        pytest.param(CALM, "00:01 x buy 1 oco 95 110 - ioc", {}, "00:01 x refused INVALID", id="it waits, so it cannot be immediate"),
        pytest.param(CALM, "00:01 x buy 1 oco 95 110 - gtd 00:03", {}, "00:03 x ends GOOD_TILL 1\n00:03 x-stop ends OCO 1", id="its date ends both"),
        pytest.param(UP, "00:01 x buy 1 oco 95 105 -", {}, "00:03 x ends OCO 1\n00:03 x-stop buy 1 @ 105 taker bar", id="an entry on either side: the break"),
        pytest.param(DOWN, "00:01 x buy 1 oco 95 105 -", {}, "00:03 x buy 1 @ 95 maker bar\n00:03 x-stop ends OCO 1", id="or the dip"),
        pytest.param(UP, "00:01 x buy 1 oco 95 105 106", {}, "00:03 x ends OCO 1\n00:04 x-stop ends END_OF_RUN 1", id="a stop-limit that the close does not confirm rests"),
        pytest.param(DOWN, "00:01 x buy 2 oco 95 105 -", {"participation_bps": 1000}, "00:03 x buy 1 @ 95 maker bar\n00:03 x-stop ends OCO 2\n00:04 x buy 1 @ 95 maker bar", id="a part of the limit ends the stop"),
    ],
)  # fmt: skip
def test_an_oco(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    run = small_run(bars, orders, **sim)
    assert run.told() == expect(told)
    assert not run.engine.risk.reservations.total


@pytest.mark.parametrize(("bars", "price"), [(UP, "105"), (DOWN, "95")])
def test_a_spot_buy_holds_once_what_the_dearer_of_the_two_may_cost(bars: str, price: str) -> None:
    for cash, passes in (("105.99", True), ("104.99", False)):
        run = small_run(bars, "00:01 x buy 1 oco 95 105 -", market=Market.SPOT, cash=cash)
        assert [str(fill.price.normalize()) for fill in run.fills] == ([price] if passes else [])
        assert not run.engine.risk.reservations.total


def test_a_spot_sale_sells_what_is_held_once() -> None:
    run = small_run(DOWN, LONG + "00:02 x sell 1 oco 110 95 -", market=Market.SPOT)
    assert run.told() == expect(IN + "00:03 x ends OCO 1\n00:03 x-stop sell 1 @ 95 taker bar")


def test_the_margin_of_an_entry_moves_to_the_one_that_is_triggered() -> None:
    run = small_run(UP, "00:01 x buy 1 oco 95 105 106", cash="107")
    assert run.told() == expect("00:03 x ends OCO 1\n00:04 x-stop ends END_OF_RUN 1")
    run = small_run(UP, "00:01 x buy 1 oco 95 105 -", cash="100")  # enough for the limit, not for the stop
    assert run.told() == expect("00:03 x ends OCO 1\n00:03 x-stop ends INSUFFICIENT 1")
    assert not run.engine.risk.reservations.total


def test_the_fills_say_which_it_was_and_the_end_of_the_other_is_a_cancel() -> None:
    for bars, reason in ((UP, "TP_HIT"), (DOWN, "SL_HIT")):
        run = small_run(bars, EXIT)
        assert [fill.reason for fill in run.fills] == ["SIGNAL", reason]
        assert [ended.status for ended in run.messages(OrderCanceled)] == [OrderStatus.CANCELED]


def test_it_counts_as_two_orders() -> None:
    told = small_run(CALM, "00:01 x buy 1 oco 95 110 -", risk={"max_open_orders": 1}).told()
    assert told == expect("00:01 x refused MAX_OPEN_ORDERS")
