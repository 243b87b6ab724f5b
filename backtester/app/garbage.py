"""How often Python looks for cyclic garbage while a run goes on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 50_000
"""Containers that may come to be before the youngest generation is looked through; Python's own setting is 700."""


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Inside, cyclic garbage is looked for seventy times less often; afterwards as before.

    The engine makes millions of short-lived tuples and no cycles: looking for some cost a run 7 %. What a strategy leaves behind
    in cycles is still collected, some megabytes later.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _NEW_OBJECTS) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
