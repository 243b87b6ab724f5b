"""Which messages a journal may hold, and how one is read back from its JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from backtester.domain.account import AccountSnapshot
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.deposits import CashDeposited, CoinsDeposited
from backtester.domain.errors import JournalError
from backtester.domain.intents import (
    AmendOrderIntent,
    AnyIntent,
    CancelAllIntent,
    CancelOrderIntent,
    LimitOrderIntent,
    MarketOrderIntent,
    OcoOrderIntent,
    OrderIntent,
    PositionExitsIntent,
    StopOrderIntent,
    TakeProfitOrderIntent,
    TrailingStopIntent,
)
from backtester.domain.message import Message
from backtester.domain.orders import (
    Fill,
    LiquidationOrder,
    OrderAck,
    OrderAmended,
    OrderAttached,
    OrderCanceled,
    OrderRefused,
    OrderRejected,
    OrderTriggered,
    SanitizedAmend,
    SanitizedCancel,
    SanitizedExits,
    SanitizedOrder,
)
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.run_events import ControlEvent, LogEvent, RunEnded, RunStarted
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import ExitSize, SelfTrade, Side, TimeInForce, TriggerBy, Word

JournaledMessage = Message | AnyIntent

_Recorded = (
    Fill
    | OrderAck
    | OrderAmended
    | OrderAttached
    | OrderCanceled
    | OrderRefused
    | OrderRejected
    | OrderTriggered
    | SanitizedOrder
    | SanitizedAmend
    | SanitizedCancel
    | SanitizedExits
    | AccountSnapshot
    | ContractSettled
    | ControlEvent
    | Delivery
    | CoinsDeposited
    | CashDeposited
    | FundingPaid
    | InterestCharged
    | LiquidationOrder
    | LogEvent
    | RulesChanged
    | RunStarted
    | RunEnded
    | CancelOrderIntent
    | CancelAllIntent
)
"""What JSON gives back field by field. Order intents are apart: their numbers may be of any kind, in JSON text or number."""

_decode_recorded: Callable[[bytes], JournaledMessage] = msgspec.json.Decoder(_Recorded).decode
_decode_fill = msgspec.json.Decoder(Fill).decode
_decode_funding = msgspec.json.Decoder(FundingPaid).decode
_decode_delivery: Callable[[bytes], ContractSettled | Delivery] = msgspec.json.Decoder(ContractSettled | Delivery).decode
_decode_snapshot = msgspec.json.Decoder(AccountSnapshot).decode
_ORDER_INTENTS: dict[str, type[OrderIntent | AmendOrderIntent | PositionExitsIntent]] = {
    "market_order": MarketOrderIntent,
    "limit_order": LimitOrderIntent,
    "stop_order": StopOrderIntent,
    "take_profit_order": TakeProfitOrderIntent,
    "trailing_stop": TrailingStopIntent,
    "amend_order": AmendOrderIntent,
    "oco_order": OcoOrderIntent,
    "position_exits": PositionExitsIntent,
}
_WORDS: dict[str, type[Word]] = {"side": Side, "tif": TimeInForce, "exit_size": ExitSize, "stp": SelfTrade, "trigger_by": TriggerBy}
_ORDER_INTENT_HEADS = tuple(f'{{"type":"{tag}"'.encode() for tag in _ORDER_INTENTS)


def decode_event(raw: bytes) -> JournaledMessage:
    """The message that `raw` records. An order intent's Decimal comes back as text; what was no side stays what it was.

    Raises JournalError when it is none of the messages a journal holds.
    """
    try:
        fields: dict[str, Any] | None = None
        if raw.startswith(_ORDER_INTENT_HEADS):
            fields = msgspec.json.decode(raw)
        if fields is None:
            return _decode_recorded(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not an event of a journal: {error}: {raw[:120]!r}") from error
    intent = _ORDER_INTENTS[fields.pop("type")]
    for name, words in _WORDS.items():
        if name in fields:
            fields[name] = _member(words, fields[name])
    try:
        return intent(**fields)
    except TypeError as error:
        raise JournalError(f"not an order intent: {error}: {raw[:120]!r}") from error


def decode_fill(raw: bytes) -> Fill:
    """The fill that `raw` records. Raises JournalError when it is none."""
    try:
        return _decode_fill(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not a fill: {error}: {raw[:120]!r}") from error


def decode_funding(raw: bytes) -> FundingPaid:
    """The payment that `raw` records. Raises JournalError when it is none."""
    try:
        return _decode_funding(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not a funding payment: {error}: {raw[:120]!r}") from error


def decode_delivery(raw: bytes) -> ContractSettled | Delivery:
    """The end of a contract, or of a position in it, that `raw` records. Raises JournalError when it is none."""
    try:
        return _decode_delivery(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not a delivery: {error}: {raw[:120]!r}") from error


_decode_deposit: Callable[[bytes], CoinsDeposited | CashDeposited] = msgspec.json.Decoder(CoinsDeposited | CashDeposited).decode


def decode_deposit(raw: bytes) -> CoinsDeposited | CashDeposited:
    """The deposit that `raw` records. Raises JournalError when it is none."""
    try:
        return _decode_deposit(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not a deposit: {error}: {raw[:120]!r}") from error


_decode_interest = msgspec.json.Decoder(InterestCharged).decode


def decode_interest(raw: bytes) -> InterestCharged:
    """The charge that `raw` records. Raises JournalError when it is none."""
    try:
        return _decode_interest(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not a charge of interest: {error}: {raw[:120]!r}") from error


def decode_snapshot(raw: bytes) -> AccountSnapshot:
    """The snapshot that `raw` records. Raises JournalError when it is none."""
    try:
        return _decode_snapshot(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise JournalError(f"not an account snapshot: {error}: {raw[:120]!r}") from error


def _member(words: type[Word], value: object) -> Any:
    """The member `value` names, else `value` itself: a refused intent is recorded as the strategy made it."""
    try:
        return words(value)
    except ValueError:
        return value
