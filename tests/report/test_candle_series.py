"""Coarser candles keep what happened; excursions are those of the bars that a trade met."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.report.candle_series import Candles, coarser, excursions

MINUTE_MS = 60_000


def bars(*rows: tuple[float, float, float, float], gaps: tuple[int, ...] = ()) -> Candles:
    """Minutes from 0 on with these open, high, low and close; the minutes in `gaps` are skipped."""
    minutes = [minute for minute in range(len(rows) + len(gaps)) if minute not in gaps][: len(rows)]
    columns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Candles(MINUTE_MS, np.array(minutes, dtype=np.int64) * MINUTE_MS, *columns)


def swings(held: Candles, *, side: str, entry_ms: int, exit_ms: int, entry: float, leave: float, inside: bool = False):
    found = excursions(
        held,
        length_ms=MINUTE_MS,
        entry_ms=np.array([entry_ms]),
        exit_ms=np.array([exit_ms]),
        entry_price=np.array([entry]),
        exit_price=np.array([leave]),
        is_long=np.array([side == "buy"]),
        entered_inside=np.array([inside]),
    )
    return pytest.approx(found.mae[0]), pytest.approx(found.mfe[0])


FOUR = bars((100, 101, 99, 100), (100, 104, 98, 102), (102, 110, 101, 105), (105, 130, 50, 100))


@pytest.mark.parametrize(
    ("case", "side", "entry_ms", "exit_ms", "inside", "mae", "mfe"),
    [
        (
            "at an open and out at an open: the bar of the exit is not met",
            "buy",
            MINUTE_MS + 125,
            3 * MINUTE_MS + 125,
            False,
            -0.02,
            0.10,
        ),
        ("short: the other way round", "sell", MINUTE_MS + 125, 3 * MINUTE_MS + 125, False, -0.10, 0.02),
        (
            "filled inside bar 1, stamped with its end: its low counts against, its high not for",
            "buy",
            2 * MINUTE_MS,
            3 * MINUTE_MS,
            True,
            -0.02,
            0.10,
        ),
        ("out inside bar 3, stamped with its end: the whole bar is met", "buy", 2 * MINUTE_MS, 4 * MINUTE_MS, False, -0.50, 0.30),
        ("in and out within one bar: only the two prices are known", "buy", MINUTE_MS + 125, MINUTE_MS + 900, False, 0.0, 0.01),
    ],
)
def test_excursions_are_those_of_the_bars_that_were_met(case, side, entry_ms, exit_ms, inside, mae, mfe) -> None:
    leave = 101.0 if side == "buy" else 99.0
    assert swings(FOUR, side=side, entry_ms=entry_ms, exit_ms=exit_ms, entry=100.0, leave=leave, inside=inside) == (mae, mfe), case


def test_without_candles_only_the_exit_is_known() -> None:
    nothing = bars((1, 1, 1, 1))._replace(start_ms=np.empty(0, np.int64), high=np.empty(0), low=np.empty(0))
    assert swings(nothing, side="buy", entry_ms=0, exit_ms=MINUTE_MS, entry=100.0, leave=95.0) == (-0.05, 0.0)


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
