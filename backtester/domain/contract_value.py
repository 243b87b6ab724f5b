"""What contracts are worth at a price: the one place that tells linear from inverse (ADR 014).

`face` is 0 for spot and linear contracts, whose value is size x price. For an inverse one it is what a unit of size stands for in
the quote currency, so that the value in coins is size x face / price (in 1e-16 where sizes and prices count 1e-8 and the face
1e-16). A long loses as that value rises, so positions are booked with the sign of the value turned: -1 / price is a price that
rises with the price, and profit is worth - cost for every kind of contract. Roundings are against the trader.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from backtester.domain import inverse, position
from backtester.domain.money import ceil_div, decimal_from_e8
from backtester.domain.position import Booked


def worth(size: int, price_e8: int, face: int) -> int:
    """What a signed position counts for at a price, in money units; of an inverse long it is negative. 0 without a price."""
    if not face:
        return size * price_e8
    return -size * face // price_e8 if price_e8 else 0


def exact_worth(size: int, price_e8: int, face: int) -> Fraction:
    """`worth`, not rounded. The price is above 0 for an inverse contract."""
    return Fraction(-size * face, price_e8) if face else Fraction(size * price_e8)


def value(size: int, price_e8: int, face: int) -> int:
    """What a size (not negative) is worth at a price, rounded up: margins, fees and reservations are parts of it."""
    if not face:
        return size * price_e8
    return ceil_div(size * face, price_e8) if price_e8 else 0


def price_of(worth_: Fraction, size: int, face: int) -> Fraction:
    """The price in 1e-8 at which a size (not negative) has this value. The value is above 0 for an inverse contract."""
    return size * face / worth_ if face else worth_ / size


def falls_with_price(face: int) -> int:
    """-1 where the value of a contract falls as its price rises, else 1."""
    return -1 if face else 1


def book_fill(lots: int, cost: int, signed_lots: int, price_e8: int, face: int) -> Booked:
    """The position after a trade of whole units at a price; `cost` is what it was worth at its entry (see `worth`).

    The average entry of an inverse position is the harmonic mean by itself. Source: exchange_semantics.md, section 4.1; golden B01.
    """
    if not face:
        return position.book_fill(lots, cost, signed_lots, price_e8)
    booked = inverse.book_at_face(contracts=lots, cost=-cost, signed_contracts=signed_lots, face=face, price_e8=price_e8)
    return Booked(booked.lots, -booked.cost, booked.realised)


def average_entry_e8(size: int, cost: int, face: int) -> int:
    """The average entry price of a position that is not flat, to the nearest 1e-8."""
    if face:
        return (2 * abs(size) * face + abs(cost)) // (2 * abs(cost))
    return (2 * abs(cost) + abs(size)) // (2 * abs(size))


@lru_cache(maxsize=1024)
def average_entry(size: int, cost: int, face: int) -> Decimal:
    """`average_entry_e8` in quote, of a size in 1e-8; asked for at every snapshot, of positions that mostly stay as they were."""
    return decimal_from_e8(average_entry_e8(size, cost, face))
