"""What the positions in a contract that ends are worth, and what their delivery costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backtester.domain import options
from backtester.domain.costs import charged_fee
from backtester.domain.delivery import DELIVERY_FEE_FRAC, ContractSettled, Delivery, Expiry
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import split_leg
from backtester.domain.money import FEE_STEP, ceil_div, decimal_from_e8, e8_from_decimal, size_from_e8
from backtester.domain.option_terms import OptionTerms
from backtester.domain.vocabulary import PositionSide, Side


class DeliveredPart(NamedTuple):
    """A strategy's position as it is closed: what the books need, and what the journal is told. `fee` is in money units."""

    signed_lots: int
    price_e8: int
    fee: int
    message: Delivery


class Deliveries:
    """Positions in contracts that end, settled in cash. Options: at the intrinsic value, with a capped fee where that is above 0.

    Dated futures: at the settlement price, with a fee of their value then.
    Source: exchange_semantics.md, sections 3 and 4.5; golden B06, F05, F06, F07.
    """

    def __init__(self, *, specs: Mapping[str, SymbolSpec], terms: Mapping[str, OptionTerms]) -> None:
        self._contracts = {symbol: spec.option for symbol, spec in specs.items() if spec.option is not None}
        self._specs = specs
        self._terms = terms
        self._count = 0

    def of(
        self, expiry: Expiry, holdings: Sequence[tuple[str, str, int]], *, now_ms: int
    ) -> tuple[ContractSettled, list[DeliveredPart]]:
        """That the contract has ended, and each holding (strategy, symbol or leg, signed lots) in it as it is closed."""
        settlement = decimal_from_e8(expiry.settlement_e8)
        settled = ContractSettled(now_ms, expiry.symbol, settlement, expiry.is_last)
        held = ((strategy_id, *split_leg(position), lots) for strategy_id, position, lots in holdings)
        return settled, [
            self._part(expiry, strategy_id, side, lots, now_ms=now_ms)
            for strategy_id, symbol, side, lots in held
            if symbol == expiry.symbol
        ]

    def _part(self, expiry: Expiry, strategy_id: str, side: PositionSide | None, lots: int, *, now_ms: int) -> DeliveredPart:
        """The end of a position of one strategy."""
        if self._specs[expiry.symbol].option is None:
            value_e8, fee_e8 = expiry.settlement_e8, self._future_fee_e8(expiry, abs(lots))
        else:
            value_e8, fee_e8 = self._option_outcome_e8(expiry, abs(lots))
        spec, settlement = self._specs[expiry.symbol], decimal_from_e8(expiry.settlement_e8)
        self._count += 1
        message = Delivery(
            now_ms,
            expiry.symbol,
            Side.SELL if lots > 0 else Side.BUY,
            size_from_e8(abs(lots) * spec.lot_e8),
            decimal_from_e8(value_e8),
            decimal_from_e8(fee_e8),
            spec.money_asset,
            f"delivery-{self._count}",
            strategy_id,
            settlement,
            abs(lots),
            fee_e8,
            expiry.is_last,
            side,
        )
        return DeliveredPart(-lots, value_e8, fee_e8 * FEE_STEP, message)

    def _future_fee_e8(self, expiry: Expiry, lots: int) -> int:
        """The fee on the value at the settlement price, rounded up once, in whole 1e-8."""
        spec = self._specs[expiry.symbol]
        numerator, denominator = DELIVERY_FEE_FRAC.as_integer_ratio()
        if spec.face:
            return ceil_div(lots * spec.lot_e8 * spec.face * numerator, expiry.settlement_e8 * denominator * FEE_STEP)
        return ceil_div(lots * spec.lot_e8 * expiry.settlement_e8 * numerator, denominator * FEE_STEP)

    def _option_outcome_e8(self, expiry: Expiry, lots: int) -> tuple[int, int]:
        """(what one unit is worth, the fee on all), in whole 1e-8."""
        spec, terms = self._specs[expiry.symbol], self._terms[expiry.symbol]
        contract = self._contracts[expiry.symbol]
        qty, settlement = size_from_e8(lots * spec.lot_e8), decimal_from_e8(expiry.settlement_e8)
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
        return e8_from_decimal(value), e8_from_decimal(charged_fee(outcome.delivery_fee))
