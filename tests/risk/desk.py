"""A risk gate with an account and working orders that a test sets by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from backtester.account.books import Books
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import money_from_decimal
from backtester.domain.orders import OrderRefused, SanitizedCancel, SanitizedOrder
from backtester.domain.vocabulary import Market
from backtester.engine.clock import Clock
from backtester.engine.topics import T_CONTROL, T_ORDERS_REFUSED, T_ORDERS_SANITIZED
from backtester.execution.working_orders import OrderRecord, WorkingOrders
from backtester.risk.gate import RiskGate
from backtester.risk.limits import RiskLimits
from backtester.sim.trigger_prices import LastPricesOnly
from tests.sim.small_run import A, intent_of, spec


class Desk:
    """One symbol at a mark, a position, cash, and the gate between them and the venue."""

    def __init__(
        self,
        *,
        rules: SymbolSpec | None = None,
        mark: float | None = 100.0,
        held: str = "0",
        cash: str = "1000000",
        entry: str = "100",
        fee_bps: str = "0",
        **limits: Any,
    ) -> None:
        self.spec = rules or spec()
        symbol = self.spec.symbol
        self.clock = Clock(1_000)
        self.marks: dict[str, float] = {symbol: mark} if mark is not None else {}
        specs = {symbol: self.spec}
        self.books = Books(specs=specs, starting_cash=money_from_decimal(Decimal(cash)), quote="USDT", marks=self.marks)
        lots = int(Decimal(held) / self.spec.lot_size)
        self.books.lots[symbol] = lots
        self.books.cost[symbol] = int(Decimal(held) * Decimal(entry) * 10**16)
        if lots:
            self.books.strategy_sizes["s", symbol] = lots
        self.orders = WorkingOrders(specs=specs)
        self.gate = RiskGate(
            specs=specs,
            limits=RiskLimits(fee_bps={symbol: Decimal(fee_bps)}, **limits),
            account=self.books,
            orders=self.orders,
            marks=self.marks,
            clock=self.clock,
            trigger_prices=LastPricesOnly().require,
        )
        self.count = 0

    def send(self, text: str, **facts: Any) -> str:
        """`ok` or the reason of the refusal of `buy 1 at 99`; an order that passes works from then on."""
        self.count += 1
        return self.send_intent(intent_of([f"o{self.count}", *text.split()], self.spec.symbol), **facts)

    def send_intent(self, intent: Any, **facts: Any) -> str:
        intent = msgspec.structs.replace(intent, strategy_id="s", time_ms=self.clock.now_ms, **facts)
        outcomes = []
        for topic, message in self.gate.on_intent(intent):
            if topic is T_CONTROL:
                continue
            if isinstance(message, OrderRefused):
                assert topic is T_ORDERS_REFUSED
                assert message.detail
                outcomes.append(message.reason.value)
            else:
                assert topic is T_ORDERS_SANITIZED
                if isinstance(message, SanitizedOrder):
                    self.orders.records[message.order_id] = OrderRecord(message, message.qty_lots)
                    self.orders.chosen_ids.add(message.order_id)
                outcomes.append("ok")
            self.last = message
        return " ".join(outcomes)

    @property
    def order(self) -> SanitizedOrder:
        """The order that passed last."""
        assert isinstance(self.last, SanitizedOrder)
        return self.last

    @property
    def canceled(self) -> SanitizedCancel:
        """The cancel that passed last."""
        assert isinstance(self.last, SanitizedCancel)
        return self.last


def spot(**rules: Any) -> SymbolSpec:
    """A spot symbol."""
    return spec(A, market=Market.SPOT, **rules)
