"""Cancels, and the races they lose."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.small_run import expect, flat, small_run

QUIET = flat("00:00", 6, price=105)
GAP_DOWN = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02   95  99  94  97  10
    00:03   97  97  97  97  10
"""
DIP = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02  105 105  94 105  10
    00:03  105 105 105 105  10
"""


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(QUIET, "00:01 a buy 1 at 100\n00:02 cancel a", {}, "00:02 a ends USER 1", id="a resting order ends at the arrival of the cancel"),
        pytest.param(
            QUIET, "00:01 a buy 1 at 100\n00:02 cancel a", {"cancel_latency_ms": 125}, "00:02:00.125 a ends USER 1", id="the cancel takes its time to get there"
        ),
        pytest.param(QUIET, "00:01 cancel a", {}, "00:01 a refused UNKNOWN_ORDER", id="an order that never was is refused by risk"),
        pytest.param(
            QUIET, "00:01 a buy 1\n00:02 cancel a", {}, "00:01 a buy 1 @ 105 taker\n00:02 a refused UNKNOWN_ORDER", id="an order known to be filled is refused by risk"
        ),
        pytest.param(
            QUIET, "00:01 a buy 1\n00:01 cancel a", {}, "00:01 a buy 1 @ 105 taker\n00:01 a rejected TOO_LATE", id="sent together the order comes first"
        ),
        pytest.param(
            QUIET, "00:01 a buy 1 at 100\n00:01 cancel a", {"order_latency_ms": 200, "cancel_latency_ms": 100}, "00:01:00.100 a rejected UNKNOWN_ORDER\n00:06 a ends END_OF_RUN 1",
            id="a cancel that overtakes its order finds nothing",
        ),
        pytest.param(
            GAP_DOWN, "00:01 a buy 1 at 100\n00:02 cancel a", {}, "00:02 a rejected TOO_LATE\n00:03 a buy 1 @ 100 maker bar", id="too late when the bar of its arrival opened through the order"
        ),
        pytest.param(
            GAP_DOWN, "00:01 a buy 1 at 90\n00:02 cancel a", {}, "00:02 a ends USER 1", id="in time when it did not"
        ),
        pytest.param(DIP, "00:01 a buy 1 at 100\n00:02 cancel a", {}, "00:02 a ends USER 1", id="a dip later in the bar cannot tell, the cancel holds"),
        pytest.param(
            DIP, "00:01 a buy 1 at 100\n00:02 cancel a", {"cancel_latency_ms": 60_000}, "00:03 a buy 1 @ 100 maker bar\n00:03 a rejected TOO_LATE", id="the fill of a closed bar comes before a cancel at its end"
        ),
        pytest.param(
            QUIET, "00:01 a buy 1 at 100\n00:01 b buy 1 at 101\n00:02 cancel all", {}, "00:02 a ends USER 1\n00:02 b ends USER 1", id="all of them, in the order in which they were sent"
        ),
        pytest.param(QUIET, "00:01 cancel all", {}, "", id="all of none is nothing"),
        pytest.param(
            flat("00:00", 5, volume=10), "00:01 a buy 3\n00:02 cancel a", {"participation_bps": 1000, "cancel_latency_ms": 125},
            "00:01 a buy 1 @ 100 taker\n00:02 a buy 1 @ 100 taker carried\n00:02:00.125 a ends USER 1", id="the rest of a market order can be cancelled",
        ),
        pytest.param(
            QUIET, "00:01 a buy 1 at 100\n00:02 cancel a\n00:02 cancel a", {"cancel_latency_ms": 100}, "00:02:00.100 a ends USER 1\n00:02:00.100 a rejected TOO_LATE", id="twice is once too often"
        ),
    ],
)  # fmt: skip
def test_a_cancel(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    assert small_run(bars, orders, **sim).told() == expect(told)
