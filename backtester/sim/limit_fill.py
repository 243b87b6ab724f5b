"""What a resting limit gets of a bar that touches it and does not trade through it, where that is not all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from backtester.domain.candle import Candle
from backtester.domain.impact import quarter_volumes
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import CALCULATION, PRICE_ONE, price_e8, size_from_e8
from backtester.domain.queue_position import after_trade
from backtester.domain.rounding import on_step
from backtester.domain.vocabulary import Side
from backtester.engine.rng import keyed_fraction
from backtester.sim.liquidity import volume_e8
from backtester.sim.working_order import WorkingOrder

TouchRule = Literal["probabilistic", "queue"]


class TouchFill:
    """Fills at a touch by chance, or by the place in the queue. What is traded through is filled on either.

    probabilistic: each bar that touches fills the order with a chance of `touch_frac`, drawn from the run's seed, the symbol, the
    order and the bar. queue: when the order is first touched, `ahead_frac` of that bar's volume stands ahead of it; a bar trades a
    quarter of its volume at each of its open, high, low and close, and what of that is at the limit takes what is ahead first.
    Source: exchange_semantics.md, section 5.1 (prob_fill_on_limit, queue_position, volume of a bar); golden H09, J01.
    """

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        rule: TouchRule,
        seed: int = 0,
        touch_frac: Decimal = Decimal("0.5"),
        ahead_frac: Decimal = Decimal(1),
    ) -> None:
        self._specs = specs
        self._rule = rule
        self._seed = seed
        self._touch_frac = float(touch_frac)
        self._ahead_frac = ahead_frac
        self._ahead: dict[str, tuple[int, int, Decimal]] = {}

    def is_through(self, working: WorkingOrder, price: float) -> bool:
        """Whether a trade at `price` is beyond the limit by a tick or more."""
        beyond = (working.limit_e8 - price_e8(price)) * (1 if working.order.side is Side.BUY else -1)
        return beyond >= working.tick_e8 * self._specs[working.order.symbol].tick_step

    def lots(self, working: WorkingOrder, bar: Candle, allowed_lots: int) -> int:
        """Of `allowed_lots`, those that this bar fills; it reaches the limit. Asked once for each order and bar."""
        if self.is_through(working, bar.low if working.order.side is Side.BUY else bar.high):
            return allowed_lots
        order = working.order
        if self._rule == "probabilistic":
            drawn = keyed_fraction(self._seed, "limit_fill", order.symbol, order.order_id, str(bar.start_ms))
            return allowed_lots if drawn < self._touch_frac else 0
        return min(allowed_lots, self._reached_in_queue(working, bar))

    def _reached_in_queue(self, working: WorkingOrder, bar: Candle) -> int:
        spec, order_id = self._specs[working.order.symbol], working.order.order_id
        arrived_ms, limit_e8, ahead = self._ahead.get(order_id, (-1, -1, Decimal(0)))
        if (arrived_ms, limit_e8) != (working.arrived_ms, working.limit_e8):  # new, or moved: behind all others
            ahead = CALCULATION.multiply(self._ahead_frac, size_from_e8(volume_e8(bar.volume)))
        step = after_trade(
            ahead=ahead, open_qty=size_from_e8(working.open_lots * spec.lot_e8), trade_qty=_traded_at(working.limit_e8, bar)
        )
        self._ahead[order_id] = (working.arrived_ms, working.limit_e8, step.ahead)
        lots = int(CALCULATION.multiply(step.filled, Decimal(PRICE_ONE))) // spec.lot_e8
        return lots if spec.lot_step == 1 else on_step(lots, spec.lot_step, up=False)


def _traded_at(limit_e8: int, bar: Candle) -> Decimal:
    """What the bar has traded at a price, with a quarter of its volume at its open, high, low and close each."""
    parts = quarter_volumes(volume=size_from_e8(volume_e8(bar.volume)), size_increment=Decimal(1) / PRICE_ONE)
    prices = (bar.open, bar.high, bar.low, bar.close)
    return sum((part for part, price in zip(parts, prices, strict=True) if price_e8(price) == limit_e8), Decimal(0))
