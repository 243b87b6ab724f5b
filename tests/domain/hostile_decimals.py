"""Process-wide decimal settings as a hostile strategy could leave them."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")
ROUNDINGS = (decimal.ROUND_UP, decimal.ROUND_DOWN, decimal.ROUND_CEILING, decimal.ROUND_FLOOR, decimal.ROUND_05UP)
ALL_SIGNALS = tuple(decimal.Context().traps)


@contextmanager
def hostile(rounding: str, *, trapped: bool) -> Iterator[None]:
    """Two digits, no exponents to speak of, a foreign rounding, and every signal raised or none."""
    with decimal.localcontext() as context:
        context.prec = 2
        context.Emax = 1
        context.Emin = -1
        context.capitals = 0
        context.rounding = rounding
        for signal in ALL_SIGNALS:
            context.traps[signal] = trapped
        yield


def unchanged_by_hostility(compute: Callable[[], Result]) -> Result:
    """What `compute` returns; raises AssertionError if any hostile setting changes it."""
    expected = compute()
    for rounding in ROUNDINGS:
        for trapped in (True, False):
            with hostile(rounding, trapped=trapped):
                found = compute()
            assert found == expected, (rounding, trapped)
    return expected
