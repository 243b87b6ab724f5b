"""Take-profit and stop-loss attached to an entry: live only for what is filled, one ends the other."""

from __future__ import annotations

import pytest

from backtester.domain.orders import OrderAttached, OrderCanceled
from backtester.domain.vocabulary import OrderStatus, RejectReason
from tests.sim.small_run import expect, flat, small_run

CALM = flat("00:00", 5, price=100)
BRACKET = """
    00:00  100 100 100 100  100
    00:01  100 102  96 101  100   # golden H07: entry at 99, then only the stop may count
    00:02  101 101 101 101  100
"""
UP = """
    00:00  100 100 100 100  100
    00:01  100 104  99 103  100   # the target lies in the bar of the entry: it does not count
    00:02  103 104 102 103  100   # here it does
    00:03  103 103 103 103  100
"""
DOWN = """
    00:00  100 100 100 100  100
    00:01  100 101  97 100  100   # the stop lies in the bar of the entry: it counts
    00:02  100 104 100 103  100
"""
THIN = """
    00:00  100 100 100 100  10
    00:01  100 100 100 100  10
    00:02  100 100 100 100  10
    00:03  100 104 100 103  10
    00:04  103 103 103 103  10
"""


@pytest.mark.parametrize(
    ("bars", "orders", "told"),
    [
        pytest.param(BRACKET, "00:01 in buy 1 at 99 tp 101 sl 97", "00:02 in buy 1 @ 99 maker bar\n00:02 in-tp1 ends OCO 1\n00:02 in-sl1 sell 1 @ 97 taker bar", id="golden H07: on the bar of its entry a bracket's stop counts, its target does not"),
        pytest.param(UP, "00:01 in buy 1 tp 104 sl 90", "00:01 in buy 1 @ 100 taker\n00:03 in-sl1 ends OCO 1\n00:03 in-tp1 sell 1 @ 104 taker bar", id="the target counts from the next bar on, and ends the stop"),
        pytest.param(DOWN, "00:01 in buy 1 tp 104 sl 98", "00:01 in buy 1 @ 100 taker\n00:02 in-tp1 ends OCO 1\n00:02 in-sl1 sell 1 @ 98 taker bar", id="the stop counts at once, and ends the target"),
        pytest.param(DOWN, "00:01 in sell 1 tp 97 sl 104", "00:01 in sell 1 @ 100 taker\n00:03 in-tp1 ends OCO 1\n00:03 in-sl1 buy 1 @ 104 taker bar", id="a short has them the other way round"),
        pytest.param(CALM, "00:01 in buy 1 tp 104", "00:01 in buy 1 @ 100 taker\n00:05 in-tp1 ends END_OF_RUN 1", id="one alone is allowed"),
        pytest.param(CALM, "00:01 in buy 1 at 90 tp 104 sl 80", "00:05 in ends END_OF_RUN 1", id="without a fill there is nothing to close"),
        pytest.param(CALM, "00:01 in buy 1 tp 104 sl 90\n00:03 out sell 1 reduce", "00:01 in buy 1 @ 100 taker\n00:03 out sell 1 @ 100 taker\n00:03 in-sl1 ends REDUCE_ONLY 1\n00:03 in-tp1 ends REDUCE_ONLY 1", id="both end with the position"),
        pytest.param(CALM, "00:01 in buy 1 tp 104 sl 90\n00:03 cancel in-sl1", "00:01 in buy 1 @ 100 taker\n00:03 in-sl1 ends USER 1\n00:05 in-tp1 ends END_OF_RUN 1", id="each can be cancelled by itself"),
        pytest.param(CALM, "00:01 in buy 1 at 99 tp 98 sl 90", "00:01 in refused INVALID", id="a target below the entry of a buy is refused"),
        pytest.param(CALM, "00:01 in buy 1 at 99 tp 104 sl 99", "00:01 in refused INVALID", id="so a stop at the entry"),
        pytest.param(CALM, "00:01 old buy 1\n00:02 turn sell 3 tp 90 sl 110\n00:03 more sell 5", "00:01 old buy 1 @ 100 taker\n00:02 turn sell 3 @ 100 taker\n00:03 more sell 5 @ 100 taker\n00:05 turn-sl1 ends END_OF_RUN 2\n00:05 turn-tp1 ends END_OF_RUN 2", id="an entry that turns a position has them for what it opens"),
        pytest.param(CALM, "00:01 old buy 2\n00:02 less sell 1 tp 90 sl 110\n00:03 rest sell 1 tp 90 sl 110", "00:01 old buy 2 @ 100 taker\n00:02 less sell 1 @ 100 taker\n00:03 rest sell 1 @ 100 taker", id="one that only closes has none"),
        pytest.param(CALM, "00:01 in sell 1 tp 104 sl 90", "00:01 in refused INVALID", id="or the pair the wrong way round"),
    ],
)  # fmt: skip
def test_what_becomes_of_an_entry_with_exits(bars: str, orders: str, told: str) -> None:
    assert small_run(bars, orders).told() == expect(told)
    assert small_run(bars, orders, routing="broadcast").told() == expect(told)


def test_each_part_that_is_filled_has_its_own_pair() -> None:
    run = small_run(THIN, "00:01 in buy 2 tp 104 sl 90", participation_bps=1000)
    attached = [(message.order.order_id, message.order.qty_lots) for message in run.messages(OrderAttached)]
    assert attached == [("in-sl1", 1000), ("in-tp1", 1000), ("in-sl2", 1000), ("in-tp2", 1000)]
    exits = [fill.order_id for fill in run.fills if fill.order_id != "in"]
    assert exits == ["in-tp1", "in-tp2"]
    assert not run.engine.account.books.lots["AAAUSDT"]


def test_the_exits_carry_their_reason_and_no_reservation() -> None:
    run = small_run(UP, "00:01 in buy 1 tp 104 sl 90")
    assert [fill.reason for fill in run.fills] == ["SIGNAL", "TP_HIT"]
    (ended,) = run.messages(OrderCanceled)
    assert (ended.reason, ended.status) == (RejectReason.OCO, OrderStatus.CANCELED)
    assert not run.engine.risk.reservations.total
