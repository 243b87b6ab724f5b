"""Timers: a name replaces, no drift, missed periods fire once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backtester import Candle, Strategy
from backtester.engine.bus import Bus
from backtester.engine.clock import Clock
from backtester.engine.schedule import Schedule
from backtester.engine.timers import Timers
from tests.engine.scheduled import items_of
from tests.sim.small_run import clock_text, flat, ms, small_run


class Alarm:
    """Timers on a schedule, fired when asked."""

    def __init__(self) -> None:
        self.schedule = Schedule(bus=Bus(), clock=Clock())
        self.timers = Timers(self.schedule)

    def set(self, name: str, *, now_ms: int = 0, at_ms: int | None = None, every_ms: int | None = None, owner: str = "s") -> None:
        self.timers.set(owner, name, now_ms=now_ms, at_ms=at_ms, every_ms=every_ms)

    def fired(self, now_ms: int) -> list[str]:
        names = []
        while due := items_of(self.schedule, now_ms):
            names += [f"{timer.strategy_id}.{timer.name}" for timer in due if self.timers.fire(timer, now_ms=now_ms)]
        return names


def test_a_single_timer_fires_once_at_its_time() -> None:
    alarm = Alarm()
    alarm.set("a", at_ms=100)
    assert [alarm.fired(now_ms) for now_ms in (99, 100, 200)] == [[], ["s.a"], []]


def test_a_period_counts_from_now_or_from_the_time_given() -> None:
    alarm = Alarm()
    alarm.set("a", now_ms=7, every_ms=10)
    alarm.set("b", now_ms=7, at_ms=20, every_ms=10)
    fired = {now_ms: alarm.fired(now_ms) for now_ms in (16, 17, 20, 27, 29, 30)}
    assert fired == {16: [], 17: ["s.a"], 20: ["s.b"], 27: ["s.a"], 29: [], 30: ["s.b"]}


def test_a_name_replaces_the_timer_of_that_name_of_that_strategy_only() -> None:
    alarm = Alarm()
    alarm.set("a", every_ms=10)
    alarm.set("a", every_ms=10, owner="t")
    alarm.set("a", at_ms=25)
    assert [alarm.fired(now_ms) for now_ms in (10, 20, 25, 30)] == [["t.a"], ["t.a"], ["s.a"], ["t.a"]]


@given(every_ms=st.integers(1, 50), looks=st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_missed_periods_fire_once_and_the_grid_never_drifts(every_ms: int, looks: list[int]) -> None:
    alarm = Alarm()
    alarm.set("a", every_ms=every_ms)
    now_ms, last_period = 0, 0
    for step in looks:
        now_ms += step
        period = now_ms // every_ms
        assert alarm.fired(now_ms) == (["s.a"] if period > last_period else [])
        last_period = period
        assert alarm.schedule.hooks[0][0] == (period + 1) * every_ms


def test_a_strategy_sets_timers_from_any_hook_and_they_fire_between_bars() -> None:
    heard: list[str] = []

    class Timed(Strategy):
        def on_start(self) -> None:
            self.ctx.timer("beat", every_ms=45_000)

        def on_candle(self, candle: Candle) -> None:
            if candle.end_ms == ms("00:01"):
                self.ctx.timer("once", at_ms=ms("00:01:10"))

        def on_timer(self, name: str) -> None:
            heard.append(f"{clock_text(self.ctx.now_ms)} {name}")
            if name == "once":
                self.ctx.timer("beat", at_ms=ms("00:02"))

    small_run(flat("00:00", 3), Timed)
    assert heard == ["00:00:45 beat", "00:01:10 once", "00:02 beat"]


def test_a_timer_at_the_instant_of_a_close_comes_before_the_candle() -> None:
    heard: list[str] = []

    class Timed(Strategy):
        def on_start(self) -> None:
            self.ctx.timer("beat", every_ms=60_000)

        def on_timer(self, name: str) -> None:
            heard.append(f"{clock_text(self.ctx.now_ms)} {name}")

        def on_candle(self, candle: Candle) -> None:
            heard.append(f"{clock_text(self.ctx.now_ms)} candle")

    small_run(flat("00:00", 2), Timed)
    assert heard == ["00:01 beat", "00:01 candle", "00:02 beat", "00:02 candle"]


def test_timers_of_the_warm_up_fire_once_at_the_start() -> None:
    heard: list[str] = []

    class Timed(Strategy):
        def on_start(self) -> None:
            self.ctx.timer("beat", every_ms=60_000)

        def on_timer(self, name: str) -> None:
            heard.append(clock_text(self.ctx.now_ms))

    small_run(flat("00:00", 6), Timed, start="00:03")
    assert heard == ["00:03", "00:04", "00:05", "00:06"]
