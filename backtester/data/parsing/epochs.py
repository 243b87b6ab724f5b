"""Epoch times whose unit is found out value by value: 13 digits are milliseconds, 16 are microseconds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FIRST_US = 946_684_800_000_000
"""2000-01-01: nothing that is traded here has older data, and seconds or nanoseconds fall outside of the range."""
END_US = 4_102_444_800_000_000
"""2100-01-01."""
_US_FROM = 10**14


class EpochTimes(NamedTuple):
    """Times in microseconds (UTC), whether each was one in microseconds, and whether each can be a time at all."""

    us: npt.NDArray[np.int64]
    was_us: npt.NDArray[np.bool_]
    possible: npt.NDArray[np.bool_]


def read_epochs(values: npt.NDArray[np.int64]) -> EpochTimes:
    """Each value read by its own unit; one that is no time from 2000 to 2100 in either unit is not `possible`, its `us` is 0."""
    was_us: npt.NDArray[Any] = values >= _US_FROM
    possible = np.where(
        was_us, (values >= FIRST_US) & (values < END_US), (values >= FIRST_US // 1_000) & (values < END_US // 1_000)
    )
    safe = np.where(possible, values, 0)
    return EpochTimes(np.where(was_us, safe, safe * 1_000), was_us, possible)
