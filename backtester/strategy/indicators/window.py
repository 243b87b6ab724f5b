"""Sums without rounding, the ground under the rolling indicators.

A float is a whole number of some power of two, so sums of floats can be kept exactly in Python's integers, and one division
of two integers rounds once. A rolling value is therefore the correctly rounded one of its window: it does not drift however
long it runs, equals its batch form bit for bit, and in a market that stands still two averages of any lengths are equal.
"""

from __future__ import annotations

from collections import deque

from backtester.domain.errors import ConfigError, InvalidPriceError

Scaled = tuple[int, int]
"""(number, bits): the exact value number / 2**bits."""


def whole(name: str, value: int, *, least: int = 1) -> int:
    """`value`. Raises ConfigError unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, was {value!r}")
    return value


def scaled(value: float) -> Scaled:
    """`value` without rounding. Raises InvalidPriceError when it is not finite."""
    try:
        number, denominator = value.as_integer_ratio()
    except (ValueError, OverflowError):
        raise InvalidPriceError(f"indicators take finite numbers, was {value}") from None
    return number, denominator.bit_length() - 1


class ExactSum:
    """A sum of exact terms; `total` / 2**`bits` is its value."""

    __slots__ = ("bits", "total")

    def __init__(self) -> None:
        self.total = 0
        self.bits = 0

    def add(self, number: int, bits: int) -> None:
        """The sum has grown by number / 2**bits."""
        if bits > self.bits:
            self.total <<= bits - self.bits
            self.bits = bits
        self.total += number << (self.bits - bits)


def quotient(above: ExactSum, below: ExactSum) -> float | None:
    """above / below, rounded once; None when `below` is 0."""
    if below.total == 0:
        return None
    return (above.total << below.bits) / (below.total << above.bits)


class RollingSum(ExactSum):
    """The exact sum of the last `length` terms (of all terms there were, before that)."""

    __slots__ = ("_terms", "full", "length")

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = whole("length", length)
        self.full = False
        """Whether `length` terms have come."""
        self._terms: deque[int] = deque()

    def push(self, number: int, bits: int) -> None:
        """The term number / 2**bits is in; the one that is `length` older is out."""
        if bits > self.bits:
            finer = bits - self.bits
            self._terms = deque([term << finer for term in self._terms])
            self.total <<= finer
            self.bits = bits
        else:
            number <<= self.bits - bits
        terms = self._terms
        terms.append(number)
        if self.full:
            number -= terms.popleft()
        elif len(terms) == self.length:
            self.full = True
        self.total += number

    def mean(self) -> float:
        """The mean of `length` terms, rounded once."""
        return self.total / (self.length << self.bits)
