"""What is due, and in which order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.run_events import LogEvent
from backtester.engine.bus import Bus
from backtester.engine.clock import Clock
from backtester.engine.schedule import HOOK_DAY, HOOK_FILL, HOOK_REJECT, HOOK_TIMER, NEVER_MS, Schedule
from backtester.engine.topics import T_LOG
from tests.engine.scheduled import items_of, take_arrivals, take_hooks


def schedule_at(now_ms: int = 0) -> tuple[Schedule, Bus]:
    bus = Bus()
    return Schedule(bus=bus, clock=Clock(now_ms)), bus


def take_all(schedule: Schedule) -> list[Any]:
    return [item for item, _, _ in take_arrivals(schedule, NEVER_MS - 1)]


arrivals = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(2, 4)), max_size=30)


@given(arrivals)
def test_arrivals_come_by_time_symbol_class_and_sequence(rows: list[tuple[int, int, int]]) -> None:
    schedule, _ = schedule_at()
    for number, (time_ms, symbol_index, order_class) in enumerate(rows):
        schedule.arrive(time_ms, symbol_index=symbol_index, order_class=order_class, item=number)
    assert take_all(schedule) == [number for _, number in sorted(zip(rows, range(len(rows)), strict=True))]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from((HOOK_DAY, HOOK_REJECT, HOOK_FILL, HOOK_TIMER))), max_size=30))
def test_hooks_come_by_time_class_and_sequence(rows: list[tuple[int, int]]) -> None:
    schedule, _ = schedule_at()
    for number, (time_ms, hook_class) in enumerate(rows):
        schedule.hook(time_ms, hook_class=hook_class, item=number)
    assert items_of(schedule, 3) == [number for _, number in sorted(zip(rows, range(len(rows)), strict=True))]


def test_within_an_instant_the_day_turns_first_then_ends_then_fills_then_timers() -> None:
    assert HOOK_DAY < HOOK_REJECT < HOOK_FILL < HOOK_TIMER


@given(
    st.lists(
        st.tuples(st.sampled_from(("arrive", "hook", "snapshot", "take arrivals", "take hooks")), st.integers(0, 20)), max_size=30
    )
)
def test_next_is_the_earliest_of_everything_due(steps: list[tuple[str, int]]) -> None:
    schedule, _ = schedule_at()
    for step, time_ms in steps:
        if step == "arrive":
            schedule.arrive(time_ms, symbol_index=0, order_class=2, item=None)
        elif step == "hook":
            schedule.hook(time_ms, hook_class=HOOK_FILL, item=None)
        elif step == "snapshot":
            schedule.snapshot_at(time_ms)
        else:
            _ = take_arrivals(schedule, time_ms) if step == "take arrivals" else take_hooks(schedule, time_ms)
            schedule.refresh()
        times = [entry[0] for entry in (*schedule.arrivals, *schedule.hooks)]
        assert schedule.next_ms == min([*times, schedule.snapshot_ms], default=NEVER_MS)


def test_only_what_is_due_is_taken() -> None:
    schedule, _ = schedule_at()
    for time_ms in (5, 6, 7):
        schedule.arrive(time_ms, symbol_index=0, order_class=2, item=time_ms)
        schedule.hook(time_ms, hook_class=HOOK_FILL, item=time_ms)
    assert [item for item, _, _ in take_arrivals(schedule, 6)] == [5, 6]
    assert take_hooks(schedule, 4) == []
    assert schedule.next_ms == 5


def test_holding_makes_everything_due_until_release() -> None:
    schedule, _ = schedule_at()
    schedule.hold()
    schedule.arrive(5, symbol_index=0, order_class=2, item=None)
    schedule.refresh()
    schedule.snapshot_at(3)
    assert schedule.next_ms == -1
    schedule.release()
    assert schedule.next_ms == 3


def test_an_entry_remembers_what_caused_it_and_how_deep_in_its_instant() -> None:
    schedule, bus = schedule_at(10)

    def ask(_: LogEvent) -> None:
        schedule.arrive(10, symbol_index=0, order_class=2, item="now")
        schedule.arrive(11, symbol_index=0, order_class=2, item="later")
        schedule.hook(10, hook_class=HOOK_FILL, item="hook")

    bus.subscribe(T_LOG, ask)
    bus.publish(T_LOG, LogEvent(time_ms=10, strategy_id="s", event="x", facts={}), depth=4)
    bus.drain()
    assert take_arrivals(schedule, 11) == [("now", 1, 5), ("later", 1, 0)]
    assert take_hooks(schedule, 10) == [(10, HOOK_FILL, 3, "hook", 1, 5)]


def test_hooks_missed_before_the_start_are_due_at_the_start() -> None:
    schedule, _ = schedule_at()
    for time_ms, item in ((3, "third"), (1, "first"), (20, "later"), (2, "second")):
        schedule.hook(time_ms, hook_class=HOOK_TIMER, item=item)
    schedule.postpone_hooks(10)
    assert schedule.next_ms == 10
    taken = items_of(schedule, 30)
    assert sorted(taken[:3]) == ["first", "second", "third"]
    assert taken[3] == "later"
