"""Borrowing on spot (`account.borrow`): what may be borrowed, what an hour costs, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from backtester.domain.message import Message
from backtester.domain.money import PRICE_ONE, decimal_from_money, e8_from_decimal
from backtester.domain.spot_costs import hourly_interest, next_interest_ms


class BorrowTerms(NamedTuple):
    """The terms of a run in which spot is borrowed on; `rates` are hourly fractions by asset, one for each that can be borrowed.

    Borrowed value may be `leverage` - 1 times equity when something is borrowed; equity / borrowed value at or below `liquidation`
    ends the positions.
    """

    rates: Mapping[str, Decimal]
    leverage: Decimal
    liquidation: Decimal


class InterestDue(NamedTuple):
    """On the schedule: interest is charged now."""

    time_ms: int


class InterestCharged(Message, frozen=True, gc=False, tag="interest_charged", omit_defaults=True):
    """An hour's interest on `owed` of `asset` was added to what is owed: `amount` of it, worth `value` in quote at `price`.

    `symbol` is the spot position that the coin was sold in, of the strategy `strategy_id`; both are empty for quote, whose `price`
    is 1.
    """

    asset: str
    owed: Decimal
    rate: Decimal
    amount: Decimal
    price: Decimal
    symbol: str = ""
    strategy_id: str = ""

    @property
    def leg(self) -> str:
        """The position that grew (`domain/legs.py`): spot has one a symbol."""
        return self.symbol

    @property
    def amount_e8(self) -> int:
        """The interest in whole 1e-8 of the asset."""
        return e8_from_decimal(self.amount)

    @property
    def value(self) -> int:
        """What the interest is worth in quote, in money units."""
        return self.amount_e8 * e8_from_decimal(self.price)


def charged_interest_e8(owed: int, rate: Decimal) -> int:
    """An hour's interest on `owed` money units (1e-16 of the asset) in whole 1e-8 of it, rounded up: against the trader.

    Source: exchange_semantics.md, section 4.6 (borrowed x hourly rate); golden E07.
    """
    exact = hourly_interest(borrowed=decimal_from_money(owed), hourly_frac=rate)
    return ceil(Fraction(exact) * PRICE_ONE)


def interest_instants(*, start_ms: int, end_ms: int) -> Iterator[InterestDue]:
    """Every charge after the start and up to the end of a run: five minutes past each full hour."""
    time_ms = next_interest_ms(start_ms)
    while time_ms <= end_ms:
        yield InterestDue(time_ms)
        time_ms = next_interest_ms(time_ms)


def room(*, equity: int, borrowed: int, leverage: Decimal) -> int:
    """Money units that may still be borrowed: (leverage - 1) x equity less what is; below 0 where that is too much."""
    numerator, denominator = (leverage - 1).as_integer_ratio()
    return equity * numerator // denominator - borrowed


def is_due(*, equity: int, borrowed: int, liquidation: Decimal) -> bool:
    """Whether equity / borrowed value has reached the level at which positions are closed; never where nothing is borrowed."""
    numerator, denominator = liquidation.as_integer_ratio()
    return borrowed > 0 and equity * denominator <= borrowed * numerator
