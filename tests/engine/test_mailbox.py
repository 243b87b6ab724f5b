"""When a strategy learns of what happened."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backtester.domain.orders import OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.vocabulary import OrderStatus, RejectReason
from backtester.engine.bus import Bus
from backtester.engine.clock import Clock
from backtester.engine.mailbox import Mailbox
from backtester.engine.schedule import HOOK_REJECT, Schedule
from tests.engine.scheduled import items_of, take_hooks

NAMES = {"order_id": "a", "strategy_id": "s", "symbol": "AAAUSDT"}


def mailbox() -> tuple[Mailbox, Schedule]:
    schedule = Schedule(bus=Bus(), clock=Clock())
    return Mailbox(schedule=schedule, response_ms=lambda: 125), schedule


def canceled(reason: RejectReason) -> OrderCanceled:
    return OrderCanceled(time_ms=1000, status=OrderStatus.EXPIRED, reason=reason, open_qty=Decimal(1), **NAMES)


def test_a_refusal_of_risk_is_known_at_once() -> None:
    box, schedule = mailbox()
    refused = OrderRefused(time_ms=1000, reason=RejectReason.MIN_QTY, detail="", **NAMES)
    box.on_refused(refused)
    assert take_hooks(schedule, 1000) == [(1000, HOOK_REJECT, 1, refused, 0, 0)]


def test_what_the_venue_says_takes_the_response_leg() -> None:
    box, schedule = mailbox()
    rejected = OrderRejected(time_ms=1000, reason=RejectReason.TOO_LATE, detail="", **NAMES)
    box.on_rejected(rejected)
    box.on_canceled(canceled(RejectReason.CAPACITY))
    assert schedule.next_ms == 1125
    assert items_of(schedule, 1124) == []
    assert items_of(schedule, 1125) == [rejected, canceled(RejectReason.CAPACITY)]


@pytest.mark.parametrize("reason", [RejectReason.END_OF_RUN, RejectReason.BANKRUPT])
def test_what_ends_with_the_run_is_not_reported(reason: RejectReason) -> None:
    box, schedule = mailbox()
    box.on_canceled(canceled(reason))
    assert schedule.hooks == []
