"""Order validation: rounding to the instrument and the checks that need nothing but the order, its spec and a price."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import NamedTuple, final

import msgspec
from msgspec import structs

from backtester.domain.errors import InvalidPriceError, InvalidQuantityError
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.intents import (
    LimitOrderIntent,
    MarketOrderIntent,
    Number,
    OcoOrderIntent,
    OrderIntent,
    StopOrderIntent,
    TakeProfitOrderIntent,
    TrailingStopIntent,
    order_type_of,
    trigger_rises,
)
from backtester.domain.money import PRICE_ONE, ceil_div, shown_amount
from backtester.domain.order_bounds import OrderBounds
from backtester.domain.rounding import exact_decimal, opening_breach, price_ticks, qty_lots
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import BUY, GTC, GTD, PART, SELL, ExitSize, RejectReason, SelfTrade, Side, TimeInForce, TriggerBy

__all__ = ["Refusal", "Rounded", "SymbolSpecs", "check_collar", "check_life", "check_opening_size", "round_order"]


@final
class Refusal(NamedTuple):
    """Why an order may not pass: a code for machines, words for people; `is_low` of a price that is too low, not too high."""

    reason: RejectReason
    detail: str
    is_low: bool = False


NO_CONDITIONS = Refusal(RejectReason.INVALID, "options have no orders that wait for a price: watch it, and send a limit order")
"""Source: exchange_semantics.md, section 4.5."""


@final
class Rounded(msgspec.Struct, frozen=True, gc=False):
    """An order in whole lots and ticks; `price_ticks` is 0 without a limit, `trigger_ticks` without a trigger (or activation)."""

    qty_lots: int
    price_ticks: int
    trigger_ticks: int = 0
    trail_ticks: int = 0
    trail_e8: int = 0
    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    oco_trigger_ticks: int = 0
    oco_price_ticks: int = 0
    quote_e8: int = 0
    follows_position: bool = False
    trigger_by: TriggerBy = TriggerBy.LAST

    @property
    def waits(self) -> bool:
        """Whether the order does nothing before a trigger."""
        return bool(self.trigger_ticks or self.trail_ticks or self.trail_e8)

    @property
    def has_condition(self) -> bool:
        """Whether a part of it waits for a price: the order, its exits, or the stop of an OCO."""
        return self.waits or bool(self.take_profit_ticks or self.stop_loss_ticks or self.oco_trigger_ticks)


_WITH_EXITS = (MarketOrderIntent, LimitOrderIntent)
"""What may bring a take-profit and a stop-loss of its own, and be told what to do about self-trades."""


class OrderRounding:
    """Rounds orders of one run; remembers recent sizes, since strategies repeat them."""

    _REMEMBERED = 4096

    def __init__(self, rules: Mapping[str, VenueRules] | None = None) -> None:
        self._rules = rules or {}
        self._sizes: dict[tuple[str, type, object], Rounded] = {}
        """Orders at the market of sizes that fit. By type too: the float 0.3 means 0.3, Decimal(0.3) is a little less."""

    def known(self, intent: OrderIntent, spec: SymbolSpec) -> Rounded | None:
        """What `round` would say of an order at the market that is good till cancelled, and of a size seen before.

        None for any other: of a new size, by value, with exits, with a side of a position or for self-trades.
        """
        if (
            type(intent) is not MarketOrderIntent
            or intent.tif is not GTC
            or intent.side.__class__ is not Side
            or intent.exit_size is not PART
            or intent.take_profit is not None
            or intent.stop_loss is not None
            or intent.quote_qty is not None
            or intent.stp is not None
            or intent.position_side is not None
        ):
            return None
        qty = intent.qty
        try:
            return self._sizes.get((spec.symbol, qty.__class__, qty))
        except TypeError:  # no number: `round` says so
            return None

    def round(self, intent: OrderIntent, spec: SymbolSpec) -> Rounded | Refusal:
        """Whole lots (down) and ticks (buy down, sell up), or the refusal: INVALID, LOT_STEP, MIN_QTY, TICK."""
        if intent.side.__class__ is not Side or intent.tif.__class__ is not TimeInForce:
            return Refusal(RejectReason.INVALID, "side must be a Side and tif a TimeInForce")
        if isinstance(intent, _WITH_EXITS) and (
            intent.exit_size.__class__ is not ExitSize or (intent.stp is not None and intent.stp.__class__ is not SelfTrade)
        ):
            return Refusal(RejectReason.INVALID, "exit_size must be an ExitSize and stp a SelfTrade")
        qty = intent.qty
        if qty is None:
            return Refusal(RejectReason.INVALID, "qty is missing")
        try:
            size = self._sizes.get((spec.symbol, qty.__class__, qty)) or self._measured(qty, spec)
        except (InvalidQuantityError, TypeError) as error:
            return Refusal(RejectReason.INVALID, str(error))
        if isinstance(size, Refusal):
            return size
        lots = size.qty_lots
        if isinstance(intent, MarketOrderIntent):
            if intent.take_profit is None and intent.stop_loss is None:
                return size
            return _with_trigger(intent, _with_exits(intent, spec, size), self._rules_of(spec))
        if isinstance(intent, TrailingStopIntent):
            return _with_trigger(intent, _with_trail(intent, spec, lots), self._rules_of(spec))
        if isinstance(intent, OcoOrderIntent):
            by = trigger_price_of(TriggerBy.LAST, self._rules_of(spec))
            return by if isinstance(by, Refusal) else _with_oco(intent, spec, lots)
        priced = _with_prices(intent, spec, lots)
        if isinstance(priced, Rounded) and isinstance(intent, LimitOrderIntent):
            priced = _with_exits(intent, spec, priced)
        return _with_trigger(intent, priced, self._rules_of(spec))

    def _measured(self, qty: Number, spec: SymbolSpec) -> Rounded | Refusal:
        """An order at the market of this size, remembered where it fits. Raises InvalidQuantityError, or TypeError."""
        lots = qty_lots(qty, spec=spec)
        if lots * spec.lot_e8 < spec.min_qty_e8:
            return Refusal(RejectReason.MIN_QTY, f"qty {qty} is below the minimum of {spec.min_qty}")
        if lots == 0:
            return Refusal(RejectReason.LOT_STEP, f"qty {qty} is below one lot of {spec.lot_size}")
        if len(self._sizes) >= self._REMEMBERED:
            self._sizes.clear()
        size = self._sizes[spec.symbol, qty.__class__, qty] = Rounded(lots, 0)
        return size

    def on_rules(self, changed: RulesChanged) -> None:
        """Orders of the symbol are rounded by its new rules from now on."""
        self._sizes = {key: size for key, size in self._sizes.items() if key[0] != changed.symbol}

    def _rules_of(self, spec: SymbolSpec) -> VenueRules:
        return self._rules.get(spec.symbol, GENERIC)


def trigger_price_of(asked: TriggerBy | None, rules: VenueRules) -> TriggerBy | Refusal:
    """The price that an order waits for at its venue; INVALID where the venue has no such (exchange_semantics.md, 1.1)."""
    if asked.__class__ not in (TriggerBy, NoneType):
        return Refusal(RejectReason.INVALID, "trigger_by must be a TriggerBy")
    if not rules.triggers:
        return Refusal(RejectReason.INVALID, f"{rules.name} has no orders that wait for a price")
    chosen = asked or rules.triggers[0]
    if chosen not in rules.triggers:
        known = ", ".join(by.value for by in rules.triggers)
        return Refusal(RejectReason.INVALID, f"{rules.name} triggers orders by {known}, not by {chosen.value}")
    return chosen


def _with_trigger(
    intent: MarketOrderIntent | LimitOrderIntent | StopOrderIntent | TakeProfitOrderIntent | TrailingStopIntent,
    rounded: Rounded | Refusal,
    rules: VenueRules,
) -> Rounded | Refusal:
    """The order with the price that triggers it, or its exits, where it has a trigger."""
    if isinstance(rounded, Refusal) or not (rounded.waits or rounded.take_profit_ticks or rounded.stop_loss_ticks):
        return rounded
    chosen = trigger_price_of(intent.trigger_by, rules)
    if isinstance(chosen, Refusal):
        return chosen
    return rounded if chosen is TriggerBy.LAST else structs.replace(rounded, trigger_by=chosen)


def _with_prices(
    intent: LimitOrderIntent | StopOrderIntent | TakeProfitOrderIntent, spec: SymbolSpec, lots: int
) -> Rounded | Refusal:
    """Limit and trigger in ticks: the limit never worse for the fill than asked, the trigger never reached sooner."""
    ticks = trigger = 0
    try:
        if intent.price is not None:
            ticks = price_ticks(intent.price, spec=spec, side=intent.side)
            if ticks <= 0:
                return Refusal(RejectReason.TICK, f"price {intent.price} is below one tick of {spec.tick_size}")
        if not isinstance(intent, LimitOrderIntent):
            later = Side.SELL if trigger_rises(order_type_of(intent), intent.side) else Side.BUY
            trigger = price_ticks(intent.trigger_price, spec=spec, side=later)
            if trigger <= 0:
                return Refusal(RejectReason.TICK, f"trigger_price {intent.trigger_price} is below one tick of {spec.tick_size}")
    except InvalidPriceError as error:
        return Refusal(RejectReason.INVALID, str(error))
    return Rounded(lots, ticks, trigger)


def _with_oco(intent: OcoOrderIntent, spec: SymbolSpec, lots: int) -> Rounded | Refusal:
    """Limit, trigger and the stop's own limit in ticks; the two lie on the sides of the market where an OCO has them."""
    buys = intent.side is BUY
    stop = 0
    try:
        limit = price_ticks(intent.price, spec=spec, side=intent.side)
        trigger = price_ticks(intent.trigger_price, spec=spec, side=intent.side.opposite)
        if intent.stop_price is not None:
            stop = price_ticks(intent.stop_price, spec=spec, side=intent.side)
    except InvalidPriceError as error:
        return Refusal(RejectReason.INVALID, str(error))
    if not (limit and trigger) or (intent.stop_price is not None and not stop):
        return Refusal(RejectReason.TICK, f"a price is below one tick of {spec.tick_size}")
    if limit >= trigger if buys else limit <= trigger:
        order = "price < market < trigger_price" if buys else "trigger_price < market < price"
        return Refusal(RejectReason.INVALID, f"prices of an OCO {intent.side.value} must be {order}")
    return Rounded(lots, limit, oco_trigger_ticks=trigger, oco_price_ticks=stop)


def _with_exits(intent: MarketOrderIntent | LimitOrderIntent, spec: SymbolSpec, rounded: Rounded) -> Rounded | Refusal:
    """Attached take-profit and stop-loss in ticks, each rounded so that it is reached later."""
    buys = intent.side is BUY
    target = stop = 0
    try:
        if intent.take_profit is not None:
            target = price_ticks(intent.take_profit, spec=spec, side=Side.SELL if buys else Side.BUY)
        if intent.stop_loss is not None:
            stop = price_ticks(intent.stop_loss, spec=spec, side=Side.BUY if buys else Side.SELL)
    except InvalidPriceError as error:
        return Refusal(RejectReason.INVALID, str(error))
    if intent.reduce_only and (target or stop):
        return Refusal(RejectReason.INVALID, "a reduce-only order opens nothing that take_profit or stop_loss could close")
    given = [ticks for ticks in (stop, rounded.price_ticks, target) if ticks]
    if given != sorted(given, reverse=not buys) or len(set(given)) < len(given):
        order = "stop_loss < price < take_profit" if buys else "take_profit < price < stop_loss"
        return Refusal(RejectReason.INVALID, f"prices of a {intent.side.value} must be {order}")
    return structs.replace(rounded, take_profit_ticks=target, stop_loss_ticks=stop)


def _with_trail(intent: TrailingStopIntent, spec: SymbolSpec, lots: int) -> Rounded | Refusal:
    """Distance and activation, both rounded so that the stop is reached later."""
    if (intent.distance is None) is (intent.trail_bps is None):
        return Refusal(RejectReason.INVALID, "a trailing stop needs either distance or trail_bps")
    later = Side.SELL if intent.side is SELL else Side.BUY
    activation = distance = fraction = 0
    try:
        if intent.activation_price is not None:
            activation = price_ticks(intent.activation_price, spec=spec, side=later)
        if intent.distance is not None:
            distance = price_ticks(intent.distance, spec=spec, side=Side.SELL)
        elif intent.trail_bps is not None:
            numerator, denominator = exact_decimal(intent.trail_bps, what="trail_bps").as_integer_ratio()
            fraction = ceil_div(numerator * (PRICE_ONE // 10_000), denominator)
    except (InvalidPriceError, InvalidQuantityError) as error:
        return Refusal(RejectReason.INVALID, str(error))
    if fraction >= PRICE_ONE:
        return Refusal(RejectReason.INVALID, f"trail_bps {intent.trail_bps} is the whole price or more")
    return Rounded(lots, 0, activation, distance, fraction)


def check_life(intent: OrderIntent, *, rules: VenueRules, now_ms: int) -> Refusal | None:
    """INVALID when time in force, date and post-only contradict each other, or the date is nearer than the venue allows."""
    good_till_ms = 0 if isinstance(intent, MarketOrderIntent) else intent.good_till_ms
    if isinstance(intent, LimitOrderIntent) and intent.post_only and intent.tif in (TimeInForce.IOC, TimeInForce.FOK):
        return Refusal(RejectReason.INVALID, f"post_only rests and {intent.tif.value} does not: choose one")
    if isinstance(intent, OcoOrderIntent) and intent.tif in (TimeInForce.IOC, TimeInForce.FOK):
        return Refusal(RejectReason.INVALID, f"an OCO waits and {intent.tif.value} does not: choose one")
    if intent.tif is not GTD:
        return Refusal(RejectReason.INVALID, "good_till_ms needs tif=TimeInForce.GTD") if good_till_ms else None
    if isinstance(intent, MarketOrderIntent):
        return Refusal(RejectReason.INVALID, "a market order has no date: gtd is for orders that wait")
    if good_till_ms.__class__ is not int or good_till_ms <= now_ms:
        return Refusal(RejectReason.INVALID, f"good_till_ms {good_till_ms!r:.40} is no time after now ({now_ms})")
    if good_till_ms <= now_ms + rules.good_till_least_ms:
        ahead = rules.good_till_least_ms // 1000
        return Refusal(RejectReason.INVALID, f"{rules.name} takes good-till dates more than {ahead} s ahead only")
    return None


def round_order(intent: OrderIntent, spec: SymbolSpec) -> Rounded | Refusal:
    """`OrderRounding.round` for a single order."""
    return OrderRounding().round(intent, spec)


def check_opening_size(rounded: Rounded, spec: SymbolSpec, side: Side, price_e8: int, mark_e8: int) -> Refusal | None:
    """MAX_QTY, PRICE_RANGE, PRICE_BAND, MIN_NOTIONAL, MAX_NOTIONAL of an order that opens; G18: closing is exempt.

    Source: exchange_semantics.md, section 2, whose order this is.
    """
    reason = opening_breach(rounded.qty_lots, price_e8, PRICE_ONE, spec)
    broken = None if spec.bounds is None else _check_bounds(rounded, spec, spec.bounds, side, mark_e8)
    if reason is None:
        return broken
    if reason is RejectReason.MAX_QTY:
        return Refusal(reason, f"quantity above the maximum of {spec.max_qty}")
    if broken is not None:
        return broken
    if reason is RejectReason.MIN_NOTIONAL:
        return Refusal(reason, f"notional below the minimum of {spec.min_notional} {spec.quote}")
    return Refusal(reason, f"notional above the maximum of {spec.max_notional} {spec.quote}")


def _check_bounds(rounded: Rounded, spec: SymbolSpec, bounds: OrderBounds, side: Side, mark_e8: int) -> Refusal | None:
    """The band holds for a limit that works now; the range for every price; the market maximum for what has no limit."""
    if not rounded.price_ticks:
        if bounds.max_market_e8 is not None and rounded.qty_lots * spec.lot_e8 > bounds.max_market_e8:
            return Refusal(RejectReason.MAX_QTY, f"quantity above the maximum of {spec.max_market_qty} for market orders")
        if not rounded.trigger_ticks:
            return None
    limit_e8 = rounded.price_ticks * spec.tick_e8
    ticks = (rounded.price_ticks, rounded.trigger_ticks, rounded.oco_trigger_ticks, rounded.oco_price_ticks)
    if not all(bounds.is_in_range(one * spec.tick_e8) for one in ticks if one):
        low, high = spec.min_price or 0, spec.max_price if spec.max_price is not None else "any"
        is_low = any(0 < one * spec.tick_e8 < (bounds.min_price_e8 or 0) for one in ticks)
        return Refusal(RejectReason.PRICE_RANGE, f"{spec.symbol} takes prices from {low} to {high}", is_low)
    if limit_e8 and not rounded.waits and not bounds.is_in_band(side, limit_e8, reference_e8=mark_e8):
        return Refusal(
            RejectReason.PRICE_BAND, f"{side.value} limit is outside the venue's band around the last price", side is SELL
        )
    return None


def check_collar(*, side: Side, price_e8: int, mark_e8: int, collar_e8: int) -> Refusal | None:
    """PRICE_BAND when a limit is more aggressive than the mark by more than the collar (a fraction in 1e-8).

    Only the aggressive side is bounded: a buy far below or a sell far above the market is a patient order.
    """
    if side is BUY and price_e8 * PRICE_ONE > mark_e8 * (PRICE_ONE + collar_e8):
        return Refusal(RejectReason.PRICE_BAND, "buy limit is too far above the market")
    if side is SELL and price_e8 * PRICE_ONE < mark_e8 * (PRICE_ONE - collar_e8):
        return Refusal(RejectReason.PRICE_BAND, "sell limit is too far below the market", is_low=True)
    return None


def missing_text(spec: SymbolSpec, need: int, free: int) -> str:
    """What an order needs and what is free, in its asset."""
    asset = spec.money_asset
    return f"needs {shown_amount(need, asset)}, free is {shown_amount(free, asset)} {asset}"
