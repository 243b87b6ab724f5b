"""Amounts of the settlement assets of a run in its reporting currency, at the last close of one symbol for each asset (ADR 019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from backtester.domain.money import PRICE_ONE, price_e8


class Rate(NamedTuple):
    """How one asset is counted: at the price of `symbol`, by which amounts are multiplied or, where it is quoted the other way
    round, divided. No symbol: one for one (the currency itself, and what is pegged to it). `first_e8` counts until there is a
    close.
    """

    symbol: str = ""
    divides: bool = False
    first_e8: int = PRICE_ONE

    def price_at(self, closes: Mapping[str, float]) -> int:
        """The price in 1e-8 at these last closes."""
        close = closes.get(self.symbol) if self.symbol else None
        return self.first_e8 if close is None else price_e8(close)

    def of(self, units: int, price_e8_: int) -> int:
        """Money units of the currency for `units` of the asset, rounded down."""
        if self.divides:
            return units * PRICE_ONE // price_e8_ if price_e8_ else 0
        return units * price_e8_ // PRICE_ONE


class Currency(NamedTuple):
    """The reporting currency of a run, how each settlement asset is counted in it, and in which asset each symbol settles.

    Symbols that are in the run for their prices only stand in no asset.
    """

    name: str
    rates: Mapping[str, Rate]
    settles: Mapping[str, str]

    def of(self, asset: str, units: int, closes: Mapping[str, float]) -> int:
        """Money units of the currency for `units` of an asset at these last closes, rounded down."""
        rate = self.rates[asset]
        return rate.of(units, rate.price_at(closes)) if rate.symbol else units

    @property
    def price_symbols(self) -> tuple[str, ...]:
        """The symbols whose closes count, each once."""
        return tuple(dict.fromkeys(rate.symbol for rate in self.rates.values() if rate.symbol))
