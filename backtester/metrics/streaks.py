"""Runs of wins and of losses, in the order in which trades ended."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby


def longest_winning_streak(nets: Iterable[int]) -> int:
    """The most trades in a row with a net profit above 0; 0 without one. A result of exactly 0 ends a streak."""
    return _longest(nets, sign=1)


def longest_losing_streak(nets: Iterable[int]) -> int:
    """The most trades in a row with a net result below 0; 0 without one. A result of exactly 0 ends a streak."""
    return _longest(nets, sign=-1)


def _longest(nets: Iterable[int], *, sign: int) -> int:
    return max((sum(1 for _ in run) for hit, run in groupby(nets, key=lambda net: net * sign > 0) if hit), default=0)
