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


def venue_status(*, venue: str, walk: BookWalk, all_or_nothing: bool = False) -> str:
    """The venue's own word for an immediate order (FOK, IOC, market) after its walk; with its code where it refuses.

    `venue` is binance_spot, binance_um, bybit_spot, bybit_linear, bybit_inverse or bybit_option; raises DomainError for others.
    Source: exchange_semantics.md, sections 1.2 and 1.3; golden G01, G03, G04.
    """
    exchange, _, market = venue.partition("_")
    if exchange == "binance" and market in {"spot", "um"}:
        if all_or_nothing and walk.rest and market == "um":
            return "rejected -5021"
        return "EXPIRED" if walk.rest else "FILLED"
    if exchange == "bybit" and market in {"spot", "linear", "inverse", "option"}:
        if not walk.rest:
            return "Filled"
        return "PartiallyFilledCanceled" if market == "spot" and walk.filled else "Cancelled"
    raise DomainError(f"no words are known for the venue {venue!r}")
