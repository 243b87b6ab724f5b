"""Comparing a result with a worked example: exact where the example ends, to 1e-12 of its size where it was cut."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

CUT_DIGITS = 28
TOLERANCE = Fraction(1, 10**12)


def matches(found: Decimal, expected: str) -> bool:
    """Whether `found` is the example's number; one with 28 significant digits was cut there."""
    number = Decimal(expected)
    if len(number.as_tuple().digits) < CUT_DIGITS - 2:
        return found == number
    return abs(Fraction(found) - Fraction(number)) <= abs(Fraction(number)) * TOLERANCE


def decimals(*texts: str) -> tuple[Decimal, ...]:
    """Each text as a Decimal."""
    return tuple(Decimal(text) for text in texts)
