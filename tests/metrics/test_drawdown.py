from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.metrics.drawdown import DeepestFall, Fall, Underwater, deepest_fall, longest_underwater_ms


def ends(values: list[int]) -> tuple[int, int]:
    fall = DeepestFall(values[0])
    for value in values[1:]:
        fall.see(value)
    return fall.peak_and_low()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([100], (100, 100)),
        ([100, 110, 120], (100, 100)),
        ([100, 90, 120, 60, 130], (120, 60)),
        ([100, 80, 90, 70, 200, 150], (100, 70)),
        ([100, 80, 200, 160], (100, 80)),
        ([100, -5], (100, -5)),
    ],
)
def test_the_deepest_fall_is_the_largest_fraction_of_its_peak(values: list[int], expected: tuple[int, int]) -> None:
    assert ends(values) == expected


@pytest.mark.parametrize(
    ("values", "fall"),
    [
        ([100, 90, 120, 60, 130], Fall(2, 3, 4)),
        ([100, 90, 120, 60, 119], Fall(2, 3, None)),
        ([100, 80, 200, 160, 200], Fall(0, 1, 2)),
        ([100, 100, 50, 100], Fall(1, 2, 3)),
        ([100, -5, 0], Fall(0, 1, None)),
    ],
)
def test_a_fall_has_its_instants(values: list[int], fall: Fall) -> None:
    assert deepest_fall(list(enumerate(values))) == fall


def test_the_length_of_a_fall_that_is_open_counts_to_the_end() -> None:
    fall = Fall(2, 3, None)
    assert (fall.duration_ms(9), fall.time_to_recover_ms()) == (7, None)
    assert longest_underwater_ms(list(enumerate([100, 99, 101, 100, 100, 100]))) == 3
    assert longest_underwater_ms(list(enumerate([100, 99, 99, 99, 101, 100]))) == 4


def test_of_a_row_only_the_extremes_are_known() -> None:
    seen = Underwater(0, 100.0)
    seen.see(1, 95.0, 120.0, 110.0)  # 95 may lie before 120 or after it
    seen.see(2, 100.0, 115.0, 112.0)
    assert seen.fall(120.0, 95.0) == Fall(1, 1, None)
    assert seen.fall(120.0, 100.0) == Fall(1, 2, None)
    assert seen.fall(100.0, 95.0) == Fall(0, 1, 1)
    assert seen.fall(100.0, 90.0) is None and seen.fall(120.0, 120.0) is None


@given(st.integers(0, 10_000))
def test_the_deepest_fall_is_dated_when_only_rows_are_seen(seed: int) -> None:
    """Values in rows of up to five: the instants are those of the values, to the row."""
    drawn = random.Random(seed)
    values = [1000]
    while len(values) < 400:
        values.append(max(values[-1] + drawn.randint(-30, 30), 1))
    rows, seen = [0], Underwater(0, values[0])
    while len(rows) < len(values):
        row = values[len(rows) : len(rows) + drawn.randint(1, 5)]
        number = rows[-1] + 1
        seen.see(number, min(row), max(row), row[-1])
        rows += [number] * len(row)
    peak, low = ends(values)
    found = seen.fall(peak, low)
    exact = deepest_fall(list(enumerate(values)))
    assert found is not None and exact is not None
    recovered = None if exact.recovery_ms is None else rows[exact.recovery_ms]
    assert found == Fall(rows[exact.peak_ms], rows[exact.low_ms], recovered)
