"""Coarser candles keep what happened."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backtester.report.candle_series import Candles, coarser

MINUTE_MS = 60_000


def bars(*rows: tuple[float, float, float, float], gaps: tuple[int, ...] = ()) -> Candles:
    """Minutes from 0 on with these open, high, low and close; the minutes in `gaps` are skipped."""
    minutes = [minute for minute in range(len(rows) + len(gaps)) if minute not in gaps][: len(rows)]
    columns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Candles(MINUTE_MS, np.array(minutes, dtype=np.int64) * MINUTE_MS, *columns)


FOUR = bars((100, 101, 99, 100), (100, 104, 98, 102), (102, 110, 101, 105), (105, 130, 50, 100))


@given(st.lists(st.tuples(st.floats(1, 9), st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=300), st.integers(2, 50))
def test_coarser_candles_keep_first_last_highest_and_lowest(rows, points_max) -> None:
    fine = bars(*((price, price + up, price - down, price) for price, up, down in rows), gaps=(3, 4, 5, 40))
    coarse = coarser(fine, length_ms=MINUTE_MS, points_max=points_max)
    assert len(coarse.start_ms) <= points_max
    assert (coarse.open[0], coarse.close[-1]) == (fine.open[0], fine.close[-1])
    assert (coarse.high.max(), coarse.low.min()) == (fine.high.max(), fine.low.min())
    assert coarse.length_ms % MINUTE_MS == 0
    assert not (coarse.start_ms % coarse.length_ms).any()


def test_few_candles_stay_as_they_are() -> None:
    same = coarser(FOUR, length_ms=MINUTE_MS, points_max=10)
    assert same.length_ms == MINUTE_MS
    assert same.high.tolist() == FOUR.high.tolist()
