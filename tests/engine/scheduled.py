"""What is due on a schedule, taken out as the loop does."""

from __future__ import annotations

from heapq import heappop
from typing import Any

from backtester.engine.schedule import Hook, Schedule


def take_arrivals(schedule: Schedule, time_ms: int) -> list[tuple[Any, int, int]]:
    """(item, cause, depth) of everything that arrives by `time_ms`, in order."""
    taken = []
    while schedule.arrivals and schedule.arrivals[0][0] <= time_ms:
        taken.append(heappop(schedule.arrivals)[4:])
    return taken


def take_hooks(schedule: Schedule, time_ms: int) -> list[Hook]:
    """Every hook due by `time_ms`, in order."""
    taken = []
    while schedule.hooks and schedule.hooks[0][0] <= time_ms:
        taken.append(heappop(schedule.hooks))
    return taken


def items_of(schedule: Schedule, time_ms: int) -> list[Any]:
    """The items of the hooks due by `time_ms`, in order."""
    return [hook[3] for hook in take_hooks(schedule, time_ms)]
