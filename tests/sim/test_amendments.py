"""Amendments: what they change, what priority they cost, the races they lose, and what is held for them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester.config.venue_rules import venue_rules
from backtester.domain.orders import OrderRejected, SanitizedAmend
from backtester.domain.vocabulary import Market
from tests.sim.small_run import expect, flat, small_run

QUIET = flat("00:00", 6, price=105)
DIPS = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02  105 105  98 105  10
    00:03  105 105  98 105  10
    00:04  105 105  98 105  10
"""
GAP_DOWN = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02   95  99  94  97  10
    00:03   97  97  97  97  10
"""
JUMPS = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:02  105 112 104 110  10
    00:03  110 110 110 110  10
"""
CUT = {"participation_bps": 1000}
ENDS = "00:05 a ends END_OF_RUN"


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(DIPS, "00:01 a buy 1 at 90\n00:02 amend a at 99", {}, "00:02 a amended 1 @ 99\n00:03 a buy 1 @ 99 maker bar", id="a price that is raised is met at the new price"),
        pytest.param(DIPS, "00:01 a buy 1 at 99\n00:02 amend a at 90", {}, f"00:02 a amended 1 @ 90\n{ENDS} 1", id="one that is lowered is missed"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a at 107", {}, "00:02 a amended 1 @ 107\n00:02 a buy 1 @ 105 taker", id="one that crosses the market takes"),
        pytest.param(QUIET, "00:01 a buy 1 at 90 post\n00:02 amend a at 107", {}, "00:02 a amended 1 @ 107\n00:02 a ends POST_ONLY 1", id="unless it may not take: then it is cancelled"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a at 99", {"order_latency_ms": 125}, "00:02:00.125 a amended 1 @ 99\n00:06 a ends END_OF_RUN 1", id="the request travels as an order does"),
        pytest.param(DIPS, "00:01 a buy 2 at 99\n00:02 amend a qty 1", {}, "00:02 a amended 1 @ 99\n00:03 a buy 1 @ 99 maker bar", id="a lower quantity"),
        pytest.param(DIPS, "00:01 a buy 2 at 99\n00:02 amend a qty 3 at 98.5", {}, "00:02 a amended 3 @ 98.5\n00:03 a buy 3 @ 98.5 maker bar", id="a higher one, and a price with it"),
        pytest.param(DIPS, "00:01 a buy 2 at 99\n00:02 amend a qty 1", {"order_latency_ms": 45_000}, "00:02:45 a amended 1 @ 99\n00:04 a buy 1 @ 99 maker bar", id="amended in the second half of a bar it meets the next"),
        pytest.param(DIPS, "00:01 a buy 1 at 99\n00:01 b buy 1 at 99\n00:02 amend a qty 1.5", CUT, "00:02 a amended 1.5 @ 99\n00:03 b buy 1 @ 99 maker bar\n00:04 a buy 1 @ 99 maker bar\n00:05 a buy 0.5 @ 99 maker bar", id="more is behind all others"),
        pytest.param(DIPS, "00:01 a buy 2 at 99\n00:04 amend a qty 1.5", CUT, "00:03 a buy 1 @ 99 maker bar\n00:04 a buy 1 @ 99 maker bar\n00:04 a refused UNKNOWN_ORDER", id="filled by then"),
        pytest.param(DIPS, "00:01 a buy 3 at 99\n00:03 amend a qty 1", CUT, "00:03 a buy 1 @ 99 maker bar\n00:03 a rejected AMEND_BELOW_FILLED\n00:04 a buy 1 @ 99 maker bar\n00:05 a buy 1 @ 99 maker bar", id="not to what is filled already"),
        pytest.param(DIPS, "00:01 a buy 3 at 99\n00:03 amend a qty 1.5", CUT, "00:03 a buy 1 @ 99 maker bar\n00:03 a amended 1.5 @ 99\n00:04 a buy 0.5 @ 99 maker bar", id="the quantity is the whole one, filled part included"),
        pytest.param(GAP_DOWN, "00:01 a buy 1 at 100\n00:02 amend a at 90", {}, "00:02 a rejected TOO_LATE\n00:03 a buy 1 @ 100 maker bar", id="too late when the bar of its arrival opened through the order"),
        pytest.param(DIPS, "00:01 a buy 1 at 99\n00:02 amend a at 90", {"order_latency_ms": 60_000}, "00:03 a buy 1 @ 99 maker bar\n00:03 a rejected TOO_LATE", id="a fill may win against it"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:01 amend a at 99", {}, "00:01 a amended 1 @ 99\n00:06 a ends END_OF_RUN 1", id="sent together the order comes first"),
        pytest.param(QUIET, "00:01 a buy 1\n00:01 amend a at 99", {}, "00:01 a refused INVALID\n00:01 a buy 1 @ 105 taker", id="a market order has nothing to amend"),
        pytest.param(QUIET, "00:01 amend a at 99", {}, "00:01 a refused UNKNOWN_ORDER", id="an order that never was"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a", {}, "00:02 a refused INVALID\n00:06 a ends END_OF_RUN 1", id="nothing to change"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a stop 110", {}, "00:02 a refused INVALID\n00:06 a ends END_OF_RUN 1", id="a trigger of a limit order"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a at -1", {}, "00:02 a refused INVALID\n00:06 a ends END_OF_RUN 1", id="a price that is none"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a at 0.01", {}, "00:02 a refused TICK\n00:06 a ends END_OF_RUN 1", id="a price below a tick"),
        pytest.param(QUIET, "00:01 a buy 1 at 90\n00:02 amend a qty 0.0001", {}, "00:02 a refused MIN_QTY\n00:06 a ends END_OF_RUN 1", id="a quantity below a lot"),
        pytest.param(JUMPS, "00:01 a buy 1 stop 120\n00:02 amend a stop 111", {}, "00:02 a amended 1 @ 111\n00:03 a buy 1 @ 111 taker bar", id="a trigger that is moved nearer is met there"),
        pytest.param(JUMPS, "00:01 a buy 1 stop 111\n00:02 amend a stop 120", {}, "00:02 a amended 1 @ 120\n00:04 a ends END_OF_RUN 1", id="one moved away is not"),
        pytest.param(JUMPS, "00:01 a buy 1 stop 120\n00:02 amend a stop 104", {}, "00:02 a rejected TRIGGER_SIDE\n00:04 a ends END_OF_RUN 1", id="not beyond the market"),
        pytest.param(JUMPS, "00:01 a buy 1 stop 120 at 121\n00:02 amend a stop 106 at 107", {}, "00:02 a amended 1 @ 107 106\n00:04 a ends END_OF_RUN 1", id="limit and trigger of a stop-limit"),
        pytest.param(JUMPS, "00:01 a buy 1 stop 106 at 107\n00:03 amend a stop 120", {}, "00:03 a refused INVALID\n00:04 a ends END_OF_RUN 1", id="no trigger is left to move"),
        pytest.param(JUMPS, "00:01 a buy 1 trail 9\n00:02 amend a qty 2", {}, "00:02 a amended 2 @\n00:04 a ends END_OF_RUN 2", id="a trailing stop may change its quantity"),
        pytest.param(JUMPS, "00:01 a buy 1 trail 9\n00:02 amend a stop 120", {}, "00:02 a refused INVALID\n00:04 a ends END_OF_RUN 1", id="but has no trigger of its own to move"),
    ],
)  # fmt: skip
def test_an_amendment(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    assert small_run(bars, orders, **sim).told() == expect(told)


@pytest.mark.parametrize(
    ("exchange", "market", "told"),
    [
        ("binance", "spot", "00:02 a amended 1 @ 99 keeps\n00:03 a buy 1 @ 99 maker bar\n00:04 b buy 1 @ 99 maker bar"),
        ("binance", "linear", "00:02 a amended 1 @ 99\n00:03 b buy 1 @ 99 maker bar\n00:04 a buy 1 @ 99 maker bar"),
        ("bybit", "linear", "00:02 a amended 1 @ 99\n00:03 b buy 1 @ 99 maker bar\n00:04 a buy 1 @ 99 maker bar"),
        ("nowhere", "linear", "00:02 a amended 1 @ 99\n00:03 b buy 1 @ 99 maker bar\n00:04 a buy 1 @ 99 maker bar"),
    ],
)
def test_golden_g17_a_smaller_order_keeps_its_place_only_where_that_is_documented(exchange: str, market: str, told: str) -> None:
    orders = "00:01 a buy 2 at 99\n00:01 b buy 1 at 99\n00:02 amend a qty 1"
    run = small_run(DIPS, orders, venue=venue_rules(exchange, market), participation_bps=1000)
    assert run.told() == expect(told)


def test_where_less_than_filled_ends_the_order_it_ends_and_elsewhere_the_request_is_rejected() -> None:
    orders = "00:01 a buy 3 at 99\n00:03 amend a qty 1"
    run = small_run(DIPS, orders, venue=venue_rules("binance", "linear"), participation_bps=1000)
    assert run.told() == expect("00:03 a buy 1 @ 99 maker bar\n00:03 a ends AMEND_BELOW_FILLED 2")
    run = small_run(DIPS, orders, venue=venue_rules("bybit", "linear"), participation_bps=1000)
    (rejected,) = run.messages(OrderRejected)
    assert (rejected.is_amend, rejected.is_cancel, rejected.code) == (True, False, "110064")


def test_a_venue_that_amends_limits_only_refuses_to_move_a_trigger() -> None:
    run = small_run(JUMPS, "00:01 a buy 1 stop 120\n00:02 amend a stop 111", venue=venue_rules("binance", "linear"))
    assert run.told() == expect("00:02 a refused INVALID\n00:04 a ends END_OF_RUN 1")


@pytest.mark.parametrize(("change", "free"), [("at 50", 150), ("qty 2", 20), ("qty 0.5", 155), ("qty 2 at 95", 10)])
def test_margin_follows_the_order_and_is_free_again_at_its_end(change: str, free: int) -> None:
    orders = (
        f"00:01 a buy 1 at 90\n00:02 amend a {change}\n00:03 more buy 1 at {free}.1\n00:03 all buy 1 at {free}\n00:05 cancel all"
    )
    run = small_run(QUIET, orders, cash="200", risk={"price_collar_bps": None})
    assert [line for line in run.told() if "more" in line or "refused" in line] == ["00:03 more refused INSUFFICIENT"]
    assert not run.engine.risk.reservations.total


def test_what_the_account_cannot_pay_is_refused_at_once_or_rejected_at_the_venue() -> None:
    assert small_run(QUIET, "00:01 a buy 1 at 90\n00:02 amend a qty 3", cash="200").told() == expect(
        "00:02 a refused INSUFFICIENT\n00:06 a ends END_OF_RUN 1"
    )
    orders = "00:01 a buy 1 at 90\n00:02 amend a qty 2\n00:02 b buy 1 at 95"
    run = small_run(QUIET, orders, cash="200", order_latency_ms=125)
    assert run.told() == expect("00:02:00.125 a rejected INSUFFICIENT\n00:06 a ends END_OF_RUN 1\n00:06 b ends END_OF_RUN 1")
    assert not run.engine.risk.reservations.total


def test_a_spot_buy_that_is_amended_spends_what_it_needs_and_no_more() -> None:
    orders = "00:01 a buy 1 at 90\n00:02 amend a qty 2 at 99"
    run = small_run(DIPS, orders, market=Market.SPOT, cash="200", fee_bps=("10", "10"))
    assert run.told() == expect("00:02 a amended 2 @ 99\n00:03 a buy 2 @ 99 maker bar")
    assert run.snapshots[-1].cash == Decimal("1.802")
    assert not run.engine.risk.reservations.total


def test_a_smaller_order_is_allowed_whatever_the_account_has_lost() -> None:
    bars = flat("00:00", 2, price=100) + "\n" + flat("00:02", 4, price=60)
    run = small_run(bars, "00:01 in buy 1\n00:01 a buy 1 at 50\n00:03 amend a qty 0.5", cash="151")
    assert "00:03 a amended 0.5 @ 50" in run.told()


def test_the_request_says_what_changes_and_nothing_else() -> None:
    (amend,) = small_run(QUIET, "00:01 a buy 1 at 90\n00:02 amend a at 91").messages(SanitizedAmend)
    assert (amend.qty_lots, amend.price_ticks, amend.trigger_ticks, amend.symbol) == (0, 910, 0, "AAAUSDT")
