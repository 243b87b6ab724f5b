"""Orders that wait for a price: which of them a bar reaches, and at which price they then trade."""

from __future__ import annotations

from collections.abc import Iterable

from backtester.domain.candle import Candle
from backtester.domain.orders import SanitizedExits, SanitizedOrder
from backtester.domain.vocabulary import Side, TriggerBy
from backtester.engine.routes import ALWAYS
from backtester.sim.intrabar import Intrabar
from backtester.sim.trailing import Trail
from backtester.sim.trigger_prices import TriggerPrices
from backtester.sim.working_order import WorkingOrder


class Triggers:
    """Waiting orders by symbol, in order of arrival."""

    def __init__(self, symbols: Iterable[str], *, prices: TriggerPrices) -> None:
        self.intrabar: Intrabar | None = None
        self._prices = prices
        self._met_until_ms: dict[str, int] = {}
        """Ends of the last bars that orders waiting for mark or index have met."""
        self._waiting: dict[str, list[WorkingOrder]] = {symbol: [] for symbol in symbols}

    def add(self, working: WorkingOrder) -> None:
        """The order waits from now on."""
        self._waiting[working.order.symbol].append(working)

    def remove(self, working: WorkingOrder) -> None:
        """The order waits no longer."""
        self._waiting[working.order.symbol].remove(working)

    def waiting(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """What waits on a symbol."""
        return tuple(self._waiting[symbol])

    def reached(
        self, bar: Candle, *, stops: bool, fresh_ms: int | None = None, whole: Candle | None = None
    ) -> list[tuple[WorkingOrder, float]]:
        """(order, reference price) of the stops, or of the take-profits, that this bar has triggered.

        A stop that stood before the bar and is passed by its open trades at the open, any other at its trigger
        (exchange_semantics.md, sections 5.10 and 5.11; golden H04). With `fresh_ms`, only those that came at that time with this
        bar. A take-profit trades at its trigger, or at the worst price of a bar that lies beyond it: of `whole`, where the bar is
        a part of one. Orders that wait for mark or index: `_met_by_other_price`.
        """
        found: list[tuple[WorkingOrder, float]] = []
        for working in self._waiting[bar.symbol]:
            if working.order.order_type.is_stop is not stops or working.meets_from_ms > bar.start_ms:
                continue
            if fresh_ms is not None and (working.arrived_ms, working.meets_from_ms) != (fresh_ms, bar.start_ms):
                continue
            if working.order.trigger_by is not TriggerBy.LAST:
                reference = self._met_by_other_price(working, bar)
                if reference is not None:
                    found.append((working, reference))
                continue
            if working.trail is not None:
                reference = self._met_by_trail(working, working.trail, bar)
                if reference is not None:
                    found.append((working, reference))
                continue
            price = working.trigger_price
            if working.rises:
                if bar.high >= price:
                    found.append((working, max(bar.open if stops else (whole or bar).low, price)))
            elif bar.low <= price:
                found.append((working, min(bar.open if stops else (whole or bar).high, price)))
        return found

    def _met_by_trail(self, working: WorkingOrder, trail: Trail, bar: Candle) -> float | None:
        stood_before = working.arrived_ms <= bar.start_ms
        if self.intrabar is None:
            return trail.meet(bar, stood_before=stood_before)
        possible = trail.possible(bar, stood_before=stood_before)
        follows_first = None if possible is None else self.intrabar.follows_first(bar, working, possible)
        return trail.meet(bar, stood_before=stood_before, follows_first=follows_first)

    def _met_by_other_price(self, working: WorkingOrder, bar: Candle) -> float | None:
        """Where the order trades in this bar if the price it waits for has reached its trigger: it trades at traded prices.

        At the bar's open where that price was through before, or as the bar began; else at the worst price of the bar, since it
        cannot be known what traded when the other price got there.
        """
        order = working.order
        symbol, by, begun_ms = bar.symbol, order.trigger_by, bar.start_ms
        since_ms = max(self._met_until_ms.get(symbol, 0), working.meets_from_ms)
        if since_ms < begun_ms:
            pause = self._prices.between(symbol, by, since_ms, begun_ms, inward=not order.order_type.is_stop)
            if pause is not None and _reaches(working, pause):
                return bar.open
        inside = self._prices.bar(symbol, by, begun_ms, bar.end_ms)
        if working.arrived_ms <= begun_ms and working.is_triggered_by(inside.open):
            return bar.open
        if not _reaches(working, inside):
            return None
        return bar.low if order.side is Side.SELL else bar.high

    def have_met(self, bar: Candle) -> None:
        """All that waits has met this bar."""
        self._met_until_ms[bar.symbol] = bar.end_ms

    def market_of(self, order: SanitizedOrder | SanitizedExits, traded: float | None, now_ms: int) -> float | None:
        """The price that an order waits for, as it is now: the traded one, or the last one known of mark or index."""
        if order.trigger_by is TriggerBy.LAST:
            return traded
        return self._prices.now(order.symbol, order.trigger_by, now_ms)

    def is_through_at_open(self, working: WorkingOrder, bar: Candle) -> bool:
        """Whether this bar has begun beyond the trigger."""
        by = working.order.trigger_by
        own = bar if by is TriggerBy.LAST else self._prices.bar(bar.symbol, by, bar.start_ms, bar.end_ms)
        return working.is_triggered_by(own.open)

    def before_mark(self, working: WorkingOrder, bar: Candle, mark: float) -> tuple[float, float] | None:
        """(mark, reference price) at which a stop by the mark trades before that has come to `mark`; None where it does not."""
        sells = working.order.side is Side.SELL
        inside = self._prices.bar(bar.symbol, TriggerBy.MARK, bar.start_ms, bar.end_ms)
        stop = working.stop_price
        at = min(inside.open, stop) if sells else max(inside.open, stop)
        if not _reaches(working, inside) or not (at > mark if sells else at < mark):
            return None
        stood_through = working.arrived_ms <= bar.start_ms and working.is_triggered_by(inside.open)
        return at, bar.open if stood_through else bar.low if sells else bar.high

    def band(self, symbol: str) -> tuple[float, float]:
        """(highest trigger below, lowest above): a bar strictly between triggers nothing and moves no trailing stop."""
        below, above = float("-inf"), float("inf")
        for working in self._waiting[symbol]:
            if working.order.trigger_by is not TriggerBy.LAST:
                return ALWAYS
            if working.trail is not None:
                low, high = working.trail.band()
                below, above = max(below, low), min(above, high)
            elif working.rises:
                above = min(above, working.trigger_price)
            else:
                below = max(below, working.trigger_price)
        return below, above


def _reaches(working: WorkingOrder, prices: Candle) -> bool:
    """Whether prices of this range trigger the order; a trailing stop has followed them."""
    if working.trail is not None:
        return working.trail.meet(prices, stood_before=working.arrived_ms <= prices.start_ms) is not None
    return working.is_triggered_by(prices.high if working.rises else prices.low)
