"""How much of the time, and with how much, there was a position."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


class Leverage(msgspec.Struct, frozen=True, kw_only=True):
    """Notional over equity at fixed instants: gross counts longs and shorts alike, net one against the other."""

    gross_mean: float | None
    gross_max: float | None
    net_mean: float | None


def exposure(*, instants_in_position: int, instants: int) -> float | None:
    """Share of time with a position open; None when no time was seen."""
    return instants_in_position / instants if instants else None


def leverage(marks: Sequence[tuple[int, int, int]]) -> Leverage:
    """Leverage at marks of (equity, gross notional, net notional) in one unit; those without positive equity are left out.

    None where no mark is left.
    """
    gross = [mark[1] / mark[0] for mark in marks if mark[0] > 0]
    net = [mark[2] / mark[0] for mark in marks if mark[0] > 0]
    if not gross:
        return Leverage(gross_mean=None, gross_max=None, net_mean=None)
    return Leverage(gross_mean=math.fsum(gross) / len(gross), gross_max=max(gross), net_mean=math.fsum(net) / len(net))
