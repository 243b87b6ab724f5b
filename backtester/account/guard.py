"""Equity floor: noticed at the first bar close that reaches it, without computing equity at every bar."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.domain.money import PRICE_ONE

_MARGIN = 0.999
"""Bands are a little narrower than exact, so that float rounding can only cause an extra check, never a missed one."""


class EquityGuard:
    """Bands around the marks within which equity cannot have reached the floor.

    With slack S above the floor and k open positions, equity stays above the floor while each mark moves against its
    position by less than S / (k x size). Leaving a band only means: compute equity now.
    """

    def __init__(self) -> None:
        self.bands: dict[str, tuple[float, float]] = {}
        """(low, high) by symbol: while the close is strictly between, equity is above the floor for certain."""

    def forget(self) -> None:
        """Positions have changed: no close is inside until the bands are set again."""
        self.bands.clear()

    def recenter(
        self, *, slack: int, lots_by_symbol: Mapping[str, int], marks: Mapping[str, float], lot_e8: Mapping[str, int]
    ) -> None:
        """Bands for the open positions at the present marks; `slack` is equity minus floor in money units."""
        self.bands.clear()
        open_lots = {symbol: lots for symbol, lots in lots_by_symbol.items() if lots}
        for symbol, lots in open_lots.items():
            room = max(0, slack) / (len(open_lots) * abs(lots) * lot_e8[symbol]) / PRICE_ONE * _MARGIN
            mark = marks.get(symbol)
            if mark is None:
                self.bands[symbol] = (float("inf"), float("-inf"))
            elif lots > 0:
                self.bands[symbol] = (mark - room, float("inf"))
            else:
                self.bands[symbol] = (float("-inf"), mark + room)
