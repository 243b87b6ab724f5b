"""Inverse contracts: sizes in quote (USD), value, profit and fees in the base coin.

One contract of `c` USD is worth c / price coins, so a long gains what the coin value of its contracts loses: bookkeeping is
that of `backtester.domain.position` with the sign of the lots turned.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from backtester.domain.calculation import decimal_of, finite, positive
from backtester.domain.errors import DomainError
from backtester.domain.money import MONEY_ONE, ceil_div
from backtester.domain.position import Booked


def value_base(*, qty_quote: Decimal, price: Decimal) -> Decimal:
    """qty / price, in coins of the base. Source: exchange_semantics.md, section 4.1; golden B01, B05."""
    size, at = positive(qty_quote=qty_quote, price=price)
    return decimal_of(size / at)


def average_entry(fills: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Harmonic mean: sum of qty over sum of qty / price, for fills (qty in quote, price) of one direction.

    Raises DomainError when there is no fill.
    Source: exchange_semantics.md, section 4.1; golden B01.
    """
    size, coins = Fraction(0), Fraction(0)
    for qty_quote, price in fills:
        filled, at = positive(qty_quote=qty_quote, price=price)
        size, coins = size + filled, coins + filled / at
    if not size:
        raise DomainError("an average needs at least one fill")
    return decimal_of(size / coins)


def pnl_base(*, signed_qty_quote: Decimal, entry: Decimal, exit_price: Decimal) -> Decimal:
    """signed qty x (1 / entry - 1 / exit), in coins, before fees; unrealised when `exit_price` is the mark.

    Source: exchange_semantics.md, section 4.1; golden B02, B03.
    """
    (signed,) = finite(signed_qty_quote=signed_qty_quote)
    opened, closed = positive(entry=entry, exit_price=exit_price)
    return decimal_of(signed * (1 / opened - 1 / closed))


def fee_base(*, qty_quote: Decimal, price: Decimal, rate_frac: Decimal) -> Decimal:
    """qty / price x rate, in coins, not yet rounded to coin precision: trading fees, and delivery at the settlement price.

    A negative rate is a rebate. Source: exchange_semantics.md, section 3; golden B05, B06.
    """
    size, at = positive(qty_quote=qty_quote, price=price)
    (rate,) = finite(rate_frac=rate_frac)
    return decimal_of(size / at * rate)


def fill_value_money(*, contracts: int, contract_e8: int, price_e8: int, is_buy: bool) -> int:
    """Coin value of a fill in money units (1e-16), rounded against the trader: down for a buy, up for a sale.

    A buyer of contracts gains from coins given at entry and loses those at exit, so the smaller value is the worse one.
    """
    return _value_at_face(contracts, contract_e8 * MONEY_ONE, price_e8, is_buy=is_buy)


def book_fill(*, contracts: int, cost: int, signed_contracts: int, contract_e8: int, price_e8: int) -> Booked:
    """The position after trading `signed_contracts` (+ buys) at a price; `Booked.lots` are contracts.

    `cost` is the signed coin value at entry of what is open, in money units: a long has a positive one, and the average entry
    is contracts x contract size / cost. A reducing fill leaves the average; one that crosses zero closes, then opens at its
    own price. Realised profit is rounded down to a money unit.
    Source: exchange_semantics.md, section 4.1; golden A06 (rule), B01, B03.
    """
    face = contract_e8 * MONEY_ONE
    return book_at_face(contracts=contracts, cost=cost, signed_contracts=signed_contracts, face=face, price_e8=price_e8)


def book_at_face(*, contracts: int, cost: int, signed_contracts: int, face: int, price_e8: int) -> Booked:
    """`book_fill` for contracts (or parts of contracts) that are worth face / price_e8 money units each."""
    is_buy = signed_contracts > 0
    opens = contracts == 0 or (contracts > 0) == is_buy
    closed = 0 if opens else min(abs(contracts), abs(signed_contracts))
    opened = abs(signed_contracts) - closed
    sign = 1 if is_buy else -1
    realised, removed = 0, 0
    if closed:
        closing_value = -sign * _value_at_face(closed, face, price_e8, is_buy=is_buy)
        removed = cost * closed // abs(contracts)
        realised = removed - closing_value
    added = sign * _value_at_face(opened, face, price_e8, is_buy=is_buy)
    return Booked(contracts + signed_contracts, cost - removed + added, realised)


def unrealised_money(*, contracts: int, cost: int, contract_e8: int, mark_e8: int) -> int:
    """Profit not yet realised in money units of the coin at the mark, rounded against the trader.

    Source: exchange_semantics.md, section 4.1; golden B02.
    """
    closing_is_buy = contracts < 0
    value = fill_value_money(contracts=abs(contracts), contract_e8=contract_e8, price_e8=mark_e8, is_buy=closing_is_buy)
    return cost - value if contracts > 0 else cost + value


def _value_at_face(contracts: int, face: int, price_e8: int, *, is_buy: bool) -> int:
    return contracts * face // price_e8 if is_buy else ceil_div(contracts * face, price_e8)
