"""Amendments of working orders: rounded and checked as a new order is, and what is held for them while the venue decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec.structs import replace

from backtester.domain.errors import InvalidPriceError, InvalidQuantityError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import AmendOrderIntent, trigger_rises
from backtester.domain.money import price_e8
from backtester.domain.orders import OrderAmended, SanitizedAmend, SanitizedOrder
from backtester.domain.rounding import price_ticks, qty_lots
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import Market, OrderType, RejectReason, Side
from backtester.engine.clock import Clock
from backtester.risk.order_validation import Refusal, Rounded
from backtester.risk.readers import AccountReader, OrderReader
from backtester.risk.reservations import Reservations


class Reserve(Protocol):
    """How much is to be held for an order that opens."""

    def __call__(
        self, spec: SymbolSpec, rounded: Rounded, opening_lots: int, *, order_e8: int, is_limit: bool, side: Side
    ) -> int | Refusal:
        """Money units, or the refusal that there is not enough."""


class EntryRails(Protocol):
    """The rails of an order that opens."""

    def __call__(self, spec: SymbolSpec, side: Side, rounded: Rounded, more_lots: int, more_value: int) -> Refusal | None:
        """The first that is broken by an order as rounded, which opens `more_lots` and `more_value` (money units) than before."""


class Amendments:
    """Checks amendments when they are asked for, and again, for their margin, when the venue makes them."""

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        rules: Mapping[str, VenueRules],
        account: AccountReader,
        orders: OrderReader,
        marks: Mapping[str, float],
        clock: Clock,
        reservations: Reservations,
        reserve: Reserve,
        entry_rails: EntryRails,
    ) -> None:
        self._specs = specs
        self._rules = rules
        self._account = account
        self._orders = orders
        self._marks = marks
        self._clock = clock
        self._reservations = reservations
        self._reserve = reserve
        self._entry_rails = entry_rails
        self._granted: dict[str, list[tuple[SanitizedOrder, int]]] = {}
        """What was held at the venue for amendments whose reports are still to come, in order."""

    def sanitized(self, intent: AmendOrderIntent) -> SanitizedAmend | Refusal:
        """The request in whole lots and ticks, or why it may not pass. What only closes, or only gets smaller, breaks no rail."""
        found = self._orders.find(intent.order_id)
        if found is None or found[0].strategy_id != intent.strategy_id:
            return Refusal(RejectReason.UNKNOWN_ORDER, f"order {intent.order_id!r} is not working: filled, ended or never sent")
        order, open_lots, waits = found
        spec, rules = self._specs[order.symbol], self._rules.get(order.symbol, GENERIC)
        changed = amended_order(intent, order, spec=spec, rules=rules, waits=waits)
        if isinstance(changed, Refusal):
            return changed
        more = changed.qty_lots - order.qty_lots
        if not is_only_smaller(changed, order) and self._opening_lots(changed, open_lots + more):
            rounded = Rounded(changed.qty_lots, changed.price_ticks, changed.trigger_ticks if waits else 0)
            more_value = self._value(changed, open_lots + more) - self._value(order, open_lots)
            broken = self._entry_rails(spec, order.side, rounded, more, more_value)
            need = self._need(changed, open_lots + more, waits=waits) if broken is None else broken
            if isinstance(need, Refusal):
                return need
        return SanitizedAmend(
            time_ms=self._clock.now_ms,
            order_id=order.order_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            qty_lots=0 if intent.qty is None else changed.qty_lots,
            price_ticks=0 if intent.price is None else changed.price_ticks,
            trigger_ticks=0 if intent.trigger_price is None else changed.trigger_ticks,
        )

    def _opening_lots(self, order: SanitizedOrder, open_lots: int) -> int:
        """How much of what is open of an order would open a position, and not close one."""
        if order.reduce_only:
            return 0
        held = self._account.lots[order.leg]
        return max(0, open_lots - (abs(held) if held * order.side.sign < 0 else 0))

    def _value(self, order: SanitizedOrder, lots: int) -> int:
        """Money units of `lots` at the order's limit or trigger, else at the mark."""
        spec = self._specs[order.symbol]
        ticks = order.price_ticks or order.trigger_ticks
        return spec.value(lots, ticks * spec.tick_e8 or price_e8(self._marks[order.symbol]))

    def _need(self, changed: SanitizedOrder, open_lots: int, *, waits: bool) -> int | Refusal:
        """Money units to hold for what is open of an amended order; what is held for it already counts as free."""
        spec = self._specs[changed.symbol]
        opening_lots = self._opening_lots(changed, open_lots)
        if not opening_lots or (waits and spec.market is not Market.SPOT):
            return 0
        order_e8 = (changed.price_ticks or changed.trigger_ticks) * spec.tick_e8 or price_e8(self._marks[changed.symbol])
        rounded = Rounded(open_lots, changed.price_ticks, changed.trigger_ticks)
        own = self._reservations.of(changed.order_id)
        self._reservations.total -= own
        try:
            is_limit = changed.price_ticks > 0
            return self._reserve(spec, rounded, opening_lots, order_e8=order_e8, is_limit=is_limit, side=changed.side)
        finally:
            self._reservations.total += own

    def hold(self, changed: SanitizedOrder, open_lots: int, *, waits: bool) -> int | None:
        """Money units for what is open of an order that the venue amends now; None when they are not there.

        They are held from now on, beside what the order holds, until the report of the amendment, which always follows.
        """
        need = self._need(changed, open_lots, waits=waits)
        if isinstance(need, Refusal):
            return None
        self._granted.setdefault(changed.order_id, []).append((changed, need))
        extra = f"{changed.order_id} amended"
        more = max(0, need - self._reservations.of(changed.order_id), self._reservations.of(extra))
        self._reservations.release(extra)
        self._reservations.hold(extra, more, open_lots)
        return need

    def on_amended(self, amended: OrderAmended) -> None:
        """The order holds what it needs as it is now; one that only got smaller, its share of what it held."""
        found = self._orders.find(amended.order_id)
        if found is not None and found[0].quote_e8:
            return  # what it may cost is its value, whatever its lots
        granted = self._granted.get(amended.order_id)
        now = (amended.qty_lots, amended.price_ticks, amended.trigger_ticks)
        if not granted or now != (granted[0][0].qty_lots, granted[0][0].price_ticks, granted[0][0].trigger_ticks):
            self._reservations.fill(amended.order_id, amended.open_lots)
            return
        _, need = granted.pop(0)
        if not granted:
            del self._granted[amended.order_id]
            self._reservations.release(f"{amended.order_id} amended")
        self._reservations.release(amended.order_id)
        if need:
            self._reservations.hold(amended.order_id, need, amended.open_lots)


def amended_order(
    intent: AmendOrderIntent, order: SanitizedOrder, *, spec: SymbolSpec, rules: VenueRules, waits: bool
) -> SanitizedOrder | Refusal:
    """`order` with the values of the intent in whole lots and ticks; `waits`: it is before its trigger.

    Refused: INVALID (nothing to change, nothing of that kind on the order, no number), MIN_QTY, TICK.
    """
    refusal = _impossible(intent, order, rules=rules, waits=waits)
    if refusal is not None:
        return refusal
    lots, limit, trigger = order.qty_lots, order.price_ticks, order.trigger_ticks
    try:
        if intent.qty is not None:
            lots = qty_lots(intent.qty, spec=spec)
        if intent.price is not None:
            limit = price_ticks(intent.price, spec=spec, side=order.side)
        if intent.trigger_price is not None:
            later = Side.SELL if trigger_rises(order.order_type, order.side) else Side.BUY
            trigger = price_ticks(intent.trigger_price, spec=spec, side=later)
    except (InvalidPriceError, InvalidQuantityError) as error:
        return Refusal(RejectReason.INVALID, str(error))
    if not lots or lots * spec.lot_e8 < spec.min_qty_e8:
        return Refusal(RejectReason.MIN_QTY, f"qty {intent.qty} is below the minimum of {spec.min_qty}")
    if (order.price_ticks and not limit) or (order.trigger_ticks and not trigger):
        return Refusal(RejectReason.TICK, f"a price is below one tick of {spec.tick_size}")
    return replace(order, qty_lots=lots, price_ticks=limit, trigger_ticks=trigger)


def _impossible(intent: AmendOrderIntent, order: SanitizedOrder, *, rules: VenueRules, waits: bool) -> Refusal | None:
    if intent.qty is None and intent.price is None and intent.trigger_price is None:
        return Refusal(RejectReason.INVALID, "give qty, price or trigger_price: there is nothing to change")
    if order.oco_id or order.oco_trigger_ticks:
        return Refusal(RejectReason.INVALID, "an OCO is one order list: cancel it and send another")
    if order.follows_position and intent.qty is not None:
        return Refusal(RejectReason.INVALID, "the order has the size of the position")
    if order.order_type is OrderType.MARKET:
        return Refusal(RejectReason.INVALID, "a market order cannot be amended")
    if waits and not rules.amends_waiting:
        return Refusal(RejectReason.INVALID, f"{rules.name} amends limit orders only: cancel this one and send another")
    if intent.price is not None and not order.price_ticks:
        return Refusal(RejectReason.INVALID, "the order has no limit that price could change")
    if intent.trigger_price is not None and (not waits or order.order_type is OrderType.TRAILING_STOP):
        return Refusal(RejectReason.INVALID, "the order has no trigger, or none any more, that trigger_price could change")
    return None


def is_only_smaller(changed: SanitizedOrder, order: SanitizedOrder) -> bool:
    """Whether the amendment lowers the quantity and leaves all else: the one change that costs nothing and may keep its place."""
    same = changed.price_ticks == order.price_ticks and changed.trigger_ticks == order.trigger_ticks
    return same and changed.qty_lots < order.qty_lots
