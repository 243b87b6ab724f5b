"""Funding: who pays what at a settlement, the rate that a venue publishes, and the mark price it is paid on."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from backtester.domain.calculation import decimal_of, finite, positive
from backtester.domain.errors import DomainError
from backtester.domain.timeframe import HOUR_MS, MINUTE_MS

DAMPENER_FRAC = Decimal("0.0005")
"""A rate leaves the premium by at most 5 bps toward the interest rate."""
ASSUMED_FRAC_PER_8H = Decimal("0.0001")
"""What a position pays where a stored series has a hole: 1 bp per 8 hours, whichever its side."""


def payment_quote(*, signed_qty: Decimal, mark: Decimal, rate_frac: Decimal) -> Decimal:
    """-signed qty x mark x rate: what a linear position receives (+) or pays (-); longs pay a positive rate.

    `signed_qty` [base] is what was held before the settlement; its size earlier does not matter.
    Source: exchange_semantics.md, section 4.3; golden C01, A02.
    """
    signed, rate = finite(signed_qty=signed_qty, rate_frac=rate_frac)
    (at,) = positive(mark=mark)
    return decimal_of(-signed * at * rate)


def payment_base(*, signed_qty_quote: Decimal, mark: Decimal, rate_frac: Decimal) -> Decimal:
    """-(signed qty / mark) x rate: what an inverse position receives (+) or pays (-), in coins.

    Source: exchange_semantics.md, section 4.3.
    """
    signed, rate = finite(signed_qty_quote=signed_qty_quote, rate_frac=rate_frac)
    (at,) = positive(mark=mark)
    return decimal_of(-signed / at * rate)


def boundary_payment(*, before: Decimal, after: Decimal) -> Decimal:
    """The payment when a fill lies within the venue's tolerance of the settlement: what the fill owes is charged, never credited.

    `before` and `after` are the payments of the position without and with that fill; the worse one is taken.
    Source: exchange_semantics.md, sections 4.3 and 5.11 (funding).
    """
    without, with_fill = finite(before=before, after=after)
    return decimal_of(min(without, with_fill))


def assumed_payment_quote(*, signed_qty: Decimal, mark: Decimal, interval_ms: int) -> Decimal:
    """What a linear position pays (0 or negative) for an interval without a stored rate: 1 bp per 8 hours of its value.

    Source: exchange_semantics.md, section 5.11 (missing funding).
    """
    (signed,) = finite(signed_qty=signed_qty)
    (at,) = positive(mark=mark)
    return decimal_of(-abs(signed) * at * Fraction(ASSUMED_FRAC_PER_8H) * _hours(interval_ms) / 8)


def assumed_payment_base(*, signed_qty_quote: Decimal, mark: Decimal, interval_ms: int) -> Decimal:
    """`assumed_payment_quote` of an inverse position, in coins."""
    (signed,) = finite(signed_qty_quote=signed_qty_quote)
    (at,) = positive(mark=mark)
    return decimal_of(-abs(signed) / at * Fraction(ASSUMED_FRAC_PER_8H) * _hours(interval_ms) / 8)


def nominal_time_ms(stamp_ms: int) -> int:
    """The settlement's time: its stamp rounded to the nearest minute; stamps run some milliseconds late.

    Source: exchange_semantics.md, section 4.3 ("Times").
    """
    return (stamp_ms + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS


def interest_frac(*, daily_frac: Decimal, interval_ms: int) -> Decimal:
    """The interest part of one interval: daily / (24 h / interval).

    Source: exchange_semantics.md, section 4.3; golden C03.
    """
    (daily,) = finite(daily_frac=daily_frac)
    return decimal_of(daily * _hours(interval_ms) / 24)


def average_premium(premiums: Sequence[Decimal]) -> Decimal:
    """Sum of i x premium i over sum of i, i = 1..n in order of time: the latest minute weighs most.

    Raises DomainError when there is none.
    Source: exchange_semantics.md, section 4.3; golden C04.
    """
    if not premiums:
        raise DomainError("an average premium needs at least one minute")
    total = Fraction(0)
    for weight, premium in enumerate(premiums, start=1):
        total += weight * finite(premium=premium)[0]
    return decimal_of(total * 2 / (len(premiums) * (len(premiums) + 1)))


def funding_rate(
    *,
    premium_frac: Decimal,
    interest_frac: Decimal,
    dampener_frac: Decimal = DAMPENER_FRAC,
    lower_frac: Decimal | None = None,
    upper_frac: Decimal | None = None,
) -> Decimal:
    """premium + clamp(interest - premium, +/- dampener), then kept within the symbol's bounds where they are given.

    Source: exchange_semantics.md, section 4.3; golden C03.
    """
    premium, interest, dampener = finite(premium_frac=premium_frac, interest_frac=interest_frac, dampener_frac=dampener_frac)
    if dampener < 0:
        raise DomainError(f"dampener_frac must not be negative, was {dampener_frac}")
    rate = premium + max(-dampener, min(dampener, interest - premium))
    if upper_frac is not None:
        rate = min(rate, finite(upper_frac=upper_frac)[0])
    if lower_frac is not None:
        rate = max(rate, finite(lower_frac=lower_frac)[0])
    return decimal_of(rate)


def funding_basis_price(*, index: Decimal, last_rate_frac: Decimal, left_ms: int, interval_ms: int) -> Decimal:
    """index x (1 + last rate x time left / interval): what the mark owes to funding still to come.

    Source: exchange_semantics.md, section 4.4; golden C06.
    """
    (at,) = positive(index=index)
    (rate,) = finite(last_rate_frac=last_rate_frac)
    if left_ms < 0:
        raise DomainError(f"left_ms must not be negative, was {left_ms}")
    return decimal_of(at * (1 + rate * Fraction(left_ms, _checked(interval_ms))))


def mark_price(
    *, index: Decimal, last_rate_frac: Decimal, left_ms: int, interval_ms: int, basis_average: Decimal, last: Decimal
) -> Decimal:
    """Mark of a perpetual: the median of `funding_basis_price`, index + average basis, and the last price.

    `basis_average` is the five-minute average of mid price - index, in quote.
    Source: exchange_semantics.md, section 4.4; golden C06.
    """
    first = funding_basis_price(index=index, last_rate_frac=last_rate_frac, left_ms=left_ms, interval_ms=interval_ms)
    at, traded = positive(index=index, last=last)
    (basis,) = finite(basis_average=basis_average)
    return decimal_of(sorted((Fraction(first), at + basis, traded))[1])


def dated_mark_price(*, index: Decimal, basis_frac: Decimal) -> Decimal:
    """Mark of a dated future: index x (1 + ten-minute average basis rate). Source: exchange_semantics.md, section 4.4."""
    (at,) = positive(index=index)
    return decimal_of(at * (1 + finite(basis_frac=basis_frac)[0]))


def settlement_price(index_samples: Sequence[Decimal]) -> Decimal:
    """Mean of the index samples of the settlement window (each second of the last half hour before 08:00 UTC).

    Raises DomainError when there is none. Source: exchange_semantics.md, section 4.4.
    """
    if not index_samples:
        raise DomainError("a settlement price needs at least one sample of the index")
    return decimal_of(sum((positive(index=sample)[0] for sample in index_samples), Fraction(0)) / len(index_samples))


def _hours(interval_ms: int) -> Fraction:
    return Fraction(_checked(interval_ms), HOUR_MS)


def _checked(interval_ms: int) -> int:
    if interval_ms <= 0:
        raise DomainError(f"interval_ms must be above 0, was {interval_ms}")
    return interval_ms
