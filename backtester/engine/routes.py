"""Who is called with which symbol's bars, by stage: interest, not broadcast (architecture.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from backtester.domain.candle import Candle
from backtester.engine.topics import Published

BarHandler = Callable[[Candle], Sequence[Published]]


class Routes:
    """Tables of the venue and the books stage. A module enters a symbol while it has business there.

    With `broadcast`, everyone stays on every route; results are the same, only slower.
    """

    def __init__(self, *, symbols: Iterable[str] = (), broadcast: bool = False) -> None:
        self.venue: dict[str, BarHandler] = {}
        self.books: dict[str, BarHandler] = {}
        self._symbols = tuple(symbols)
        self._broadcast = broadcast

    def open_to_all(self, *, venue: BarHandler, books: BarHandler) -> None:
        """Put both modules on all routes when broadcasting; nothing otherwise."""
        if self._broadcast:
            self.venue = dict.fromkeys(self._symbols, venue)
            self.books = dict.fromkeys(self._symbols, books)

    def enter_venue(self, symbol: str, handler: BarHandler) -> None:
        """Bars of `symbol` go to the venue from now on."""
        self.venue[symbol] = handler

    def leave_venue(self, symbol: str) -> None:
        """The venue has no order left that a bar of `symbol` could meet."""
        if not self._broadcast:
            self.venue.pop(symbol, None)

    def enter_books(self, symbol: str, handler: BarHandler) -> None:
        """Bars of `symbol` go to the account from now on."""
        self.books[symbol] = handler

    def leave_books(self, symbol: str) -> None:
        """No position is left in `symbol`."""
        if not self._broadcast:
            self.books.pop(symbol, None)
