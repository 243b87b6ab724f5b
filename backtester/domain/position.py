"""Average-cost accounting of one position, in whole lots and money units (exchange_semantics.md, section 4.1).

A reducing fill leaves the average entry unchanged; a fill that crosses zero closes, then opens at its own price (A06).
"""

from __future__ import annotations

import msgspec


class Booked(msgspec.Struct, frozen=True, gc=False):
    """A position after a fill, and the profit the fill realised (before fees), in money units."""

    lots: int
    cost: int
    realised: int


def book_fill(lots: int, cost: int, signed_lots: int, lot_value: int) -> Booked:
    """The position after trading `signed_lots` at `lot_value` money units a lot.

    `cost` is the signed entry value of what is open: lots x average entry. Realised profit is rounded down to a money unit;
    the rest stays in `cost`, so value is conserved: cash flow + change of cost = realised, always.
    """
    if not lots or (lots > 0) == (signed_lots > 0):
        return Booked(lots + signed_lots, cost + signed_lots * lot_value, 0)
    if lots == -signed_lots:
        return Booked(0, 0, lots * lot_value - cost)
    flow = -signed_lots * lot_value
    closed = min(abs(signed_lots), abs(lots))
    closing_flow = closed * lot_value if lots > 0 else -closed * lot_value
    removed = -(-cost * closed // abs(lots))
    rest_flow = flow - closing_flow
    return Booked(lots + signed_lots, cost - removed - rest_flow, closing_flow - removed)


def whole_lots(size_e8: int, lot_e8: int) -> int:
    """Signed whole lots in a size of 1e-8, toward zero: what of it can be traded."""
    return size_e8 // lot_e8 if size_e8 >= 0 else -(-size_e8 // lot_e8)


def unrealised(*, lots: int, cost: int, mark_value: int) -> int:
    """Profit not yet realised, in money units, when a lot is worth `mark_value` money units."""
    return lots * mark_value - cost


def fee_legs(*, fee: int, lots: int, signed_lots: int) -> tuple[int, int]:
    """(closing, opening) part of a fill's whole-numbered fee, in proportion to the lots; they sum to `fee`.

    A fill that does not cross zero has one leg. The closing leg of a crossing one is rounded up.
    Source: exchange_semantics.md, section 4.1; golden A06.
    """
    closed = min(abs(lots), abs(signed_lots)) if lots * signed_lots < 0 else 0
    closing = -(-fee * closed // abs(signed_lots))
    return closing, fee - closing
