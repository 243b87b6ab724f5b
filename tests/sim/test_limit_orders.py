"""How limit orders meet bars: orders in, fills out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester.domain.vocabulary import Liquidity
from tests.sim.small_run import expect, flat, small_run

CALM = flat("00:00", 3, price=105)
GAP_DOWN = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02   95  99  94  97  10   # opens far below
    00:03   97  97  97  97  10
"""
DIPS = """
    00:00  105 105 105   105  10
    00:01  105 105 100.0 105  10   # touches 100
    00:02  105 105  99.9 105  10   # trades through it by a tick
    00:03  105 105 105   105  10
"""
SPIKES = """
    00:00   95  95    95   95  10
    00:01   95 100.0  95   95  10
    00:02   95 100.1  95   95  10
    00:03   95  95    95   95  10
"""
HALVES = """
    00:00  105 105 105 105  10
    00:01  105 105  90 105  10   # the dip may lie before or after the arrival
    00:02  105 105 105 105  10
    00:03  105 105  90 105  10
"""
THIN_DIPS = """
    00:00  105 105 105 105  10
    00:01  105 105  95 105  10
    00:02  105 105  95 105   4
    00:03  105 105  95 105  10
"""


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(GAP_DOWN, "00:02 a buy 1 at 100", {}, "00:02 a buy 1 @ 95 taker", id="golden H01: marketable at its arrival it takes at the open"),
        pytest.param(GAP_DOWN, "00:01 a buy 1 at 100", {}, "00:03 a buy 1 @ 100 maker bar", id="golden H02: resting through a gap it gets its own price"),
        pytest.param(DIPS, "00:01 a buy 1 at 100", {}, "00:03 a buy 1 @ 100 maker bar", id="golden H03: a touch is no fill, a trade through by a tick is"),
        pytest.param(DIPS, "00:01 a buy 1 at 100", {"limit_fill": "touch"}, "00:02 a buy 1 @ 100 maker bar", id="a touch fills where that is asked for"),
        pytest.param(SPIKES, "00:01 a sell 1 at 100", {}, "00:03 a sell 1 @ 100 maker bar", id="a sale too needs to be traded through"),
        pytest.param(SPIKES, "00:01 a sell 1 at 100", {"limit_fill": "touch"}, "00:02 a sell 1 @ 100 maker bar", id="a touched sale fills where asked for"),
        pytest.param(CALM, "00:01 a buy 1 at 104.9", {}, "00:03 a ends END_OF_RUN 1", id="an order that is never met expires"),
        pytest.param(
            CALM, "00:01 a buy 1 at 105.1", {"spread_bps": 100, "slippage_bps": 100}, "00:01 a buy 1 @ 105.1 taker", id="costs never push a taker beyond its limit"
        ),
        pytest.param(
            CALM, "00:01 a sell 1 at 104.9", {"spread_bps": 100, "slippage_bps": 100}, "00:01 a sell 1 @ 104.9 taker", id="nor a seller below it"
        ),
        pytest.param(CALM, "00:01 a buy 1 at 120", {"slippage_bps": 10}, "00:01 a buy 1 @ 105.2 taker", id="far beyond the market it pays the market and its costs"),
        pytest.param(HALVES, "00:01 a buy 1 at 100", {"order_latency_ms": 29_999}, "00:02 a buy 1 @ 100 maker bar", id="arrived in the first half it meets that bar"),
        pytest.param(HALVES, "00:01 a buy 1 at 100", {"order_latency_ms": 30_000}, "00:04 a buy 1 @ 100 maker bar", id="arrived in the second half it meets the next"),
        pytest.param(DIPS, "00:01 a buy 1 at 100 ioc", {}, "00:01 a ends NO_LIQUIDITY 1", id="immediate or cancel does not rest"),
        pytest.param(
            GAP_DOWN, "00:02 a buy 1.5 at 100 ioc", {"participation_bps": 1000}, "00:02 a buy 1 @ 95 taker\n00:02 a ends NO_LIQUIDITY 0.5",
            id="immediate or cancel takes what there is",
        ),
        pytest.param(
            GAP_DOWN, "00:02 a buy 1.5 at 100", {"participation_bps": 1000}, "00:02 a buy 1 @ 95 taker\n00:04 a buy 0.5 @ 100 maker bar",
            id="what is left of a taker rests and is a maker",
        ),
        pytest.param(
            THIN_DIPS, "00:01 a buy 2 at 100", {"participation_bps": 1000},
            "00:02 a buy 1 @ 100 maker bar\n00:03 a buy 0.4 @ 100 maker bar\n00:04 a buy 0.6 @ 100 maker bar",
            id="a resting order takes its share of each bar",
        ),
        pytest.param(
            THIN_DIPS, "00:01 a buy 0.7 at 99\n00:01 b buy 0.7 at 100", {"participation_bps": 1000},
            "00:02 a buy 0.7 @ 99 maker bar\n00:02 b buy 0.3 @ 100 maker bar\n00:03 b buy 0.4 @ 100 maker bar",
            id="the share goes to the order that arrived first",
        ),
        pytest.param(
            "00:00 105 105 105 105 10\n00:01 105 105 90 105 0\n00:02 105 105 105 105 10", "00:01 a buy 1 at 100", {}, "00:03 a ends END_OF_RUN 1",
            id="a bar without volume fills nothing",
        ),
        pytest.param(
            "00:00 105 105 105 105 10\n00:01 90 90 90 90 0\n00:02 105 105 105 105 10", "00:01 a buy 1 at 100", {}, "00:03 a ends END_OF_RUN 1",
            id="nor does it make an order marketable",
        ),
        pytest.param(
            "00:00 105 105 105 105 10\n00:03 95 99 94 97 10", "00:01 a buy 1 at 100", {}, "00:04 a buy 1 @ 100 maker bar",
            id="sent into a gap it rests, and meets the next bar whole",
        ),
    ],
)  # fmt: skip
def test_a_limit_order(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    assert small_run(bars, orders, **sim).told() == expect(told)


def test_prices_are_rounded_to_the_tick_never_past_what_was_asked() -> None:
    run = small_run(GAP_DOWN, "00:01 a buy 1 at 100.07\n00:01 b sell 1 at 106.01")
    assert [fill.price for fill in run.fills] == [Decimal("100.0")]
    working = small_run(CALM, "00:01 a buy 1 at 100.07\n00:01 b sell 1 at 106.01")
    assert working.told() == expect("00:03 a ends END_OF_RUN 1\n00:03 b ends END_OF_RUN 1")


def test_a_maker_pays_the_makers_rate_and_a_rebate_is_rounded_down() -> None:
    (fill,) = small_run(DIPS, "00:01 a buy 0.007 at 33.3\n00:01 b buy 0.007 at 100", fee_bps=("-1.1", "5")).fills
    assert fill.liquidity is Liquidity.MAKER
    assert fill.fee == Decimal("-0.00007700")
    (odd,) = small_run(DIPS, "00:01 b buy 0.007 at 100.01", fee_bps=("-1.12345", "5")).fills
    assert odd.fee == Decimal("-0.00007864")  # 0.7 x 1.12345 bps = 0.0000786415


def test_several_orders_of_one_instant_meet_in_order_of_class_then_of_sending() -> None:
    orders = """
        00:01 limit buy 0.5 at 100.2
        00:01 first buy 0.5
        00:01 second buy 0.5
    """
    run = small_run(flat("00:00", 4, volume=10), orders, participation_bps=1000)
    assert run.told() == expect(
        """
        00:01 first buy 0.5 @ 100 taker
        00:01 second buy 0.5 @ 100 taker
        00:03 limit buy 0.5 @ 100.2 maker bar
        """
    )
