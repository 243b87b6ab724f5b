"""Linear contracts: value, entry, profit and break-even, all in the quote (settle) coin.

What an account books is kept in whole lots and money units by `backtester.domain.position`; these are the same rules for
any Decimal, and a test ties the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from backtester.domain.calculation import decimal_of, finite, not_negative, positive, signed_size
from backtester.domain.errors import DomainError

BREAK_EVEN_TAKER_FRAC_MIN = Decimal("0.00055")
"""The venue computes its break-even price with at least this taker rate."""


def value_quote(*, qty: Decimal, price: Decimal) -> Decimal:
    """qty x price, in quote. Source: exchange_semantics.md, section 3; golden A01."""
    size, at = positive(qty=qty, price=price)
    return decimal_of(size * at)


def average_entry(fills: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Sum of qty x price over sum of qty, for fills (qty, price) of one direction; also the mean price of an execution.

    Raises DomainError when there is no fill.
    Source: exchange_semantics.md, section 4.1; golden A05, E03.
    """
    size, value = Fraction(0), Fraction(0)
    for qty, price in fills:
        filled, at = positive(qty=qty, price=price)
        size, value = size + filled, value + filled * at
    if not size:
        raise DomainError("an average needs at least one fill")
    return decimal_of(value / size)


def pnl_quote(*, signed_qty: Decimal, entry: Decimal, exit_price: Decimal) -> Decimal:
    """signed qty x (exit - entry), before fees: realised on a close, unrealised when `exit_price` is the mark.

    Source: exchange_semantics.md, section 4.1; golden A03, A06.
    """
    (signed,) = finite(signed_qty=signed_qty)
    opened, closed = positive(entry=entry, exit_price=exit_price)
    return decimal_of(signed * (closed - opened))


def closed_pnl_quote(
    *, signed_qty: Decimal, entry_value: Decimal, exit_value: Decimal, open_fee: Decimal, close_fee: Decimal
) -> Decimal:
    """What a closed position earned net of both fees; the values are those of its fills, `signed_qty` says the direction.

    Source: exchange_semantics.md, section 4.1 ("closed PnL" is net); golden A03.
    """
    _, sign = signed_size(signed_qty=signed_qty)
    paid, received = positive(entry_value=entry_value, exit_value=exit_value)
    first, second = finite(open_fee=open_fee, close_fee=close_fee)
    return decimal_of(sign * (received - paid) - first - second)


def break_even_price(*, signed_qty: Decimal, entry: Decimal, realised_quote: Decimal, taker_frac: Decimal) -> Decimal:
    """(entry x qty - realised) / (qty - |qty| x taker): closing there as a taker nets 0 after all that was realised before.

    `realised_quote` is what the position has realised so far, fees paid included (negative). The venue takes at least 5.5 bps.
    Source: exchange_semantics.md, section 4.1; golden A08.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    (price,) = positive(entry=entry)
    (realised,) = finite(realised_quote=realised_quote)
    taker, least = not_negative(taker_frac=taker_frac, least=BREAK_EVEN_TAKER_FRAC_MIN)
    if taker >= 1:
        raise DomainError(f"taker_frac must be below 1, was {taker_frac}")
    return decimal_of((price * sign * size - realised) / (sign * size - size * max(taker, least)))
