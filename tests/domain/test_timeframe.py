from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import (
    DAY_MS,
    EXAMPLES,
    HOUR_MS,
    MINUTE_MS,
    WEEK_MS,
    bucket_start_ms,
    iso_text,
    parse_time_ms,
    span_ms,
    timeframe_ms,
    timeframe_text,
)

NOON_MS = 1_746_446_400_000
"""2025-05-05 12:00 UTC, a Monday."""
TIMEFRAMES = ("1s", "15s", "1m", "3m", "5m", "15m", "1h", "4h", "12h", "1d", "3d", "1w", "2w")
times = st.integers(parse_time_ms("1970-01-01"), parse_time_ms("2100-01-01"))


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("1s", 1000),
        ("1m", MINUTE_MS),
        ("90m", 90 * MINUTE_MS),
        ("4h", 4 * HOUR_MS),
        ("24h", DAY_MS),
        ("3d", 3 * DAY_MS),
        ("1w", WEEK_MS),
    ],
)
def test_a_timeframe_has_its_length(text: str, length_ms: int) -> None:
    assert timeframe_ms(text) == length_ms


@pytest.mark.parametrize(
    "text", ["", "1", "m", "0m", "-1m", "01m", "1M", "1 m", "1.5h", "1mo", "1m\n", "100000s", "\u0661m", "1\u0662m"]
)
def test_what_is_no_timeframe_is_answered_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=EXAMPLES):
        timeframe_ms(text)


@pytest.mark.parametrize("text", ["7m", "5h", "50m", "1439m", "25h", "36h", "2000m", "90000s"])
def test_a_timeframe_divides_the_day_or_is_whole_days(text: str) -> None:
    with pytest.raises(ConfigError, match="does not divide a day"):
        timeframe_ms(text)


@pytest.mark.parametrize("text", TIMEFRAMES)
def test_the_shortest_name_leads_back(text: str) -> None:
    assert timeframe_text(timeframe_ms(text)) == text


@pytest.mark.parametrize(("text", "shortest"), [("60m", "1h"), ("24h", "1d"), ("7d", "1w"), ("60s", "1m"), ("90m", "90m")])
def test_a_timeframe_has_one_shortest_name(text: str, shortest: str) -> None:
    assert timeframe_text(timeframe_ms(text)) == shortest


@pytest.mark.parametrize("length_ms", [0, -MINUTE_MS, 1, 1500])
def test_a_length_that_is_no_timeframe_has_no_name(length_ms: int) -> None:
    with pytest.raises(ConfigError, match=f"no timeframe is {length_ms} ms long"):
        timeframe_text(length_ms)


@given(time_ms=times, text=st.sampled_from(TIMEFRAMES))
def test_every_instant_is_in_the_bucket_that_starts_at_or_before_it(time_ms: int, text: str) -> None:
    length_ms = timeframe_ms(text)
    start_ms = bucket_start_ms(time_ms, length_ms)
    assert start_ms <= time_ms < start_ms + length_ms
    assert bucket_start_ms(start_ms, length_ms) == start_ms
    assert bucket_start_ms(start_ms + length_ms, length_ms) == start_ms + length_ms


@given(time_ms=times)
def test_weeks_start_on_monday_and_days_at_midnight(time_ms: int) -> None:
    week = datetime.fromtimestamp(bucket_start_ms(time_ms, WEEK_MS) / 1000, tz=UTC)
    assert (week.weekday(), week.hour, week.minute) == (0, 0, 0)
    assert bucket_start_ms(time_ms, DAY_MS) % DAY_MS == 0


@pytest.mark.parametrize(
    "value",
    [
        NOON_MS,
        "2025-05-05T12:00",
        "2025-05-05 12:00:00",
        " 2025-05-05T12:00Z ",
        "2025-05-05T14:00+02:00",
        "2025-05-05T12:00:00.000",
        datetime(2025, 5, 5, 12),
        datetime(2025, 5, 5, 12, tzinfo=UTC),
        datetime(2025, 5, 5, 7, tzinfo=timezone(timedelta(hours=-5))),
    ],
    ids=repr,
)
def test_one_instant_has_many_spellings(value: Any) -> None:
    assert parse_time_ms(value) == NOON_MS


@pytest.mark.parametrize("value", ["2025-05-05", date(2025, 5, 5), "20250505"])
def test_a_date_is_its_midnight_in_utc(value: Any) -> None:
    assert parse_time_ms(value) == NOON_MS - 12 * HOUR_MS


@pytest.mark.parametrize("value", ["", "soon", "2025-13-01", "2025-02-30", "05/05/2025", "1746446400000", True, None, 1.5, []])
def test_what_is_no_time_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(ConfigError, match="start .* is not a"):
        parse_time_ms(value, what="start")


@given(time_ms=st.integers(parse_time_ms("1900-01-01"), parse_time_ms("2100-01-01")))
def test_text_of_an_instant_leads_back(time_ms: int) -> None:
    assert parse_time_ms(iso_text(time_ms)) == time_ms


def test_milliseconds_are_written_only_where_there_are_any() -> None:
    assert iso_text(NOON_MS) == "2025-05-05 12:00:00"
    assert iso_text(NOON_MS + 7) == "2025-05-05 12:00:00.007"


@pytest.mark.parametrize(("text", "hours"), [("36h", 36), ("7h", 7), ("30d", 720), ("2w", 336)])
def test_a_span_may_have_any_length(text: str, hours: int) -> None:
    assert span_ms(text, what="--older-than") == hours * HOUR_MS


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1.5h", "month", "3 d"])
def test_what_is_no_span_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--older-than .* is no span of time"):
        span_ms(text, what="--older-than")
