"""One pair of exits for a whole position: of its size, ended with it, replaced by the next."""

from __future__ import annotations

from typing import Any

import pytest

from backtester.domain.vocabulary import Market
from tests.sim.small_run import expect, flat, ms, small_run

CALM = flat("00:00", 6, price=100, volume=10)
FALLS = flat("00:00", 4, price=100, volume=10) + "\n00:04 100 101 89 92 10\n00:05 92 92 92 92 10"
RISES = flat("00:00", 4, price=100, volume=10) + "\n00:04 100 111 99 108 10\n00:05 108 108 108 108 10"
SWINGS = flat("00:00", 4, price=100, volume=10) + "\n00:04 100 111 94 108 10\n00:05 112 112 112 112 10"
IN = "00:01 in buy 1 @ 100 taker\n"
PAIR = "00:01 in buy 1\n00:02 exits x tp 110 sl 90\n"


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(FALLS, PAIR, {}, IN + "00:05 x-tp ends OCO 1\n00:05 x-sl sell 1 @ 90 taker bar", id="the stop closes the position"),
        pytest.param(RISES, PAIR, {}, IN + "00:05 x-sl ends OCO 1\n00:05 x-tp sell 1 @ 110 taker bar", id="or the target does"),
        pytest.param(
            FALLS, PAIR + "00:03 more buy 2", {},
            IN + "00:03 more buy 2 @ 100 taker\n00:03 x-sl amended 3 @ 90 keeps\n00:03 x-tp amended 3 @ 110 keeps\n00:05 x-tp ends OCO 3\n00:05 x-sl sell 3 @ 90 taker bar",
            id="it grows with the position",
        ),
        pytest.param(
            FALLS, PAIR + "00:03 less sell 0.4", {},
            IN + "00:03 less sell 0.4 @ 100 taker\n00:03 x-sl amended 0.6 @ 90 keeps\n00:03 x-tp amended 0.6 @ 110 keeps\n00:05 x-tp ends OCO 0.6\n00:05 x-sl sell 0.6 @ 90 taker bar",
            id="and shrinks with it",
        ),
        pytest.param(CALM, PAIR + "00:03 out sell 1", {}, IN + "00:03 out sell 1 @ 100 taker\n00:03 x-sl ends REDUCE_ONLY 1\n00:03 x-tp ends REDUCE_ONLY 1", id="it ends with it"),
        pytest.param(CALM, PAIR + "00:03 turn sell 2", {}, IN + "00:03 turn sell 2 @ 100 taker\n00:03 x-sl ends REDUCE_ONLY 1\n00:03 x-tp ends REDUCE_ONLY 1", id="and when the position turns"),
        pytest.param(
            CALM, PAIR + "00:03 exits y sl 95", {}, IN + "00:03 x-sl ends REPLACED 1\n00:03 x-tp ends REPLACED 1\n00:06 y-sl ends END_OF_RUN 1", id="the next pair replaces it"
        ),
        pytest.param(CALM, PAIR + "00:03 exits y", {}, IN + "00:03 x-sl ends REPLACED 1\n00:03 x-tp ends REPLACED 1", id="none removes it"),
        pytest.param(CALM, PAIR + "00:03 exits y sl 101", {}, IN + "00:03 y rejected TRIGGER_SIDE\n00:06 x-sl ends END_OF_RUN 1\n00:06 x-tp ends END_OF_RUN 1", id="one beyond the market is rejected and the old one stays"),
        pytest.param(CALM, "00:01 exits x sl 90", {}, "00:01 x refused REDUCE_ONLY", id="without a position there is nothing to close"),
        pytest.param(CALM, "00:01 in buy 1\n00:02 out sell 1\n00:02 exits x sl 90", {"order_latency_ms": 125}, "00:01:00.125 in buy 1 @ 100 taker\n00:02:00.125 out sell 1 @ 100 taker\n00:02:00.125 x rejected REDUCE_ONLY", id="nor when it is gone on arrival"),
        pytest.param(CALM, "00:01 in buy 1\n00:02 exits x sl 110 tp 90", {}, IN + "00:02 x refused INVALID", id="the wrong way round"),
        pytest.param(CALM, "00:01 in sell 1\n00:02 exits x sl 110 tp 90", {}, "00:01 in sell 1 @ 100 taker\n00:06 x-sl ends END_OF_RUN 1\n00:06 x-tp ends END_OF_RUN 1", id="for a short it is the right one"),
        pytest.param(CALM, PAIR + "00:03 exits x sl 80", {}, IN + "00:03 x refused DUPLICATE_ID\n00:06 x-sl ends END_OF_RUN 1\n00:06 x-tp ends END_OF_RUN 1", id="an id is used once"),
        pytest.param(CALM, PAIR + "00:03 amend x-sl stop 95\n00:04 amend x-sl qty 2", {}, IN + "00:03 x-sl amended 1 @ 95\n00:04 x-sl refused INVALID\n00:06 x-sl ends END_OF_RUN 1\n00:06 x-tp ends END_OF_RUN 1", id="its trigger may move, its size is the position's"),
        pytest.param(
            FALLS, "00:01 in buy 1 tp 110 sl 90 whole\n00:03 more buy 1", {},
            IN + "00:03 more buy 1 @ 100 taker\n00:03 in-sl1 amended 2 @ 90 keeps\n00:03 in-tp1 amended 2 @ 110 keeps\n00:05 in-tp1 ends OCO 2\n00:05 in-sl1 sell 2 @ 90 taker bar",
            id="attached to an entry it is the position's all the same",
        ),
        pytest.param(
            FALLS, "00:01 in buy 1 tp 110 sl 90 whole\n00:03 more buy 1 sl 95 whole", {},
            IN + "00:03 more buy 1 @ 100 taker\n00:03 in-sl1 ends REPLACED 1\n00:03 in-tp1 ends REPLACED 1\n00:05 more-sl1 sell 2 @ 95 taker bar",
            id="the next entry brings its own for both",
        ),
        pytest.param(
            FALLS, "00:01 in buy 2 sl 90 whole", {"participation_bps": 1000},
            "00:01 in buy 1 @ 100 taker\n00:02 in buy 1 @ 100 taker carried\n00:02 in-sl1 amended 2 @ 90 keeps\n00:05 in-sl1 sell 2 @ 89.6 taker bar over_share", id="parts of one entry share it",
        ),
        pytest.param(
            SWINGS, PAIR + "00:03 more buy 2 at 95", {},
            IN + "00:05 more buy 2 @ 95 maker bar\n00:05 x-sl amended 3 @ 90 keeps\n00:05 x-tp amended 3 @ 110 keeps\n00:05 x-tp amended 1 @ 110 keeps\n00:05 x-sl ends OCO 3\n00:05 x-tp sell 1 @ 110 taker bar\n00:06 x-sl-rest ends OCO 2\n00:06 x-tp-rest sell 2 @ 112 taker bar",
            id="a target closes what its bar has added from the next bar on",
        ),
        pytest.param(
            SWINGS, PAIR + "00:04 more buy 2", {},
            IN + "00:04 more buy 2 @ 100 taker\n00:04 x-sl amended 3 @ 90 keeps\n00:04 x-tp amended 3 @ 110 keeps\n00:05 x-tp amended 1 @ 110 keeps\n00:05 x-sl ends OCO 3\n00:05 x-tp sell 1 @ 110 taker bar\n00:06 x-sl-rest ends OCO 2\n00:06 x-tp-rest sell 2 @ 112 taker bar",
            id="also what was added at its open",
        ),
        pytest.param(
            SWINGS, "00:01 in sell 1\n00:02 exits x tp 95 sl 120\n00:03 more sell 2 at 105", {},
            "00:01 in sell 1 @ 100 taker\n00:05 more sell 2 @ 105 maker bar\n00:05 x-sl amended 3 @ 120 keeps\n00:05 x-tp amended 3 @ 95 keeps\n00:05 x-tp amended 1 @ 95 keeps\n00:05 x-sl ends OCO 3\n00:05 x-tp buy 1 @ 95 taker bar\n00:06 x-sl-rest ends END_OF_RUN 2\n00:06 x-tp-rest ends END_OF_RUN 2",
            id="so for a short, and what is left keeps its exits",
        ),
        pytest.param(
            SWINGS, "00:01 in buy 1\n00:02 x sell all target 110 close\n00:03 more buy 2 at 95", {},
            IN + "00:05 more buy 2 @ 95 maker bar\n00:05 x amended 3 @ 110 keeps\n00:05 x amended 1 @ 110 keeps\n00:05 x sell 1 @ 110 taker bar\n00:06 x-rest sell 2 @ 112 taker bar",
            id="and so does an order that closes the position",
        ),
        pytest.param(
            SWINGS, PAIR + "00:04 more buy 2\n00:04 less sell 2", {},
            IN + "00:04 more buy 2 @ 100 taker\n00:04 x-sl amended 3 @ 90 keeps\n00:04 x-tp amended 3 @ 110 keeps\n00:04 less sell 2 @ 100 taker\n00:04 x-sl amended 1 @ 90 keeps\n00:04 x-tp amended 1 @ 110 keeps\n00:06 x-sl ends OCO 1\n00:06 x-tp sell 1 @ 112 taker bar",
            id="what was sold in it was held before",
        ),
        pytest.param(
            SWINGS, PAIR + "00:03 cancel x-sl\n00:03 more buy 2 at 95", {},
            IN + "00:03 x-sl ends USER 1\n00:05 more buy 2 @ 95 maker bar\n00:05 x-tp amended 3 @ 110 keeps\n00:05 x-tp amended 1 @ 110 keeps\n00:05 x-tp sell 1 @ 110 taker bar\n00:06 x-tp-rest sell 2 @ 112 taker bar",
            id="a stop that was cancelled does not come back",
        ),
        pytest.param(CALM, "00:01 in buy 2\n00:02 out sell 1 sl 110 whole", {}, "00:01 in buy 2 @ 100 taker\n00:02 out sell 1 @ 100 taker", id="an order that only closes brings none"),
    ],
)  # fmt: skip
def test_the_exits_of_a_position(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    run = small_run(bars, orders, **sim)
    assert run.told() == expect(told)
    assert not run.engine.risk.reservations.total


def test_a_spot_account_has_no_positions() -> None:
    assert small_run(CALM, PAIR, market=Market.SPOT).told() == expect(IN + "00:02 x refused INVALID")


DOWN_FIRST = """
    00:04:00  100 101  94  98  5
    00:04:30   98 111  98 108  5
"""
UP_FIRST = """
    00:04:00  100 111 100 101  5
    00:04:30  101 108  94 108  5
"""


@pytest.mark.parametrize(
    ("more", "finer", "closed", "left", "told"),
    [
        pytest.param("00:03 more buy 2 at 95", {}, 1, 2, False, id="nobody knows: the target closes what was there before the bar"),
        pytest.param("00:03 more buy 2 at 95", {30_000: DOWN_FIRST}, 3, 0, True, id="added before the target: closed with it"),
        pytest.param(
            "00:03 more buy 2 at 95",
            {30_000: UP_FIRST},
            1,
            0,
            True,
            id="added after it: the position was closed, and its exits with it",
        ),
        pytest.param(
            "00:04 more buy 2", {30_000: DOWN_FIRST}, 3, 0, True, id="added at the open, closed in a later part of the bar"
        ),
        pytest.param(
            "00:04 more buy 2", {30_000: UP_FIRST}, 1, 2, False, id="added in the part of the bar that reaches the target"
        ),
    ],
)
def test_a_bar_that_adds_to_a_position_and_reaches_its_target_is_ambiguous(
    more: str, finer: dict[int, str], closed: float, left: float, told: bool
) -> None:
    run = small_run(SWINGS, PAIR + more, finer=finer)
    paid = [fill for fill in run.fills if fill.order_id == "x-tp"]
    assert [(float(fill.qty), fill.time_ms) for fill in paid] == [(closed, ms("00:05"))]
    assert sum(float(fill.qty) for fill in run.fills if fill.order_id == "x-tp-rest") == left
    intrabar = run.engine.venue.intrabar
    assert (intrabar.bars, intrabar.by_candles) == (1, told)
    if left:  # what was added leaves at 110, or stands at the close of what hides the order
        assert intrabar.amount_quote == left * (110 - (101 if finer else 108))


def test_the_next_pair_replaces_what_a_target_has_left() -> None:
    run = small_run(
        SWINGS.replace("00:05 112 112 112 112", "00:05 108 108 108 108"), PAIR + "00:03 more buy 2 at 95\n00:05 exits y sl 80"
    )
    assert run.told()[-3:] == ["00:05 x-sl-rest ends REPLACED 2", "00:05 x-tp-rest ends REPLACED 2", "00:06 y-sl ends END_OF_RUN 2"]
