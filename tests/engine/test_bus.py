"""One queue, one dispatcher: the order of everything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backtester.domain.errors import DrainLimitError, StrategySettleError
from backtester.domain.intents import CancelAllIntent
from backtester.domain.run_events import ControlAction, ControlEvent, LogEvent
from backtester.engine.bus import DEPTH_LIMIT, Bus
from backtester.engine.topics import T_CONTROL, T_LOG, T_ORDERS_INTENT, TOPICS, Published, on


def control(detail: str) -> ControlEvent:
    return ControlEvent(time_ms=0, action=ControlAction.END_CLOSE, detail=detail)


def note(event: str) -> LogEvent:
    return LogEvent(time_ms=0, strategy_id="s", event=event, facts={})


def test_every_topic_has_its_own_name_and_place() -> None:
    assert [topic.index for topic in TOPICS] == list(range(len(TOPICS)))
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    assert repr(T_CONTROL) == "Topic(control)"


def test_nothing_is_handled_before_the_drain() -> None:
    bus, seen = Bus(), []
    bus.subscribe(T_CONTROL, seen.append)
    bus.publish(T_CONTROL, control("a"))
    assert seen == []
    bus.drain()
    assert seen == [control("a")]
    assert not bus.queue


def test_messages_are_handled_in_order_by_handlers_in_order_of_registration() -> None:
    bus, seen = Bus(), []
    for name in ("first", "second", "third"):
        bus.subscribe(T_CONTROL, lambda message, name=name: seen.append((message.detail, name)))
    bus.post([on(T_CONTROL, control("a")), on(T_CONTROL, control("b"))])
    bus.drain()
    assert seen == [(message, name) for message in "ab" for name in ("first", "second", "third")]


def test_what_follows_from_a_message_comes_after_what_was_queued_before() -> None:
    bus, seen = Bus(), []

    def answer(message: ControlEvent) -> list[Published]:
        seen.append(message.detail)
        return (
            [on(T_CONTROL, control(message.detail + "1")), on(T_LOG, note(message.detail + "2"))]
            if len(message.detail) == 1
            else []
        )

    bus.subscribe(T_CONTROL, answer)
    bus.subscribe(T_LOG, lambda message: seen.append(message.event))
    bus.post([on(T_CONTROL, control("a")), on(T_CONTROL, control("b"))])
    bus.drain()
    assert seen == ["a", "b", "a1", "a2", "b1", "b2"]


def test_numbers_count_everything_published_and_causes_point_back() -> None:
    bus, entries = Bus(), []
    bus.observe(lambda seq, cause, topic, message: entries.append((seq, cause, topic)))
    bus.subscribe(T_CONTROL, lambda message: [on(T_LOG, note("x")), on(T_LOG, note("y"))])
    assert bus.publish(T_CONTROL, control("a")) == 1
    bus.publish(T_CONTROL, control("b"), cause=1)
    bus.drain()
    assert entries == [(1, 0, "control"), (2, 1, "control"), (3, 1, "logs"), (4, 1, "logs"), (5, 2, "logs"), (6, 2, "logs")]


def test_observers_see_a_message_before_any_handler() -> None:
    bus, seen = Bus(), []
    bus.subscribe(T_CONTROL, lambda message: seen.append("handler"))
    bus.observe(lambda *entry: seen.append("observer 1"))
    bus.observe(lambda *entry: seen.append("observer 2"))
    bus.publish(T_CONTROL, control("a"))
    bus.drain()
    assert seen == ["observer 1", "observer 2", "handler"]


def test_a_note_is_seen_at_once_and_takes_no_number() -> None:
    bus, entries = Bus(), []
    bus.observe(lambda seq, cause, topic, message: entries.append((seq, cause, message.event)))
    bus.publish(T_CONTROL, control("a"), cause=0)
    bus.hand(lambda _: bus.note(T_LOG, note("remark")) or (), None, 7, 0)
    assert entries == [(1, 7, "remark")]
    assert bus.seq == 1


def test_five_thousand_messages_in_one_instant_are_fine() -> None:
    bus, seen = Bus(), []
    bus.subscribe(T_CONTROL, seen.append)
    bus.post(on(T_CONTROL, control("a")) for _ in range(5000))
    bus.drain()
    assert len(seen) == 5000


def test_a_chain_as_long_as_the_limit_is_settled() -> None:
    bus, seen = Bus(), []

    def answer(message: LogEvent) -> list[Published]:
        seen.append(message)
        return [on(T_LOG, note("again"))] if len(seen) <= DEPTH_LIMIT else []

    bus.subscribe(T_LOG, answer)
    bus.publish(T_LOG, note("first"))
    bus.drain()
    assert len(seen) == DEPTH_LIMIT + 1


@pytest.mark.parametrize(
    ("topic", "message", "error"),
    [(T_LOG, note("x"), DrainLimitError), (T_ORDERS_INTENT, CancelAllIntent(), StrategySettleError)],
    ids=["ours where no intent is part of it", "the strategy's where one is"],
)
def test_a_cycle_is_named(topic: Any, message: Any, error: type[Exception]) -> None:
    bus = Bus()
    bus.subscribe(topic, lambda _: [on(T_CONTROL, control("pong"))])
    bus.subscribe(T_CONTROL, lambda _: [(topic, message)])
    bus.publish(topic, message)
    with pytest.raises(error, match=rf"for ever within one instant .*{topic.name} <- control <- {topic.name} <- control"):
        bus.drain()


def test_depth_is_that_of_the_instant_not_of_the_drain() -> None:
    bus = Bus()
    bus.publish(T_LOG, note("x"), depth=DEPTH_LIMIT)
    bus.drain()
    bus.publish(T_LOG, note("x"), depth=DEPTH_LIMIT + 1)
    with pytest.raises(DrainLimitError):
        bus.drain()


def test_a_handler_that_raises_stops_the_drain_at_its_message() -> None:
    bus, seen = Bus(), []

    def fail(message: ControlEvent) -> None:
        raise RuntimeError(message.detail)

    bus.subscribe(T_CONTROL, fail)
    bus.subscribe(T_CONTROL, seen.append)
    bus.publish(T_CONTROL, control("a"))
    with pytest.raises(RuntimeError, match="a"):
        bus.drain()
    assert seen == []
    assert bus.current[:3] == (T_CONTROL, control("a"), 1)


def test_taps_are_awaited_after_the_drain_in_order_and_cannot_publish() -> None:
    bus, seen = Bus(), []

    async def slow(message: ControlEvent) -> list[Published]:
        await asyncio.sleep(0)
        seen.append(("tap 1", message.detail))
        return [on(T_LOG, note("from a tap"))]

    async def quick(message: ControlEvent) -> None:
        seen.append(("tap 2", message.detail))

    bus.tap(T_CONTROL, slow)
    bus.tap(T_CONTROL, quick)
    bus.subscribe(T_CONTROL, lambda message: seen.append(("handler", message.detail)))
    bus.post([on(T_CONTROL, control("a")), on(T_CONTROL, control("b")), on(T_LOG, note("untapped"))])
    assert not bus.has_tapped
    bus.drain()
    assert bus.has_tapped
    asyncio.run(bus.flush_taps())
    assert seen == [("handler", "a"), ("handler", "b"), ("tap 1", "a"), ("tap 2", "a"), ("tap 1", "b"), ("tap 2", "b")]
    assert not bus.has_tapped
    assert not bus.queue
    assert bus.seq == 3
