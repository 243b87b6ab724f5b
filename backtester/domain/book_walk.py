"""Walking a book: what an incoming order takes, level by level, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from backtester.domain.calculation import decimal_of, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.vocabulary import Side


class BookWalk(msgspec.Struct, frozen=True):
    """Fills (price, qty) in order, their total and mean price, and what is left; the price is None without a fill."""

    fills: tuple[tuple[Decimal, Decimal], ...]
    filled: Decimal
    rest: Decimal
    average_price: Decimal | None


def walk_book(
    *,
    side: Side,
    qty: Decimal,
    levels: Sequence[tuple[Decimal, Decimal]],
    limit_price: Decimal | None = None,
    all_or_nothing: bool = False,
) -> BookWalk:
    """What an order takes from `levels` (price, qty) of the other side, best first, never beyond `limit_price`.

    A market order has no limit, or its protection price. `all_or_nothing` (fill or kill) takes everything or nothing. What is
    left of an immediate order is cancelled or expires; a resting one goes into the book with it.
    Raises DomainError when the levels are not in order.
    Source: exchange_semantics.md, sections 1.1 and 1.2; golden G01 (FOK), G03 (IOC), G04 (market).
    """
    (wanted,) = positive(qty=qty)
    limit = None if limit_price is None else positive(limit_price=limit_price)[0]
    left, value, taken = wanted, Fraction(0), []
    before: Fraction | None = None
    for price, size in levels:
        (at,) = positive(price=price)
        (offered,) = not_negative(size=size)
        if before is not None and (at - before) * side.sign <= 0:
            raise DomainError(f"levels must go from the best price to worse ones, {price} came too late")
        before = at
        if not left or (limit is not None and (at - limit) * side.sign > 0):
            break
        part = min(left, offered)
        if part:
            left, value = left - part, value + part * at
            taken.append((price, decimal_of(part)))
    if (all_or_nothing and left) or not taken:
        return BookWalk(fills=(), filled=Decimal(0), rest=qty, average_price=None)
    return BookWalk(
        fills=tuple(taken),
        filled=decimal_of(wanted - left),
        rest=decimal_of(left),
        average_price=decimal_of(value / (wanted - left)),
    )
