"""Orders that wait for a price: which of them a bar reaches, and at which price they then trade."""

from __future__ import annotations

from collections.abc import Iterable

from backtester.domain.candle import Candle
from backtester.sim.intrabar import Intrabar
from backtester.sim.trailing import Trail
from backtester.sim.working_order import WorkingOrder


class Triggers:
    """Waiting orders by symbol, in order of arrival."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.intrabar: Intrabar | None = None
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

    def reached(self, bar: Candle, *, stops: bool, fresh_ms: int | None = None) -> list[tuple[WorkingOrder, float]]:
        """(order, reference price) of the stops, or of the take-profits, that this bar has triggered.

        A stop that stood before the bar and is passed by its open trades at the open, any other at its trigger
        (exchange_semantics.md, sections 5.10 and 5.11; golden H04). With `fresh_ms`, only
        those that came at that time. A take-profit trades at its trigger,
        or at the worst price of a bar that lies beyond it.
        """
        found: list[tuple[WorkingOrder, float]] = []
        for working in self._waiting[bar.symbol]:
            if working.order.order_type.is_stop is not stops or working.meets_from_ms > bar.start_ms:
                continue
            if fresh_ms is not None and working.arrived_ms != fresh_ms:
                continue
            if working.trail is not None:
                reference = self._met_by_trail(working, working.trail, bar)
                if reference is not None:
                    found.append((working, reference))
                continue
            price = working.trigger_price
            if working.rises:
                if bar.high >= price:
                    found.append((working, max(bar.open if stops else bar.low, price)))
            elif bar.low <= price:
                found.append((working, min(bar.open if stops else bar.high, price)))
        return found

    def _met_by_trail(self, working: WorkingOrder, trail: Trail, bar: Candle) -> float | None:
        stood_before = working.arrived_ms <= bar.start_ms
        if self.intrabar is None:
            return trail.meet(bar, stood_before=stood_before)
        possible = trail.possible(bar, stood_before=stood_before)
        follows_first = None if possible is None else self.intrabar.follows_first(bar, working, possible)
        return trail.meet(bar, stood_before=stood_before, follows_first=follows_first)

    def band(self, symbol: str) -> tuple[float, float]:
        """(highest trigger below, lowest above): a bar strictly between triggers nothing and moves no trailing stop."""
        below, above = float("-inf"), float("inf")
        for working in self._waiting[symbol]:
            if working.trail is not None:
                low, high = working.trail.band()
                below, above = max(below, low), min(above, high)
            elif working.rises:
                above = min(above, working.trigger_price)
            else:
                below = max(below, working.trigger_price)
        return below, above
