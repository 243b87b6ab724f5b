from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.config.sample_symbols import sample_symbol
from backtester.data.columns import CandleColumns, join_columns, slice_columns
from backtester.data.sources import sample
from backtester.data.sources.sample import SAMPLE_DAYS, SAMPLE_LABEL, SAMPLE_START_MS, sample_columns
from backtester.domain.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, parse_time_ms

QUARTER_END_MS = SAMPLE_START_MS + SAMPLE_DAYS * DAY_MS
FIRST_DAY_SHA256 = "d2cd87dd5a1dd7b6124d2bbff21b91570f08c42ce750ac61adf1d26ea91c7bc0"
"""Of BTCUSDT on 2025-01-01 with seed 1. It changes only together with every result on the sample market."""
ROOT = Path(__file__).resolve().parents[3]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "NEARUSDT", "FOOUSDT", "X")


def candles(symbol: str, *, seed: int = 1, start_ms: int = SAMPLE_START_MS, end_ms: int = QUARTER_END_MS) -> CandleColumns:
    return join_columns(*sample_columns(symbol, seed=seed, start_ms=start_ms, end_ms=end_ms))


def sha256(columns: CandleColumns) -> str:
    little = (column.astype(column.dtype.newbyteorder("<")) for column in columns)
    return hashlib.sha256(b"".join(column.tobytes() for column in little)).hexdigest()


def same(left: CandleColumns, right: CandleColumns) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(left, right, strict=True))


def returns(columns: CandleColumns, every: int = 1) -> npt.NDArray[np.float64]:
    return np.diff(np.log(columns.close[every - 1 :: every]))


@pytest.fixture(scope="module")
def btc() -> CandleColumns:
    return candles("BTCUSDT")


@pytest.fixture(scope="module")
def eth() -> CandleColumns:
    return candles("ETHUSDT")


def test_the_quarter_has_every_minute(btc: CandleColumns) -> None:
    assert btc.start_ms[0] == SAMPLE_START_MS == parse_time_ms("2025-01-01")
    assert len(btc.start_ms) == SAMPLE_DAYS * 1440
    assert set(np.diff(btc.start_ms).tolist()) == {MINUTE_MS}
    assert SAMPLE_LABEL == "synthetic sample"


def test_the_first_day_is_the_same_on_every_machine() -> None:
    assert sha256(candles("BTCUSDT", end_ms=SAMPLE_START_MS + DAY_MS)) == FIRST_DAY_SHA256


@pytest.mark.parametrize("vector_instructions", ["on", "off"])
def test_the_first_day_is_the_same_in_another_process(vector_instructions: str) -> None:
    code = (
        "from tests.data.sources.test_sample import candles, sha256, SAMPLE_START_MS, DAY_MS;"
        "print(sha256(candles('BTCUSDT', end_ms=SAMPLE_START_MS + DAY_MS)))"
    )
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    disabled = {"NPY_DISABLE_CPU_FEATURES": " ".join(found)} if vector_instructions == "off" else {}
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", **disabled}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == FIRST_DAY_SHA256


@given(st.data())
@settings(max_examples=25)
def test_a_candle_does_not_depend_on_the_range_asked_for(data: st.DataObject) -> None:
    symbol = data.draw(st.sampled_from(SYMBOLS))
    seed = data.draw(st.integers(0, 2**70))
    day = data.draw(st.integers(17_167, 24_000))  # 2017 to 2035
    whole = candles(symbol, seed=seed, start_ms=day * DAY_MS, end_ms=(day + 2) * DAY_MS)
    first = data.draw(st.integers(0, 2_879))
    last = data.draw(st.integers(first + 1, 2_880))
    off_ms = data.draw(st.integers(1 - MINUTE_MS, 0))
    start_ms = day * DAY_MS + first * MINUTE_MS + off_ms
    part = candles(symbol, seed=seed, start_ms=start_ms, end_ms=day * DAY_MS + last * MINUTE_MS + off_ms)
    assert same(part, slice_columns(whole, first, last))


def test_a_candle_does_not_depend_on_which_symbols_were_asked_before() -> None:
    alone = candles("ETHUSDT", end_ms=SAMPLE_START_MS + DAY_MS)
    sample._tide.cache_clear()
    candles("BTCUSDT", end_ms=SAMPLE_START_MS + DAY_MS)
    candles("BTCUSDT", seed=2, end_ms=SAMPLE_START_MS + DAY_MS)
    assert same(candles("ETHUSDT", end_ms=SAMPLE_START_MS + DAY_MS), alone)


@pytest.mark.parametrize("length_ms", [0, -1, -DAY_MS, -5 * HOUR_MS])
def test_an_empty_range_has_no_candles(length_ms: int) -> None:
    start_ms = SAMPLE_START_MS + 13 * HOUR_MS
    assert list(sample_columns("BTCUSDT", seed=1, start_ms=start_ms, end_ms=start_ms + length_ms)) == []


def test_candles_come_month_by_month() -> None:
    start_ms, end_ms = parse_time_ms("2023-11-20"), parse_time_ms("2024-03-05")
    chunks = list(sample_columns("BTCUSDT", seed=1, start_ms=start_ms, end_ms=end_ms))
    assert [len(chunk.start_ms) // 1440 for chunk in chunks] == [11, 31, 31, 29, 4]
    assert all(later.start_ms[0] - earlier.start_ms[-1] == MINUTE_MS for earlier, later in pairwise(chunks))


def test_seeds_and_symbols_differ(btc: CandleColumns) -> None:
    day = slice_columns(btc, 0, 1440)
    assert not np.array_equal(candles("BTCUSDT", seed=2, end_ms=SAMPLE_START_MS + DAY_MS).volume, day.volume)
    other = candles("FOOUSDT", end_ms=SAMPLE_START_MS + DAY_MS)
    assert np.corrcoef(returns(other), returns(day))[0, 1] < 0.95


@given(symbol=st.sampled_from(SYMBOLS), seed=st.integers(0, 1000), month=st.integers(0, 18 * 12))
@settings(max_examples=20)
def test_every_candle_could_be_one(symbol: str, seed: int, month: int) -> None:
    start_ms = parse_time_ms(f"{2017 + month // 12}-{month % 12 + 1:02d}-01")
    part = candles(symbol, seed=seed, start_ms=start_ms, end_ms=start_ms + 20 * DAY_MS)
    assert (part.low > 0).all()
    assert (part.high >= np.maximum(part.open, part.close)).all()
    assert (part.low <= np.minimum(part.open, part.close)).all()
    assert (part.volume > 0).all()
    assert np.array_equal(np.round(part.volume, 3), part.volume)
    per_unit = sample_symbol(symbol).ticks_per_unit
    for prices in part[1:5]:
        assert np.array_equal(np.rint(prices * per_unit) / per_unit, prices)
    assert np.abs(returns(part)).max() < 0.2


def test_prices_are_written_as_short_decimals(btc: CandleColumns) -> None:
    assert max(len(repr(price).partition(".")[2]) for price in btc.close[:5000].tolist()) == 1
    assert max(len(repr(volume).partition(".")[2]) for volume in btc.volume[:5000].tolist()) == 3


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_sample_starts_at_the_price_of_its_table(symbol: str) -> None:
    first_open = candles(symbol, end_ms=SAMPLE_START_MS + MINUTE_MS).open[0]
    assert first_open == pytest.approx(sample_symbol(symbol).price, rel=0.001)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moves_look_like_those_of_a_market(seed: int) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        moves = returns(candles(symbol, seed=seed))
        sizes = np.abs(moves)
        volatility = moves.std() * np.sqrt(365 * 1440)
        assert 0.40 <= volatility <= 0.90
        kurtosis = ((moves - moves.mean()) ** 4).mean() / moves.var() ** 2
        assert 5 < kurtosis < 60
        assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.05
        for lag in (1, 15, 60):
            assert np.corrcoef(sizes[lag:], sizes[:-lag])[0, 1] > 0.1


def test_volatility_is_as_high_over_days_as_over_minutes() -> None:
    """Anchors and minutes belong together: neither does the price run away by day nor snap back at midnight."""
    years = candles("BTCUSDT", start_ms=parse_time_ms("2020-01-01"), end_ms=parse_time_ms("2022-01-01"))
    by_minute = returns(years).std() * np.sqrt(1440)
    by_hour = returns(years, 60).std() * np.sqrt(24)
    by_day = returns(years, 1440).std()
    assert 0.8 < by_hour / by_minute < 1.2
    assert 0.75 < by_day / by_minute < 1.3


def test_midnight_is_no_special_minute(btc: CandleColumns) -> None:
    steps = np.abs(np.log(btc.open[1:] / btc.close[:-1]))
    at_midnight = steps[1439::1440]
    assert at_midnight.max() < 5 * np.quantile(steps, 0.99)


def test_symbols_move_together(btc: CandleColumns, eth: CandleColumns) -> None:
    for every in (1, 60):
        assert 0.5 < np.corrcoef(returns(btc, every), returns(eth, every))[0, 1] < 0.9


def test_volume_has_its_hours_and_follows_moves(btc: CandleColumns) -> None:
    by_hour = btc.volume.reshape(-1, 24, 60).mean(axis=(0, 2))
    assert by_hour[13:17].mean() > 1.5 * by_hour[2:6].mean()
    assert np.corrcoef(btc.volume[1:], np.abs(returns(btc)))[0, 1] > 0.3
    assert 0.5 < np.mean(btc.volume * btc.close) / sample_symbol("BTCUSDT").volume_quote < 2


def test_there_are_trends_and_ranges(btc: CandleColumns) -> None:
    """Some days go one way, some nowhere: how much of its range a day keeps varies."""
    days = btc.close.reshape(-1, 1440)
    kept = np.abs(days[:, -1] - days[:, 0]) / (btc.high.reshape(-1, 1440).max(axis=1) - btc.low.reshape(-1, 1440).min(axis=1))
    assert (kept > 0.7).any()
    assert (kept < 0.2).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_prices_stay_sane_for_two_decades(seed: int) -> None:
    start_ms, end_ms = parse_time_ms("2017-01-01"), parse_time_ms("2036-01-01")
    lows, highs = zip(
        *((part.low.min(), part.high.max()) for part in sample_columns("BTCUSDT", seed=seed, start_ms=start_ms, end_ms=end_ms)),
        strict=True,
    )
    assert min(lows) > 20_000
    assert max(highs) < 200_000


def test_the_series_is_the_exponential_function() -> None:
    values = np.linspace(-2, 2, 401)
    assert np.allclose(sample._exponential(values), np.exp(values), rtol=1e-5)


def test_draws_are_even_and_nearly_normal() -> None:
    bits = sample._bits(1, "test", np.arange(200_000, dtype=np.int64))
    ones = [(int((bits >> np.uint64(place) & np.uint64(1)).sum())) for place in range(64)]
    assert all(abs(count - 100_000) < 1_200 for count in ones)
    bell = sample._bell(bits)
    assert abs(bell.mean()) < 0.01
    assert abs(bell.std() - 1) < 0.01
    assert abs(np.corrcoef(bell[1:], bell[:-1])[0, 1]) < 0.01
