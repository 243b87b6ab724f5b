"""How a trailing stop follows the market, and where it lets go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester import Candle
from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import OrderType, Side, TimeInForce
from backtester.sim.trailing import Trail
from tests.sim.small_run import expect, small_run

RISE = """
    00:00  100 100 100 100  100
    00:01  100 104 100 104  100   # raises the stop from 95 to 99
    00:02  104 108 103.5 107 100  # and to 103
    00:03  107 107 102 102  100   # through it
    00:04  102 102 102 102  100
"""
OPEN_ORDER = """
    00:00  100 100 100 100  100
    00:01  100 110  96 109  100   # low, then high, or high, then low?
    00:02  109 109 109 109  100
"""
GAP = """
    00:00  100 100 100 100  100
    00:01  100 104 100 104  100
    00:02   90  91  89  90  100
    00:03   90  90  90  90  100
"""
FALL = """
    00:00  100 100 100 100  100
    00:01  100 100  96  96  100
    00:02   96  96.5 92 93  100
    00:03   93  98  93  98  100
    00:04   98  98  98  98  100
"""


@pytest.mark.parametrize(
    ("bars", "order", "told"),
    [
        pytest.param(RISE, "00:01 s sell 1 trail 5", "00:04 s sell 1 @ 103 taker bar", id="it follows the high and lets go below it"),
        pytest.param(RISE, "00:01 s sell 1 trail 500bps", "00:04 s sell 1 @ 102.6 taker bar", id="at a share of the high too"),
        pytest.param(GAP, "00:01 s sell 1 trail 5", "00:03 s sell 1 @ 90 taker bar", id="over a gap it trades at the open"),
        pytest.param(FALL, "00:01 s buy 1 trail 5", "00:04 s buy 1 @ 97 taker bar", id="a buy follows the low"),
        pytest.param(OPEN_ORDER, "00:01 s sell 1 trail 5", "00:02 s sell 1 @ 96 taker bar", id="where the order of events is open it leaves at the low, not at high minus trail"),
        pytest.param(OPEN_ORDER, "00:01 s sell 1 trail 15", "00:03 s ends END_OF_RUN 1", id="a wide one is not reached at all"),
        pytest.param(RISE, "00:01 s sell 1 trail 5 from 108", "00:04 s sell 1 @ 103 taker bar", id="before its activation it follows nothing"),
        pytest.param(RISE, "00:01 s sell 1 trail 5 from 109", "00:05 s ends END_OF_RUN 1", id="nor if that is never reached"),
        pytest.param(RISE, "00:01 s sell 1 trail 5 from 99", "00:04 s sell 1 @ 103 taker bar", id="an activation behind the market is none"),
        pytest.param(RISE, "00:01 s sell 1 trail 5\n00:03 cancel s", "00:03 s ends USER 1", id="it can be cancelled"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_trailing_stop(bars: str, order: str, told: str) -> None:
    assert small_run(bars, order).told() == expect(told)
    assert small_run(bars, order, routing="broadcast").told() == expect(told)


@pytest.mark.parametrize("trail", ["0", "10000bps", "x"])
def test_a_trail_that_cannot_be_is_refused(trail: str) -> None:
    assert small_run(RISE, f"00:01 s sell 1 trail {trail}").told() == ["00:01 s refused INVALID"]


def made(side: Side, **facts: Any) -> SanitizedOrder:
    """A trailing stop of one lot."""
    return SanitizedOrder(0, "o", "s", "A", side, OrderType.TRAILING_STOP, 1, 0, TimeInForce.GTC, False, 0, "TRAIL", **facts)


@pytest.mark.parametrize(
    ("side", "bps", "extreme", "trigger"),
    [
        (Side.SELL, 1000, 41_000, 36_900),
        (Side.BUY, 500, 42_000, 44_100),
        (Side.BUY, 850, 37_000, 40_145),
        (Side.SELL, 750, 46_500, 43_012.5),
    ],
)
def test_golden_g13_triggers_are_a_share_of_the_extreme(side: Side, bps: int, extreme: float, trigger: float) -> None:
    trail = Trail(made(side, trail_e8=bps * 10_000), tick_e8=10_000_000)
    trail.start(extreme)
    assert trail.price == trigger


@given(
    st.lists(st.lists(st.integers(900, 1100), min_size=4, max_size=4), min_size=1, max_size=12),
    st.integers(1, 120),
    st.sampled_from(Side),
)
def test_a_trail_only_moves_toward_the_market_and_lets_go_inside_the_bar(rows: list[list[int]], distance: int, side: Side) -> None:
    trail = Trail(made(side, trail_ticks=distance), tick_e8=10**8)
    trail.start(1000.0)
    before = trail.price
    for index, row in enumerate(rows):
        low, open_, close, high = sorted(row)
        bar = Candle("A", "1m", index, index + 1, float(open_), float(high), float(low), float(close), 1.0)
        reference = trail.meet(bar, stood_before=True)
        assert trail.price >= before if side is Side.SELL else trail.price <= before
        if reference is not None:
            assert low <= reference <= high
            return
        before = trail.price
