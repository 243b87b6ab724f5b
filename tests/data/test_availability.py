from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.availability import METRICS_AHEAD_FROM_MS, available_us, delay_max_ms
from backtester.data.kinds import KINDS
from backtester.data.series import Series
from backtester.domain.timeframe import HOUR_MS, parse_time_ms
from tests.data.candles import MINUTE, MONDAY


def series(kind: str, timeframe: str | None = None) -> Series:
    return Series("binance", "linear", "BTCUSDT", kind, timeframe or ("1m" if KINDS[kind].periodic else "tick"))


def known_at(one: Series, times) -> list[int]:
    return available_us(one, pa.table({KINDS[one.kind].time: np.array(times, np.int64)})).tolist()


@pytest.mark.parametrize("kind", ["candles", "mark", "index", "premium", "quote_candles"])
@pytest.mark.parametrize(("timeframe", "length_ms"), [("1m", MINUTE), ("8h", 8 * HOUR_MS), ("1w", 7 * 24 * HOUR_MS)])
def test_bars_are_known_when_they_have_ended(kind, timeframe, length_ms):
    assert known_at(series(kind, timeframe), [MONDAY, MONDAY + length_ms]) == [
        (MONDAY + length_ms) * 1000,
        (MONDAY + 2 * length_ms) * 1000,
    ]


@pytest.mark.parametrize("kind", ["funding", "open_interest", "volatility_index", "book_depth", "liquidations"])
def test_what_an_exchange_stamps_is_known_at_its_stamp(kind):
    assert known_at(series(kind), [MONDAY + 17]) == [(MONDAY + 17) * 1000]


@pytest.mark.parametrize("kind", ["trades", "agg_trades", "quotes", "book"])
def test_ticks_are_known_at_their_own_microsecond(kind):
    assert known_at(series(kind), [MONDAY * 1000 + 123]) == [MONDAY * 1000 + 123]


def test_metrics_describe_five_minutes_later_from_march_2024_on():
    cut_ms = parse_time_ms("2024-03-04")
    assert cut_ms == METRICS_AHEAD_FROM_MS
    assert known_at(series("metrics", "5m"), [cut_ms - 5 * MINUTE, cut_ms, cut_ms + 5 * MINUTE]) == [
        (cut_ms - 5 * MINUTE) * 1000,
        (cut_ms + 5 * MINUTE) * 1000,
        (cut_ms + 10 * MINUTE) * 1000,
    ]


def test_an_option_summary_is_known_at_the_end_of_its_hour():
    assert known_at(series("option_summary", "1h"), [MONDAY]) == [(MONDAY + HOUR_MS) * 1000]


@given(kind=st.sampled_from(sorted(KINDS)), times=st.lists(st.integers(1_700_000_000_000, 1_720_000_000_000), max_size=20))
def test_nothing_is_known_before_its_stamp_nor_later_than_said_and_order_is_kept(kind, times):
    one = series(kind)
    unit = 1 if KINDS[kind].time == "time_us" else 1000
    known = known_at(one, sorted(times))
    assert known == sorted(known)
    for time, at in zip(sorted(times), known, strict=True):
        assert time * unit <= at <= time * unit + delay_max_ms(one) * 1000
