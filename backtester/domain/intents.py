"""What a strategy asks for. Fields left out are stamped by the engine."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from backtester.domain.vocabulary import (
    BUY,
    MARKET_ORDER,
    ExitSize,
    OrderType,
    PositionSide,
    SelfTrade,
    Side,
    TimeInForce,
    TriggerBy,
)

Number = Decimal | int | float | str


class Intent(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Base of all intents. `order_id`, `strategy_id` and `time_ms` are stamped when left out.

    `position_side` of an order or of exits says, in hedge mode only and there always, which of the symbol's positions it is about.
    """

    symbol: str
    order_id: str = ""
    strategy_id: str = ""
    time_ms: int = 0


class MarketOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="market_order"):
    """Buy or sell `qty`, or on spot what `quote_qty` of the quote asset is worth, at the price the market has at its arrival.

    Exactly one of the two is given. A value is turned into whole lots, rounded down, at the price of the fill; what is left of it
    is not spent.

    `reason` is carried to the fills and, when the order closes a trade, becomes its close reason. `take_profit` and `stop_loss`
    are prices: every fill gets a pair of orders that close it there; where one is triggered, the other ends. With
    `exit_size=ExitSize.WHOLE` the position has one such pair, of its own size, in place of any that it had. `stp` is what happens
    where it would trade with another order of the account; left out, as the venue has it. `trigger_by`: as for a stop.

    `watched_stop` and `watched_target` order nothing: they are prices of rules that the strategy watched itself, and stand with the
    trade that this order closes (trades.csv) where no order stood there; what is no positive number counts as none.
    """

    side: Side
    qty: Number | None = None
    quote_qty: Number | None = None
    reduce_only: bool = False
    take_profit: Number | None = None
    stop_loss: Number | None = None
    exit_size: ExitSize = ExitSize.PART
    trigger_by: TriggerBy | None = None
    stp: SelfTrade | None = None
    tif: TimeInForce = TimeInForce.GTC
    reason: str = "SIGNAL"
    watched_stop: Number | None = None
    watched_target: Number | None = None
    position_side: PositionSide | None = None


class LimitOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="limit_order"):
    """Buy at `price` or lower, sell at `price` or higher; rests until filled or cancelled (GTC), met once (IOC, FOK), or a date.

    `good_till_ms` is that date (GTD). `take_profit`, `stop_loss`, `stp`, `trigger_by`: as for a market order. `post_only`:
    it never takes; where it would, it ends unfilled as the venue has it.
    """

    side: Side
    qty: Number
    price: Number
    reduce_only: bool = False
    post_only: bool = False
    take_profit: Number | None = None
    stop_loss: Number | None = None
    exit_size: ExitSize = ExitSize.PART
    trigger_by: TriggerBy | None = None
    stp: SelfTrade | None = None
    tif: TimeInForce = TimeInForce.GTC
    good_till_ms: int = 0
    reason: str = "SIGNAL"
    position_side: PositionSide | None = None


class StopOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="stop_order"):
    """Wait for the price to move to `trigger_price` (a buy: rise, a sell: fall), then a market order, or a limit order at `price`.

    A triggered stop without `price` is always filled whole. On derivatives it holds no margin before its trigger.
    `close_on_trigger` (derivatives): it only closes, as reduce-only; without `qty` the whole position, whose size it follows and
    with which it ends. `trigger_by` is the price it waits for: the last one, the mark price or the index; left out, the venue's
    own choice. It trades at what the traded bar offers then.
    """

    side: Side
    qty: Number | None = None
    close_on_trigger: bool = False
    trigger_price: Number
    price: Number | None = None
    reduce_only: bool = False
    tif: TimeInForce = TimeInForce.GTC
    good_till_ms: int = 0
    trigger_by: TriggerBy | None = None
    reason: str = "SL_HIT"
    position_side: PositionSide | None = None


class TakeProfitOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="take_profit_order"):
    """As a stop, on the other side of the market: a sell waits for a rise to `trigger_price`, a buy for a fall."""

    side: Side
    qty: Number | None = None
    close_on_trigger: bool = False
    trigger_price: Number
    price: Number | None = None
    reduce_only: bool = False
    tif: TimeInForce = TimeInForce.GTC
    good_till_ms: int = 0
    trigger_by: TriggerBy | None = None
    reason: str = "TP_HIT"
    position_side: PositionSide | None = None


class TrailingStopIntent(Intent, frozen=True, kw_only=True, gc=False, tag="trailing_stop"):
    """A stop that follows the market at `distance` (a price) or `trail_bps` (of the extreme); triggered it trades whole.

    A sell follows the highest price from below, a buy the lowest from above, once the price has reached `activation_price`.
    `close_on_trigger`, `trigger_by`: as for a stop.
    """

    side: Side
    qty: Number | None = None
    close_on_trigger: bool = False
    distance: Number | None = None
    trail_bps: Number | None = None
    activation_price: Number | None = None
    reduce_only: bool = False
    tif: TimeInForce = TimeInForce.GTC
    good_till_ms: int = 0
    trigger_by: TriggerBy | None = None
    reason: str = "TRAIL"
    position_side: PositionSide | None = None


class OcoOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="oco_order"):
    """A limit order at `price` and a stop at `trigger_price` on the other side of the market: one cancels the other.

    A sale has its limit above and its trigger below the market, a buy the other way round. The stop is `<order_id>-stop`, a market
    order once triggered, or a limit order at `stop_price`. The first fill of the limit ends the stop; a cancel of either ends both.
    """

    side: Side
    qty: Number
    price: Number
    trigger_price: Number
    stop_price: Number | None = None
    reduce_only: bool = False
    tif: TimeInForce = TimeInForce.GTC
    good_till_ms: int = 0
    reason: str = "TP_HIT"
    stop_reason: str = "SL_HIT"
    position_side: PositionSide | None = None


class PositionExitsIntent(Intent, frozen=True, kw_only=True, gc=False, tag="position_exits"):
    """The account's position in `symbol` has this take-profit and this stop-loss, and no others of this kind; neither: none.

    They are market orders once triggered, `<order_id>-tp` and `<order_id>-sl`, follow the position's size, and end with it.
    `trigger_by`: as for a stop.
    """

    take_profit: Number | None = None
    stop_loss: Number | None = None
    trigger_by: TriggerBy | None = None
    position_side: PositionSide | None = None


class CancelOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="cancel_order"):
    """Cancel the working order `order_id`; a fill may still win."""


class AmendOrderIntent(Intent, frozen=True, kw_only=True, gc=False, tag="amend_order"):
    """Change the working order `order_id`: its whole quantity (what is filled counts), its limit, or its trigger; a fill may win.

    What is left out stays. `symbol` may be left out. A price that changes, or a larger quantity, puts the order behind all
    others at its price.
    """

    symbol: str = ""
    qty: Number | None = None
    price: Number | None = None
    trigger_price: Number | None = None


class CancelAllIntent(Intent, frozen=True, kw_only=True, gc=False, tag="cancel_all"):
    """Cancel every working order of the strategy on `symbol`; `symbol` left empty means all symbols."""

    symbol: str = ""


ConditionalIntent = StopOrderIntent | TakeProfitOrderIntent | TrailingStopIntent
OrderIntent = MarketOrderIntent | LimitOrderIntent | ConditionalIntent | OcoOrderIntent
AnyIntent = OrderIntent | PositionExitsIntent | AmendOrderIntent | CancelOrderIntent | CancelAllIntent
CONDITIONAL_TYPES = (StopOrderIntent, TakeProfitOrderIntent, TrailingStopIntent)
ORDER_TYPES = (MarketOrderIntent, LimitOrderIntent, *CONDITIONAL_TYPES, OcoOrderIntent)
INTENT_TYPES = (*ORDER_TYPES, PositionExitsIntent, AmendOrderIntent, CancelOrderIntent, CancelAllIntent)


def order_type_of(intent: OrderIntent) -> OrderType:
    """The type of the order that an intent asks for."""
    if isinstance(intent, MarketOrderIntent):
        return MARKET_ORDER
    if isinstance(intent, (LimitOrderIntent, OcoOrderIntent)):
        return OrderType.LIMIT
    if isinstance(intent, StopOrderIntent):
        return OrderType.STOP_MARKET if intent.price is None else OrderType.STOP_LIMIT
    if isinstance(intent, TrailingStopIntent):
        return OrderType.TRAILING_STOP
    return OrderType.TAKE_PROFIT_MARKET if intent.price is None else OrderType.TAKE_PROFIT_LIMIT


def trigger_rises(order_type: OrderType, side: Side) -> bool:
    """Whether a conditional order waits for a rise: buy stops and sell take-profits (exchange_semantics.md, section 1.1)."""
    return order_type.is_stop is (side is BUY)
