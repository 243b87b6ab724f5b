"""Each streaming indicator equals its batch form bit for bit, is ready after `depth` values, and refuses what is none."""

from __future__ import annotations

import inspect
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import ConfigError, InvalidPriceError
from backtester.strategy import indicators
from backtester.strategy.indicators import (
    ATR,
    EMA,
    MACD,
    RSI,
    SMA,
    VWAP,
    BollingerBands,
    Donchian,
    RollingMax,
    RollingMin,
    SessionVWAP,
    StandardDeviation,
)
from tests.strategy.indicators import batch

PRICES = st.floats(1e-8, 1e6, allow_subnormal=False)
LISTS = st.lists(PRICES, max_size=60)
LENGTHS = st.integers(1, 12)


@st.composite
def bars(draw, *, volumes=False):
    """(high, low, close[, volume]) rows in which low <= close <= high."""
    rows = []
    for _ in range(draw(st.integers(0, 40))):
        low, close, high = sorted(draw(st.tuples(PRICES, PRICES, PRICES)))
        rows.append((high, low, close, draw(st.floats(0, 1e6, allow_subnormal=False))) if volumes else (high, low, close))
    return rows


def stream(indicator, rows):
    """What `update` returns for each row; `value` and `ready` must say the same."""
    out = []
    for count, row in enumerate(rows, start=1):
        value = indicator.update(*row) if isinstance(row, tuple) else indicator.update(row)
        assert value is indicator.value
        assert indicator.ready == (value is not None)
        assert value is None or count >= indicator.depth
        out.append(value)
    return out


@given(values=LISTS, length=LENGTHS)
def test_sma_equals_the_exact_mean_rounded_once(values, length):
    assert stream(SMA(length), values) == batch.sma(values, length)


@given(values=LISTS, length=st.integers(2, 12), sample=st.booleans())
def test_standard_deviation_equals_the_root_of_the_exact_variance(values, length, sample):
    assert stream(StandardDeviation(length, sample=sample), values) == batch.deviation(values, length, sample=sample)


@given(values=LISTS, length=LENGTHS, width=st.floats(0.5, 4))
def test_bollinger_bands_equal_their_batch_form(values, length, width):
    assert stream(BollingerBands(length, width), values) == batch.bollinger(values, length, width)


@given(values=LISTS, length=LENGTHS)
def test_ema_equals_the_recursion_over_the_list(values, length):
    assert stream(EMA(length), values) == batch.ema(values, length)


@given(values=LISTS, fast=st.integers(1, 5), more=st.integers(1, 6), signal=st.integers(1, 6))
def test_macd_equals_its_batch_form(values, fast, more, signal):
    assert stream(MACD(fast, fast + more, signal), values) == batch.macd(values, fast, fast + more, signal)


@given(values=st.lists(st.one_of(PRICES, st.sampled_from([100.0, 101.0])), max_size=60), length=LENGTHS)
def test_rsi_equals_its_batch_form_and_stays_in_its_range(values, length):
    out = stream(RSI(length), values)
    assert out == batch.rsi(values, length)
    assert all(value is None or 0 <= value <= 100 for value in out)


@given(rows=bars(), length=LENGTHS)
def test_atr_equals_its_batch_form(rows, length):
    assert stream(ATR(length), rows) == batch.atr(rows, length)


@given(values=st.lists(st.one_of(PRICES, st.integers(1, 5).map(float)), max_size=60), length=LENGTHS)
def test_rolling_extremes_equal_those_of_each_window(values, length):
    assert stream(RollingMin(length), values) == batch.rolling(values, length, min)
    assert stream(RollingMax(length), values) == batch.rolling(values, length, max)


@given(rows=bars(), length=LENGTHS)
def test_donchian_equals_its_batch_form(rows, length):
    assert stream(Donchian(length), [(high, low) for high, low, _ in rows]) == batch.donchian(rows, length)


@given(rows=bars(volumes=True), length=LENGTHS)
def test_vwap_equals_the_exact_average_rounded_once(rows, length):
    assert stream(VWAP(length), rows) == batch.vwap(rows, length)


@given(rows=bars(volumes=True), step_h=st.integers(1, 30))
def test_session_vwap_begins_anew_each_utc_day(rows, step_h):
    starts_ms = [index * step_h * 3_600_000 for index in range(len(rows))]
    indicator = SessionVWAP()
    out = [indicator.update(*row, start_ms=start_ms) for row, start_ms in zip(rows, starts_ms, strict=True)]
    assert out == batch.session_vwap(rows, starts_ms)


@pytest.mark.parametrize("length", [3, 7, 20, 49, 50])
@pytest.mark.parametrize("price", [0.1, 0.3, 102739.3, 1e-7, 3.0e5 / 7])
def test_in_a_market_that_stands_still_averages_are_the_price_and_deviations_zero(length, price):
    values = [price] * 60
    assert stream(SMA(length), values)[-1] == price
    assert stream(EMA(length), values)[-1] == price
    assert stream(StandardDeviation(length), values)[-1] == 0.0


def test_a_long_run_over_prices_of_all_sizes_does_not_drift():
    sma, deviation = SMA(20), StandardDeviation(20)
    for index in range(20_000):
        price = 1e-9 * 10 ** (index * 7 % 18) + index / 3
        sma.update(price)
        deviation.update(price)
    tail = [1.1, 2.2, 3.3] * 7
    assert [sma.update(value) for value in tail][-1] == batch.sma(tail, 20)[-1]
    assert [deviation.update(value) for value in tail][-1] == batch.deviation(tail, 20)[-1]


def test_a_small_spread_on_a_large_price_does_not_cancel():
    values = [1e9 + step for step in (0.0, 1e-6, 0.0, 1e-6)]
    assert stream(StandardDeviation(4), values)[-1] == pytest.approx(5e-7, rel=0.1)


def test_relative_strength_is_fifty_where_nothing_moves():
    assert stream(RSI(3), [100.0] * 5)[-1] == 50.0
    assert stream(RSI(3), [1.0, 2.0, 3.0, 4.0])[-1] == 100.0
    assert stream(RSI(3), [4.0, 3.0, 2.0, 1.0])[-1] == 0.0


def test_an_average_price_needs_volume():
    assert stream(VWAP(2), [(3.0, 3.0, 3.0, 0.0)] * 2) == [None, None]
    assert SessionVWAP().update(3.0, 3.0, 3.0, 0.0, start_ms=0) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: SMA(5),
        lambda: EMA(5),
        lambda: StandardDeviation(5),
        lambda: BollingerBands(5),
        lambda: RSI(5),
        lambda: MACD(2, 4, 2),
    ],
)
def test_a_value_comes_exactly_after_depth_values(make):
    indicator = make()
    out = stream(indicator, [100.0 + index % 3 for index in range(20)])
    assert [value is not None for value in out].index(True) == indicator.depth - 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make", [lambda: SMA(2), lambda: EMA(2), lambda: RSI(2), lambda: RollingMax(2), lambda: StandardDeviation(2)]
)
def test_what_is_not_finite_is_refused(make, value):
    indicator = make()
    for price in (1.0, 2.0, 3.0):
        indicator.update(price)
    with pytest.raises(InvalidPriceError, match="finite"):
        make().update(value)
    with pytest.raises(InvalidPriceError, match="finite"):
        indicator.update(value)


@pytest.mark.parametrize("length", [0, -1, 2.0, "5", None, True])
@pytest.mark.parametrize(
    "kind", [SMA, EMA, StandardDeviation, BollingerBands, RSI, ATR, RollingMin, RollingMax, Donchian, VWAP, MACD]
)
def test_a_length_that_is_no_whole_number_above_zero_is_refused(kind, length):
    with pytest.raises(ConfigError, match="length must be a whole number of at least 1"):
        kind(length)


def test_other_wrong_parameters_are_refused():
    with pytest.raises(ConfigError, match="at least 2"):
        StandardDeviation(1, sample=True)
    with pytest.raises(ConfigError, match="width must be above 0"):
        BollingerBands(20, 0)
    with pytest.raises(ConfigError, match="fast must be below slow"):
        MACD(26, 12)


def test_every_indicator_that_is_offered_is_tested_here():
    offered = {name for name in indicators.__all__ if inspect.isclass(getattr(indicators, name))}
    values = {"Bands", "MACDValue"}
    assert offered - values <= set(vars(sys.modules[__name__]))


@pytest.mark.parametrize("length", [10, 10_000])
def test_an_update_costs_the_same_whatever_the_length(length):
    sma, highest = SMA(length), RollingMax(length)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    for index in range(length):
        sma.update(float(index))
        highest.update(float(index))
    sys.setprofile(count)
    for index in range(1000):
        sma.update(float(index))
        highest.update(float(index))
    sys.setprofile(None)
    assert calls < 25 * 1000
