"""Margin at a fill, where other fills of the same instant are not in the books yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from backtester.domain.orders import Fill, SanitizedOrder
from backtester.risk.reservations import Reservations

Asks = Callable[[SanitizedOrder, int], bool]
Covers = Callable[[SanitizedOrder, int, int], bool]


class TriedBooks(Protocol):
    """What is needed of the books."""

    def state_of(self, position: str) -> tuple[int, int, int]:
        """(cash, size, cost) of a position and of the wallet that it settles in."""

    def with_fills(self, fills: list[Fill]) -> AbstractContextManager[None]:
        """The books are as these fills will leave them, until the end of the block."""


class Unbooked:
    """Answers what the venue asks about margin as the fills that it has made before leave the account.

    Fills of one instant are booked together, after all of it. Until then what they lose, free, open and close counts here: margin
    is checked at the fill (exchange_semantics.md, section 1.1, "margin of an untriggered stop").
    """

    def __init__(self, *, books: TriedBooks, reservations: Reservations, may_trigger: Asks, covers: Covers) -> None:
        self._books = books
        self._reservations = reservations
        self._may_trigger = may_trigger
        self._covers = covers
        self._fills: list[Fill] = []
        self._before: dict[str, tuple[int, int, int]] = {}

    def note(self, fill: Fill) -> None:
        """The fill has happened."""
        if self._fills:
            self._forget_booked(fill.time_ms)
        self._fills.append(fill)
        self._before.setdefault(fill.leg, self._books.state_of(fill.leg))

    def may_trigger(self, order: SanitizedOrder, price_e8: int) -> bool:
        """Whether a waiting order that is triggered now may go on."""
        if not self._has_some():
            return self._may_trigger(order, price_e8)
        with self._books.with_fills(self._fills), self._reservations.without(self._fills):
            return self._may_trigger(order, price_e8)

    def covers(self, order: SanitizedOrder, lots: int, price_e8: int) -> bool:
        """Whether margin is there for a fill of `lots` at this price."""
        if not self._has_some():
            return self._covers(order, lots, price_e8)
        with self._books.with_fills(self._fills), self._reservations.without(self._fills):
            return self._covers(order, lots, price_e8)

    def _has_some(self) -> bool:
        if self._fills:
            self._forget_booked(self._fills[-1].time_ms)
        return bool(self._fills)

    def _forget_booked(self, now_ms: int) -> None:
        """Fills are booked all at once: where a position or its wallet has changed, or the instant, none is left.

        Where nothing has changed they leave everything as it is, and may be counted once more.
        """
        if now_ms != self._fills[-1].time_ms or any(self._books.state_of(leg) != was for leg, was in self._before.items()):
            self._fills.clear()
            self._before.clear()
