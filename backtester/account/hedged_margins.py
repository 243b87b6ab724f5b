"""Hedge mode: margin of legs, and liquidation where one price moves the long and the short position of a symbol together.

Each side needs its margins whole, initial and maintenance: nothing is let off for the other (the most that a venue asks). Isolated,
each side stands for itself. Cross, a symbol with both sides is tested at the extreme of the bar that leaves the account less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from backtester.account.liquidations import Liquidations, Reached
from backtester.account.margins import Margins
from backtester.domain.candle import Candle
from backtester.domain.legs import legs_of, split_leg

_HIGHEST = 1_000
"""Beyond this multiple of the mark no liquidation price is looked for."""


class HedgedMargins(Margins):
    """Margins by leg; `terms`, `specs`, `lots`, `cost` and `marks` are by leg."""

    def pair_of(self, leg: str) -> tuple[str, ...]:
        """The open legs of the leg's symbol."""
        return tuple(other for other in legs_of(split_leg(leg)[0]) if self._lots[other])

    def pair_slack(self, pair: Sequence[str], price_e8_: int) -> int:
        """Profit less maintenance margin of a symbol's legs, both at this mark."""
        return sum(self.slack(leg, price_e8_, 0) for leg in pair)

    def liquidation_price_e8(self, symbol: str, *, cash: int, prices_e8: Mapping[str, int] | None = None) -> int | None:
        """As `Margins.liquidation_price_e8`. Cross with both sides open, one price for both: against what is net held, or above.

        Where none is there, the one on the other side of the mark: two sides can be too much for what the account has left.
        """
        pair = self.pair_of(symbol)
        if self.isolated or len(pair) < 2:
            return super().liquidation_price_e8(symbol, cash=cash, prices_e8=prices_e8)
        others = [other for other in self.held() if other not in pair]
        given = prices_e8 or {other: self.mark_e8(other) for other in others}
        rest = sum((self.slack(other, given[other], 0) for other in others), start=cash)
        tick_e8 = self._tick_e8[symbol]
        mark_ticks = max(1, self.mark_e8(symbol) // tick_e8)

        def is_short_of_margin(ticks: int) -> bool:
            return rest + self.pair_slack(pair, ticks * tick_e8) < 0

        below = _last(is_short_of_margin, 1, mark_ticks)
        above = _first(is_short_of_margin, mark_ticks, _HIGHEST * mark_ticks)
        net = sum(self._lots[leg] for leg in pair)
        first, second = (below, above) if net > 0 else (above, below)
        found = first if first is not None else second
        return None if found is None else found * tick_e8


class HedgedLiquidations(Liquidations):
    """Liquidations by leg; cross, the legs of one symbol are tested at one price."""

    margins: HedgedMargins

    def _by_position(self, bars: Iterable[Candle]) -> dict[str, Candle]:
        return {leg: bar for bar in bars for leg in legs_of(bar.symbol)}

    def _all_reached(self, held: Sequence[str], found: Mapping[str, Candle], *, at_open: bool) -> dict[str, Reached]:
        reached = super()._all_reached(held, found, at_open=at_open)
        if self.margins.isolated:
            return reached
        for leg in held:
            pair = self.margins.pair_of(leg)
            if len(pair) == 2 and leg == pair[0]:
                prices = (reached[each].adverse_e8 for each in pair)
                worst_e8 = min(prices, key=lambda price_e8: self.margins.pair_slack(pair, price_e8))
                reached |= {each: reached[each]._replace(adverse_e8=worst_e8) for each in pair}
        return reached


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The least number from `low` to `high` for which it holds, where it holds for all after that; None when for none."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _last(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The greatest number from `low` to `high` for which it holds, where it holds for all before that; None when for none."""
    found = _first(lambda number: holds(low + high - number), low, high)
    return None if found is None else low + high - found
