"""How market orders meet bars: orders in, fills out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester.domain.candle import Candle
from backtester.domain.vocabulary import FillNote, Side
from backtester.sim.pricing import FillPricing
from backtester.sim.sim_models import FixedFee, FixedSlippage
from tests.sim.orders import market_order
from tests.sim.small_run import A, Fill, OrderAck, expect, flat, small_run, spec

RISING = """
    00:00  100 101  99 100.5  10
    00:01  101 103 100 102    10
    00:02  102 104 101 103    10
    00:03  103 105 102 104    10
"""
GAP = """
    00:00  100 100 100 100  10
    00:01  100 100 100 100  10
    00:05  107 108 106 107  10   # four minutes are missing
    00:06  108 108 108 108  10
"""
EMPTY = """
    00:00  100 100 100 100  10
    00:01  100 100 100 100   0   # nothing was traded
    00:02  100 100 100 100   0
    00:03  103 103 103 103  10
"""
THIN = """
    00:00  100 100 100 100  10
    00:01  101 101 101 101  10
    00:02  102 102 102 102   4
    00:03  103 103 103 103  10
    00:04  104 104 104 104  10
"""


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(RISING, "00:01 a buy 1", {}, "00:01 a buy 1 @ 101 taker", id="fills at exactly the next open, not at the close"),
        pytest.param(RISING, "00:01 a sell 1", {}, "00:01 a sell 1 @ 101 taker", id="a sale too"),
        pytest.param(
            RISING,
            "00:01 a buy 1",
            {"order_latency_ms": 59_999},
            "00:01:59.999 a buy 1 @ 101 taker",
            id="a latency shorter than the bar never moves it to a later bar",
        ),
        pytest.param(
            RISING, "00:01 a buy 1", {"order_latency_ms": 60_000}, "00:02 a buy 1 @ 102 taker", id="a latency of a bar meets the bar after"
        ),
        pytest.param(GAP, "00:02 a buy 1", {}, "00:05 a buy 1 @ 107 taker gap", id="in a gap it waits for the next bar there is"),
        pytest.param(
            GAP,
            "00:01 a buy 1",
            {"order_latency_ms": 120_000},
            "00:05 a buy 1 @ 107 taker gap",
            id="an arrival inside a gap is stamped with the next open",
        ),
        pytest.param(GAP, "00:02 a buy 1 ioc", {}, "00:02 a ends NO_LIQUIDITY 1", id="immediate or cancel does not wait for a gap to end"),
        pytest.param(EMPTY, "00:01 a buy 1", {}, "00:03 a buy 1 @ 103 taker zero_volume", id="a bar without volume is waited out"),
        pytest.param(
            EMPTY, "00:01 a buy 1 ioc", {}, "00:01 a ends NO_LIQUIDITY 1", id="immediate or cancel ends on a bar without volume"
        ),
        pytest.param(RISING, "00:04 a buy 1", {}, "00:04 a ends END_OF_RUN 1", id="without a further bar it expires with the run"),
        pytest.param(
            THIN,
            "00:01 a buy 2.4",
            {"participation_bps": 1000},
            """00:01 a buy 1 @ 101 taker
               00:02 a buy 0.4 @ 102 taker carried
               00:03 a buy 1 @ 103 taker carried""",
            id="what a bar does not allow works on at later opens",
        ),
        pytest.param(
            THIN,
            "00:01 a buy 2.4",
            {"participation_bps": 1000, "remainder": "cancel"},
            """00:01 a buy 1 @ 101 taker
               00:01 a ends CAPACITY 1.4""",
            id="or is cancelled at once where that is asked for",
        ),
        pytest.param(
            THIN,
            "00:01 a buy 9",
            {"participation_bps": 1000, "work_bars": 1},
            """00:01 a buy 1 @ 101 taker
               00:02 a buy 0.4 @ 102 taker carried
               00:02 a ends CAPACITY 7.6""",
            id="after work_bars further bars the rest ends",
        ),
        pytest.param(
            THIN,
            "00:01 a buy 3 ioc",
            {"participation_bps": 1000},
            """00:01 a buy 1 @ 101 taker
               00:01 a ends NO_LIQUIDITY 2""",
            id="immediate or cancel takes what the bar of its arrival offers",
        ),
        pytest.param(
            THIN,
            """00:01 a buy 0.7
               00:01 b sell 0.7""",
            {"participation_bps": 1000},
            """00:01 a buy 0.7 @ 101 taker
               00:01 b sell 0.3 @ 101 taker
               00:02 b sell 0.4 @ 102 taker carried""",
            id="the share of a bar is shared by our own orders, and used once",
        ),
        pytest.param(THIN, "00:01 a buy 10", {"participation_bps": 10_000}, "00:01 a buy 10 @ 101 taker", id="10,000 is the whole bar"),
        pytest.param(THIN, "00:01 a buy 500", {"participation_bps": 0}, "00:01 a buy 500 @ 101 taker", id="0 is no cap"),
        pytest.param(
            RISING, "00:01 a buy 1", {"spread_bps": 10, "slippage_bps": 5}, "00:01 a buy 1 @ 101.2 taker", id="a buyer pays half the spread and slippage, rounded up"
        ),
        pytest.param(
            RISING, "00:01 a sell 1", {"spread_bps": 10, "slippage_bps": 5}, "00:01 a sell 1 @ 100.8 taker", id="a seller receives less, rounded down"
        ),
    ],
)  # fmt: skip
def test_a_market_order(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    assert small_run(bars, orders, **sim).told() == expect(told)


def test_an_order_that_waits_for_volume_across_a_gap_says_why_it_first_waited() -> None:
    bars = """
        00:00 100 100 100 100 10
        00:01 100 100 100 100 0
        00:04 104 104 104 104 10
    """
    (fill,) = small_run(bars, "00:01 a buy 1").fills
    assert (fill.note, fill.price) == (FillNote.ZERO_VOLUME, 104)


def test_a_fill_carries_the_reason_and_the_ids_of_its_order() -> None:
    run = small_run(RISING, "00:01 a buy 2", participation_bps=1000)
    assert [(fill.fill_id, fill.order_id, fill.reason, fill.strategy_id) for fill in run.fills] == [
        ("a-f1", "a", "SIGNAL", "s"),
        ("a-f2", "a", "SIGNAL", "s"),
    ]
    assert [fill.open_lots for fill in run.fills] == [1000, 0]


def test_an_order_is_acknowledged_at_its_arrival_and_only_once() -> None:
    run = small_run(THIN, "00:01 a buy 2.4", participation_bps=1000, order_latency_ms=125)
    assert run.told(OrderAck) == ["00:01:00.125 a ack"]
    assert len(run.messages(Fill)) == 3


def test_golden_h10_open_of_the_next_bar_plus_costs_rounded_up_once() -> None:
    half_spread_bps = Decimal("4.95049504950495049504950495")  # 0.05 of 101
    pricing = FillPricing(
        specs={A: spec()}, spread_bps=half_spread_bps * 2, slippage=FixedSlippage(Decimal(5)), fees=FixedFee(Decimal(0))
    )
    bar = Candle(A, "1m", 0, 60_000, 101, 103, 99, 102, 10)
    ticks = pricing.taker_ticks(market_order(Side.BUY), 1, bar, bar.open, over_share=False)
    assert ticks == 1012
    fine = FillPricing(
        specs={A: spec(tick_size=Decimal("0.000001"))},
        spread_bps=half_spread_bps * 2,
        slippage=FixedSlippage(Decimal(5)),
        fees=FixedFee(Decimal(0)),
    )
    raw = fine.taker_ticks(market_order(Side.BUY), 1, bar, bar.open, over_share=False)
    assert raw == 101_100_525


def test_fees_are_those_of_a_taker_rounded_up_to_a_hundred_millionth() -> None:
    run = small_run(flat("00:00", 3, price=33.3), "00:01 a buy 0.007", fee_bps=("1", "5.5"))
    (fill,) = run.fills
    assert fill.fee == Decimal("0.00012821")  # 0.2331 x 0.00055 = 0.000128205
    assert fill.fee_asset == "USDT"


def test_golden_a01_fee_of_a_taker() -> None:
    pricing = FillPricing(
        specs={A: spec(tick_size=Decimal("0.01"))},
        spread_bps=Decimal(0),
        slippage=FixedSlippage(Decimal(0)),
        fees=FixedFee(Decimal(6)),
    )
    (fill,) = small_run(flat("00:00", 3, price=1190.1), "00:01 a buy 0.1", fee_bps=("0", "6")).fills
    assert pricing.fee_e8(symbol=A, ticks=119_015, lots=100, liquidity=fill.liquidity) == 7_140_900
