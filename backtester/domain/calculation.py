"""How the formulas compute: exact fractions inside, one correctly rounded Decimal at the end.

Numbers come in as `Decimal` and are turned into fractions of whole numbers, so a quotient of quotients loses nothing on the
way. A result that ends within 60 digits is exact; any other is the nearest number of 60 digits. Settings of the process
cannot change either.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION

_FIRST_DIGIT_MAX = 60
"""Beyond 10^60 or below 10^-60 nothing is a price, a size or a rate."""


def fraction_of(value: Decimal, *, what: str) -> Fraction:
    """`value` as an exact fraction. Raises DomainError, naming `what`, unless it is a finite Decimal of a sane size."""
    if not isinstance(value, Decimal):
        raise DomainError(f"{what} must be a Decimal, was {type(value).__name__}")
    if not value.is_finite():
        raise DomainError(f"{what} must be finite, was {value}")
    if value and abs(value.adjusted()) > _FIRST_DIGIT_MAX:
        raise DomainError(f"{what} is out of any market's range: its first digit stands at 10^{value.adjusted()}")
    return Fraction(value)


def positive(**values: Decimal) -> tuple[Fraction, ...]:
    """The named values as exact fractions, in order. Raises DomainError unless each is finite and above 0."""
    found = finite(**values)
    for name, value in zip(values, found, strict=True):
        if value <= 0:
            raise DomainError(f"{name} must be above 0, was {values[name]}")
    return found


def not_negative(**values: Decimal) -> tuple[Fraction, ...]:
    """The named values as exact fractions, in order. Raises DomainError unless each is finite and 0 or more."""
    found = finite(**values)
    for name, value in zip(values, found, strict=True):
        if value < 0:
            raise DomainError(f"{name} must not be negative, was {values[name]}")
    return found


def finite(**values: Decimal) -> tuple[Fraction, ...]:
    """The named values as exact fractions, in order. Raises DomainError unless each is finite."""
    return tuple(fraction_of(value, what=name) for name, value in values.items())


def sign_of(value: Fraction) -> int:
    """+1, 0 or -1."""
    return (value > 0) - (value < 0)


def signed_size(**value: Decimal) -> tuple[Fraction, int]:
    """The size of one named signed quantity and its sign (+1 long, -1 short). Raises DomainError when it is 0."""
    (signed,) = finite(**value)
    if not signed:
        raise DomainError(f"{next(iter(value))} must not be 0: there is no position")
    return abs(signed), sign_of(signed)


def decimal_of(fraction: Fraction) -> Decimal:
    """`fraction` as a Decimal: exact when it ends within 60 digits, else the nearest number of 60 digits."""
    return CALCULATION.divide(Decimal(fraction.numerator), Decimal(fraction.denominator))
