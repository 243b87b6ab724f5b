from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backtester.data.sources.paging import start_of_history, whole_window, windows

STEP = 10


def server(times: list[int], page: int, *, newest_first: bool, asked: list[tuple[int, int]]):
    """Rows of `times` in the range, at most a page, from one end."""

    def ask(first: int, last: int):
        asked.append((first, last))
        inside = [(time,) for time in sorted(times) if first <= time <= last]
        return inside[-page:][::-1] if newest_first else inside[:page]

    return ask


@given(
    present=st.sets(st.integers(0, 60)),
    page=st.integers(1, 30),
    newest_first=st.booleans(),
    first=st.integers(0, 300),
    length=st.integers(1, 400),
)
def test_every_row_is_found_once_in_order_however_short_the_pages(present, page, newest_first, first, length) -> None:
    times = sorted(index * STEP for index in present)
    ask = server(times, page, newest_first=newest_first, asked=[])
    rows = whole_window(ask, first, first + length, step_ms=STEP, newest_first=newest_first)
    assert [row[0] for row in rows] == [time for time in times if first <= time <= first + length]


def test_a_full_page_is_asked_for_once() -> None:
    for newest_first in (True, False):
        asked: list[tuple[int, int]] = []
        ask = server(list(range(0, 100, STEP)), 10, newest_first=newest_first, asked=asked)
        assert len(whole_window(ask, 0, 99, step_ms=STEP, newest_first=newest_first)) == 10
        assert asked == [(0, 99)]


def test_a_server_that_always_answers_the_same_page_ends_the_walk() -> None:
    asked: list[tuple[int, int]] = []

    def ask(first: int, last: int):
        asked.append((first, last))
        return [(700,), (710,)]

    assert whole_window(ask, 0, 999, step_ms=STEP) == [(700,), (710,)]
    assert asked == [(0, 999), (711, 999), (0, 699)]
    asked.clear()
    assert whole_window(ask, 0, 500, step_ms=STEP) == []
    assert asked == [(0, 500)]


@given(first_row=st.integers(0, 100_000), end=st.integers(1, 100_000), page=st.integers(1, 5))
def test_the_start_of_a_history_is_found_in_few_requests(first_row, end, page) -> None:
    asked: list[tuple[int, int]] = []
    ask = server(list(range(first_row, 100_000, 500)), page, newest_first=True, asked=asked)
    start = start_of_history(ask, 0, end, 100)
    if first_row < end:
        assert start <= first_row
        assert start // 100 == first_row // 100 or end <= 200
    else:
        assert start in {0, end}
    assert len(asked) <= 13


def test_windows_cover_the_range_and_no_more() -> None:
    assert list(windows(5, 26, 10)) == [(5, 14), (15, 24), (25, 25)]
    assert list(windows(5, 5, 10)) == []
