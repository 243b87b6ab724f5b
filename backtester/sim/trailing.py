"""A stop that follows the market: where it stands, and what a bar does to it."""

from __future__ import annotations

from typing import NamedTuple

from backtester.domain.candle import Candle
from backtester.domain.money import PRICE_ONE, price_e8
from backtester.domain.orders import SanitizedOrder
from backtester.domain.vocabulary import Side


class Exits(NamedTuple):
    """Where a trailing stop may leave in a bar that hides its order: the worse reference, and the raised trigger.

    `was_hit`: the adverse extreme is through the trigger as it stood before the bar.
    """

    worse: float
    raised: float
    was_hit: bool


class Trail:
    """The trigger of one trailing stop: `distance` behind the extreme since it is active (golden G13).

    A sell follows the highest price from below, a buy the lowest from above. Until the price reaches the activation, where
    there is one, nothing is followed. Triggers are rounded to the tick that is reached later.
    """

    __slots__ = ("_activation_e8", "_distance_e8", "_extreme", "_fraction_e8", "_sells", "_tick_e8", "price")

    def __init__(self, order: SanitizedOrder, *, tick_e8: int, tick_step: int = 1) -> None:
        self._sells = order.side is Side.SELL
        self._tick_e8 = tick_e8 * tick_step
        self._distance_e8 = order.trail_ticks * tick_e8
        self._fraction_e8 = order.trail_e8
        self._activation_e8 = order.trigger_ticks * tick_e8
        self._extreme = 0.0
        self.price = 0.0
        """The trigger; 0.0 while it is not active."""

    def on_rules(self, whole_tick_e8: int) -> None:
        """Triggers from now on are multiples of this tick; the one that stands stays where it is."""
        self._tick_e8 = whole_tick_e8

    def start(self, market: float) -> None:
        """The order has arrived while the market is at `market`."""
        activation = self._activation_e8 / PRICE_ONE
        if not activation or (market >= activation if self._sells else market <= activation):
            self._extreme = market
            self.price = self._level(market)

    def possible(self, bar: Candle, *, stood_before: bool) -> Exits | None:
        """The exits between which the order of events in this bar decides; None where it decides nothing."""
        best, worst = (bar.high, bar.low) if self._sells else (bar.low, bar.high)
        if self.price:
            if (stood_before and self._is_through(bar.open, self.price)) or not self._is_beyond(best, self._extreme):
                return None
            was_hit = self._is_through(worst, self.price)
            worse = self.price if was_hit else worst
        else:
            activation = self._activation_e8 / PRICE_ONE
            if not self._is_beyond(best, activation):
                return None
            was_hit, worse = False, self._worse(self._level(activation), worst)
        raised = self._level(best)
        if raised == worse or not self._is_through(worst, raised):
            return None
        return Exits(worse, raised, was_hit)

    def meet(self, bar: Candle, *, stood_before: bool, follows_first: bool | None = None) -> float | None:
        """The reference price at which this bar triggers it; None otherwise, and the trigger has followed.

        The old trigger is tested against the adverse extreme, then raised by the favourable one. Where the order of events
        inside the bar decides whether the raised one is reached, the exit is at the worse price that is possible: the adverse
        extreme, and not the extreme less the distance (exchange_semantics.md, section 5.11). `follows_first` says that the
        favourable extreme came first, or that the adverse one did.
        """
        best, worst = (bar.high, bar.low) if self._sells else (bar.low, bar.high)
        if not self.price:
            activation = self._activation_e8 / PRICE_ONE
            if not self._is_beyond(best, activation):
                return None
            self._extreme, self.price = best, self._level(best)
            if follows_first is not None:
                return self._raised_exit(bar, worst, follows_first=follows_first)
            return self._worse(self._level(activation), worst) if self._is_through(worst, self.price) else None
        if stood_before and self._is_through(bar.open, self.price):
            return bar.open
        if not follows_first and self._is_through(worst, self.price):
            return self.price
        if self._is_beyond(best, self._extreme):
            self._extreme, self.price = best, self._level(best)
            if follows_first is not None:
                return self._raised_exit(bar, worst, follows_first=follows_first)
            if self._is_through(worst, self.price):
                return worst
        return None

    def _raised_exit(self, bar: Candle, worst: float, *, follows_first: bool) -> float | None:
        """The raised trigger where what came after the favourable extreme reaches it: the adverse one, or only the close."""
        return self.price if self._is_through(worst if follows_first else bar.close, self.price) else None

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
