"""The one table of an order's life, transition by transition, made by real orders; and no way out of an end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from backtester.config.venue_rules import venue_rules
from backtester.domain.order_states import TERMINAL, TRANSITIONS, next_status
from backtester.domain.orders import Fill, OrderAck, OrderAmended, OrderCanceled, OrderRefused, OrderRejected, OrderTriggered
from backtester.domain.vocabulary import OrderStatus
from backtester.execution import order_manager
from tests.sim.small_run import SmallRun, expect, flat, small_run
from tests.sim.test_naive_matcher import WORLDS, World, engine_run

CALM = flat("00:00", 5, price=100, volume=10)
JUMP = "00:00 100 100 100 100 10\n00:01 100 106 94 100 10\n" + flat("00:02", 3, price=100, volume=10)
SHARE = {"participation_bps": 1000}
POOR = {"cash": "150"}

MADE: list[tuple[str, str, str, dict[str, Any]]] = [
    ("new-submitted", CALM, "00:01 o buy 1", {}),
    ("new-refused", CALM, "00:01 o sell 1 reduce", {}),
    ("submitted-live", CALM, "00:01 o buy 1 at 90", {}),
    ("submitted-untriggered", CALM, "00:01 o buy 1 stop 110", {}),
    ("submitted-rejected", CALM, "00:01 o buy 1 stop 90", {}),
    ("submitted-expired", CALM, "00:04 o buy 1", {"order_latency_ms": 120_000}),
    ("untriggered-triggered", JUMP, "00:01 o buy 1 stop 105", {}),
    ("untriggered-canceled", CALM, "00:01 o buy 1 stop 110\n00:02 cancel o", {}),
    ("untriggered-expired", CALM, "00:01 o buy 1 stop 110 gtd 00:03", {}),
    ("triggered-live", JUMP, "00:01 o buy 1 stop 105 at 90", {}),
    ("triggered-canceled", JUMP, "00:01 o buy 2 stop 105", POOR),
    ("live-partially_filled", CALM, "00:01 o buy 3", SHARE),
    ("live-filled", CALM, "00:01 o buy 1", {}),
    ("live-canceled", CALM, "00:01 o buy 1 at 100 post", {"venue": venue_rules("bybit", "linear")}),
    ("live-expired", CALM, "00:01 o buy 1 at 90 ioc", {}),
    ("partially_filled-partially_filled", CALM, "00:01 o buy 3", SHARE),
    ("partially_filled-filled", CALM, "00:01 o buy 3", SHARE),
    ("partially_filled-canceled", CALM, "00:01 o buy 9\n00:03 cancel o", SHARE),
    ("partially_filled-expired", CALM, "00:01 o buy 3 ioc", SHARE),
]


def steps_of(run: SmallRun, seen: list[tuple[OrderStatus, OrderStatus, str]]) -> set[str]:
    """`live-filled` for each transition of the order `o`: those that the order manager made, and what Risk did before."""
    made = {f"{before.value}-{after.value}" for before, after, order_id in seen if order_id == "o"}
    refused = {message.order_id for message in run.messages(OrderRefused)}
    return made | {"new-refused" if "o" in refused else "new-submitted"}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[OrderStatus, OrderStatus, str]]:
    """Every transition that the order manager asks the table for."""
    made: list[tuple[OrderStatus, OrderStatus, str]] = []

    def noted(current: OrderStatus, following: OrderStatus, order_id: str) -> OrderStatus:
        made.append((current, following, order_id))
        return next_status(current, following, order_id=order_id)

    monkeypatch.setattr(order_manager, "next_status", noted)
    return made


@pytest.mark.parametrize(("step", "bars", "orders", "facts"), MADE, ids=[row[0] for row in MADE])
def test_a_real_order_makes_the_transition(step: str, bars: str, orders: str, facts: dict[str, Any], seen: Any) -> None:
    assert step in steps_of(small_run(bars, orders, **facts), seen)


def test_the_table_has_no_other_transitions() -> None:
    table = {f"{before.value}-{after.value}" for before, following in TRANSITIONS.items() for after in following}
    assert table == {row[0] for row in MADE}


def test_an_order_without_margin_at_its_trigger_is_triggered_and_cancelled(seen: Any) -> None:
    run = small_run(JUMP, "00:01 o buy 2 stop 105", **POOR)
    assert run.told() == expect("00:02 o ends INSUFFICIENT 2")
    assert [after.value for _, after, _ in seen] == ["untriggered", "triggered", "canceled"]


@pytest.mark.parametrize(
    ("bars", "orders", "told"),
    [
        pytest.param(JUMP, "00:01 o buy 1 at 95\n00:01 cancel o", "00:01 o ends USER 1", id="before the bar it wins"),
        pytest.param("00:00 100 100 100 100 10\n00:01 90 95 90 95 10", "00:01 o buy 1 at 99", "00:01 o buy 1 @ 90 taker", id="a taker is filled at once"),
        pytest.param("00:00 100 100 100 100 10\n00:01 100 101 100 100 10\n00:02 94 95 90 95 10", "00:01 o buy 1 at 95\n00:02 cancel o", "00:02 o rejected TOO_LATE\n00:03 o buy 1 @ 95 maker bar", id="a bar that opens through the limit wins"),
        pytest.param("00:00 100 100 100 100 10\n00:01 100 101 100 100 10\n00:02 106 107 105 106 10", "00:01 o buy 1 stop 105\n00:02 cancel o", "00:02 o rejected TOO_LATE\n00:03 o buy 1 @ 106 taker bar", id="or through the trigger"),
    ],
)  # fmt: skip
def test_a_cancel_may_lose_to_a_fill(bars: str, orders: str, told: str) -> None:
    assert small_run(bars, orders).told() == expect(told)


@pytest.mark.parametrize(
    ("tif", "limit", "told"),
    [
        ("ioc", "103", "00:02 o ends NO_LIQUIDITY 2"),
        ("fok", "103", "00:02 o ends FOK 2"),
        ("gtd 00:04", "99", "00:04 o ends GOOD_TILL 2"),
        ("", "99", "00:05 o ends END_OF_RUN 2"),
    ],
)
def test_a_triggered_limit_that_finds_nothing_ends_or_rests_as_its_time_in_force_says(tif: str, limit: str, told: str) -> None:
    closes_high = JUMP.replace("106 94 100 10", "106 94 105 10")
    assert small_run(closes_high, f"00:01 o buy 2 stop 105 at {limit} {tif}").told() == expect(told)


@settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=WORLDS)
def test_nothing_is_said_of_an_order_after_its_end(world: World) -> None:
    ended: dict[str, str] = {}
    for message in engine_run(world).messages(OrderAck, OrderAmended, OrderTriggered, Fill, OrderCanceled, OrderRejected):
        if isinstance(message, OrderRejected) and not message.ends_order:
            continue
        assert message.order_id not in ended, f"{message} after {ended.get(message.order_id)}"
        if isinstance(message, (OrderCanceled, OrderRejected)) or (isinstance(message, Fill) and not message.open_lots):
            ended[message.order_id] = type(message).__name__


def test_the_ends_are_ends() -> None:
    assert {status for status, following in TRANSITIONS.items() if not following} == TERMINAL
