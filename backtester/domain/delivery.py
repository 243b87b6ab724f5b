"""The end of dated contracts: what is known of it before, and what it did to the account."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from backtester.domain.legs import leg_of
from backtester.domain.message import Message
from backtester.domain.vocabulary import CloseReason, PositionSide, Side

DELIVERY_REASON = CloseReason.DELIVERY.value
"""Reason of the trades that a delivery ends."""


DELIVERY_FEE_FRAC = Decimal("0.0005")
"""Of the value at the settlement price, of dated futures (exchange_semantics.md, section 3; golden B06)."""


class Expiry(NamedTuple):
    """A contract ends at `time_ms` and is settled at `settlement_e8`, a price of its underlying in 1e-8 quote.

    `index_e8` is the last price of the underlying then. `is_last`: no average over the last half hour could be taken, the last
    close stands in for it.
    """

    time_ms: int
    symbol: str
    settlement_e8: int
    index_e8: int
    is_last: bool = False


class ContractSettled(Message, frozen=True, gc=False, tag="contract_settled", omit_defaults=True):
    """A contract has ended: from now on it has no orders and no positions. `is_last`: see `Expiry`."""

    symbol: str
    settlement_price: Decimal
    is_last: bool = False


class Delivery(Message, frozen=True, gc=False, tag="delivery", omit_defaults=True):
    """A strategy's position in a contract that has ended is closed by `side` at `price`, for a delivery fee.

    `price` is that of the settlement, of an option its intrinsic value at it. `fill_id` names it in fills.csv and as the cause of
    its postings. `fee` is in `fee_asset`, in whole 1e-8 of it (`fee_e8`).
    """

    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    fill_id: str
    strategy_id: str
    settlement_price: Decimal
    qty_lots: int
    fee_e8: int
    is_last: bool = False
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that it closed (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)
