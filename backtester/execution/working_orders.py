"""The working orders of a run. Knows nobody, so a strategy may read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import OpenOrder, SanitizedOrder
from backtester.domain.rounding import lots_decimal, ticks_decimal
from backtester.domain.vocabulary import SUBMITTED, OrderStatus, Side


class OrderRecord(msgspec.Struct, eq=False):
    """One order and where it stands in its life cycle."""

    order: SanitizedOrder
    open_lots: int
    status: OrderStatus = SUBMITTED


class WorkingOrders:
    """Working orders in the order they were sent; an order is forgotten when it ends.

    Ids that the engine stamped are unique by their counter; ids that a strategy chose are remembered for the whole run.
    """

    def __init__(self, *, specs: Mapping[str, SymbolSpec]) -> None:
        self.records: dict[str, OrderRecord] = {}
        self.chosen_ids: set[str] = set()
        self._specs = specs

    def count(self) -> int:
        """Number of working orders."""
        return len(self.records)

    def owner(self, order_id: str) -> str | None:
        """The strategy of a working order; None when it is not working."""
        record = self.records.get(order_id)
        return record.order.strategy_id if record is not None else None

    def find(self, order_id: str) -> tuple[SanitizedOrder, int, bool] | None:
        """(order, open lots, whether it may still wait for a trigger) of a working order; None when it is not working."""
        record = self.records.get(order_id)
        if record is None:
            return None
        before = record.status is OrderStatus.UNTRIGGERED or record.status is SUBMITTED
        return record.order, record.open_lots, before and record.order.order_type.is_conditional

    def is_used(self, order_id: str) -> bool:
        """Whether an order of this id is working, or one with this chosen id was ever sent."""
        return order_id in self.records or order_id in self.chosen_ids

    def is_entry(self, order_id: str, *, held_lots: int) -> bool:
        """Whether a working order would open or enlarge a position of `held_lots`: not reduce-only, not within the opposite."""
        record = self.records[order_id]
        opposite = held_lots * record.order.side.sign < 0
        return not (record.order.reduce_only or (opposite and record.open_lots <= abs(held_lots)))

    def entries(self) -> Iterator[tuple[str, Side, int, int]]:
        """(symbol, side, open lots, limit or trigger in ticks, 0 for a market order) of working orders that are not reduce-only."""
        for record in self.records.values():
            order = record.order
            if not order.reduce_only:
                yield order.symbol, order.side, record.open_lots, order.price_ticks or order.trigger_ticks

    def entry_lots(self, symbol: str, side: Side) -> int:
        """Open lots of all working orders of this side that may open a position (not reduce-only)."""
        return sum(
            record.open_lots
            for record in self.records.values()
            if record.order.symbol == symbol
            and record.order.side is side
            and not record.order.reduce_only
            and not (record.order.oco_id and record.status is OrderStatus.UNTRIGGERED)  # instead of its limit, not beside it
        )

    def working(self, *, strategy_id: str | None = None, symbol: str | None = None) -> Sequence[OpenOrder]:
        """Working orders in the order they were sent, each a value of its own."""
        return [self._view(record) for record in self._matching(strategy_id, symbol)]

    def _matching(self, strategy_id: str | None, symbol: str | None) -> Iterator[OrderRecord]:
        for record in self.records.values():
            order = record.order
            if (strategy_id is None or order.strategy_id == strategy_id) and (symbol is None or order.symbol == symbol):
                yield record

    def _view(self, record: OrderRecord) -> OpenOrder:
        order = record.order
        spec = self._specs[order.symbol]
        return OpenOrder(
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            qty=lots_decimal(order.qty_lots, spec),
            filled_qty=lots_decimal(order.qty_lots - record.open_lots, spec),
            price=ticks_decimal(order.price_ticks, spec) if order.price_ticks else None,
            status=record.status,
            reduce_only=order.reduce_only,
            time_ms=order.time_ms,
            trigger_price=ticks_decimal(order.trigger_ticks, spec) if order.trigger_ticks else None,
            trigger_by=order.trigger_by,
            position_side=order.position_side,
        )
