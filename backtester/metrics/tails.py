"""What the worst days cost. Losses are positive fractions; the quantile lies between neighbours by linear interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backtester.metrics.moments import mean

TAIL_DAYS_MIN = 20
"""Below this many returns the worst twentieth is no whole day: metrics.json has no figure of the tails."""


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` (0 to 1) of the sample does not exceed, between neighbours by distance; None without a value."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def value_at_risk(returns: Sequence[float], *, share: float = 0.05) -> float | None:
    """The loss of the period at the edge of the worst `share`, a positive fraction (negative: even that one gained).

    None without a return. Historical method: the quantile of the sample, with its sign turned.
    """
    edge = quantile(returns, share)
    return None if edge is None else -edge


def expected_shortfall(returns: Sequence[float], *, share: float = 0.05) -> float | None:
    """Mean loss of the worst `share` of the periods (CVaR), a positive fraction; None without a return.

    The worst are the lowest 1 + (n - 1) x `share`, rounded down: all up to the edge of `value_at_risk`.
    """
    if not returns:
        return None
    count = math.floor((len(returns) - 1) * share) + 1
    return -mean(sorted(returns)[:count])


def tail_ratio(returns: Sequence[float], *, share: float = 0.05) -> float | None:
    """Size of the quantile at 1 - `share` over size of the one at `share`; None without a return or when that one is 0."""
    low, high = quantile(returns, share), quantile(returns, 1.0 - share)
    if low is None or high is None or low == 0.0:
        return None
    return abs(high) / abs(low)
