"""Orders without a quantity: by value, or of a position's size. What they are when they pass, as a quantity."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from backtester.domain.errors import DomainError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import CONDITIONAL_TYPES, MarketOrderIntent, OrderIntent
from backtester.domain.money import PRICE_ONE
from backtester.domain.rounding import exact_decimal, lots_decimal
from backtester.domain.spot_costs import qty_for_value
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import Market, RejectReason, Side, TimeInForce
from backtester.risk.order_validation import Refusal


def is_unsized(intent: OrderIntent) -> bool:
    """Whether an order's quantity is none yet, or is not all that it says of its size."""
    if isinstance(intent, MarketOrderIntent):
        return intent.quote_qty is not None or intent.qty is None
    return intent.qty is None or (isinstance(intent, CONDITIONAL_TYPES) and intent.close_on_trigger)


class Sized(NamedTuple):
    """An intent with a quantity; `quote_e8` is the value that it stands for, `follows` that it is the position's."""

    intent: OrderIntent
    quote_e8: int = 0
    follows: bool = False


def sized(intent: OrderIntent, *, spec: SymbolSpec, rules: VenueRules, held_lots: int, mark: float | None) -> Sized | Refusal:
    """The intent with the quantity that it stands for now, or why it stands for none."""
    if isinstance(intent, MarketOrderIntent):
        return _by_value(intent, spec=spec, mark=mark)
    if not isinstance(intent, CONDITIONAL_TYPES) or not intent.close_on_trigger:
        return Refusal(RejectReason.INVALID, "qty is missing: only an order with close_on_trigger does without")
    if spec.market is Market.SPOT or not rules.close_on_trigger:
        return Refusal(RejectReason.INVALID, f"{rules.name} has no close_on_trigger on {spec.market.value} markets")
    closing = replace(intent, reduce_only=True)
    if intent.qty is not None:
        return Sized(closing)
    if held_lots == 0 or (held_lots > 0) is (intent.side is Side.BUY):
        return Refusal(RejectReason.REDUCE_ONLY, "there is no position that this order would close")
    return Sized(replace(closing, qty=lots_decimal(abs(held_lots), spec)), follows=True)


def _by_value(intent: MarketOrderIntent, *, spec: SymbolSpec, mark: float | None) -> Sized | Refusal:
    """A market order by value: as many lots as it buys or sells at the last price, rounded down."""
    if (intent.qty is None) is (intent.quote_qty is None):
        return Refusal(RejectReason.INVALID, "give exactly one of qty and quote_qty")
    if intent.quote_qty is None:
        return Sized(intent)
    if spec.market is not Market.SPOT:
        return Refusal(RejectReason.INVALID, "quote_qty is for spot markets")
    if intent.tif is TimeInForce.FOK:
        return Refusal(RejectReason.INVALID, "an order by value cannot be fill-or-kill: its size is known when it fills")
    if mark is None:
        return Refusal(RejectReason.NO_PRICE, f"{spec.symbol} has no price yet")
    try:
        value = exact_decimal(intent.quote_qty, what="quote_qty")
        size = qty_for_value(value_quote=value, price=Decimal(repr(mark)), step=spec.lot_size).qty
    except DomainError as error:
        return Refusal(RejectReason.INVALID, str(error))
    if size < spec.min_qty or not size:
        return Refusal(RejectReason.MIN_QTY, f"quote_qty {intent.quote_qty} buys less than the minimum of {spec.min_qty}")
    numerator, denominator = value.as_integer_ratio()
    return Sized(replace(intent, qty=size), quote_e8=numerator * PRICE_ONE // denominator)
