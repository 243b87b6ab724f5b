"""The normal distribution in decimal arithmetic: the error function of a C library differs between machines."""

from __future__ import annotations

import math
from decimal import Decimal
from statistics import NormalDist

from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION

_FAR = 6
"""From this many deviations on, the tail is computed by itself rather than as what is left of 1/2."""
_BEYOND = 38
"""Further out, a float holds 0 or 1."""
_FRACTION_DEPTH = 120
_ROOT_OF_TWO_PI = CALCULATION.sqrt(Decimal("6.28318530717958647692528676655900576839433879875021164194989"))
_STEPS = 4


def normal_cdf(value: float) -> float:
    """Share of a standard normal distribution at or below `value`, 0 to 1. Raises DomainError for what is no number."""
    if math.isnan(value):
        raise DomainError("a share of the normal distribution at what is no number is undefined")
    if abs(value) > _BEYOND:
        return 0.0 if value < 0 else 1.0
    return float(_cdf(Decimal(value)))


def normal_quantile(share: float) -> float:
    """The value below which `share` of a standard normal distribution lies. Raises DomainError outside 0 < share < 1."""
    if not 0.0 < share < 1.0:
        raise DomainError(f"a share of the normal distribution must lie between 0 and 1, was {share}")
    wanted, place = Decimal(share), Decimal(NormalDist().inv_cdf(share))
    for _ in range(_STEPS):
        missing = CALCULATION.subtract(_cdf(place), wanted)
        place = CALCULATION.subtract(place, CALCULATION.divide(missing, _density(place)))
    return float(place)


def _density(value: Decimal) -> Decimal:
    power = CALCULATION.exp(CALCULATION.divide(CALCULATION.multiply(value, value), Decimal(-2)))
    return CALCULATION.divide(power, _ROOT_OF_TWO_PI)


def _cdf(value: Decimal) -> Decimal:
    if abs(value) < _FAR:
        return CALCULATION.add(Decimal("0.5"), _from_the_middle(value))
    tail = _tail(CALCULATION.abs(value))
    return tail if value < 0 else CALCULATION.subtract(Decimal(1), tail)


def _from_the_middle(value: Decimal) -> Decimal:
    """Density x (x + x^3/3 + x^5/15 + ...): all terms have one sign, so the sum loses nothing."""
    square = CALCULATION.multiply(value, value)
    term = total = value
    divisor = 1
    while CALCULATION.add(total, term) != total:
        divisor += 2
        term = CALCULATION.divide(CALCULATION.multiply(term, square), Decimal(divisor))
        total = CALCULATION.add(total, term)
    return CALCULATION.multiply(_density(value), total)


def _tail(value: Decimal) -> Decimal:
    """Density / (x + 1/(x + 2/(x + 3/(x + ...)))), Laplace's continued fraction, from its far end."""
    below = value
    for depth in range(_FRACTION_DEPTH, 0, -1):
        below = CALCULATION.add(value, CALCULATION.divide(Decimal(depth), below))
    return CALCULATION.divide(_density(value), below)
