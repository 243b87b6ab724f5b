"""Orders after Risk, and what becomes of them."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from backtester.domain.legs import leg_of
from backtester.domain.message import Message
from backtester.domain.money import FEE_STEP, e8_from_decimal
from backtester.domain.vocabulary import (
    FillNote,
    Liquidity,
    OrderStatus,
    OrderType,
    PositionSide,
    RejectReason,
    SelfTrade,
    Side,
    TimeInForce,
    TriggerBy,
)


class SanitizedOrder(Message, frozen=True, gc=False, tag="sanitized_order", omit_defaults=True):
    """Risk has passed this order and rounded it to the instrument: whole ticks, whole lots. Only Risk makes one.

    `price_ticks` is 0 for an order without a limit, `trigger_ticks` for one without a trigger (a
    trailing stop's activation). `trail_ticks` or `trail_e8` (a fraction in 1e-8) is how far a trailing stop follows. `budget_e8`
    bounds what a spot buy may cost (value and fee, 1e-8 quote); 0 elsewhere. `exits_whole`: its take-profit and stop-loss are those
    of the position. `oco_trigger_ticks` (with `oco_price_ticks`, `oco_reason`) is the stop of an OCO of which this is the limit,
    `oco_id` the limit of which this is the stop. `follows_position`: `qty_lots` is what the position is. `quote_e8` is the value
    of an order by value, in 1e-8 quote; its lots are an estimate until it meets a price. `stp` None is the venue's own.
    """

    order_id: str
    strategy_id: str
    symbol: str
    side: Side
    order_type: OrderType
    qty_lots: int
    price_ticks: int
    tif: TimeInForce
    reduce_only: bool
    budget_e8: int
    reason: str
    post_only: bool = False
    good_till_ms: int = 0
    trigger_ticks: int = 0
    trail_ticks: int = 0
    trail_e8: int = 0
    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    exits_whole: bool = False
    oco_trigger_ticks: int = 0
    oco_price_ticks: int = 0
    oco_reason: str = ""
    oco_id: str = ""
    follows_position: bool = False
    trigger_by: TriggerBy = TriggerBy.LAST
    quote_e8: int = 0
    stp: SelfTrade | None = None
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that the order is about (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)


class SanitizedExits(Message, frozen=True, gc=False, tag="sanitized_exits", omit_defaults=True):
    """Risk has passed a request that the position in `symbol`, closed by `side`, has these exits and no others; 0 is none."""

    order_id: str
    strategy_id: str
    symbol: str
    side: Side
    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    trigger_by: TriggerBy = TriggerBy.LAST
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that they are about (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)


class SanitizedCancel(Message, frozen=True, gc=False, tag="sanitized_cancel"):
    """Risk has passed a request to cancel one working order."""

    order_id: str
    strategy_id: str
    symbol: str


class SanitizedAmend(Message, frozen=True, gc=False, tag="sanitized_amend", omit_defaults=True):
    """Risk has passed a request to change one working order; what is 0 stays as it is. `qty_lots` is the whole new quantity."""

    order_id: str
    strategy_id: str
    symbol: str
    qty_lots: int = 0
    price_ticks: int = 0
    trigger_ticks: int = 0


class OrderAck(Message, frozen=True, gc=False, tag="order_ack", omit_defaults=True):
    """The venue has the order; it works from `time_ms` on, or waits for its trigger."""

    order_id: str
    strategy_id: str
    symbol: str
    is_waiting: bool = False


class OrderAttached(Message, frozen=True, gc=False, tag="order_attached"):
    """A fill has brought an order of its own to the venue, its take-profit or its stop-loss, which waits from now on."""

    order: SanitizedOrder


class LiquidationOrder(Message, frozen=True, gc=False, tag="liquidation_order"):
    """The venue takes over (part of) a position whose margin is used up: `order` trades whole at `price_ticks`.

    `mark` is the price that has reached `liquidation_price` (None: no price of this symbol alone liquidates). `gap_loss` is what
    closing where the bar began would have cost beyond `price_ticks`: the insurance fund bears it. The symbol's orders end; with
    `is_cross` the entries of all symbols do. `price_ticks` 0 (of options): at the mark, with a taker's costs and the venue's
    liquidation fee.
    """

    order: SanitizedOrder
    price_ticks: int
    mark: Decimal
    liquidation_price: Decimal | None
    gap_loss: Decimal
    is_cross: bool
    inside_bar: bool


class OrderTriggered(Message, frozen=True, gc=False, tag="order_triggered", omit_defaults=True):
    """The price has reached the trigger of a waiting order: from `time_ms` on it is a market or a limit order."""

    order_id: str
    strategy_id: str
    symbol: str
    trigger_by: TriggerBy = TriggerBy.LAST


class OrderAmended(Message, frozen=True, gc=False, tag="order_amended", omit_defaults=True):
    """The order has these values from `time_ms` on, with `open_lots` of it unfilled; `keeps_place` says it lost no priority."""

    order_id: str
    strategy_id: str
    symbol: str
    qty_lots: int
    open_lots: int
    price_ticks: int = 0
    trigger_ticks: int = 0
    keeps_place: bool = False


class OrderRefused(Message, frozen=True, gc=False, tag="order_refused", omit_defaults=True):
    """Risk said no. `detail` is for people, `reason` for machines, `code` is what the venue would have answered."""

    order_id: str
    strategy_id: str
    symbol: str
    reason: RejectReason
    detail: str
    code: str = ""


class OrderRejected(Message, frozen=True, gc=False, tag="order_rejected", omit_defaults=True):
    """The venue said no to an order, or to a request to cancel (`is_cancel`) or to amend (`is_amend`) one, which then stands.

    `code` is the venue's own word for the reason.
    """

    order_id: str
    strategy_id: str
    symbol: str
    reason: RejectReason
    detail: str
    is_cancel: bool = False
    code: str = ""
    is_amend: bool = False

    @property
    def ends_order(self) -> bool:
        """Whether it was the order itself that was rejected."""
        return not (self.is_cancel or self.is_amend)


class OrderCanceled(Message, frozen=True, gc=False, tag="order_canceled", omit_defaults=True):
    """The order ended with `open_qty` unfilled; `status` is CANCELED or EXPIRED, as the venue has it; `code` is its own word."""

    order_id: str
    strategy_id: str
    symbol: str
    status: OrderStatus
    reason: RejectReason
    open_qty: Decimal
    code: str = ""


class Fill(Message, frozen=True, gc=False, tag="fill", omit_defaults=True):
    """A trade of ours at the venue.

    `fee` is positive when paid, in whole 1e-8 of `fee_asset` (`fee_e8`). `bar_fill` marks a fill of a resting order inside a bar,
    stamped with the bar's end. `note` says why a market order did not meet the bar in which it arrived.
    `over_share` marks a reduce-only fill larger than the allowed share of the bar's volume, which pays impact.
    """

    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    liquidity: Liquidity
    order_id: str
    fill_id: str
    strategy_id: str
    reason: str
    order_type: OrderType
    bar_fill: bool
    note: FillNote
    over_share: bool
    price_ticks: int
    qty_lots: int
    fee_e8: int
    open_lots: int
    """What is left of the order after this fill."""
    fee_in_base: bool = False
    """Whether the fee was taken from (a rebate paid in) the base coin: `fee_asset` is that coin, and so much less was received."""
    position_side: PositionSide | None = None
    """In hedge mode, whether it traded the long or the short position."""

    @property
    def fee_value(self) -> int:
        """The fee in money units of the quote asset; one in the base coin at the price of the fill."""
        return self.fee_e8 * (e8_from_decimal(self.price) if self.fee_in_base else FEE_STEP)

    @property
    def net_e8(self) -> int:
        """What the fill changes the position by, signed, in 1e-8: its quantity, less a fee that was taken from the coin."""
        return self.side.sign * e8_from_decimal(self.qty) - (self.fee_e8 if self.fee_in_base else 0)

    @property
    def leg(self) -> str:
        """The position that it traded (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A working order as its strategy sees it."""

    order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    qty: Decimal
    filled_qty: Decimal
    price: Decimal | None
    status: OrderStatus
    reduce_only: bool
    time_ms: int
    trigger_price: Decimal | None = None
    trigger_by: TriggerBy = TriggerBy.LAST
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that the order is about (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)
