"""Post-only, fill or kill, good till: orders in, what became of them out, on the venues that differ."""

from __future__ import annotations

from typing import Any

import pytest

from backtester.config.venue_rules import venue_rules, venue_table
from backtester.domain.orders import OrderAck, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.vocabulary import OrderStatus, RejectReason
from tests.sim.small_run import expect, flat, small_run

CALM = flat("00:00", 4, price=105)
THIN = flat("00:00", 4, price=105, volume=10)
DIPS = """
    00:00  105 105 105 105  10
    00:01  105 105  99 105  10
    00:02  105 105  99 105  10
    00:03  105 105  99 105  10
"""
GAP = """
    00:00  105 105 105 105  10
    00:01  105 105 105 105  10
    00:03   95  95  95  95  10   # the minute before is missing
    00:04   95  95  95  95  10
"""


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(CALM, "00:01 a buy 1 at 105 post", {}, "00:01 a rejected POST_ONLY", id="golden G05: post-only that would take is no order"),
        pytest.param(CALM, "00:01 a sell 1 at 104.9 post", {}, "00:01 a rejected POST_ONLY", id="nor when it sells"),
        pytest.param(DIPS, "00:01 a buy 1 at 100 post", {}, "00:02 a buy 1 @ 100 maker bar", id="post-only that rests is a maker"),
        pytest.param(GAP, "00:02 a buy 1 at 110 post", {}, "00:02 a rejected POST_ONLY", id="in a gap the last price is the market"),
        pytest.param(GAP, "00:02 a buy 1 at 100 post", {}, "00:04 a buy 1 @ 100 maker bar", id="below the last price it rests, also through a gap"),
        pytest.param(THIN, "00:01 a buy 1 fok", {"participation_bps": 1000}, "00:01 a buy 1 @ 105 taker", id="fill or kill that fits trades whole"),
        pytest.param(THIN, "00:01 a buy 1.001 fok", {"participation_bps": 1000}, "00:01 a ends FOK 1.001", id="golden G01: one lot too many and nothing trades"),
        pytest.param(THIN, "00:01 a buy 1 at 105 fok", {"participation_bps": 1000}, "00:01 a buy 1 @ 105 taker", id="so with a limit"),
        pytest.param(CALM, "00:01 a buy 1 at 104.9 fok", {}, "00:01 a ends FOK 1", id="fill or kill does not rest"),
        pytest.param(GAP, "00:02 a buy 1 fok", {}, "00:02 a ends FOK 1", id="nor wait for the next bar"),
        pytest.param(
            THIN, "00:01 a buy 1 fok\n00:01 b buy 1 fok", {"participation_bps": 1000}, "00:01 a buy 1 @ 105 taker\n00:01 b ends FOK 1",
            id="what one took the next cannot have",
        ),
        pytest.param(DIPS, "00:01 a buy 1 at 100 gtd 00:02", {}, "00:02 a buy 1 @ 100 maker bar", id="a bar that ends at the date still counts"),
        pytest.param(DIPS, "00:01 a buy 1 at 100 gtd 00:01:59.999", {}, "00:01:59.999 a ends GOOD_TILL 1", id="a bar cut by the date does not"),
        pytest.param(CALM, "00:01 a buy 1 at 100 gtd 00:03", {}, "00:03 a ends GOOD_TILL 1", id="it ends at its date"),
        pytest.param(CALM, "00:01 a buy 1 at 100 gtd 00:02", {"order_latency_ms": 61_000}, "00:02:01 a rejected GOOD_TILL", id="a date that passes on the way is no order"),
        pytest.param(CALM, "00:01 a buy 1 at 100 gtd 00:01", {}, "00:01 a refused INVALID", id="a date that is not ahead is refused"),
        pytest.param(CALM, "00:01 a buy 1 at 100 ioc post", {}, "00:01 a refused INVALID", id="post-only cannot be immediate"),
        pytest.param(
            CALM, "00:01 a buy 1 at 100 gtd 00:03\n00:02 cancel a", {}, "00:02 a ends USER 1", id="a date after the end means nothing"
        ),
    ],
)  # fmt: skip
def test_what_becomes_of_an_order(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    assert small_run(bars, orders, **sim).told() == expect(told)


@pytest.mark.parametrize(
    ("exchange", "market", "post_only", "fok"),
    [
        ("binance", "spot", (OrderStatus.REJECTED, "-2010"), (OrderStatus.EXPIRED, "EXPIRED")),
        ("binance", "linear", (OrderStatus.REJECTED, "-5022"), (OrderStatus.REJECTED, "-5021")),
        ("bybit", "spot", (OrderStatus.CANCELED, "EC_PostOnlyWillTakeLiquidity"), (OrderStatus.CANCELED, "EC_CancelForNoFullFill")),
        (
            "bybit",
            "linear",
            (OrderStatus.CANCELED, "EC_PostOnlyWillTakeLiquidity"),
            (OrderStatus.CANCELED, "EC_CancelForNoFullFill"),
        ),
        (
            "bybit",
            "inverse",
            (OrderStatus.CANCELED, "EC_PostOnlyWillTakeLiquidity"),
            (OrderStatus.CANCELED, "EC_CancelForNoFullFill"),
        ),
        ("nowhere", "linear", (OrderStatus.REJECTED, ""), (OrderStatus.EXPIRED, "")),
    ],
)
def test_each_venue_ends_them_in_its_own_way(
    exchange: str, market: str, post_only: tuple[OrderStatus, str], fok: tuple[OrderStatus, str]
) -> None:
    rules = venue_rules(exchange, market)
    for line, reason, (status, code) in (
        ("a buy 1 at 105 post", RejectReason.POST_ONLY, post_only),
        ("a buy 1 at 104 fok", RejectReason.FOK, fok),
    ):
        run = small_run(CALM, f"00:01 {line}", venue=rules)
        (ended,) = run.messages(OrderRejected, OrderCanceled)
        assert (ended.reason, ended.code) == (reason, code)
        acknowledged = [ack.order_id for ack in run.messages(OrderAck)]
        if status is OrderStatus.REJECTED:
            assert isinstance(ended, OrderRejected) and not acknowledged
        else:
            assert ended.status is status and acknowledged == ["a"]
        assert not run.engine.risk.reservations.total


def test_a_venue_that_wants_the_date_far_ahead_refuses_a_near_one() -> None:
    rules = venue_rules("binance", "linear")
    bars = flat("00:00", 14, price=105)
    near, far = "00:01 a buy 1 at 100 gtd 00:11", "00:01 a buy 1 at 100 gtd 00:12"
    (refused,) = small_run(bars, near, venue=rules).messages(OrderRefused)
    assert refused.reason is RejectReason.INVALID and "600 s" in refused.detail
    assert small_run(bars, far, venue=rules).told() == expect("00:12 a ends GOOD_TILL 1")


def test_every_code_of_the_table_is_of_a_reason_that_there_is() -> None:
    known = {reason.value for reason in RejectReason}
    assert len(venue_table()) == 6
    for rules in venue_table().values():
        assert rules.codes and set(rules.codes) <= known
        assert rules.source
