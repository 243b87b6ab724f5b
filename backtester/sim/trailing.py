"""A stop that follows the market: where it stands, and what a bar does to it."""

from __future__ import annotations

from backtester.domain.candle import Candle
from backtester.domain.money import PRICE_ONE, price_e8
from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import Side


class Trail:
    """The trigger of one trailing stop: `distance` behind the extreme since it is active (golden G13).

    A sell follows the highest price from below, a buy the lowest from above. Until the price reaches the activation, where
    there is one, nothing is followed. Triggers are rounded to the tick that is reached later.
    """

    __slots__ = ("_activation_e8", "_distance_e8", "_extreme", "_fraction_e8", "_sells", "_tick_e8", "price")

    def __init__(self, order: SanitizedOrder, *, tick_e8: int) -> None:
        self._sells = order.side is Side.SELL
        self._tick_e8 = tick_e8
        self._distance_e8 = order.trail_ticks * tick_e8
        self._fraction_e8 = order.trail_e8
        self._activation_e8 = order.trigger_ticks * tick_e8
        self._extreme = 0.0
        self.price = 0.0
        """The trigger; 0.0 while it is not active."""

    def start(self, market: float) -> None:
        """The order has arrived while the market is at `market`."""
        activation = self._activation_e8 / PRICE_ONE
        if not activation or (market >= activation if self._sells else market <= activation):
            self._extreme = market
            self.price = self._level(market)

    def meet(self, bar: Candle, *, stood_before: bool) -> float | None:
        """The reference price at which this bar triggers it; None otherwise, and the trigger has followed.

        The old trigger is tested against the adverse extreme, then raised by the favourable one. Where the order of events
        inside the bar decides whether the raised one is reached, the exit is at the worse price that is possible: the adverse
        extreme, and not the extreme less the distance (exchange_semantics.md, section 5.11).
        """
        best, worst = (bar.high, bar.low) if self._sells else (bar.low, bar.high)
        if not self.price:
            activation = self._activation_e8 / PRICE_ONE
            if not self._is_beyond(best, activation):
                return None
            self._extreme, self.price = best, self._level(best)
            return self._worse(self._level(activation), worst) if self._is_through(worst, self.price) else None
        if stood_before and self._is_through(bar.open, self.price):
            return bar.open
        if self._is_through(worst, self.price):
            return self.price
        if self._is_beyond(best, self._extreme):
            self._extreme, self.price = best, self._level(best)
            if self._is_through(worst, self.price):
                return worst
        return None

    def band(self) -> tuple[float, float]:
        """(low, high): a bar strictly between neither triggers nor moves it."""
        ahead = self._extreme if self.price else self._activation_e8 / PRICE_ONE
        if self._sells:
            return (self.price or float("-inf")), ahead
        return ahead, (self.price or float("inf"))

    def _level(self, extreme: float) -> float:
        extreme_e8 = price_e8(extreme)
        distance_e8 = self._distance_e8 or extreme_e8 * self._fraction_e8 // PRICE_ONE
        raw_e8 = extreme_e8 - distance_e8 if self._sells else extreme_e8 + distance_e8
        ticks = raw_e8 // self._tick_e8 if self._sells else -(-raw_e8 // self._tick_e8)
        return max(1, ticks) * self._tick_e8 / PRICE_ONE

    def _is_through(self, price: float, trigger: float) -> bool:
        return price <= trigger if self._sells else price >= trigger

    def _is_beyond(self, price: float, mark: float) -> bool:
        return price >= mark if self._sells else price <= mark

    def _worse(self, level: float, worst: float) -> float:
        return max(level, worst) if self._sells else min(level, worst)
