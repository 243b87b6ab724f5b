"""What the account says of itself."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from backtester.domain.legs import leg_of
from backtester.domain.message import Message
from backtester.domain.vocabulary import PositionSide


class PositionView(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One open position; `qty` is signed, prices in quote.

    A mark that reaches `liquidation_price` liquidates it, cross: while the other positions' marks stay; None where none does.
    """

    symbol: str
    qty: Decimal
    avg_entry: Decimal
    mark: Decimal
    unrealised_pnl: Decimal
    liquidation_price: Decimal | None = None
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The name under which the position is kept (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)


class CoinBalance(msgspec.Struct, frozen=True, gc=False):
    """How much of a coin a spot account holds; negative where it is borrowed."""

    asset: str
    amount: Decimal


class AssetPrice(msgspec.Struct, frozen=True, gc=False):
    """The price by which a settlement asset is counted in the reporting currency; 1 where it needs none."""

    asset: str
    price: Decimal


class AccountSnapshot(Message, frozen=True, gc=False, tag="account_snapshot", omit_defaults=True):
    """Balances at `time_ms`: equity = cash + unrealised (derivatives) or cash + sum(qty * mark) (spot), quote, exact.

    `exposure` is the gross value of open positions at the marks. `initial_margin` (at the entries) and `maintenance_margin` (at the
    marks) are those of a run with leverage above 1, None in any other. `balances` are the coins of a spot account,
    `owed` what it has borrowed, interest included.

    In a run with a reporting currency all sums are in that, at `prices`, each asset's part rounded down; `balances` are the wallets
    of the settlement assets, and views of positions are in theirs.
    """

    cash: Decimal
    equity: Decimal
    unrealised_pnl: Decimal
    realised_pnl: Decimal
    fees: Decimal
    exposure: Decimal
    positions: tuple[PositionView, ...]
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    balances: tuple[CoinBalance, ...] = ()
    owed: tuple[CoinBalance, ...] = ()
    prices: tuple[AssetPrice, ...] = ()
