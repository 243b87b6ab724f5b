"""Who is called with which symbol's bars, by stage: interest, not broadcast (architecture.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from backtester.domain.candle import Candle
from backtester.engine.topics import Published

BarHandler = Callable[[Candle], Sequence[Published]]

Band = tuple[float, float]
"""(low, high): a bar strictly between has nothing for the handler, which need not be called."""

ALWAYS: Band = (float("inf"), float("-inf"))
"""The band that no bar is within."""

Route = tuple[BarHandler, float, float]


class Routes:
    """Tables of the venue and the books stage. A module enters a symbol while it has business there, with the band of prices
    that do not matter to it: the venue is called unless the bar's whole range is within, the account unless the close is.

    With `broadcast`, everyone is called with every bar; results are the same, only slower.
    """

    def __init__(self, *, symbols: Iterable[str] = (), broadcast: bool = False) -> None:
        self.venue: dict[str, Route] = {}
        self.books: dict[str, Route] = {}
        self.margin: dict[str, Band] = {}
        """Symbols with a position that may be liquidated; then they are on `books` too. The margin check has no handler here:
        it looks at all bars of an instant at once."""
        self.any = broadcast
        """Whether somebody stands on `venue` or `books`."""
        self._symbols = tuple(symbols)
        self._broadcast = broadcast

    def open_to_all(self, *, venue: BarHandler, books: BarHandler, margin: bool = False) -> None:
        """Put both modules on all routes when broadcasting; nothing otherwise."""
        if self._broadcast:
            self.margin = dict.fromkeys(self._symbols, ALWAYS) if margin else {}
            self.venue = dict.fromkeys(self._symbols, (venue, *ALWAYS))
            self.books = dict.fromkeys(self._symbols, (books, *ALWAYS))

    def enter_venue(self, symbol: str, handler: BarHandler, band: Band) -> None:
        """Bars of `symbol` go to the venue from now on, but those within the band."""
        if not self._broadcast:
            self.venue[symbol] = (handler, *band)
            self.any = True

    def leave_venue(self, symbol: str) -> None:
        """The venue has no order left that a bar of `symbol` could meet."""
        if not self._broadcast:
            self.venue.pop(symbol, None)
            self.any = bool(self.venue or self.books)

    def enter_books(self, symbol: str, handler: BarHandler, band: Band = ALWAYS) -> None:
        """Bars of `symbol` go to the account from now on, but those that close within the band."""
        if not self._broadcast:
            self.books[symbol] = (handler, *band)
            self.any = True

    def enter_margin(self, symbol: str, band: Band) -> None:
        """Bars of `symbol` are looked at for liquidations from now on, but those whose whole range is within the band."""
        if not self._broadcast:
            self.margin[symbol] = band

    def leave_margin(self, symbol: str) -> None:
        """No position is left in `symbol` that could be liquidated."""
        if not self._broadcast:
            self.margin.pop(symbol, None)

    def clear_books(self) -> None:
        """The account has nothing to watch in any symbol."""
        if not self._broadcast:
            self.books.clear()
            self.any = bool(self.venue)

    def leave_books(self, symbol: str) -> None:
        """No position is left in `symbol`."""
        if not self._broadcast:
            self.books.pop(symbol, None)
            self.any = bool(self.venue or self.books)
