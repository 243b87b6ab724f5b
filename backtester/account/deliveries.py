"""What the positions in a contract that ends are worth, and what their delivery costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backtester.domain import options
from backtester.domain.costs import charged_fee
from backtester.domain.delivery import ContractSettled, Delivery, Expiry
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, decimal_from_e8, e8_from_decimal, size_from_e8
from backtester.domain.option_terms import OptionTerms
from backtester.domain.vocabulary import Side


class DeliveredPart(NamedTuple):
    """A strategy's position as it is closed: what the books need, in lots and money units, and what the journal is told."""

    signed_lots: int
    lot_value: int
    fee: int
    message: Delivery


class Deliveries:
    """Positions of options at their expiry: cash-settled at the intrinsic value, with a capped fee where that is above 0.

    Source: exchange_semantics.md, sections 3 and 4.5; golden F05, F06, F07.
    """

    def __init__(self, *, specs: Mapping[str, SymbolSpec], terms: Mapping[str, OptionTerms]) -> None:
        self._contracts = {symbol: spec.option for symbol, spec in specs.items() if spec.option is not None}
        self._specs = specs
        self._terms = terms
        self._count = 0

    def of(
        self, expiry: Expiry, holdings: Sequence[tuple[str, str, int]], *, now_ms: int
    ) -> tuple[ContractSettled, list[DeliveredPart]]:
        """That the contract has ended, and each holding (strategy, symbol, signed lots) in it as it is closed."""
        settlement = decimal_from_e8(expiry.settlement_e8)
        settled = ContractSettled(now_ms, expiry.symbol, settlement, expiry.is_last)
        return settled, [
            self._part(expiry, strategy_id, lots, now_ms=now_ms)
            for strategy_id, symbol, lots in holdings
            if symbol == expiry.symbol
        ]

    def _part(self, expiry: Expiry, strategy_id: str, lots: int, *, now_ms: int) -> DeliveredPart:
        spec, terms = self._specs[expiry.symbol], self._terms[expiry.symbol]
        contract = self._contracts[expiry.symbol]
        qty, settlement = size_from_e8(abs(lots) * spec.lot_e8), decimal_from_e8(expiry.settlement_e8)
        value = options.intrinsic_value(kind=contract.kind, strike=contract.strike, price=settlement)
        outcome = options.expiry(
            kind=contract.kind,
            strike=contract.strike,
            qty=qty,
            delivery_price=settlement,
            index=decimal_from_e8(expiry.index_e8) if terms.delivery_by_index else settlement,
            fee_frac=terms.delivery_fee_frac,
            cap_frac=terms.delivery_cap_frac,
        )
        value_e8, fee_e8 = e8_from_decimal(value), e8_from_decimal(charged_fee(outcome.delivery_fee))
        self._count += 1
        message = Delivery(
            now_ms,
            expiry.symbol,
            Side.SELL if lots > 0 else Side.BUY,
            qty,
            decimal_from_e8(value_e8),
            decimal_from_e8(fee_e8),
            spec.quote,
            f"delivery-{self._count}",
            strategy_id,
            settlement,
            abs(lots),
            fee_e8,
            expiry.is_last,
        )
        return DeliveredPart(-lots, value_e8 * spec.lot_e8, fee_e8 * FEE_STEP, message)
