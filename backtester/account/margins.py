"""What margin the open positions of an account need, what is free beside it, and where a position is liquidated."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor

from backtester.domain.contract_value import exact_worth, price_of
from backtester.domain.instruments import SymbolSpec
from backtester.domain.liquidation import Reach, liquidation_value
from backtester.domain.margin_terms import MarginMode, MarginTerms
from backtester.domain.money import MONEY_ONE, ceil_div, price_e8


class Margins:
    """Margin of the positions in `terms`, in money units; prices in whole 1e-8 of the quote asset.

    Cross: the wallet and all profits and losses stand for all positions. Isolated: each position stands for itself with
    |entry value| / leverage. `cash`, `lots` and `cost` are those of the books, `marks` the prices that decide over margin.
    """

    def __init__(
        self,
        *,
        terms: Mapping[str, MarginTerms],
        specs: Mapping[str, SymbolSpec],
        mode: MarginMode,
        lots: Mapping[str, int],
        cost: Mapping[str, int],
        marks: Mapping[str, float],
    ) -> None:
        self.terms = dict(terms)
        self.isolated = mode is MarginMode.ISOLATED
        self._lots = lots
        self._cost = cost
        self._marks = marks
        self._specs = specs
        self._lot_e8 = {symbol: specs[symbol].lot_e8 for symbol in terms}
        self._tick_e8 = {symbol: specs[symbol].tick_e8 * specs[symbol].tick_step for symbol in terms}
        self.steps = {symbol: (specs[symbol].tick_step, specs[symbol].lot_step) for symbol in terms}
        """By position how many of what the run counts in make a tick, and a lot, now."""

    def on_rules(self, position: str, spec: SymbolSpec, terms: MarginTerms | None) -> None:
        """Tick, lot and terms of a position are these from now on; None leaves the terms as they were."""
        if position in self.terms:
            self._tick_e8[position] = spec.tick_e8 * spec.tick_step
            self.steps[position] = (spec.tick_step, spec.lot_step)
            self.terms[position] = terms or self.terms[position]

    def held(self) -> list[str]:
        """The symbols with an open position, in the run's order."""
        return [symbol for symbol in self.terms if self._lots[symbol]]

    def mark_e8(self, symbol: str) -> int:
        """The price that decides over margin now; 0 before the first."""
        return price_e8(self._marks.get(symbol, 0.0))

    def value(self, symbol: str, price_e8_: int) -> int:
        """What the position is worth at a price, whichever side it is on."""
        return self._specs[symbol].value(abs(self._lots[symbol]), price_e8_)

    def profit(self, symbol: str, price_e8_: int) -> int:
        """What the position has gained at a price, not yet realised."""
        return self._specs[symbol].worth(self._lots[symbol], price_e8_) - self._cost[symbol]

    # -- what is needed ----------------------------------------------------------------------------------------------

    def free_cash(self, cash: int) -> int:
        """What new orders may use: the wallet less initial margins and the fees to close; cross, less open losses as well.

        Open profits do not count. Isolated margin is that of the entry, cross margin that of the entry or of the mark,
        whichever is more (exchange_semantics.md, section 4.2).
        """
        profit = 0
        for symbol in self.held():
            entered = abs(self._cost[symbol])
            value = entered
            if not self.isolated:
                mark_e8 = self.mark_e8(symbol)
                value = max(entered, self.value(symbol, mark_e8))
                profit += self.profit(symbol, mark_e8)
            cash -= self.terms[symbol].initial(value) + self._close_fee(symbol)
        return cash + min(0, profit)

    def totals(self) -> tuple[int, int]:
        """(initial, maintenance) margin of all positions, without fees: initial of the entries, maintenance at the marks."""
        held = self.held()
        initial = sum(self.terms[symbol].initial(abs(self._cost[symbol])) for symbol in held)
        return initial, sum(self.maintenance(symbol, self.mark_e8(symbol)) for symbol in held)

    def maintenance(self, symbol: str, price_e8_: int) -> int:
        """Maintenance margin of the position at a price."""
        return self.terms[symbol].maintenance(self.value(symbol, price_e8_))

    def wallets(self, cash: int) -> dict[str, int]:
        """By symbol, the isolated margin of each position; each bears its share where the wallet no longer covers all.

        Funding comes off the wallet first, then off the margins (exchange_semantics.md, section 4.3).
        """
        margins = {symbol: self.terms[symbol].initial(abs(self._cost[symbol])) for symbol in self.held()}
        total = sum(margins.values())
        missing = total + sum(self._close_fee(symbol) for symbol in margins) - cash
        if missing > 0:
            margins = {symbol: margin - ceil_div(missing * margin, total) for symbol, margin in margins.items()}
        return margins

    def _close_fee(self, symbol: str) -> int:
        return self.terms[symbol].close_fee(abs(self._cost[symbol]), 1 if self._cost[symbol] > 0 else -1)

    # -- liquidation -------------------------------------------------------------------------------------------------

    def tested_e8(self, symbol: str, price_e8_: int) -> int:
        """The price at which margin is compared for a mark of `price_e8_`: one tick worse, from the tick on its better side.

        With it, a mark liquidates exactly when it has reached the liquidation price rounded to the tick that comes earlier
        (exchange_semantics.md, section 2; golden D14), whatever decimals marks have.
        """
        tick_e8 = self._tick_e8[symbol]
        if self._lots[symbol] > 0:
            return (ceil_div(price_e8_, tick_e8) - 1) * tick_e8
        return (price_e8_ // tick_e8 + 1) * tick_e8

    def whole_tick_e8(self, symbol: str, price_e8_: int) -> int:
        """The price, or the whole tick next to it that is worse for the position; from there on each tick counts once."""
        tick_e8 = self._tick_e8[symbol]
        return (price_e8_ // tick_e8 if self._lots[symbol] > 0 else ceil_div(price_e8_, tick_e8)) * tick_e8

    def slack(self, symbol: str, price_e8_: int, margin: int) -> int:
        """`margin` + profit - maintenance margin at the tested price; below 0 the position is liquidated."""
        tested_e8 = self.tested_e8(symbol, price_e8_)
        if face := self._specs[symbol].face:
            size_e8 = self._lots[symbol] * self._lot_e8[symbol]
            held = exact_worth(size_e8, max(1, tested_e8), face)
            needed = self.terms[symbol].tiers.maintenance_fraction(abs(held) / MONEY_ONE) * MONEY_ONE
            return floor(margin + held - self._cost[symbol] - needed)
        return margin + self.profit(symbol, tested_e8) - self.maintenance(symbol, tested_e8)

    def cross_slack(self, cash: int, prices_e8: Mapping[str, int]) -> int:
        """The account's equity less the maintenance margin of all positions, each at its tested price.

        Source: exchange_semantics.md, sections 4.2 and 5.11 ("cross liquidation: account test"); golden D18.
        """
        return sum((self.slack(symbol, prices_e8[symbol], 0) for symbol in self.held()), start=cash)

    def liquidation_price_e8(self, symbol: str, *, cash: int, prices_e8: Mapping[str, int] | None = None) -> int | None:
        """The price that liquidates an open position, at the tick that comes earlier; None where no price does.

        Cross: with the other positions frozen at `prices_e8`, or else at their marks.
        """
        if self.isolated:
            margin = self.wallets(cash)[symbol]
        else:
            others = [other for other in self.held() if other != symbol]
            given = prices_e8 or {other: self.mark_e8(other) for other in others}
            margin = sum((self.slack(other, given[other], 0) for other in others), start=cash)
        lots = self._lots[symbol]
        reach, value, _ = liquidation_value(
            entry_value=Fraction(abs(self._cost[symbol]), MONEY_ONE),
            margin=Fraction(margin, MONEY_ONE),
            loses_as_value_falls=self._cost[symbol] > 0,
            tiers=self.terms[symbol].tiers,
        )
        if reach is not Reach.AT_PRICE:
            return None
        tick_e8 = self._tick_e8[symbol]
        ticks = price_of(value * MONEY_ONE, abs(lots) * self._lot_e8[symbol], self._specs[symbol].face) / tick_e8
        return (ceil(ticks) if lots > 0 else floor(ticks)) * tick_e8
