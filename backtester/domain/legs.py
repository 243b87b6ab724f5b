"""The names under which positions are kept: the symbol, or in hedge mode a leg, the symbol with one of its two sides."""

from __future__ import annotations

from backtester.domain.vocabulary import PositionSide


def leg_of(symbol: str, position_side: PositionSide | None) -> str:
    """`BTCUSDT`, or in hedge mode `BTCUSDT long`. No symbol has a space, so that no leg is a symbol."""
    return symbol if position_side is None else f"{symbol} {position_side.value}"


def split_leg(leg: str) -> tuple[str, PositionSide | None]:
    """(symbol, side) of a leg; the side of a symbol is None."""
    symbol, _, word = leg.partition(" ")
    return symbol, PositionSide(word) if word else None


def legs_of(symbol: str) -> tuple[str, str]:
    """The long and the short leg of a symbol."""
    return leg_of(symbol, PositionSide.LONG), leg_of(symbol, PositionSide.SHORT)
