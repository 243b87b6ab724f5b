"""An order at the simulated venue."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import trigger_rises
from backtester.domain.money import PRICE_ONE
from backtester.domain.orders import SanitizedExits, SanitizedOrder
from backtester.domain.vocabulary import BUY, LIMIT_ORDER, MARKET_ORDER, NO_NOTE, SPOT, FillNote, OrderType, Side
from backtester.sim.trailing import Trail


def holding_of(request: SanitizedOrder | SanitizedExits) -> str:
    """The name of what a request may close: the account's position in its symbol, in hedge mode its strategy's own on that side."""
    return request.symbol if request.position_side is None else f"{request.leg} {request.strategy_id}"


class WorkingOrder(msgspec.Struct, eq=False):
    """What the venue knows of an order: what is open of it, since when it stands, what it waits for. `working_order` makes one.

    `meets_from_ms`: bars that start at or after this time are met over their whole range. `holding`: see `holding_of`.
    `budget_e8` bounds what a spot buy may still cost; None where nothing does. `spec`: the rules in force.
    """

    order: SanitizedOrder
    holding: str
    symbol_index: int
    spec: SymbolSpec
    open_lots: int
    tick_e8: int
    closes_only: bool
    beyond_e8: int = 0
    budget_e8: int | None = None
    limit_e8: int = 0
    through_price: float = 0.0
    trigger_price: float = 0.0
    trail: Trail | None = None
    conditional: bool = False
    rises: bool = False
    waiting: bool = False
    counterpart: WorkingOrder | None = None
    arrived_ms: int = -1
    meets_from_ms: int = -1
    resting: bool = False
    bars_worked: int = 0
    fills: int = 0
    sequence: int = 0
    note: FillNote = NO_NOTE

    def amend(self, order: SanitizedOrder) -> None:
        """The order has the values of `order` from now on; what is filled of it stays filled."""
        self.open_lots += order.qty_lots - self.order.qty_lots
        self.order = order
        self.price(order)

    def on_rules(self, spec: SymbolSpec) -> None:
        """The tick is that of `spec` from now on: the order keeps its price, and is through, or follows, by the new one."""
        self.spec = spec
        if self.beyond_e8:
            self.beyond_e8 = spec.tick_e8 * spec.tick_step
        if self.limit_e8:
            self.price(self.order)
        if self.trail is not None:
            self.trail.on_rules(spec.tick_e8 * spec.tick_step)

    def price(self, order: SanitizedOrder) -> None:
        """Its limit and trigger are those of `order`."""
        self.limit_e8 = order.price_ticks * self.tick_e8
        if self.limit_e8:
            beyond = self.beyond_e8
            self.through_price = (self.limit_e8 - beyond if order.side is Side.BUY else self.limit_e8 + beyond) / PRICE_ONE
        self.trigger_price = order.trigger_ticks * self.tick_e8 / PRICE_ONE

    @property
    def level(self) -> float:
        """The price that this order is about: its trigger, else its limit."""
        return self.trigger_price or self.limit_e8 / PRICE_ONE

    def is_reached(self, price: float) -> bool:
        """Whether a trade at `price` fills this resting limit: through it by a tick, or (touch) at it."""
        return price <= self.through_price if self.order.side is Side.BUY else price >= self.through_price

    @property
    def stop_price(self) -> float:
        """The price that triggers this waiting order now; 0 for a trailing stop that is not active yet."""
        return self.trigger_price if self.trail is None else self.trail.price

    def is_triggered_by(self, price: float) -> bool:
        """Whether a trade at `price` triggers this waiting order."""
        trigger = self.stop_price
        if not trigger:
            return False
        return price >= trigger if self.rises else price <= trigger

    def is_marketable(self, reference_e8: int) -> bool:
        """Whether the limit crosses a market at `reference_e8`; a market order always does."""
        if not self.limit_e8:
            return True
        return self.limit_e8 >= reference_e8 if self.order.side is Side.BUY else self.limit_e8 <= reference_e8


def working_order(order: SanitizedOrder, symbol_index: int, spec: SymbolSpec, touch: bool, borrows: bool) -> WorkingOrder:
    """The order as the venue keeps it. `borrows`: a spot order may borrow what it lacks: neither cash nor holdings bound it."""
    holding = order.symbol if order.position_side is None else holding_of(order)
    working = WorkingOrder(order, holding, symbol_index, spec, order.qty_lots, spec.tick_e8, order.reduce_only)
    if spec.market is SPOT and not borrows:
        if order.side is BUY:
            working.budget_e8 = order.budget_e8
        else:
            working.closes_only = True
    if order.order_type is not MARKET_ORDER:
        if not touch:
            working.beyond_e8 = spec.tick_e8 * spec.tick_step
        working.price(order)
        if order.order_type is not LIMIT_ORDER:
            working.conditional = True
            working.rises = trigger_rises(order.order_type, order.side)
            if order.order_type is OrderType.TRAILING_STOP:
                working.trail = Trail(order, tick_e8=spec.tick_e8, tick_step=spec.tick_step)
    return working


class GoodTill(NamedTuple):
    """On the schedule for the time at which an order's date comes."""

    working: WorkingOrder
