"""Hedge mode: books whose positions are legs, two a symbol; and prices and routes, which know symbols only, for legs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from msgspec.structs import replace

from backtester.account.books import Books
from backtester.domain.account import PositionView
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import leg_of, legs_of, split_leg
from backtester.domain.vocabulary import PositionSide
from backtester.engine.routes import ALWAYS, Band, BarHandler, Routes


def specs_by_leg(specs: Mapping[str, SymbolSpec]) -> dict[str, SymbolSpec]:
    """Each symbol's spec under its long and its short leg."""
    return {leg: spec for symbol, spec in specs.items() for leg in legs_of(symbol)}


class LegMarks(Mapping[str, float]):
    """Prices of symbols, asked for by leg; those of `marks` as they are now."""

    def __init__(self, marks: Mapping[str, float]) -> None:
        self._marks = marks

    def __getitem__(self, leg: str) -> float:
        return self._marks[split_leg(leg)[0]]

    def __iter__(self) -> Iterator[str]:
        return (leg for symbol in self._marks for leg in legs_of(symbol))

    def __len__(self) -> int:
        return 2 * len(self._marks)


class HedgedBooks(Books):
    """Books by leg: `specs`, `marks`, lots and cost are. A long leg is never below 0, a short one never above."""

    def position(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """Signed quantity over all strategies: that of a side, or else of both together."""
        if side is not None:
            return super().position(leg_of(symbol, side))
        return sum((super(HedgedBooks, self).position(leg) for leg in legs_of(symbol)), Decimal(0))

    def _view(self, symbol: str, size_e8: int, entry: Decimal, mark_e8: int, profit: int) -> PositionView:
        view = super()._view(symbol, size_e8, entry, mark_e8, profit)
        traded, side = split_leg(symbol)
        return replace(view, symbol=traded, position_side=side)


class LegRoutes(Routes):
    """Routes for an account of legs: a symbol is on a table while one of its legs is, with what matters to neither as its band."""

    def __init__(self, routes: Routes) -> None:
        super().__init__()
        self._routes = routes
        self.books = routes.books
        self._books_bands: dict[str, Band] = {}
        self._margin_bands: dict[str, Band] = {}

    def enter_books(self, symbol: str, handler: BarHandler, band: Band = ALWAYS) -> None:
        """As `Routes.enter_books`, of a leg."""
        self._books_bands[symbol] = band
        traded = split_leg(symbol)[0]
        self._routes.enter_books(traded, handler, _both(self._books_bands, traded) or ALWAYS)

    def leave_books(self, symbol: str) -> None:
        """As `Routes.leave_books`, of a leg: the other one may keep its symbol there."""
        self._books_bands.pop(symbol, None)
        traded = split_leg(symbol)[0]
        if _both(self._books_bands, traded) is None:
            self._routes.leave_books(traded)

    def clear_books(self) -> None:
        """As `Routes.clear_books`."""
        self._books_bands.clear()
        self._routes.clear_books()

    def enter_margin(self, symbol: str, band: Band) -> None:
        """As `Routes.enter_margin`, of a leg."""
        self._margin_bands[symbol] = band
        traded = split_leg(symbol)[0]
        self._routes.enter_margin(traded, _both(self._margin_bands, traded) or ALWAYS)

    def leave_margin(self, symbol: str) -> None:
        """As `Routes.leave_margin`, of a leg."""
        self._margin_bands.pop(symbol, None)
        traded = split_leg(symbol)[0]
        if _both(self._margin_bands, traded) is None:
            self._routes.leave_margin(traded)


def _both(bands: Mapping[str, Band], symbol: str) -> Band | None:
    """The band within which nothing matters to either leg of a symbol; None where neither has one."""
    found = [bands[leg] for leg in legs_of(symbol) if leg in bands]
    return (max(low for low, _ in found), min(high for _, high in found)) if found else None
