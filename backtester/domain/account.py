"""What the account says of itself."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from backtester.domain.message import Message


class PositionView(msgspec.Struct, frozen=True, gc=False):
    """One open position; `qty` is signed, prices in quote."""

    symbol: str
    qty: Decimal
    avg_entry: Decimal
    mark: Decimal
    unrealised_pnl: Decimal


class AccountSnapshot(Message, frozen=True, gc=False, tag="account_snapshot"):
    """Balances at `time_ms`: equity = cash + unrealised (derivatives) or cash + sum(qty * mark) (spot), quote, exact.

    `exposure` is the gross value of open positions at the marks.
    """

    cash: Decimal
    equity: Decimal
    unrealised_pnl: Decimal
    realised_pnl: Decimal
    fees: Decimal
    exposure: Decimal
    positions: tuple[PositionView, ...]
