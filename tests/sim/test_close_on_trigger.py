"""Close on trigger: a conditional order that only closes, of a size of its own or of the position's."""

from __future__ import annotations

import pytest

from backtester.config.venue_rules import venue_rules, venue_table
from backtester.domain.orders import OrderRefused, SanitizedOrder
from backtester.domain.vocabulary import Market
from tests.sim.small_run import expect, flat, small_run

CALM = flat("00:00", 6, price=100, volume=10)
FALLS = flat("00:00", 4, price=100, volume=10) + "\n00:04 100 101 88 89 10\n00:05 89 89 89 89 10"
IN = "00:01 in buy 2 @ 100 taker\n"
LONG = "00:01 in buy 2\n"


@pytest.mark.parametrize(
    ("bars", "orders", "told"),
    [
        pytest.param(FALLS, LONG + "00:02 x sell 5 stop 95 close", IN + "00:05 x sell 2 @ 95 taker bar\n00:05 x ends REDUCE_ONLY 3", id="larger than the position it closes what there is"),
        pytest.param(FALLS, LONG + "00:02 x sell 1 stop 95 close", IN + "00:05 x sell 1 @ 95 taker bar", id="smaller it closes a part"),
        pytest.param(FALLS, LONG + "00:02 x sell all stop 95 close", IN + "00:05 x sell 2 @ 95 taker bar", id="without a quantity all of it"),
        pytest.param(FALLS, LONG + "00:02 x sell all stop 95 at 87 close", IN + "00:05 x sell 2 @ 88 taker bar", id="as a reduce-only limit where it has a price"),
        pytest.param(FALLS, LONG + "00:02 x sell all trail 4 close", IN + "00:05 x sell 2 @ 96 taker bar", id="trailing"),
        pytest.param(FALLS, LONG + "00:02 x sell all stop 95 close\n00:03 more buy 1", IN + "00:03 more buy 1 @ 100 taker\n00:03 x amended 3 @ 95 keeps\n00:05 x sell 3 @ 95 taker bar", id="all is what the position is at the trigger"),
        pytest.param(CALM, LONG + "00:02 x sell all stop 95 close\n00:03 out sell 2", IN + "00:03 out sell 2 @ 100 taker\n00:03 x ends REDUCE_ONLY 2", id="it ends with the position"),
        pytest.param(CALM, LONG + "00:02 x sell all target 105 close\n00:03 turn sell 3", IN + "00:03 turn sell 3 @ 100 taker\n00:03 x ends REDUCE_ONLY 2", id="and when it turns"),
        pytest.param(CALM, "00:01 x sell all stop 95 close", "00:01 x refused REDUCE_ONLY", id="without a position there is no size"),
        pytest.param(CALM, LONG + "00:02 x buy all stop 105 close", IN + "00:02 x refused REDUCE_ONLY", id="nor on its own side"),
    ],
)  # fmt: skip
def test_close_on_trigger(bars: str, orders: str, told: str) -> None:
    run = small_run(bars, orders)
    assert run.told() == expect(told)
    assert not run.engine.risk.reservations.total


def test_what_is_gone_on_arrival_is_no_order_and_what_has_changed_is_known() -> None:
    orders = LONG + "00:03 out sell {qty}\n00:04 x sell all stop 95 close"
    gone = small_run(CALM, orders.format(qty=2), order_latency_ms=90_000).told()
    assert gone[-1] == "00:05:30 x rejected REDUCE_ONLY"
    less = small_run(CALM, orders.format(qty=1.5), order_latency_ms=90_000).told()
    assert less[-2:] == ["00:05:30 x amended 0.5 @ 95 keeps", "00:06 x ends END_OF_RUN 0.5"]


def test_it_is_an_order_that_only_reduces() -> None:
    run = small_run(CALM, LONG + "00:02 x sell 5 stop 95 close")
    assert [order.reduce_only for order in run.messages(SanitizedOrder)] == [False, True]


def test_venues_that_have_it_are_data_and_spot_has_none() -> None:
    assert {rules.name for rules in venue_table().values() if rules.close_on_trigger} == {
        "binance_um", "bybit_linear", "bybit_inverse",
    }  # fmt: skip
    order = LONG + "00:02 x sell all stop 95 close"
    assert small_run(CALM, order, market=Market.SPOT).told() == expect(IN + "00:02 x refused INVALID")
    (refused,) = small_run(CALM, order, venue=venue_rules("bybit", "option")).messages(OrderRefused)
    assert "bybit_option has no close_on_trigger" in refused.detail
