"""What short options of an account must have in margin, and what an order in an option needs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil

from backtester.domain import options
from backtester.domain.calculation import decimal_of
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, MONEY_ONE, PRICE_ONE, ceil_div, decimal_from_e8, price_e8, size_from_e8
from backtester.domain.option_terms import OptionTerms
from backtester.domain.vocabulary import Side
from backtester.engine.ports import IndexReader


class OptionMargins:
    """Margin of the run's options in money units: nothing for a long, whose premium is paid; of a short by index, mark and entry.

    `lots` and `cost` are those of the books, `marks` the last closes. Source: exchange_semantics.md, section 4.5; golden F08, F09.
    """

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        terms: Mapping[str, OptionTerms],
        lots: Mapping[str, int],
        cost: Mapping[str, int],
        marks: Mapping[str, float],
        index: IndexReader,
    ) -> None:
        self._contracts = {symbol: spec.option for symbol, spec in specs.items() if spec.option is not None}
        self._specs = specs
        self._terms = terms
        self._lots = lots
        self._cost = cost
        self._marks = marks
        self._index = index

    def shorts(self) -> list[str]:
        """The options that are held short, in the run's order."""
        return [symbol for symbol in self._contracts if self._lots[symbol] < 0]

    def initial(self) -> int:
        """Initial margin of all short options."""
        return sum(self._initial(symbol, -self._lots[symbol], self._entry(symbol)) for symbol in self.shorts())

    def maintenance(self) -> int:
        """Maintenance margin of all short options."""
        return sum(self._maintenance(symbol) for symbol in self.shorts())

    def need(self, symbol: str, side: Side, lots: int, opening_lots: int, price_e8_: int) -> int:
        """What an order of `lots`, of which `opening_lots` open, costs at a price: a buy its premium, a sale its initial margin.

        The fee beside it is counted at its cap, on all of the order; the premium that a sale brings does not count.
        """
        spec = self._specs[symbol]
        value = lots * price_e8_ * spec.lot_e8
        numerator, denominator = self._terms[symbol].fee_cap_frac.as_integer_ratio()
        fee = ceil_div(value * numerator, denominator * FEE_STEP) * FEE_STEP
        if side is Side.BUY:
            return opening_lots * price_e8_ * spec.lot_e8 + fee
        return self._initial(symbol, opening_lots, decimal_from_e8(price_e8_)) + fee

    def _entry(self, symbol: str) -> Decimal:
        """The average premium of an open position, for one unit."""
        size = self._lots[symbol] * self._specs[symbol].lot_e8
        return decimal_of(Fraction(self._cost[symbol], size * PRICE_ONE))

    def _mark(self, symbol: str) -> Decimal:
        return decimal_from_e8(price_e8(self._marks.get(symbol, 0.0)))

    def _initial(self, symbol: str, lots: int, entry: Decimal) -> int:
        contract, terms = self._contracts[symbol], self._terms[symbol]
        margin = options.short_initial_margin(
            kind=contract.kind,
            strike=contract.strike,
            qty=size_from_e8(lots * self._specs[symbol].lot_e8),
            index=decimal_from_e8(self._index.index_e8(symbol)),
            entry=entry,
            mark=self._mark(symbol),
            initial_frac_max=terms.initial_max_frac,
            initial_frac_min=terms.initial_min_frac,
            maintenance_frac=terms.maintenance_frac,
            liquidation_fee_frac=terms.margin_fee_frac,
        )
        return _money(margin)

    def _maintenance(self, symbol: str) -> int:
        terms = self._terms[symbol]
        margin = options.short_maintenance_margin(
            qty=size_from_e8(-self._lots[symbol] * self._specs[symbol].lot_e8),
            index=decimal_from_e8(self._index.index_e8(symbol)),
            mark=self._mark(symbol),
            maintenance_frac=terms.maintenance_frac,
            liquidation_fee_frac=terms.margin_fee_frac,
        )
        return _money(margin)


def _money(amount: Decimal) -> int:
    """Money units of a margin, rounded up."""
    return ceil(Fraction(amount) * MONEY_ONE)
