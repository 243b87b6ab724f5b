"""The life cycle of orders: what was sent, and what the venue said of it."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from backtester.domain.closing_order import ENGINE_OWNERS
from backtester.domain.order_states import next_status
from backtester.domain.orders import (
    Fill,
    LiquidationOrder,
    OrderAck,
    OrderAmended,
    OrderAttached,
    OrderCanceled,
    OrderRejected,
    OrderTriggered,
    SanitizedAmend,
    SanitizedCancel,
    SanitizedExits,
    SanitizedOrder,
)
from backtester.domain.vocabulary import FILLED, LIVE, OrderStatus, RejectReason
from backtester.execution.working_orders import OrderRecord, WorkingOrders


class OrderGateway(Protocol):
    """The way to a venue, simulated or real: requests go out here, reports come back as messages."""

    def send(self, order: SanitizedOrder) -> None:
        """The order is on its way."""

    def cancel(self, cancel: SanitizedCancel) -> None:
        """The request to cancel is on its way."""

    def amend(self, amend: SanitizedAmend) -> None:
        """The request to amend is on its way."""

    def set_exits(self, exits: SanitizedExits) -> None:
        """The request to give the position these exits is on its way."""


class OrderManager:
    """Hands requests to the gateway and keeps the working orders current with what the venue reports."""

    def __init__(self, *, gateway: OrderGateway, working: WorkingOrders) -> None:
        self._gateway = gateway
        self._working = working
        self._records = working.records
        self.sent_count = 0

    def on_sanitized(self, request: SanitizedOrder | SanitizedExits | SanitizedAmend | SanitizedCancel) -> None:
        """The request is recorded and handed to the gateway."""
        if not isinstance(request, SanitizedOrder):
            self._ask(request)
            return
        self.sent_count += 1
        order_id = request.order_id
        self._records[order_id] = OrderRecord(request, request.qty_lots)
        owner, _, number = order_id.rpartition("-")
        if not number.isdigit() or (owner != request.strategy_id and owner not in ENGINE_OWNERS):
            self._working.chosen_ids.add(order_id)
        self._gateway.send(request)

    def _ask(self, request: SanitizedExits | SanitizedAmend | SanitizedCancel) -> None:
        if isinstance(request, SanitizedCancel):
            self._gateway.cancel(request)
        elif isinstance(request, SanitizedAmend):
            self._gateway.amend(request)
        else:
            self._working.chosen_ids.add(request.order_id)
            self._gateway.set_exits(request)

    def on_ack(self, ack: OrderAck) -> None:
        """The order is live, or waits for its trigger."""
        record = self._records[ack.order_id]
        record.status = next_status(record.status, OrderStatus.UNTRIGGERED if ack.is_waiting else LIVE, ack.order_id)

    def on_attached(self, attached: OrderAttached) -> None:
        """An order that the venue made of a fill is known, and waits."""
        record = OrderRecord(attached.order, attached.order.qty_lots)
        record.status = next_status(record.status, OrderStatus.UNTRIGGERED, attached.order.order_id)
        self._records[attached.order.order_id] = record
        self._working.chosen_ids.add(attached.order.order_id)

    def on_amended(self, amended: OrderAmended) -> None:
        """The order has its new values; where it stands in its life has not changed."""
        record = self._records[amended.order_id]
        record.order = replace(
            record.order, qty_lots=amended.qty_lots, price_ticks=amended.price_ticks, trigger_ticks=amended.trigger_ticks
        )
        record.open_lots = amended.open_lots

    def on_liquidation(self, liquidation: LiquidationOrder) -> None:
        """An order that the venue made of a position short of margin is known, and live."""
        record = OrderRecord(liquidation.order, liquidation.order.qty_lots)
        record.status = next_status(record.status, LIVE, liquidation.order.order_id)
        self._records[liquidation.order.order_id] = record

    def on_triggered(self, triggered: OrderTriggered) -> None:
        """The order has been triggered and is live."""
        record = self._records[triggered.order_id]
        status = next_status(record.status, OrderStatus.TRIGGERED, triggered.order_id)
        record.status = next_status(status, LIVE, triggered.order_id)

    def on_fill(self, fill: Fill) -> None:
        """The order is partly filled, or filled and forgotten."""
        record = self._records[fill.order_id]
        record.open_lots = fill.open_lots
        if fill.open_lots:
            record.status = next_status(record.status, OrderStatus.PARTIALLY_FILLED, fill.order_id)
        else:
            record.status = next_status(record.status, FILLED, fill.order_id)
            del self._records[fill.order_id]

    def on_canceled(self, canceled: OrderCanceled) -> None:
        """The order has ended and is forgotten."""
        record = self._records.pop(canceled.order_id)
        status = record.status
        if (
            status is OrderStatus.UNTRIGGERED
            and canceled.reason is RejectReason.INSUFFICIENT
            and canceled.status is OrderStatus.CANCELED
        ):
            status = next_status(status, OrderStatus.TRIGGERED, canceled.order_id)  # margin is asked for at the trigger
        next_status(status, canceled.status, canceled.order_id)

    def on_rejected(self, rejected: OrderRejected) -> None:
        """A rejected order is forgotten; a rejected request changes nothing."""
        if rejected.ends_order:
            record = self._records.pop(rejected.order_id)
            next_status(record.status, OrderStatus.REJECTED, rejected.order_id)
