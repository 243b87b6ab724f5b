"""Liquidation: noticed at the first bar whose adverse extreme reaches it, ordered at the price at which nothing is left.

Rules: docs/simulation.md, "Margin"; reasons: ADR 012.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple, Protocol

from backtester.account.books import Books
from backtester.account.guard import equity_bands
from backtester.account.margins import Margins
from backtester.domain.candle import Candle
from backtester.domain.closing_order import closing_order
from backtester.domain.contract_value import price_of
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, PRICE_ONE, decimal_from_e8, decimal_from_money, price_e8
from backtester.domain.orders import LiquidationOrder
from backtester.domain.vocabulary import Side
from backtester.engine.clock import Clock
from backtester.engine.routes import ALWAYS, Routes
from backtester.engine.topics import T_LIQUIDATIONS, Published, on

StopsBefore = Callable[[Candle, float, str, Side], Sequence[Published]]
"""Trades the stops of a side that close a position (by its leg) and that a bar reaches before a price; what came of it."""

REASON = "LIQUIDATION"


class MarkReader(Protocol):
    """The stored prices that decide over margin, where they are not the last prices."""

    def over(self, symbol: str, start_ms: int, end_ms: int) -> tuple[float, float, float] | None:
        """(open, low, high) of a stretch; None where nothing is stored of it."""


class Reached(NamedTuple):
    """Prices of one symbol in whole 1e-8: its adverse extreme, and where the bar began."""

    adverse_e8: int
    open_e8: int


class Liquidations:
    """Watches the margin of open positions; asked only with bars that can matter."""

    def __init__(
        self,
        *,
        margins: Margins,
        books: Books,
        specs: Mapping[str, SymbolSpec],
        clock: Clock,
        routes: Routes,
        stops_before: StopsBefore,
        series: MarkReader | None = None,
        prefix: str = "liq",
    ) -> None:
        """Order ids begin with `prefix`."""
        self._prefix = prefix
        self.margins = margins
        self._books = books
        self._specs = specs
        self._clock = clock
        self._routes = routes
        self._stops_before = stops_before
        self._series = series
        self._count = 0

    def arm(self) -> None:
        """Positions or cash are other ones now: the next bar of every position is looked at."""
        for symbol in self.margins.terms:
            if self._books.lots[symbol]:
                self._routes.enter_margin(symbol, ALWAYS)
            else:
                self._routes.leave_margin(symbol)

    def on_bars(self, bars: Iterable[Candle], *, at_open: bool) -> Sequence[Published]:
        """What the adverse extremes of these bars (or, at the open, their opens) do to the positions; to be called until nothing.

        First the stops that come before the liquidation price trade, then what is still short of margin is liquidated.
        """
        held = self.margins.held()
        if not held:
            return ()
        found = self._by_position(bars)
        reached = self._all_reached(held, found, at_open=at_open)
        prices_e8 = {symbol: prices.adverse_e8 for symbol, prices in reached.items()}
        due = self._due(held, prices_e8)
        if not due:
            self._set_bands(held)
            return ()
        if not at_open:
            stopped = self._stopped(due, found, prices_e8)
            if stopped:
                return stopped
        if self.margins.isolated:
            return [order for symbol in due for order in self._isolated(symbol, reached[symbol], inside_bar=not at_open)]
        return self._cross(due, reached, inside_bar=not at_open)

    def _by_position(self, bars: Iterable[Candle]) -> dict[str, Candle]:
        return {bar.symbol: bar for bar in bars}

    def _all_reached(self, held: Sequence[str], found: Mapping[str, Candle], *, at_open: bool) -> dict[str, Reached]:
        """The prices that each position is tested at."""
        return {symbol: self._reached(symbol, found.get(symbol), at_open=at_open) for symbol in held}

    def _reached(self, symbol: str, bar: Candle | None, *, at_open: bool) -> Reached:
        """The prices that a symbol is tested at; those of the bar where its own series has none."""
        if bar is None:
            mark_e8 = self.margins.mark_e8(symbol)
            return Reached(mark_e8, mark_e8)
        stored = self._series.over(bar.symbol, bar.start_ms, bar.end_ms) if self._series is not None else None
        open_, low, high = stored or (bar.open, bar.low, bar.high)
        adverse = open_ if at_open else low if self._books.lots[symbol] > 0 else high
        return Reached(price_e8(adverse), price_e8(open_))

    def _due(self, held: Sequence[str], prices_e8: Mapping[str, int]) -> list[str]:
        """Positions whose margin is used up: isolated each by itself, cross all or none."""
        cash = self._books.cash
        if self.margins.isolated:
            wallets = self.margins.wallets(cash)
            return [symbol for symbol in held if self.margins.slack(symbol, prices_e8[symbol], wallets[symbol]) < 0]
        return list(held) if self.margins.cross_slack(cash, prices_e8) < 0 else []

    def _set_bands(self, held: Sequence[str]) -> None:
        """Bars within the new bands cannot use up the margin: it is short by less than twice what the marks move against it."""
        if self._series is not None:
            return
        margins, books = self.margins, self._books
        marks_e8 = {symbol: margins.whole_tick_e8(symbol, margins.mark_e8(symbol)) for symbol in held}
        groups = [[symbol] for symbol in held] if margins.isolated else [list(held)]
        wallets = margins.wallets(books.cash) if margins.isolated else {}
        for group in groups:
            slack = (
                margins.slack(group[0], marks_e8[group[0]], wallets[group[0]])
                if margins.isolated
                else margins.cross_slack(books.cash, marks_e8)
            )
            lots = {symbol: books.lots[symbol] for symbol in group}
            share = 4 if any(books.face[symbol] for symbol in group) else 2  # a tick is worth more coins at a lower price
            bands = equity_bands(slack=slack // share, lots_by_symbol=lots, marks=books.marks, lot_e8=books.lot_e8, face=books.face)
            for symbol, band in bands.items():
                self._routes.enter_margin(symbol, band)

    def _stopped(self, due: Sequence[str], found: Mapping[str, Candle], prices_e8: Mapping[str, int]) -> list[Published]:
        reports: list[Published] = []
        for symbol in due:
            price = self.margins.liquidation_price_e8(symbol, cash=self._books.cash, prices_e8=prices_e8)
            if price is not None and symbol in found:
                closing = Side.SELL if self._books.lots[symbol] > 0 else Side.BUY
                reports += self._stops_before(found[symbol], price / PRICE_ONE, symbol, closing)
        return reports

    # -- isolated ----------------------------------------------------------------------------------------------------

    def _isolated(self, symbol: str, reached: Reached, *, inside_bar: bool) -> list[Published]:
        """Down to a lower tier where that suffices, else whole: at the bankruptcy price, so that the margin of it is lost.

        Source: exchange_semantics.md, section 4.2; golden D15.
        """
        margin = self.margins.wallets(self._books.cash)[symbol]
        lots, cost, spec = self._books.lots[symbol], self._books.cost[symbol], self._specs[symbol]
        keep = next(
            (
                left
                for left in self._lower_tiers(symbol, reached.adverse_e8)
                if self._slack_of_part(symbol, left, reached.adverse_e8, margin * left // abs(lots)) >= 0
            ),
            0,
        )
        ticks = self._ticks_of(symbol, Fraction(abs(cost) - (margin if cost > 0 else -margin)))
        closed = abs(lots) - keep if lots > 0 else keep - abs(lots)
        beyond = spec.worth(closed, ticks * spec.tick_e8) - spec.worth(closed, reached.open_e8)
        return self._orders(symbol, abs(lots) - keep, ticks, reached, gap_loss=max(0, beyond), inside_bar=inside_bar)

    def _ticks_of(self, symbol: str, value: Fraction) -> int:
        """The price in ticks at which a position has this value, on the side that is better for it; at least one tick."""
        lots, spec, (step, _) = self._books.lots[symbol], self._specs[symbol], self.margins.steps[symbol]
        exact = price_of(max(Fraction(1), value), abs(lots) * spec.lot_e8, spec.face) / (spec.tick_e8 * step)
        return max(1, ceil(exact) if lots > 0 else floor(exact)) * step

    def _lower_tiers(self, symbol: str, at_e8: int) -> list[int]:
        """Lots that are worth no more than the tiers below the position's own, largest first."""
        _, step = self.margins.steps[symbol]
        lot_value = self._specs[symbol].value(step, at_e8)
        value = self.margins.value(symbol, at_e8)
        if not lot_value:
            return []
        caps = [int(Fraction(tier.floor) * PRICE_ONE * PRICE_ONE) for tier in self.margins.terms[symbol].tiers.tiers[1:]]
        return [cap // lot_value * step for cap in reversed(caps) if cap < value and cap >= lot_value]

    def _slack_of_part(self, symbol: str, left: int, at_e8: int, margin: int) -> int:
        """Slack of a position cut down to `left` lots, with that much margin for it."""
        lots, spec = self._books.lots[symbol], self._specs[symbol]
        tested_e8 = max(1, self.margins.tested_e8(symbol, at_e8)) if spec.face else self.margins.tested_e8(symbol, at_e8)
        cost = -(-self._books.cost[symbol] * left // abs(lots))
        kept = spec.worth(left if lots > 0 else -left, tested_e8)
        return margin + kept - cost - self.margins.terms[symbol].maintenance(spec.value(left, tested_e8))

    # -- cross -------------------------------------------------------------------------------------------------------

    def _cross(self, due: Sequence[str], reached: Mapping[str, Reached], *, inside_bar: bool) -> list[Published]:
        """The position that needs most margin down to a lower tier where that suffices; else all, and nothing is left.

        A reduction trades at the adverse extreme. A whole liquidation settles at prices at which the account is worth nothing:
        what maintenance margin was left is lost, what is missing the insurance fund pays, each position bearing its share.
        """
        cash, margins = self._books.cash, self.margins
        prices_e8 = {symbol: prices.adverse_e8 for symbol, prices in reached.items()}
        first = max(due, key=lambda symbol: margins.maintenance(symbol, prices_e8[symbol]))
        spec, lots = self._specs[first], self._books.lots[first]
        sign = 1 if lots > 0 else -1
        step, _ = margins.steps[first]
        exact = Fraction(prices_e8[first], spec.tick_e8 * step)
        ticks = max(1, floor(exact) if sign > 0 else ceil(exact)) * step
        others = margins.cross_slack(cash, prices_e8) - margins.slack(first, prices_e8[first], 0)
        for left in self._lower_tiers(first, prices_e8[first]):
            closed = abs(lots) - left
            value = spec.value(closed, ticks * spec.tick_e8)
            realised = spec.worth(sign * closed, ticks * spec.tick_e8) - self._books.cost[first] * closed // abs(lots)
            after = others + realised - margins.terms[first].fee(value) - FEE_STEP
            if self._slack_of_part(first, left, prices_e8[first], after) >= 0:
                return self._orders(first, closed, ticks, reached[first], gap_loss=0, inside_bar=inside_bar)
        gap_loss = max(0, -cash - sum(margins.profit(symbol, reached[symbol].open_e8) for symbol in due))
        settled = self._settling_ticks(due, prices_e8)
        return [
            order
            for symbol in due
            for order in self._orders(
                symbol, abs(self._books.lots[symbol]), settled[symbol], reached[symbol], gap_loss=gap_loss, inside_bar=inside_bar
            )
        ]

    def _settling_ticks(self, due: Sequence[str], prices_e8: Mapping[str, int]) -> dict[str, int]:
        """Prices in ticks at which equity, after fees, is nothing: never less than nothing, and as much more as ticks are coarse.

        The extremes are moved against the positions in proportion to their values where equity is left at them, and in favour in
        proportion to their losses where it is not. For one position this is its cross bankruptcy price (golden D14).
        """
        margins, books = self.margins, self._books
        values = {symbol: margins.value(symbol, prices_e8[symbol]) for symbol in due}
        signs = {symbol: 1 if books.cost[symbol] > 0 else -1 for symbol in due}
        taker = {symbol: Fraction(*margins.terms[symbol].taker) for symbol in due}
        gross = self._gross_share(due)
        fees = sum(taker[symbol] * gross[symbol] * values[symbol] for symbol in due)
        parts = len(books.holdings())
        rest = Fraction(books.cash + sum(margins.profit(symbol, prices_e8[symbol]) for symbol in due) - parts * FEE_STEP) - fees
        weights = values if rest >= 0 else {symbol: max(0, -margins.profit(symbol, prices_e8[symbol])) for symbol in due}
        divisor = sum(weights[symbol] * (1 - taker[symbol] * gross[symbol] * signs[symbol]) for symbol in due)
        share = rest / divisor if divisor else Fraction(0)
        return {symbol: self._ticks_of(symbol, values[symbol] - signs[symbol] * share * weights[symbol]) for symbol in due}

    def _gross_share(self, due: Sequence[str]) -> dict[str, Fraction]:
        """By symbol, the lots that strategies hold for and against each other, over the account's: all of them pay the fee."""
        gross = dict.fromkeys(due, 0)
        for _, symbol, lots in self._books.holdings():
            if symbol in gross:
                gross[symbol] += abs(lots)
        return {symbol: Fraction(lots, abs(self._books.lots[symbol])) for symbol, lots in gross.items()}

    # -- orders ------------------------------------------------------------------------------------------------------

    def _orders(
        self, symbol: str, closing: int, ticks: int, reached: Reached, *, gap_loss: int, inside_bar: bool
    ) -> list[Published]:
        """One order per strategy that holds the position; of a part, only of those on the account's side."""
        net = self._books.lots[symbol]
        price = self.margins.liquidation_price_e8(symbol, cash=self._books.cash)
        whole = closing == abs(net)
        orders: list[Published] = []
        for strategy_id, held_symbol, lots in self._books.holdings():
            qty = abs(lots) if whole else min(abs(lots), closing)
            if held_symbol != symbol or not qty or not (whole or lots * net > 0):
                continue
            closing -= 0 if whole else qty
            self._count += 1
            order = closing_order(
                symbol,
                lots,
                time_ms=self._clock.now_ms,
                order_id=f"{self._prefix}-{self._count}",
                strategy_id=strategy_id,
                reduce_only=lots == net or not whole,
                reason=REASON,
                qty_lots=qty,
            )
            message = LiquidationOrder(
                self._clock.now_ms,
                order,
                ticks,
                decimal_from_e8(reached.adverse_e8),
                None if price is None else decimal_from_e8(price),
                decimal_from_money(gap_loss),
                is_cross=not self.margins.isolated,
                inside_bar=inside_bar,
            )
            orders.append(on(T_LIQUIDATIONS, message))
        return orders
