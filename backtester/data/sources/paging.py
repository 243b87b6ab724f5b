"""Walking through a history that an interface hands out page by page, whichever end of a range it begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Row = Sequence[Any]
"""What an interface answers for one instant; the first value is its time in ms."""
Ask = Callable[[int, int], list[Row]]
"""Rows whose time is in [first_ms, last_ms], both inclusive: all, or as many as a page holds; others are ignored."""


def windows(start_ms: int, end_ms: int, span_ms: int) -> Iterator[tuple[int, int]]:
    """[start_ms, end_ms) cut into stretches of at most `span_ms`, as inclusive bounds, in order of time."""
    for first_ms in range(start_ms, end_ms, span_ms):
        yield first_ms, min(first_ms + span_ms, end_ms) - 1


def whole_window(ask: Ask, first_ms: int, last_ms: int, *, step_ms: int = 1, newest_first: bool = False) -> list[Row]:
    """Every row there is in [first_ms, last_ms], in order of time, however few of them a page holds.

    A page leaves out what is before its oldest row or after its newest one: these parts are asked for in turn, until one is
    empty. Each is smaller than what it was cut from, so that this ends whatever is answered. `step_ms`: rows are at least so
    far apart. `newest_first`: a page always holds the newest rows, so that nothing is missing after them.
    """
    found: dict[int, Row] = {}
    pending = [(first_ms, last_ms)]
    while pending:
        low_ms, high_ms = pending.pop()
        rows = [row for row in ask(low_ms, high_ms) if low_ms <= row[0] <= high_ms]
        if not rows:
            continue
        found.update((row[0], row) for row in rows)
        oldest_ms, newest_ms = min(row[0] for row in rows), max(row[0] for row in rows)
        if oldest_ms - step_ms >= low_ms:
            pending.append((low_ms, oldest_ms - 1))
        if not newest_first and newest_ms + step_ms <= high_ms:
            pending.append((newest_ms + 1, high_ms))
    return [found[time_ms] for time_ms in sorted(found)]


def start_of_history(ask: Ask, start_ms: int, end_ms: int, span_ms: int) -> int:
    """Where to begin: the start of the first stretch of `span_ms` that has a row, found by halving; `end_ms` where none has.

    A symbol that was listed last year is found in a few requests, though its history was asked for from 2017 on.
    """

    def has_row(low_ms: int, high_ms: int) -> bool:
        return any(low_ms <= row[0] <= high_ms for row in ask(low_ms, high_ms))

    count = -(-(end_ms - start_ms) // span_ms)
    if count <= 2 or has_row(start_ms, start_ms + span_ms - 1):
        return start_ms
    if not has_row(start_ms, end_ms - 1):
        return end_ms
    empty, full = 0, count - 1
    while full - empty > 1:
        middle = (empty + full) // 2
        if has_row(start_ms, start_ms + (middle + 1) * span_ms - 1):
            full = middle
        else:
            empty = middle
    return start_ms + full * span_ms
