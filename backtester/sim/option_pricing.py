"""What a fill of an option costs: its fee goes by the index, with a cap by its own price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backtester.domain import options
from backtester.domain.costs import charged_fee
from backtester.domain.money import CALCULATION, decimal_from_e8, e8_from_decimal, size_from_e8
from backtester.domain.option_terms import OptionTerms
from backtester.domain.vocabulary import Liquidity
from backtester.engine.ports import IndexReader
from backtester.sim.pricing import FillPricing
from backtester.sim.sim_models import checked_rate_bps


class OptionPricing(FillPricing):
    """Pricing of a run with options; of any other symbol it is `FillPricing`."""

    def __init__(self, *, terms: Mapping[str, OptionTerms], index: IndexReader, **pricing: Any) -> None:
        super().__init__(**pricing)
        self._terms = terms
        self._index = index

    def fee_e8(self, symbol: str, ticks: int, lots: int, liquidity: Liquidity) -> int:
        """min(rate x index, cap x option price) x size, rounded up to 1e-8 of the quote asset.

        Source: exchange_semantics.md, section 3 ("Option fee"); golden F01 to F04.
        """
        terms = self._terms.get(symbol)
        if terms is None:
            return super().fee_e8(symbol, ticks, lots, liquidity)
        spec = self._specs[symbol]
        rate_bps = checked_rate_bps(self._fees.rate_bps(symbol=symbol, liquidity=liquidity))
        fee = options.trading_fee(
            index=decimal_from_e8(self._index.index_e8(symbol)),
            price=decimal_from_e8(ticks * spec.tick_e8),
            qty=size_from_e8(lots * spec.lot_e8),
            rate_frac=CALCULATION.scaleb(rate_bps, -4),
            cap_frac=terms.fee_cap_frac,
        )
        return e8_from_decimal(charged_fee(fee))

    def liquidation_fee_e8(self, *, symbol: str, ticks: int, lots: int) -> int:
        """min(rate x index, cap x option price) x size, rounded up. Source: exchange_semantics.md, section 3."""
        terms = self._terms.get(symbol)
        if terms is None:
            return super().liquidation_fee_e8(symbol=symbol, ticks=ticks, lots=lots)
        spec = self._specs[symbol]
        fee = options.liquidation_fee(
            index=decimal_from_e8(self._index.index_e8(symbol)),
            price=decimal_from_e8(ticks * spec.tick_e8),
            qty=size_from_e8(lots * spec.lot_e8),
            rate_frac=terms.liquidation_fee_frac,
            cap_frac=terms.liquidation_cap_frac,
        )
        return e8_from_decimal(charged_fee(fee))
