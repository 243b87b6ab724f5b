"""What came first inside a bar, where an outcome depends on it; and how much hung on not knowing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_money, price_e8
from backtester.domain.vocabulary import Side
from backtester.engine.ports import FinerData
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

    def __init__(
        self, *, specs: Mapping[str, SymbolSpec], path: Path = "worst", seed: int = 0, finer: FinerData | None = None
    ) -> None:
        self.finer = finer
        """What is asked about such bars first; None where nothing finer is stored."""
        self._specs = specs
        self._path = path
        self._seed = seed
        self._last_ms: dict[str, int] = {}
        self._money = 0
        self._within = False
        self._left_open = False
        self.bars = 0
        """Bars in which the order of events decided an outcome."""
        self.by_candles = 0
        """Those of them in which shorter candles told the order."""
        self.by_trades = 0
        """Those in which it took trades to tell it."""

    @property
    def amount_quote(self) -> Decimal:
        """|price of one outcome - price of the other| x size, summed up where no finer data told the order."""
        return decimal_from_money(self._money)

    def enter(self, bar: Candle) -> None:
        """The bar is ambiguous, and is gone through in finer data from now on."""
        self._count_bar(bar)
        self._within, self._left_open = True, False

    def leave(self, *, with_trades: bool) -> None:
        """It is gone through: resolved, unless something in it was still open in the finest data."""
        self._within = False
        if not self._left_open:
            self.by_trades += with_trades
            self.by_candles += not with_trades

    def count_exit(self, bar: Candle, working: WorkingOrder, price: float, lots: int) -> None:
        """An exit at `price` may or may not have been made in this bar; the position stands at its close otherwise."""
        self._count(bar, working, price, bar.close, lots)

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
        if self._within:
            self._left_open = True
        else:
            self._count_bar(bar)
        spec = self._specs[working.order.symbol]
        self._money += abs(spec.worth(lots, price_e8(one)) - spec.worth(lots, price_e8(other)))

    def _count_bar(self, bar: Candle) -> None:
        if self._last_ms.get(bar.symbol) != bar.start_ms:
            self._last_ms[bar.symbol] = bar.start_ms
            self.bars += 1
