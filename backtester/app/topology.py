"""Who publishes on which topic and who listens, in which order; docs/bus_topology.md is made from it."""

from __future__ import annotations

from typing import NamedTuple

from backtester.engine.topics import (
    T_ACCOUNT_SNAPSHOT,
    T_BALANCES,
    T_CANDLES,
    T_CONTROL,
    T_DELIVERIES,
    T_FILLS,
    T_FUNDING,
    T_INTEREST,
    T_LIQUIDATIONS,
    T_LOG,
    T_ORDERS_ACK,
    T_ORDERS_AMENDED,
    T_ORDERS_ATTACHED,
    T_ORDERS_CANCELED,
    T_ORDERS_INTENT,
    T_ORDERS_REFUSED,
    T_ORDERS_REJECTED,
    T_ORDERS_SANITIZED,
    T_ORDERS_TRIGGERED,
    T_RULES,
    T_RUN,
)


class TopologyRow(NamedTuple):
    """One topic: what it carries, who publishes on it, and who subscribes, in order of registration."""

    topic: str
    message: str
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]


TOPOLOGY: tuple[TopologyRow, ...] = (
    TopologyRow(T_CANDLES.name, "Candle", ("feed",), ("execution (venue)", "account (guard)", "strategy (on_candle)")),
    TopologyRow(
        T_ORDERS_INTENT.name,
        "MarketOrderIntent | LimitOrderIntent | StopOrderIntent | TakeProfitOrderIntent | TrailingStopIntent "
        "| OcoOrderIntent | PositionExitsIntent | AmendOrderIntent | CancelOrderIntent | CancelAllIntent",
        ("strategy",),
        ("audit", "risk"),
    ),
    TopologyRow(
        T_ORDERS_SANITIZED.name,
        "SanitizedOrder | SanitizedExits | SanitizedAmend | SanitizedCancel",
        ("risk",),
        ("audit", "execution"),
    ),
    TopologyRow(T_ORDERS_REFUSED.name, "OrderRefused", ("risk",), ("audit", "strategy (on_reject)")),
    TopologyRow(T_ORDERS_ACK.name, "OrderAck", ("execution (venue)",), ("audit", "execution")),
    TopologyRow(
        T_ORDERS_REJECTED.name,
        "OrderRejected",
        ("execution (venue)",),
        ("audit", "risk", "execution", "strategy (on_reject)"),
    ),
    TopologyRow(
        T_ORDERS_CANCELED.name,
        "OrderCanceled",
        ("execution (venue)",),
        ("audit", "risk", "execution", "strategy (on_cancel)"),
    ),
    TopologyRow(T_FILLS.name, "Fill", ("execution (venue)",), ("audit", "risk", "execution", "account", "strategy (on_fill)")),
    TopologyRow(T_ACCOUNT_SNAPSHOT.name, "AccountSnapshot", ("account",), ("audit",)),
    TopologyRow(T_CONTROL.name, "ControlEvent", ("account", "risk"), ("audit", "risk")),
    TopologyRow(T_LOG.name, "LogEvent", ("strategy",), ("audit",)),
    TopologyRow(T_RUN.name, "RunStarted | RunEnded", ("app",), ("audit",)),
    TopologyRow(T_ORDERS_TRIGGERED.name, "OrderTriggered", ("execution (venue)",), ("audit", "execution")),
    TopologyRow(T_ORDERS_ATTACHED.name, "OrderAttached", ("execution (venue)",), ("audit", "execution")),
    TopologyRow(T_FUNDING.name, "FundingPaid", ("account",), ("audit",)),
    TopologyRow(T_ORDERS_AMENDED.name, "OrderAmended", ("execution (venue)",), ("audit", "risk", "execution")),
    TopologyRow(T_LIQUIDATIONS.name, "LiquidationOrder", ("account",), ("audit", "execution", "execution (venue)")),
    TopologyRow(T_DELIVERIES.name, "ContractSettled | Delivery", ("account",), ("audit", "execution (venue)")),
    TopologyRow(T_BALANCES.name, "CoinsDeposited | CashDeposited", ("app",), ("audit",)),
    TopologyRow(T_INTEREST.name, "InterestCharged", ("account",), ("audit", "execution (venue)")),
    TopologyRow(T_RULES.name, "RulesChanged", ("app (rule book)",), ("audit", "risk", "execution (venue)", "account")),
)
