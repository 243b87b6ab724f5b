"""Funding settlements of a run: what is known of one before, and what it did to the account."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from backtester.domain.legs import leg_of
from backtester.domain.message import Message
from backtester.domain.vocabulary import PositionSide


class Settlement(NamedTuple):
    """One settlement of one symbol at its nominal time. A positive rate is paid by longs to shorts.

    `mark_e8` is the mark price then in 1e-8 quote; None where none is stored: the last close takes its place. `is_assumed`: the
    series has a hole here, and the rate is charged to whoever holds a position, long or short.
    """

    time_ms: int
    symbol: str
    rate: Decimal
    mark_e8: int | None
    is_assumed: bool = False


class FundingPaid(Message, frozen=True, gc=False, tag="funding_paid", omit_defaults=True):
    """A settlement has met a position: `amount` quote was received (+) or paid (-) on `qty` held before it, at `mark`.

    `is_last`: the last close stood in for the mark.
    """

    symbol: str
    qty: Decimal
    rate: Decimal
    mark: Decimal
    amount: Decimal
    is_last: bool = False
    is_assumed: bool = False
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that it met (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)
