"""How a large order is worked: the Almgren-Chriss trajectory and what it is expected to cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from backtester.domain.calculation import decimal_of, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION


def _effective_eta(*, eta: Decimal, gamma: Decimal, interval: Decimal) -> Fraction:
    """eta - gamma x interval / 2. Raises DomainError unless above 0: permanent impact would pay for fast trading."""
    (temporary, tau) = positive(eta=eta, interval=interval)
    (permanent,) = not_negative(gamma=gamma)
    found = temporary - permanent * tau / 2
    if found <= 0:
        raise DomainError("eta must be above gamma x interval / 2")
    return found


def optimal_holdings(
    *,
    qty: Decimal,
    intervals: int,
    interval: Decimal,
    volatility_quote: Decimal,
    eta: Decimal,
    gamma: Decimal,
    risk_aversion: Decimal,
) -> tuple[Decimal, ...]:
    """What is still held at the ends t_0 .. t_N of equal intervals: qty x sinh(kappa (T - t)) / sinh(kappa T).

    2 (cosh(kappa tau) - 1) / tau^2 = risk aversion x volatility^2 / (eta - gamma tau / 2). Without risk aversion the size goes
    in equal parts. `interval` is tau; volatility, eta and gamma are in quote per square root of, per, and without that unit.
    Source: exchange_semantics.md, section 5.9 (Almgren-Chriss 2000).
    """
    if intervals < 1:
        raise DomainError(f"intervals must be 1 or more, was {intervals}")
    (size,) = positive(qty=qty)
    volatility, aversion = not_negative(volatility_quote=volatility_quote, risk_aversion=risk_aversion)
    (tau,) = positive(interval=interval)
    cosh = 1 + aversion * volatility**2 * tau**2 / (2 * _effective_eta(eta=eta, gamma=gamma, interval=interval))
    root = Fraction(CALCULATION.sqrt(decimal_of(cosh**2 - 1)))
    if not root:
        return tuple(decimal_of(size * (intervals - step) / intervals) for step in range(intervals + 1))
    growth = decimal_of(cosh + root)
    doubled_sinh = [_doubled_sinh(growth, steps) for steps in range(intervals + 1)]
    return tuple(decimal_of(size * doubled_sinh[intervals - step] / doubled_sinh[intervals]) for step in range(intervals + 1))


def _doubled_sinh(growth: Decimal, steps: int) -> Fraction:
    """e^x - e^-x for e^(x / steps) = growth."""
    power = Fraction(CALCULATION.power(growth, steps))
    return power - 1 / power


def expected_cost_quote(
    *, trades: Sequence[Decimal], interval: Decimal, eta: Decimal, gamma: Decimal, fixed_quote: Decimal
) -> Decimal:
    """gamma X^2 / 2 + fixed x sum |n| + (eta - gamma tau / 2) / tau x sum n^2, for trades n of each interval tau.

    `fixed_quote` is half the spread and the fee for one unit (epsilon).
    Source: exchange_semantics.md, section 5.9 (Almgren-Chriss 2000).
    """
    sizes = [not_negative(trade=trade)[0] for trade in trades]
    permanent, fixed = not_negative(gamma=gamma, fixed_quote=fixed_quote)
    (tau,) = positive(interval=interval)
    total = sum(sizes, Fraction(0))
    squares = sum((size**2 for size in sizes), Fraction(0))
    slope = _effective_eta(eta=eta, gamma=gamma, interval=interval) / tau
    return decimal_of(permanent * total**2 / 2 + fixed * total + slope * squares)
