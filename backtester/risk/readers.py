"""What Risk asks of the account and of the working orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from backtester.domain.orders import OpenOrder, SanitizedOrder
from backtester.domain.vocabulary import Side


class AccountReader(Protocol):
    """What the gate asks of the account."""

    lots: dict[str, int]
    """By symbol, in hedge mode by leg."""

    def free_cash(self) -> int:
        """Money units that new orders may use, before reservations."""

    def equity(self) -> int:
        """Money units: cash plus what open positions are worth at the marks."""

    def unrealised(self) -> int:
        """Money units: profit of the open positions at the marks."""

    def held_by(self, strategy_id: str, position: str) -> int:
        """Signed lots that a strategy holds itself of a position, by its leg (`domain/legs.py`)."""

    def holdings(self) -> Sequence[tuple[str, str, int]]:
        """(strategy_id, symbol or leg, signed lots) of every open position of a strategy."""


class BorrowReader(Protocol):
    """What the gate asks about spot orders that may borrow."""

    def sale(self, symbol: str, lots: int, price_e8_: int, *, working: Mapping[str, int], reserved: int) -> tuple[int, int]:
        """(how much more a sale would owe, its fee included; room for it), beside lots on sale and what purchases hold."""

    def covers(self, symbol: str, signed_lots: int, price_e8_: int) -> bool:
        """Whether a fill borrows nothing more, or no more than the leverage allows."""


class PortfolioReader(Protocol):
    """What the gate asks of an account with several settlement assets."""

    def told(self, symbol: str, units: int) -> int:
        """Money units of the reporting currency for units of the asset that a symbol settles in."""

    def asset_of(self, symbol: str) -> str:
        """The asset that a symbol settles in; empty of one that is there for its price only."""

    def free_cash_in(self, asset: str) -> int:
        """Money units of one asset that new orders may use, before reservations."""


class OptionNeeds(Protocol):
    """What the gate asks about orders in options."""

    def need(self, symbol: str, side: Side, lots: int, opening_lots: int, price_e8_: int) -> int:
        """Money units that an order of `lots`, of which `opening_lots` open, needs at a price in 1e-8."""


class OrderReader(Protocol):
    """What the gate asks of the working orders."""

    def working(self, *, strategy_id: str | None = None, symbol: str | None = None) -> Sequence[OpenOrder]:
        """Working orders in the order they were sent."""

    def owner(self, order_id: str) -> str | None:
        """The strategy of a working order; None when it is not working."""

    def find(self, order_id: str) -> tuple[SanitizedOrder, int, bool] | None:
        """(order, open lots, whether it may still wait for a trigger) of a working order; None when it is not working."""

    def is_used(self, order_id: str) -> bool:
        """Whether an order of this id was ever sent."""

    def is_entry(self, order_id: str, *, held_lots: int) -> bool:
        """Whether the working order was not sent as reduce-only and would open or enlarge, were `held_lots` the position."""

    def entries(self) -> Iterator[tuple[str, Side, int, int]]:
        """(symbol, side, open lots, limit or trigger in ticks, 0 for a market order) of working orders that are not reduce-only."""

    def entry_lots(self, symbol: str, side: Side) -> int:
        """Open lots of all working orders of this side that may open a position."""

    def count(self) -> int:
        """Number of working orders."""
