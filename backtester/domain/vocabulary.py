"""The closed sets of words that messages use."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Word(Enum):
    """Base of the vocabularies. Members are single objects, so identity is their hash: `Enum`'s own costs a Python call."""

    __hash__ = object.__hash__


class Side(Word):
    """What the trader does; quantities are unsigned."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class PositionSide(Word):
    """In hedge mode, which of a symbol's two positions an order is about."""

    LONG = "long"
    SHORT = "short"

    @property
    def opens(self) -> Side:
        """What opens or enlarges this position."""
        return Side.BUY if self is PositionSide.LONG else Side.SELL


class OrderType(Word):
    """How an order meets the market."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT_MARKET = "take_profit_market"
    TAKE_PROFIT_LIMIT = "take_profit_limit"
    TRAILING_STOP = "trailing_stop"

    @property
    def is_stop(self) -> bool:
        """Waits for the price to move against a position: a sell below the market, a buy above it."""
        return self in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)

    @property
    def is_conditional(self) -> bool:
        """Does nothing before the price has reached its trigger."""
        return self is not OrderType.MARKET and self is not OrderType.LIMIT


class TimeInForce(Word):
    """GTC works until filled or cancelled, GTD until its date; IOC and FOK meet only the price at arrival, FOK whole or not."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"


class TriggerBy(Word):
    """Which price triggers a waiting order: the last trade's, the mark price, or the index."""

    LAST = "last"
    MARK = "mark"
    INDEX = "index"


class ExitSize(Word):
    """Whether exits attached to an entry belong to each of its fills (PART) or, one pair, to the whole position."""

    PART = "part"
    WHOLE = "whole"


class SelfTrade(Word):
    """What happens when an order would trade with another of the same account: nothing is done about it, the one that rests
    ends, the one that comes ends, or both.
    """

    NONE = "none"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_TAKER = "cancel_taker"
    CANCEL_BOTH = "cancel_both"


class Liquidity(Word):
    """Which side of the book a fill came from."""

    MAKER = "maker"
    TAKER = "taker"


class Market(Word):
    """Kind of contract."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"
    OPTION = "option"

    @property
    def is_outright(self) -> bool:
        """A trade pays its whole price at once and what is held is worth its mark: spot, and the premium of an option."""
        return self is Market.SPOT or self is Market.OPTION


class OrderStatus(Word):
    """States of the one life cycle table (`domain/order_states.py`)."""

    NEW = "new"
    SUBMITTED = "submitted"
    LIVE = "live"
    UNTRIGGERED = "untriggered"
    TRIGGERED = "triggered"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REFUSED = "refused"
    REJECTED = "rejected"


class RejectReason(Word):
    """Why an order was refused by Risk, rejected by the venue or ended before it was filled.

    The neutral codes are those of `exchange_semantics.md`, section 1.4; the rest belong to our own rails.
    """

    INVALID = "INVALID"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    NOT_TRADABLE = "NOT_TRADABLE"
    TICK = "TICK"
    LOT_STEP = "LOT_STEP"
    MIN_QTY = "MIN_QTY"
    MAX_QTY = "MAX_QTY"
    MIN_NOTIONAL = "MIN_NOTIONAL"
    MAX_NOTIONAL = "MAX_NOTIONAL"
    PRICE_RANGE = "PRICE_RANGE"
    PRICE_BAND = "PRICE_BAND"
    NO_PRICE = "NO_PRICE"
    INSUFFICIENT = "INSUFFICIENT"
    REDUCE_ONLY = "REDUCE_ONLY"
    POST_ONLY = "POST_ONLY"
    FOK = "FOK"
    GOOD_TILL = "GOOD_TILL"
    TRIGGER_SIDE = "TRIGGER_SIDE"
    SELF_TRADE = "SELF_TRADE"
    OCO = "OCO"
    REPLACED = "REPLACED"
    SHORT_SPOT = "SHORT_SPOT"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    MAX_POSITION = "MAX_POSITION"
    MAX_LEVERAGE = "MAX_LEVERAGE"
    MAX_SYMBOL_EXPOSURE = "MAX_SYMBOL_EXPOSURE"
    MAX_TOTAL_EXPOSURE = "MAX_TOTAL_EXPOSURE"
    MAX_CORRELATED_EXPOSURE = "MAX_CORRELATED_EXPOSURE"
    DAILY_LOSS = "DAILY_LOSS"
    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    KILL_SWITCH = "KILL_SWITCH"
    ORDER_RATE = "ORDER_RATE"
    HALTED = "HALTED"
    DUPLICATE_ID = "DUPLICATE_ID"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    TOO_LATE = "TOO_LATE"
    AMEND_BELOW_FILLED = "AMEND_BELOW_FILLED"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    CAPACITY = "CAPACITY"
    USER = "USER"
    END_OF_RUN = "END_OF_RUN"
    BANKRUPT = "BANKRUPT"
    LIQUIDATION = "LIQUIDATION"
    DELIVERY = "DELIVERY"


class CloseReason(Word):
    """Why a trade ended: what stands in `close_reason` of trades.csv. A strategy's own words may stand there too.

    SIGNAL is any order of the strategy that says nothing else; one that goes on to the other side is a REVERSE. DELIVERY is the
    settlement of a contract that has expired.
    """

    TP_HIT = "TP_HIT"
    SL_HIT = "SL_HIT"
    TRAIL = "TRAIL"
    REVERSE = "REVERSE"
    TIME_EXIT = "TIME_EXIT"
    LIQUIDATION = "LIQUIDATION"
    DELIVERY = "DELIVERY"
    SIGNAL = "SIGNAL"
    END = "END"


class FillNote(Word):
    """Why a fill did not happen at the bar in which its order arrived; of a liquidation, that the market was beyond its price;
    of a fill inside a bar, that finer data told the order of events; of an order that waited for mark or index, which.
    """

    NONE = ""
    GAP = "gap"
    ZERO_VOLUME = "zero_volume"
    CARRIED = "carried"
    GAP_LOSS = "gap_loss"
    RESOLVED = "resolved"
    MARK = "mark"
    INDEX = "index"


BUY: Final = Side.BUY
SELL: Final = Side.SELL
SPOT: Final = Market.SPOT
PART: Final = ExitSize.PART
MARKET_ORDER: Final = OrderType.MARKET
LIMIT_ORDER: Final = OrderType.LIMIT
GTC: Final = TimeInForce.GTC
GTD: Final = TimeInForce.GTD
FOK: Final = TimeInForce.FOK
TAKER: Final = Liquidity.TAKER
LAST: Final = TriggerBy.LAST
NO_NOTE: Final = FillNote.NONE
SUBMITTED: Final = OrderStatus.SUBMITTED
LIVE: Final = OrderStatus.LIVE
FILLED: Final = OrderStatus.FILLED
"""Members by a name of their own, for what every order passes: in Python 3.11 an attribute of an Enum costs 70 ns, a name 10."""
