"""The typed topics of the bus."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from backtester.domain.account import AccountSnapshot
from backtester.domain.borrowing import InterestCharged
from backtester.domain.candle import Candle
from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.deposits import CashDeposited, CoinsDeposited
from backtester.domain.intents import AnyIntent
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

M = TypeVar("M")


class Topic(Generic[M]):
    """A named channel that carries messages of one type."""

    __slots__ = ("index", "name")

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index

    def __repr__(self) -> str:
        return f"Topic({self.name})"


Published = tuple[Topic[Any], Any]
"""A topic and the message to publish on it; build it with `on`, which checks that they fit."""


def on(topic: Topic[M], message: M) -> Published:
    """The pair that a module returns to have `message` published on `topic`."""
    return (topic, message)


T_CANDLES: Topic[Candle] = Topic("candles", 0)
T_ORDERS_INTENT: Topic[AnyIntent] = Topic("orders.intent", 1)
T_ORDERS_SANITIZED: Topic[SanitizedOrder | SanitizedExits | SanitizedAmend | SanitizedCancel] = Topic("orders.sanitized", 2)
T_ORDERS_REFUSED: Topic[OrderRefused] = Topic("orders.refused", 3)
T_ORDERS_ACK: Topic[OrderAck] = Topic("orders.ack", 4)
T_ORDERS_REJECTED: Topic[OrderRejected] = Topic("orders.rejected", 5)
T_ORDERS_CANCELED: Topic[OrderCanceled] = Topic("orders.canceled", 6)
T_FILLS: Topic[Fill] = Topic("fills", 7)
T_ACCOUNT_SNAPSHOT: Topic[AccountSnapshot] = Topic("account.snapshot", 8)
T_CONTROL: Topic[ControlEvent] = Topic("control", 9)
T_LOG: Topic[LogEvent] = Topic("logs", 10)
T_RUN: Topic[RunStarted | RunEnded] = Topic("run", 11)
T_ORDERS_TRIGGERED: Topic[OrderTriggered] = Topic("orders.triggered", 12)
T_ORDERS_ATTACHED: Topic[OrderAttached] = Topic("orders.attached", 13)
T_FUNDING: Topic[FundingPaid] = Topic("funding", 14)
T_ORDERS_AMENDED: Topic[OrderAmended] = Topic("orders.amended", 15)
T_LIQUIDATIONS: Topic[LiquidationOrder] = Topic("orders.liquidation", 16)
T_DELIVERIES: Topic[ContractSettled | Delivery] = Topic("deliveries", 17)
T_BALANCES: Topic[CoinsDeposited | CashDeposited] = Topic("account.balances", 18)
T_INTEREST: Topic[InterestCharged] = Topic("interest", 19)
T_RULES: Topic[RulesChanged] = Topic("rules", 20)

TOPICS: tuple[Topic[Any], ...] = (
    T_CANDLES,
    T_ORDERS_INTENT,
    T_ORDERS_SANITIZED,
    T_ORDERS_REFUSED,
    T_ORDERS_ACK,
    T_ORDERS_REJECTED,
    T_ORDERS_CANCELED,
    T_FILLS,
    T_ACCOUNT_SNAPSHOT,
    T_CONTROL,
    T_LOG,
    T_RUN,
    T_ORDERS_TRIGGERED,
    T_ORDERS_ATTACHED,
    T_FUNDING,
    T_ORDERS_AMENDED,
    T_LIQUIDATIONS,
    T_DELIVERIES,
    T_BALANCES,
    T_INTEREST,
    T_RULES,
)
