"""Curves that are thinned keep their extremes; what is drawn agrees with the metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.timeframe import DAY_MS
from backtester.report.curves import daily_equity, drawn_equity, histogram, last_rows, peaks_kept, rolling_sharpe, thinning

values = st.lists(st.floats(1, 1e6), min_size=1, max_size=400)


@given(values, st.integers(2, 60))
def test_a_thinned_curve_keeps_its_extremes_its_end_and_its_deepest_fall(equity, points_max) -> None:
    curve, times = np.array(equity), np.arange(len(equity), dtype=np.int64)
    whole = drawn_equity(times, curve, curve, curve, start_equity=equity[0], points_max=10**9)
    thin = drawn_equity(times, curve, curve, curve, start_equity=equity[0], points_max=points_max)
    assert len(thin.time_ms) <= points_max
    assert (thin.low.min(), thin.high.max(), thin.equity[-1]) == (curve.min(), curve.max(), curve[-1])
    assert thin.drawdown.min() == whole.drawdown.min()
    peak = np.maximum.accumulate(curve)
    assert whole.drawdown.min() == pytest.approx((curve / peak - 1).min())


@given(st.integers(0, 5_000), st.integers(1, 100))
def test_last_rows_are_few_rising_and_end_with_the_last(count, points_max) -> None:
    rows = last_rows(count, points_max)
    assert len(rows) <= max(points_max, 0)
    assert (np.diff(rows) > 0).all()
    assert not count or rows[-1] == count - 1


@pytest.mark.parametrize(("count", "every"), [(0, 1), (10, 1), (11, 3), (21, 3), (35, 5)])
def test_thinning_is_odd_so_that_entries_and_exits_both_stay(count, every) -> None:
    assert thinning(count, 10) == every


def test_a_thinned_position_keeps_what_is_furthest_from_zero() -> None:
    times, held = peaks_kept(np.arange(6, dtype=np.int64), np.array([0.0, -5.0, 1.0, 2.0, 9.0, 0.0]), points_max=2)
    assert (times.tolist(), held.tolist()) == ([2, 5], [-5.0, 9.0])


def test_daily_equity_is_that_of_the_last_row_up_to_midnight() -> None:
    times = np.array([DAY_MS // 2, DAY_MS, 3 * DAY_MS + 1], dtype=np.int64)
    days, equity = daily_equity(times, np.array([1.0, 2.0, 3.0]), start_ms=0, start_equity=10.0)
    assert (days.tolist(), equity.tolist()) == ([0, DAY_MS, 2 * DAY_MS, 3 * DAY_MS], [10.0, 2.0, 2.0, 2.0])


@pytest.mark.parametrize(("days", "window"), [(28, None), (29, 14), (60, 14), (61, 30)])
def test_the_rolling_window_is_at_most_half_of_the_run(days, window) -> None:
    equity = 100.0 + np.arange(days) % 3
    found = rolling_sharpe(np.arange(days, dtype=np.int64) * DAY_MS, equity)
    assert (found.days if found else None) == window


def test_a_lost_equity_has_no_rolling_sharpe() -> None:
    assert rolling_sharpe(np.arange(90, dtype=np.int64) * DAY_MS, np.linspace(100, -50, 90)) is None


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=500))
def test_every_result_is_in_a_bin_and_no_bin_holds_wins_and_losses(results) -> None:
    edges, counts = histogram(results)
    assert counts.sum() == len(results)
    assert np.isclose(edges, 0.0, atol=1e-9).any()
