from __future__ import annotations

import math

import numpy as np
import pytest

from backtester.data.quality import check_candles, check_times, gap_rows
from backtester.domain.errors import DataQualityError
from backtester.domain.timeframe import DAY_MS, WEEK_MS
from tests.data.candles import MINUTE, MONDAY, candles_at, minutes, replace_value


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("open", math.nan, "prices and volume are finite"),
        ("high", math.inf, "prices and volume are finite"),
        ("low", -math.inf, "prices and volume are finite"),
        ("close", math.nan, "prices and volume are finite"),
        ("volume", math.nan, "prices and volume are finite"),
        ("volume", math.inf, "prices and volume are finite"),
        ("low", -5.0, "prices > 0"),
        ("low", 0.0, "prices > 0"),
        ("volume", -0.001, "volume >= 0"),
        ("high", 1.0, "high >= low"),
        ("high", 1000.0, "high >= open and close"),
        ("low", 1124.9, "low <= open and close"),
    ],
)
def test_an_impossible_candle_is_named_with_its_rule(name, value, rule):
    columns = minutes(20)
    columns = columns._replace(
        open=np.full(20, 1100.0), close=np.full(20, 1120.0), high=np.full(20, 1125.0), low=np.full(20, 999.0)
    )
    check_candles(columns, source="here.csv", length_ms=MINUTE)
    with pytest.raises(DataQualityError) as caught:
        check_candles(replace_value(columns, name, 7, value), source="here.csv", length_ms=MINUTE)
    message = str(caught.value)
    assert "here.csv: row 8 (2025-01-06 00:07:00 UTC)" in message
    assert f"'{rule}'" in message
    assert f"{name} {value!r}" in message


def test_a_high_that_touches_and_no_volume_are_possible():
    flat = candles_at([MONDAY])._replace(
        **{name: np.array([5.0]) for name in ("open", "high", "low", "close")}, volume=np.array([0.0])
    )
    check_candles(flat, source="x", length_ms=MINUTE)
    with pytest.raises(DataQualityError):  # and a hair less is not
        check_candles(flat._replace(high=np.array([4.9])), source="x", length_ms=MINUTE)


@pytest.mark.parametrize(
    ("starts_ms", "after_ms", "words"),
    [
        ([MONDAY, MONDAY], None, "row 2 (2025-01-06 00:00:00 UTC) does not start after"),
        ([MONDAY + MINUTE, MONDAY], None, "row 2 (2025-01-06 00:00:00 UTC) does not start after"),
        ([MONDAY], MONDAY, "row 1 (2025-01-06 00:00:00 UTC) does not start after"),
        ([MONDAY, MONDAY + MINUTE, MONDAY + 2 * MINUTE + 1], None, "row 3 starts at 2025-01-06 00:02:00.001 UTC"),
        ([MONDAY + 1, MONDAY + MINUTE + 1], None, "row 1 starts at 2025-01-06 00:00:00.001 UTC"),
    ],
)
def test_times_off_the_grid_or_out_of_order_are_named(starts_ms, after_ms, words):
    with pytest.raises(DataQualityError) as caught:
        check_times(np.array(starts_ms), source="x", length_ms=MINUTE, after_ms=after_ms)
    assert words in str(caught.value)


def test_weeks_start_on_monday():
    check_times(np.array([MONDAY, MONDAY + WEEK_MS]), source="x", length_ms=WEEK_MS)
    with pytest.raises(DataQualityError):
        check_times(np.array([MONDAY + DAY_MS]), source="x", length_ms=WEEK_MS)


def test_a_gap_is_where_a_bar_is_missing():
    starts_ms = np.array([0, 1, 3, 4, 9]) * MINUTE
    assert gap_rows(starts_ms, MINUTE).tolist() == [1, 3]
