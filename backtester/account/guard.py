"""Equity floor: noticed at the first bar close that reaches it, without computing equity at every bar."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.domain.money import PRICE_ONE
from backtester.engine.routes import ALWAYS, Band

_MARGIN = 0.999
"""Bands are a little narrower than exact, so that float rounding can only cause an extra check, never a missed one."""


def equity_bands(
    *, slack: int, lots_by_symbol: Mapping[str, int], marks: Mapping[str, float], lot_e8: Mapping[str, int]
) -> dict[str, Band]:
    """By symbol with a position: closes strictly between cannot have brought equity to the floor.

    With slack S (equity minus floor, money units) and k open positions, equity stays above the floor while each mark moves
    against its position by less than S / (k x size). Leaving a band only means: compute equity now.
    """
    open_lots = {symbol: lots for symbol, lots in lots_by_symbol.items() if lots}
    bands: dict[str, Band] = {}
    for symbol, lots in open_lots.items():
        mark = marks.get(symbol)
        if mark is None:
            bands[symbol] = ALWAYS
            continue
        room = max(0, slack) / (len(open_lots) * abs(lots) * lot_e8[symbol]) / PRICE_ONE * _MARGIN
        bands[symbol] = (mark - room, float("inf")) if lots > 0 else (float("-inf"), mark + room)
    return bands
