from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from backtester.data.columns import columns_from_frame
from backtester.data.feed import CandleFeed, SymbolStream
from backtester.data.resample import BucketStream
from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, WEEK_MS, parse_time_ms
from tests.data.candles import MINUTE, MONDAY, candles_at, in_pieces, minutes
from tests.support.shared_data import SHARED, needs_shared

FOLDER = SHARED / "data/candles/binance_um"


def test_a_bucket_is_closed_when_its_time_is_over_not_when_the_next_bar_comes():
    bucket = BucketStream("A", length_ms=5 * MINUTE, execution_ms=MINUTE)
    columns = minutes(4)
    bucket.add(columns)
    assert bucket.take_until(MONDAY + 5 * MINUTE - 1) == []
    (candle,) = bucket.take_until(MONDAY + 5 * MINUTE)
    assert (candle.start_ms, candle.end_ms, candle.n, candle.complete) == (MONDAY, MONDAY + 5 * MINUTE, 4, False)
    assert (candle.open, candle.close) == (columns.open[0], columns.close[3])
    assert (candle.high, candle.low) == (columns.high.max(), columns.low.min())
    assert bucket.take_until(MONDAY + DAY_MS) == []


def test_a_first_bucket_that_began_before_the_data_is_left_out():
    bucket = BucketStream("A", length_ms=5 * MINUTE, execution_ms=MINUTE)
    bucket.add(minutes(9, first_ms=MONDAY + MINUTE))
    assert [candle.start_ms for candle in bucket.take_until(MONDAY + DAY_MS)] == [MONDAY + 5 * MINUTE]


def test_a_first_bucket_whose_later_bars_are_missing_counts():
    bucket = BucketStream("A", length_ms=5 * MINUTE, execution_ms=MINUTE)
    bucket.add(candles_at([MONDAY, MONDAY + 17 * MINUTE]))
    assert [candle.n for candle in bucket.take_until(MONDAY + DAY_MS)] == [1, 1]


def test_volume_is_the_exact_sum_rounded_once():
    columns = minutes(10)._replace(volume=minutes(10).volume * 0 + 0.1)
    bucket = BucketStream("A", length_ms=10 * MINUTE, execution_ms=MINUTE)
    for piece in in_pieces(columns, (3,)):
        bucket.add(piece)
    assert [candle.volume for candle in bucket.take_until(MONDAY + HOUR_MS)] == [1.0]


@pytest.mark.parametrize(("length_ms", "execution_ms"), [(90_000, MINUTE), (MINUTE, HOUR_MS), (3 * WEEK_MS, 3 * DAY_MS)])
def test_a_timeframe_that_bars_cannot_build_is_refused(length_ms, execution_ms):
    with pytest.raises(ConfigError, match="cannot be built"):
        BucketStream("A", length_ms=length_ms, execution_ms=execution_ms)


def real(symbol: str, timeframe: str):
    return columns_from_frame(pq.ParquetFile(FOLDER / f"{symbol}_{timeframe}.parquet").read(), source=symbol)


def resampled(symbol: str, *, length_ms: int):
    columns = real(symbol, "1m")
    end_ms = int(columns.start_ms[-1]) + MINUTE
    stream = SymbolStream(symbol, iter([columns]), symbol)
    feed = CandleFeed([stream], execution_ms=MINUTE, signal_ms=(length_ms,), start_ms=0, end_ms=end_ms)
    return [candle for batch in feed.batches() for _, _, signals in batch for candle in signals]


@needs_shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_hours_of_real_minutes_equal_the_independent_hourly_file(symbol):
    hourly = real(symbol, "1h")
    by_start = {row[0]: row[1:] for row in zip(*(column.tolist() for column in hourly), strict=True)}
    hours = resampled(symbol, length_ms=HOUR_MS)
    assert len(hours) == 1218
    for hour in hours:
        assert hour.complete
        open_, high, low, close, volume = by_start[hour.start_ms]
        assert (hour.open, hour.high, hour.low, hour.close) == (open_, high, low, close)
        assert hour.volume == pytest.approx(volume, rel=1e-9)


@needs_shared
def test_real_minutes_hold_304_whole_stretches_of_four_hours():
    candles = resampled("BTCUSDT", length_ms=4 * HOUR_MS)
    assert len(candles) == 304
    assert all(candle.complete and candle.n == 240 for candle in candles)
    assert candles[0].start_ms == parse_time_ms("2025-05-04 16:00")
