"""Liquidation of short options: at the first close at which the account no longer covers what they must have.

Rules: docs/options.md; reasons: ADR 016.
"""

from __future__ import annotations

from collections.abc import Sequence

from backtester.account.books import Books
from backtester.account.option_margins import OptionMargins
from backtester.domain.closing_order import closing_order
from backtester.domain.money import decimal_from_e8, decimal_from_money, price_e8
from backtester.domain.orders import LiquidationOrder
from backtester.domain.vocabulary import CloseReason
from backtester.engine.clock import Clock
from backtester.engine.routes import BarHandler, Routes
from backtester.engine.topics import T_LIQUIDATIONS, Published, on


class OptionLiquidations:
    """Compares the account with the maintenance margin of its short options at every close of any symbol of the run."""

    def __init__(self, *, margins: OptionMargins, books: Books, clock: Clock, routes: Routes) -> None:
        self._margins = margins
        self._books = books
        self._clock = clock
        self._routes = routes
        self._count = 0
        self._ordered_ms = -1

    def arm(self, handler: BarHandler) -> None:
        """Every bar of every symbol goes to `handler` while an option is held short: what it is on may be any of them."""
        if self._margins.shorts():
            for symbol in self._books.lots:
                self._routes.enter_books(symbol, handler)

    def due(self) -> Sequence[Published]:
        """The orders that close all short options, where cash and open profits of derivatives are less than their maintenance
        margin; nothing where they suffice. What options are worth that are held long does not count.
        """
        shorts = self._margins.shorts()
        if not shorts or self._ordered_ms == self._clock.now_ms:
            return ()
        if self._books.cash + self._books.derivative_profit() >= self._margins.maintenance():
            return ()
        self._ordered_ms = self._clock.now_ms
        return [order for symbol in shorts for order in self._orders(symbol)]

    def _orders(self, symbol: str) -> list[Published]:
        """One order for each strategy that holds it, priced by the venue as a market order at the last close."""
        net, now_ms = self._books.lots[symbol], self._clock.now_ms
        orders: list[Published] = []
        for strategy_id, held_symbol, lots in self._books.holdings():
            if held_symbol != symbol:
                continue
            self._count += 1
            order = closing_order(
                symbol,
                lots,
                time_ms=now_ms,
                order_id=f"liq-{self._count}",
                strategy_id=strategy_id,
                reduce_only=lots == net,
                reason=CloseReason.LIQUIDATION.value,
            )
            mark = decimal_from_e8(price_e8(self._books.marks[symbol]))
            message = LiquidationOrder(now_ms, order, 0, mark, None, decimal_from_money(0), is_cross=True, inside_bar=True)
            orders.append(on(T_LIQUIDATIONS, message))
        return orders
