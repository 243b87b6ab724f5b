"""Simulated time."""

from __future__ import annotations

import pytest

from backtester.domain.errors import ClockMovedBackError
from backtester.engine.clock import Clock


def test_time_moves_on_or_stands_still() -> None:
    clock = Clock(5)
    for time_ms in (5, 5, 9):
        clock.advance(time_ms)
        assert clock.now_ms == time_ms


def test_time_never_moves_back() -> None:
    clock = Clock(9)
    with pytest.raises(ClockMovedBackError, match="from 9 to 8 ms"):
        clock.advance(8)
    assert clock.now_ms == 9
