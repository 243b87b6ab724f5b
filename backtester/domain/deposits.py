"""Coins that an account begins with (`account.balances`)."""

from __future__ import annotations

from decimal import Decimal

from backtester.domain.message import Message
from backtester.domain.money import e8_from_decimal


class CoinsDeposited(Message, frozen=True, gc=False, tag="coins_deposited"):
    """The account begins with `qty` of `asset`, held in the spot market `symbol` and valued at `price`, the first there is.

    They are the position of the strategy `strategy_id`, entered at that price without a fee.
    """

    symbol: str
    asset: str
    qty: Decimal
    price: Decimal
    strategy_id: str

    @property
    def leg(self) -> str:
        """The position that they are (`domain/legs.py`): spot has one a symbol."""
        return self.symbol

    @property
    def size_e8(self) -> int:
        """The quantity in whole 1e-8."""
        return e8_from_decimal(self.qty)

    @property
    def value(self) -> int:
        """What the coins are worth at that price, in money units."""
        return self.size_e8 * e8_from_decimal(self.price)


class CashDeposited(Message, frozen=True, gc=False, tag="cash_deposited"):
    """A run of several settlement assets begins with `amount` of `asset`.

    `price` is the first one of the symbol by which the asset is counted in the reporting currency; 1 where it needs none.
    """

    asset: str
    amount: Decimal
    price: Decimal
