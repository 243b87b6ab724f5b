"""Reduce-only orders: they only ever close, and they always can."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from backtester.config.venue_rules import venue_rules
from backtester.domain.orders import OrderRejected
from backtester.domain.venue_rules import GENERIC
from tests.sim.small_run import expect, flat, ms, small_run

QUIET = flat("00:00", 6, volume=10)
JUMP = """
    00:00 50000 50000 50000 50000 10
    00:01 50000 50000 50000 50000 10
    00:02 51000 51000 51000 51000 10
    00:03 51000 51000 51000 51000 10
"""


def test_golden_g06_larger_than_the_position_it_shrinks_and_never_flips() -> None:
    run = small_run(JUMP, "00:01 in buy 0.3\n00:02 out sell 1.0 reduce", fee_bps=("2", "5.5"))
    assert run.told() == expect(
        """
        00:01 in buy 0.3 @ 50000 taker
        00:02 out sell 0.3 @ 51000 taker
        00:02 out ends REDUCE_ONLY 0.7
        """
    )
    assert run.fills[1].fee == Decimal("8.415")
    assert run.snapshots[-1].realised_pnl == 300
    assert run.snapshots[-1].positions == ()


def test_golden_g08_flat_or_on_the_side_of_the_position_it_is_refused() -> None:
    run = small_run(QUIET, "00:01 flat sell 1 reduce\n00:01 in buy 1\n00:02 same buy 1 reduce")
    assert run.told() == expect(
        """
        00:01 flat refused REDUCE_ONLY
        00:01 in buy 1 @ 100 taker
        00:02 same refused REDUCE_ONLY
        """
    )


def test_it_fills_whole_whatever_the_volume_and_pays_for_it() -> None:
    bars = flat("00:00", 3, volume=1000) + "\n" + flat("00:03", 3, volume=4)
    run = small_run(bars, "00:01 in buy 2\n00:03 out sell 2 reduce", participation_bps=1000)
    assert run.told() == expect(
        """
        00:01 in buy 2 @ 100 taker
        00:03 out sell 2 @ 97.5 taker over_share
        """
    )  # impact 10,000 x 0.1 x (2 / 4) ** 2 = 250 bps


def test_the_impact_of_more_than_the_whole_bar_is_that_of_the_whole_bar() -> None:
    bars = flat("00:00", 3, volume=1000) + "\n" + flat("00:03", 3, volume=1)
    run = small_run(bars, "00:01 in sell 2\n00:03 out buy 2 reduce", participation_bps=1000)
    assert run.told()[1] == "00:03 out buy 2 @ 110 taker over_share"


def test_within_its_share_it_pays_no_impact() -> None:
    run = small_run(QUIET, "00:01 in buy 1\n00:02 out sell 1 reduce", participation_bps=1000)
    assert run.told()[1] == "00:02 out sell 1 @ 100 taker"


def test_what_it_takes_above_the_share_leaves_nothing_to_others() -> None:
    orders = """
        00:01 in buy 1
        00:02 out sell 1 reduce
        00:02 late buy 0.5
    """
    run = small_run(QUIET, orders, participation_bps=1000)
    assert run.told()[1:] == expect(
        """
        00:02 out sell 1 @ 100 taker
        00:03 late buy 0.5 @ 100 taker carried
        """
    )


def test_a_working_one_ends_when_the_position_is_gone() -> None:
    orders = """
        00:01 in buy 1
        00:02 target sell 1 at 110 reduce
        00:03 out sell 1
    """
    assert small_run(QUIET, orders).told()[1:] == expect(
        """
        00:03 out sell 1 @ 100 taker
        00:03 target ends REDUCE_ONLY 1
        """
    )


def test_a_position_that_has_turned_is_not_enlarged_by_the_old_target() -> None:
    bars = f"""
        {flat("00:00", 4, volume=10)}
        00:04 100 120 100 100 10
        00:05 100 100 100 100 10
    """
    orders = """
        00:01 in buy 1
        00:02 target sell 1 at 110 reduce
        00:03 turn sell 2
    """
    run = small_run(bars, orders)
    assert run.told()[1:] == expect(
        """
        00:03 turn sell 2 @ 100 taker
        00:03 target ends REDUCE_ONLY 1
        """
    )
    assert run.engine.account.books.lots["AAAUSDT"] == -1000


def test_two_of_them_close_a_position_once() -> None:
    run = small_run(QUIET, "00:01 in buy 1\n00:02 a sell 1 reduce\n00:02 b sell 1 reduce")
    assert run.told()[1:] == expect("00:02 a sell 1 @ 100 taker\n00:02 b ends REDUCE_ONLY 1")


def test_a_resting_one_shrinks_to_what_is_left_of_the_position() -> None:
    bars = f"""
        {flat("00:00", 4, volume=10)}
        00:04 100 120 100 100 10
    """
    orders = """
        00:01 in buy 1
        00:02 target sell 1 at 110 reduce
        00:03 half sell 0.4
    """
    run = small_run(bars, orders)
    assert run.told()[1:] == expect(
        """
        00:03 half sell 0.4 @ 100 taker
        00:05 target sell 0.6 @ 110 maker bar
        00:05 target ends REDUCE_ONLY 0.4
        """
    )
    assert run.fills[-1].time_ms == ms("00:05")


def test_a_venue_that_rejects_a_larger_one_rejects_it_and_takes_one_that_fits() -> None:
    rules = replace(venue_rules("binance", "linear"), rejects_larger_reduce_only=True)
    run = small_run(JUMP, "00:01 in buy 0.3\n00:02 big sell 1.0 reduce\n00:02 out sell 0.3 reduce", venue=rules)
    assert run.told() == expect(
        """
        00:01 in buy 0.3 @ 50000 taker
        00:02 big rejected REDUCE_ONLY
        00:02 out sell 0.3 @ 51000 taker
        """
    )
    (rejected,) = run.messages(OrderRejected)
    assert rejected.code == "-2022"


def test_one_that_waits_is_cut_at_its_trigger_even_there() -> None:
    rules = replace(GENERIC, rejects_larger_reduce_only=True)
    run = small_run(JUMP, "00:01 in sell 0.3\n00:01 out buy 1.0 stop 50500 reduce", venue=rules)
    assert run.told()[1:] == expect("00:03 out buy 0.3 @ 51000 taker bar\n00:03 out ends REDUCE_ONLY 0.7")


def test_one_that_waits_or_rests_ends_where_the_position_turns_without_ever_being_flat() -> None:
    orders = """
        00:01 in buy 1
        00:02 stop sell 1 stop 90 reduce
        00:02 rest sell 1 at 110 reduce
        00:03 turn sell 3
    """
    run = small_run(QUIET, orders)
    assert run.told()[:5] == expect(
        """
        00:01 in buy 1 @ 100 taker
        00:03 turn sell 3 @ 100 taker
        00:03 rest ends REDUCE_ONLY 1
        00:03 stop ends REDUCE_ONLY 1
        """
    )


def test_what_protects_the_other_side_of_a_turned_position_stands() -> None:
    orders = """
        00:01 in sell 1
        00:02 stop buy 1 stop 110 reduce
        00:03 more sell 1
        00:04 less buy 0.5
    """
    assert not [line for line in small_run(QUIET, orders).told() if "REDUCE_ONLY" in line]
