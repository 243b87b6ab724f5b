"""How much of a bar's volume our own orders may take, once."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import msgspec

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import PRICE_ONE
from backtester.domain.rounding import on_step

_EXACT_BELOW = 2.0e7
"""Below this volume, volume x 1e8 in floating point is off by less than half a unit."""


def volume_e8(volume: float) -> int:
    """A bar's volume in whole 1e-8 of the base asset: exact for volumes of up to 8 decimals, rounded down beyond."""
    if volume < _EXACT_BELOW:
        return round(volume * PRICE_ONE)
    numerator, denominator = Decimal(repr(volume)).as_integer_ratio()
    return int(numerator * PRICE_ONE // denominator)


class _Used(msgspec.Struct):
    """What our orders took of one symbol's bar, the last they traded in."""

    start_ms: int = -1
    lots: int = 0


class BarLiquidity:
    """The share of each bar's volume that is left to our orders; what one order took, no other takes again."""

    def __init__(self, participation_bps: Decimal) -> None:
        self._numerator, denominator = participation_bps.as_integer_ratio()
        self._denominator = denominator * 10_000
        self._used: dict[str, _Used] = defaultdict(_Used)

    def left_lots(self, bar: Candle, spec: SymbolSpec) -> int | None:
        """Whole lots still allowed in `bar`; None without a cap (`participation_bps` 0)."""
        if not self._numerator:
            return None
        left = volume_e8(bar.volume) * self._numerator // (self._denominator * spec.lot_e8)
        used = self._used[bar.symbol]
        if used.start_ms == bar.start_ms:
            left = max(0, left - used.lots)
        return left if spec.lot_step == 1 else on_step(left, spec.lot_step, up=False)

    def use(self, bar: Candle, lots: int) -> None:
        """`lots` of this bar are gone; a settlement outside any bar, which has no volume, takes nothing from one."""
        if not bar.volume:
            return
        used = self._used[bar.symbol]
        if used.start_ms == bar.start_ms:
            used.lots += lots
        else:
            used.start_ms = bar.start_ms
            used.lots = lots
