"""What is done to the data of a run: exactly what was announced, and no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backtester.app.market_data import from_columns
from backtester.config.run_config import RunConfig, RunSection
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.quality import check_candles
from backtester.trust.changed_data import SHIFT_MS, held, scrambled, shifted

MINUTE_MS = 60_000
CONFIG = RunConfig(run=RunSection(execution_timeframe="1m"))


def market(rows: int = 40, seed: int = 1):
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.standard_normal(rows)) * 0.01)
    open_ = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    columns = CandleColumns(np.arange(rows) * MINUTE_MS, open_, high, low, close, random.uniform(1, 2, rows))
    return from_columns({"A": columns, "B": columns}, CONFIG), columns


def read(source, symbol="A", first=0, last=40):
    return join_columns(*source.read(symbol, first * MINUTE_MS, last * MINUTE_MS))


@given(from_row=st.integers(0, 39), seed=st.integers(0, 50))
def test_the_future_is_replaced_by_possible_bars_and_the_past_is_kept(from_row, seed):
    source, columns = market(seed=seed)
    other = read(scrambled(source, from_ms=from_row * MINUTE_MS, seed=seed))
    check_candles(other, source="scrambled", length_ms=MINUTE_MS)
    assert np.array_equal(other.start_ms, columns.start_ms)
    for one, real in zip(other[1:], columns[1:], strict=True):
        assert np.array_equal(one[:from_row], real[:from_row])
    assert (other.close[from_row:] != columns.close[from_row:]).all()
    assert (other.volume[from_row:] != columns.volume[from_row:]).all()


def test_the_first_replaced_move_goes_the_other_way():
    source, columns = market()
    for row in range(1, 40):
        other = read(scrambled(source, from_ms=row * MINUTE_MS, seed=row))
        real, mirrored = (np.log(one.close[row] / columns.close[row - 1]) for one in (columns, other))
        assert abs(real) < 0.001 or real * mirrored < 0


def test_only_the_named_symbol_and_stretch_change():
    source, columns = market()
    other = scrambled(source, from_ms=10 * MINUTE_MS, until_ms=12 * MINUTE_MS, only=("B",), seed=1)
    assert np.array_equal(read(other, "A").close, columns.close)
    assert np.flatnonzero(read(other, "B").close != columns.close).tolist() == [10, 11]


def test_a_shifted_feed_is_the_same_at_other_times():
    source, columns = market()
    rows = join_columns(*shifted(source, by_ms=SHIFT_MS).read("A", SHIFT_MS, SHIFT_MS + 20 * MINUTE_MS))
    assert np.array_equal(rows.start_ms, columns.start_ms[:20] + SHIFT_MS)
    assert np.array_equal(rows.close, columns.close[:20])


def test_the_shift_keeps_the_calendar_but_for_the_year():
    first = datetime(2016, 1, 1, tzinfo=UTC)
    for day in range(0, 5000, 17):
        moment = first + timedelta(days=day)
        later = moment + timedelta(milliseconds=SHIFT_MS)
        assert (later.year - moment.year, later.month, later.day, later.weekday()) == (
            28,
            moment.month,
            moment.day,
            moment.weekday(),
        )


def test_bars_in_memory_are_those_that_were_read():
    source, _ = market()
    kept = held(source, start_ms=0, end_ms=30 * MINUTE_MS)
    for first, last in ((0, 30), (5, 9), (12, 12), (3, 40)):
        for one, real in zip(read(kept, "A", first, last), read(source, "A", first, last), strict=True):
            assert np.array_equal(one, real)
