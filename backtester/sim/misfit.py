"""Whether an order that was accepted by other rules may still arrive."""

from __future__ import annotations

from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import RejectReason


def misfit(order: SanitizedOrder, spec: SymbolSpec) -> RejectReason | None:
    """Why a venue with these rules rejects an order that opens: status, tick, lot or least size, in this order; None where it fits.

    Source: exchange_semantics.md, section 2 ("Order of checks").
    """
    if not spec.tradable:
        return RejectReason.NOT_TRADABLE
    prices = (
        *(order.price_ticks, order.trigger_ticks, order.take_profit_ticks, order.stop_loss_ticks),
        *(order.oco_trigger_ticks, order.oco_price_ticks, order.trail_ticks),
    )
    if any(ticks % spec.tick_step for ticks in prices):
        return RejectReason.TICK
    if order.quote_e8:  # its size is known when it arrives
        return None
    if order.qty_lots % spec.lot_step:
        return RejectReason.LOT_STEP
    return RejectReason.MIN_QTY if order.qty_lots * spec.lot_e8 < spec.min_qty_e8 else None
