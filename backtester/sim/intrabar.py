"""What came first inside a bar, where an outcome depends on it; and how much hung on not knowing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_money, price_e8
from backtester.domain.vocabulary import Side
from backtester.engine.rng import keyed_fraction

if TYPE_CHECKING:
    from backtester.sim.trailing import Exits
    from backtester.sim.working_order import WorkingOrder

Path = Literal["worst", "ohlc", "olhc", "adaptive", "seeded", "best"]


class Intrabar:
    """Decides dependent events of a bar by the path that the run assumes, and counts the bars in which it had to.

    `worst` and `best` take the side for the trader, `ohlc` goes to the high first and `olhc` to the low, `adaptive` to the one
    that is nearer to the open (worst where both are as near), `seeded` to one drawn from the run's seed, symbol and bar.
    Nothing else of a bar depends on the path: what was traded through is filled on each of them.
    Source: exchange_semantics.md, sections 5.1 (adaptive) and 5.11.
    """

    def __init__(self, *, specs: Mapping[str, SymbolSpec], path: Path = "worst", seed: int = 0) -> None:
        self._specs = specs
        self._path = path
        self._seed = seed
        self._last_ms: dict[str, int] = {}
        self._money = 0
        self.bars = 0
        """Bars in which the order of events decided an outcome."""

    @property
    def amount_quote(self) -> Decimal:
        """Sum over those bars of |price of one outcome - price of the other| x size: what the unknown order may have moved."""
        return decimal_from_money(self._money)

    def is_stop_first(self, bar: Candle, stop: WorkingOrder, reference: float, rival: WorkingOrder) -> bool:
        """Whether the stop, which trades at `reference`, was reached before its rival; the bar reaches both."""
        if stop.is_triggered_by(bar.open):
            return True  # the open itself is through it: no path changes that
        self._count(bar, stop, reference, rival.level, min(stop.open_lots, rival.open_lots))
        if self._path == "worst":
            return True
        if self._path == "best" or (rival.is_triggered_by(bar.open) if rival.waiting else rival.is_reached(bar.open)):
            return False
        high_first = self._is_high_first(bar)
        return True if high_first is None else high_first is (stop.order.side is Side.BUY)

    def follows_first(self, bar: Candle, working: WorkingOrder, exits: Exits) -> bool | None:
        """Whether a trailing stop was moved before the bar turned against it; None where the worse exit is assumed."""
        self._count(bar, working, exits.worse, exits.raised, working.open_lots)
        if self._path == "worst":
            return None
        if self._path == "best":
            return exits.was_hit  # the raised trigger is the better exit; where the old one was not hit, staying in is
        high_first = self._is_high_first(bar)
        return None if high_first is None else high_first is (working.order.side is Side.SELL)

    def _is_high_first(self, bar: Candle) -> bool | None:
        if self._path == "adaptive":
            up, down = bar.high - bar.open, bar.open - bar.low
            return None if up == down else up < down
        if self._path == "seeded":
            return keyed_fraction(self._seed, "path", bar.symbol, str(bar.start_ms)) < 0.5
        return self._path == "ohlc"

    def _count(self, bar: Candle, working: WorkingOrder, one: float, other: float, lots: int) -> None:
        if self._last_ms.get(bar.symbol) != bar.start_ms:
            self._last_ms[bar.symbol] = bar.start_ms
            self.bars += 1
        spec = self._specs[working.order.symbol]
        self._money += abs(spec.worth(lots, price_e8(one)) - spec.worth(lots, price_e8(other)))
