"""Equity floor: noticed at the first bar close that reaches it, without computing equity at every bar."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.domain.money import PRICE_ONE
from backtester.engine.routes import ALWAYS, Band

_MARGIN = 0.999
"""Bands are a little narrower than exact, so that float rounding can only cause an extra check, never a missed one."""

_ROUNDINGS = 4
"""Money units by which what an inverse position is worth may be rounded."""


def equity_bands(
    *,
    slack: int,
    lots_by_symbol: Mapping[str, int],
    marks: Mapping[str, float],
    lot_e8: Mapping[str, int],
    face: Mapping[str, int],
) -> dict[str, Band]:
    """By symbol with a position: closes strictly between cannot have brought equity to the floor.

    With slack S (equity minus floor, money units) and k open positions, equity stays above the floor while each mark moves
    against its position by less than S / (k x size); of an inverse position that is the distance of -1 / mark. Leaving a band only
    means: compute equity now.
    """
    open_lots = {symbol: lots for symbol, lots in lots_by_symbol.items() if lots}
    bands: dict[str, Band] = {}
    for symbol, lots in open_lots.items():
        mark = marks.get(symbol)
        if mark is None or slack <= 0:  # already there at this mark, which may be from before the position
            bands[symbol] = ALWAYS
            continue
        if face[symbol]:
            slack_here = max(0, slack // len(open_lots) - _ROUNDINGS)
            room = slack_here * PRICE_ONE / (abs(lots) * lot_e8[symbol] * face[symbol]) * _MARGIN
            bands[symbol] = _inverse_band(mark, room, is_long=lots > 0)
            continue
        room = slack / (len(open_lots) * abs(lots) * lot_e8[symbol]) / PRICE_ONE * _MARGIN
        bands[symbol] = (mark - room, float("inf")) if lots > 0 else (float("-inf"), mark + room)
    return bands


def _inverse_band(mark: float, room: float, *, is_long: bool) -> Band:
    """The band in which 1 / price is by less than `room` away from 1 / mark, against the position."""
    if is_long:
        return 1 / (1 / mark + room), float("inf")
    least = 1 / mark - room
    return float("-inf"), 1 / least if least > 0 else float("inf")
