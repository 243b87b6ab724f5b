"""Where a trailing stop stood: the steps that the report draws are those at which the venue would have triggered."""

from __future__ import annotations

import numpy as np
import pytest

from backtester.data.columns import CandleColumns
from backtester.domain.vocabulary import Side
from backtester.report.journal_facts import Stop, TrailingStop
from backtester.report.trail_path import STEPS_MAX, trail_steps
from tests.sim.small_run import MINUTE, columns, ms

BARS = """
    00:00 100 100 100 100 10
    00:01 100 103 100 103 10
    00:02 103 107 102 107 10
    00:03 107 107 104 105 10
    00:04 105 110 105 110 10
"""


def steps(side: Side, bars: CandleColumns, *, to: int | None = None, **follow: float) -> list[tuple[float, int, int]]:
    """(price, from, to) in minutes, of a stop placed at 00:01."""
    given = {"distance": 0.0, "fraction": 0.0, "activation": 0.0} | follow
    trail = TrailingStop("A", side, **given, from_ms=ms("00:01"), to_ms=to)  # type: ignore[arg-type] # all are numbers
    found = trail_steps([trail], bars_of=lambda _: bars, length_ms=MINUTE, end_ms=ms("00:05")).get("A", [])
    assert all(isinstance(one, Stop) and one.is_stop for one in found)
    return [(one.price, (one.from_ms - ms("00:00")) // MINUTE, ((one.to_ms or 0) - ms("00:00")) // MINUTE) for one in found]


@pytest.mark.parametrize(
    ("side", "follow", "expected"),
    [
        (Side.SELL, {"distance": 5.0}, [(95, 1, 2), (98, 2, 3), (102, 3, 5), (105, 5, 5)]),
        (Side.SELL, {"fraction": 0.1}, [(90, 1, 2), (92.7, 2, 3), (96.3, 3, 5), (99, 5, 5)]),
        (Side.SELL, {"distance": 5.0, "activation": 105.0}, [(102, 3, 5), (105, 5, 5)]),
        (Side.BUY, {"distance": 5.0}, [(105, 1, 5)]),
        (Side.SELL, {"distance": 5.0, "activation": 200.0}, []),
    ],
)
def test_it_follows_the_extreme_from_the_end_of_each_bar_on(
    side: Side, follow: dict[str, float], expected: list[tuple[float, int, int]]
) -> None:
    assert steps(side, columns(BARS), **follow) == [pytest.approx(step) for step in expected]


def test_it_ends_when_the_order_does() -> None:
    assert steps(Side.SELL, columns(BARS), to=ms("00:03"), distance=5.0) == [(95, 1, 2), (98, 2, 3), (102, 3, 3)]


def test_without_candles_nothing_is_drawn_and_a_long_climb_is_thinned() -> None:
    trail = TrailingStop("A", Side.SELL, distance=5.0, fraction=0.0, activation=0.0, from_ms=0, to_ms=None)
    assert trail_steps([trail], bars_of=None, length_ms=MINUTE, end_ms=10) == {}
    rising = np.arange(1000.0)
    bars = CandleColumns(np.arange(1000) * MINUTE, rising + 100, rising + 101, rising + 100, rising + 101, rising)
    drawn = trail_steps([trail], bars_of=lambda _: bars, length_ms=MINUTE, end_ms=1000 * MINUTE)["A"]
    assert 100 < len(drawn) <= STEPS_MAX and drawn[0].price == 95.0
