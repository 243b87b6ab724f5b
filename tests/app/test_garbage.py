from __future__ import annotations

import gc

import pytest

from backtester.app.garbage import rarely_collected


@pytest.fixture(autouse=True)
def own_thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_garbage_is_looked_for_less_often_inside_and_as_before_afterwards() -> None:
    gc.set_threshold(700, 10, 10)
    with rarely_collected():
        assert gc.get_threshold() == (50_000, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(0, 10, 10), (200_000, 5, 5)], ids=["off", "rarer still"])
def test_who_has_asked_for_less_keeps_it(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with rarely_collected():
        assert gc.get_threshold() == own


def test_an_error_inside_puts_it_back() -> None:
    gc.set_threshold(700, 10, 10)
    with pytest.raises(ValueError, match="inside"), rarely_collected():
        raise ValueError("inside")
    assert gc.get_threshold() == (700, 10, 10)


def test_cycles_that_a_strategy_leaves_are_still_collected() -> None:
    class Left:
        count = 0

        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            Left.count += 1

    with rarely_collected():
        for _ in range(120_000):
            Left()
        assert Left.count > 0
