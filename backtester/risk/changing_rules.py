"""Rounding in a run whose rules change: by the rules in force, and so that a position from before can still be closed."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import OrderIntent
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import SPOT, RejectReason
from backtester.risk.hedging import held_lots
from backtester.risk.order_validation import OrderRounding, Refusal, Rounded
from backtester.risk.readers import AccountReader


class ChangingRounding(OrderRounding):
    """As `OrderRounding`, but an order that closes a whole position of before needs neither lot nor least size of now.

    Venues close a position whole whatever its size: Bybit with a quantity of 0, Binance with closePosition
    (exchange_semantics.md, section 1.2). Spot has no such order: what is less than a lot there cannot be sold.
    """

    def __init__(self, rules: Mapping[str, VenueRules], *, account: AccountReader) -> None:
        super().__init__(rules)
        self._account = account
        self._exact = OrderRounding(rules)
        self._unbound: dict[str, SymbolSpec] = {}
        """By symbol the spec in force, with the run's smallest lot and no least size."""

    def on_rules(self, changed: RulesChanged) -> None:
        """Orders of the symbol are rounded by its new rules from now on."""
        super().on_rules(changed)
        self._unbound.pop(changed.symbol, None)

    def known(self, intent: OrderIntent, spec: SymbolSpec) -> Rounded | None:
        """As `OrderRounding.known`; None where the size may be that of the position."""
        return None if spec.after_change else super().known(intent, spec)

    def round(self, intent: OrderIntent, spec: SymbolSpec) -> Rounded | Refusal:
        """As `OrderRounding.round`; what closes a whole position that does not fit the rules of now is of the position's size."""
        rounded = super().round(intent, spec)
        if not spec.after_change or spec.market is SPOT:
            return rounded
        if isinstance(rounded, Refusal) and rounded.reason not in {RejectReason.LOT_STEP, RejectReason.MIN_QTY}:
            return rounded
        held = held_lots(self._account, intent)
        size = abs(held) if held * intent.side.sign < 0 else 0
        if not size or (isinstance(rounded, Rounded) and rounded.qty_lots >= size):
            return rounded
        exact = self._exact.round(intent, self._unbound_spec(spec))
        if isinstance(exact, Refusal) or not (exact.qty_lots == size or (intent.reduce_only and exact.qty_lots > size)):
            return rounded
        return replace(exact, qty_lots=size)

    def _unbound_spec(self, spec: SymbolSpec) -> SymbolSpec:
        found = self._unbound.get(spec.symbol)
        if found is None:
            lot_size = spec.lot_size / spec.lot_step
            found = self._unbound[spec.symbol] = replace(spec, lot_size=lot_size, lot_step=1, min_qty=type(lot_size)(0))
        return found
