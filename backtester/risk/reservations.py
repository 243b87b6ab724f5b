"""Cash held for working orders until they are filled or end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, ceil_div
from backtester.domain.orders import Fill
from backtester.domain.vocabulary import BUY, SPOT


class Reservations:
    """Money units by order. A fill releases its share or what it spent; the last fill or the order's end releases the rest."""

    def __init__(self) -> None:
        self.total = 0
        self._by_order: dict[str, tuple[int, int]] = {}

    def hold(self, order_id: str, amount: int, lots: int) -> None:
        """Hold `amount` for an order of `lots`."""
        self._by_order[order_id] = (amount, lots)
        self.total += amount

    def fill(self, order_id: str, open_lots: int, spent: int | None = None) -> None:
        """Release what was `spent`, where that is known: the rest may still be used by the order. Otherwise release what the
        filled part held: what stays is in proportion to the open lots, rounded up.
        """
        if not open_lots:
            self.release(order_id)
            return
        held = self._by_order.get(order_id)
        if held is None:
            return
        amount, lots = held
        stays = -(-amount * open_lots // lots) if spent is None else max(0, amount - spent)
        self._by_order[order_id] = (stays, open_lots)
        self.total -= amount - stays

    def of(self, order_id: str) -> int:
        """What is held for an order; 0 when there is nothing."""
        held = self._by_order.get(order_id)
        return held[0] if held is not None else 0

    def release(self, order_id: str) -> None:
        """Release all that is held for an order; nothing when there is nothing."""
        held = self._by_order.pop(order_id, None)
        if held is not None:
            self.total -= held[0]

    @contextmanager
    def without(self, fills: Sequence[Fill]) -> Iterator[None]:
        """What these fills will release is held no longer, until the end of the block."""
        kept = {fill.order_id: self._by_order.get(fill.order_id) for fill in fills}
        for fill in fills:
            self.fill(fill.order_id, fill.open_lots)
        try:
            yield
        finally:
            for order_id, held in kept.items():
                self.release(order_id)
                if held is not None:
                    self.hold(order_id, *held)

    def held(self) -> list[tuple[str, int]]:
        """(order, money units) of every order that holds something."""
        return [(order_id, amount) for order_id, (amount, _) in self._by_order.items()]

    def __len__(self) -> int:
        return len(self._by_order)


def spent_by(fill: Fill, spec: SymbolSpec) -> int | None:
    """Money units that a spot buy has paid, value and fee; None for any other fill."""
    if fill.side is not BUY or spec.market is not SPOT:
        return None
    value = fill.price_ticks * spec.tick_e8 * fill.qty_lots * spec.lot_e8
    return (ceil_div(value, FEE_STEP) + (0 if fill.fee_in_base else fill.fee_e8)) * FEE_STEP
