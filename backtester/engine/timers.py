"""Timers of strategies: a name replaces, no drift, missed periods fire once."""

from __future__ import annotations

from typing import NamedTuple

from backtester.engine.schedule import HOOK_TIMER, Schedule


class TimerDue(NamedTuple):
    """A scheduled firing; stale when its generation has been replaced."""

    strategy_id: str
    name: str
    generation: int
    at_ms: int
    every_ms: int | None


class Timers:
    """Sets timers on the schedule and decides whether one that is due still counts."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._generations: dict[tuple[str, str], int] = {}

    def set(self, strategy_id: str, name: str, *, now_ms: int, at_ms: int | None, every_ms: int | None) -> None:
        """Fire at `at_ms` (else one period from now), then each `every_ms` if given; replaces the timer of that name."""
        generation = self._generations.get((strategy_id, name), 0) + 1
        self._generations[(strategy_id, name)] = generation
        first_ms = at_ms if at_ms is not None else now_ms + (every_ms or 0)
        due = TimerDue(strategy_id, name, generation, first_ms, every_ms)
        self._schedule.hook(first_ms, hook_class=HOOK_TIMER, item=due)

    def fire(self, due: TimerDue, *, now_ms: int) -> bool:
        """Whether a due timer counts; if it repeats, its next firing after now is set on its own grid."""
        if self._generations.get((due.strategy_id, due.name)) != due.generation:
            return False
        if due.every_ms is not None:
            periods = max(1, (now_ms - due.at_ms) // due.every_ms + 1)
            next_ms = due.at_ms + periods * due.every_ms
            self._schedule.hook(next_ms, hook_class=HOOK_TIMER, item=due._replace(at_ms=next_ms))
        return True
