"""Which rule of docs/simulation.md an event follows: the part of the table there and the first cell of the row."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.orders import (
    Fill,
    LiquidationOrder,
    OrderAck,
    OrderAttached,
    OrderCanceled,
    OrderRefused,
    OrderRejected,
    OrderTriggered,
)
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import CloseReason, FillNote, OrderType, RejectReason, TriggerBy

PAGE = Path(__file__).resolve().parents[2] / "docs/simulation.md"
"""Where the page stands in a checkout; an installed package does not bring it."""

_TIME, _MARKET, _LIMIT, _STOPS = "Time", "Market orders", "Limit orders", "Stops and take-profits"
_FEES, _CASH, _MARGIN, _OPTIONS, _END = "Fees", "Positions and cash", "Margin", "Options", "The end"


class Rule(NamedTuple):
    """A rule by its place in the table of assumptions: part, and the row's first cell; a part alone where it is all of it."""

    section: str
    row: str = ""

    def line(self) -> int | None:
        """Its line in docs/simulation.md, None where the page is not at hand or says it otherwise."""
        try:
            lines = PAGE.read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        heading = f"| **{self.section}** | | | |"
        if heading not in lines:
            return None
        first = lines.index(heading)
        if not self.row:
            return first + 1
        for number, text in enumerate(lines[first + 1 :], start=first + 2):
            if not text.startswith("|") or text.startswith("| **"):
                return None
            if text.startswith(f"| {self.row} |"):
                return number
        return None

    def __str__(self) -> str:
        line = self.line()
        where = "docs/simulation.md" + (f":{line}" if line is not None else "")
        return f"{self.section}: {self.row} ({where})" if self.row else f"{self.section} ({where})"


ORDER_ON_ITS_WAY = Rule(_TIME, "order on its way")
CANCEL_ON_ITS_WAY = Rule(_TIME, "cancel on its way")
DECIDED_AT_A_CLOSE = Rule(_TIME, "signal on the close of bar N")
_FILL_NOTES = {
    FillNote.GAP: Rule(_MARKET, "arrival in a gap"),
    FillNote.ZERO_VOLUME: Rule(_MARKET, "bar without volume"),
    FillNote.CARRIED: Rule(_MARKET, "what is left"),
    FillNote.GAP_LOSS: Rule(_MARGIN, "gap beyond bankruptcy"),
    FillNote.RESOLVED: Rule(_STOPS, "such bars, with finer data"),
    FillNote.MARK: Rule(_STOPS, "trigger by mark or index"),
    FillNote.INDEX: Rule(_STOPS, "trigger by mark or index"),
}
_REASONS = {
    RejectReason.REDUCE_ONLY: Rule(_CASH, "reduce-only without a position"),
    RejectReason.SHORT_SPOT: Rule(_CASH, "spot"),
    RejectReason.INSUFFICIENT: Rule(_CASH, "reservation"),
    RejectReason.MIN_NOTIONAL: Rule(_CASH, "minimum notional"),
    RejectReason.PRICE_RANGE: Rule(_CASH, "price range and band of the venue"),
    RejectReason.PRICE_BAND: Rule(_CASH, "price collar"),
    RejectReason.DAILY_LOSS: Rule(_CASH, "daily loss"),
    RejectReason.HALTED: Rule(_CASH, "daily loss"),
    RejectReason.BANKRUPT: Rule(_CASH, "equity at or below 0"),
    RejectReason.CAPACITY: Rule(_MARKET, "what is left"),
    RejectReason.NO_LIQUIDITY: Rule(_MARKET, "IOC"),
    RejectReason.FOK: Rule(_LIMIT, "FOK"),
    RejectReason.SELF_TRADE: Rule(_LIMIT, "own orders that cross (`stp`)"),
    RejectReason.AMEND_BELOW_FILLED: Rule(_LIMIT, "amend against fill"),
    RejectReason.POST_ONLY: Rule(_LIMIT, "post-only"),
    RejectReason.GOOD_TILL: Rule(_LIMIT, "GTD"),
    RejectReason.TOO_LATE: Rule(_LIMIT, "cancel against fill"),
    RejectReason.TRIGGER_SIDE: Rule(_STOPS, "wrong side of the market at arrival"),
    RejectReason.OCO: Rule(_STOPS, "`take_profit`, `stop_loss` of an entry"),
    RejectReason.LIQUIDATION: Rule(_MARGIN, "orders"),
    RejectReason.DELIVERY: Rule(_OPTIONS, "delivery"),
    RejectReason.END_OF_RUN: Rule(_END),
}
_TRIGGERED_FILLS = {
    OrderType.TAKE_PROFIT_MARKET: Rule(_STOPS, "take-profit"),
    OrderType.TRAILING_STOP: Rule(_STOPS, "trailing stop"),
    OrderType.STOP_LIMIT: Rule(_STOPS, "with a limit, in the bar of its trigger"),
    OrderType.TAKE_PROFIT_LIMIT: Rule(_STOPS, "with a limit, in the bar of its trigger"),
}
_STOP_IN_BAR, _STOP_OVER_GAP = Rule(_STOPS, "stop inside a bar"), Rule(_STOPS, "stop over a gap")
_TAKES, _RESTS, _AT_OPEN = Rule(_LIMIT, "marketable on arrival"), Rule(_LIMIT, "resting"), Rule(_MARKET, "price")
_OVER_SHARE, _SHARE = Rule(_MARKET, "reduce-only"), Rule(_MARKET, "size")
_TRIGGER, _PAIR = Rule(_STOPS, "trigger"), Rule(_STOPS, "`take_profit`, `stop_loss` of an entry")
_FUNDING = Rule(_FEES, "funding")
_INTEREST = Rule(_FEES, "interest on what is borrowed")
_SETTLED, _DELIVERED = Rule(_OPTIONS, "settlement price at the expiry"), Rule(_OPTIONS, "delivery")
_SHORT_OPTION = Rule(_OPTIONS, "a short option whose margin is not covered at a close")
_LIQUIDATION_FEE, _SHORT_OF_MARGIN = Rule(_MARGIN, "liquidation fee"), Rule(_MARGIN, "when")
_CROSS = (Rule(_MARGIN, "cross"), Rule(_MARGIN, "lower tier"), Rule(_MARGIN, "else, cross"))
_ISOLATED = (Rule(_MARGIN, "isolated"), Rule(_MARGIN, "lower tier"), Rule(_MARGIN, "else, isolated"))


def rules_of(event: object) -> tuple[Rule, ...]:
    """The rules that made the event what it is, the main one first; none where docs/simulation.md has nothing to say."""
    if isinstance(event, Fill):
        return _fill_rules(event)
    if isinstance(event, OrderRefused | OrderRejected | OrderCanceled):
        found = _REASONS.get(event.reason)
        return (found,) if found is not None else ()
    if isinstance(event, OrderAck):
        return (ORDER_ON_ITS_WAY,)
    if isinstance(event, OrderTriggered):
        return (_TRIGGER,) if event.trigger_by is TriggerBy.LAST else (_FILL_NOTES[FillNote.MARK],)
    if isinstance(event, ContractSettled):
        return (_SETTLED,)
    if isinstance(event, Delivery):
        return (_DELIVERED,)
    if isinstance(event, LiquidationOrder) and not event.price_ticks:
        return (_SHORT_OPTION,)
    if isinstance(event, LiquidationOrder):
        return (_SHORT_OF_MARGIN, *(_CROSS if event.is_cross else _ISOLATED))
    if isinstance(event, OrderAttached):
        return (_PAIR,)
    if isinstance(event, InterestCharged):
        return (_INTEREST,)
    return (_FUNDING,) if isinstance(event, FundingPaid) else ()


def every_rule() -> tuple[Rule, ...]:
    """All rules that can be named, so that the page can be held to them."""
    single = (_STOP_IN_BAR, _STOP_OVER_GAP, _TAKES, _RESTS, _AT_OPEN, _OVER_SHARE, _SHARE, _TRIGGER, _PAIR, _FUNDING, _INTEREST)
    liquidated = (_LIQUIDATION_FEE, _SHORT_OF_MARGIN, *_CROSS, *_ISOLATED, _SHORT_OPTION, _SETTLED, _DELIVERED)
    decided = (ORDER_ON_ITS_WAY, CANCEL_ON_ITS_WAY, DECIDED_AT_A_CLOSE)
    return tuple(
        dict.fromkeys((*single, *liquidated, *decided, *_FILL_NOTES.values(), *_REASONS.values(), *_TRIGGERED_FILLS.values()))
    )


def _fill_rules(fill: Fill) -> tuple[Rule, ...]:
    if fill.reason == "END" and fill.strategy_id == "end":
        return (Rule(_END),)
    if fill.order_id.startswith("liq-") and fill.reason == CloseReason.LIQUIDATION.value:
        main = _LIQUIDATION_FEE
    elif fill.note in (FillNote.MARK, FillNote.INDEX):
        main = _FILL_NOTES[fill.note]
    elif fill.order_type is OrderType.STOP_MARKET:
        main = _STOP_IN_BAR if fill.bar_fill else _STOP_OVER_GAP
    elif fill.order_type in _TRIGGERED_FILLS:
        main = _TRIGGERED_FILLS[fill.order_type]
    elif fill.order_type is OrderType.LIMIT:
        main = _RESTS if fill.bar_fill else _TAKES
    else:
        main = _AT_OPEN
    more = [_FILL_NOTES[fill.note]] if fill.note in _FILL_NOTES and _FILL_NOTES[fill.note] != main else []
    more += [_OVER_SHARE] if fill.over_share else []
    more += [_SHARE] if fill.open_lots and main in {_AT_OPEN, _TAKES} else []
    return (main, *more)
