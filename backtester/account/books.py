"""The state of an account and what follows from it: equity, free cash, snapshots. Knows nobody, so a strategy may read it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from backtester.account.margins import Margins
from backtester.domain.account import AccountSnapshot, PositionView
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_e8, decimal_from_money, price_e8, size_from_e8
from backtester.domain.vocabulary import Market

NOTHING = decimal_from_money(0)


class Books:
    """Balances of one run in one quote asset: whole money units (1e-16 quote), whole lots.

    Derivatives: cash is the wallet (start + realised - fees + funding), equity adds unrealised profit. Spot: cash is the quote
    balance, equity adds the holdings at their marks. `marks` are the last closes and belong to the loop.
    """

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        starting_cash: int,
        quote: str,
        marks: Mapping[str, float],
    ) -> None:
        self.quote = quote
        self.starting_cash = starting_cash
        self.cash = starting_cash
        self.realised = 0
        self.fees = 0
        self.funding = 0
        self.lots: dict[str, int] = dict.fromkeys(specs, 0)
        self.cost: dict[str, int] = dict.fromkeys(specs, 0)
        self.strategy_lots: dict[tuple[str, str], int] = {}
        self.marks = marks
        self.lot_e8 = {symbol: spec.lot_e8 for symbol, spec in specs.items()}
        self.spot = {symbol: spec.market is Market.SPOT for symbol, spec in specs.items()}
        self.margins: Margins | None = None
        """Set in a run with leverage above 1."""

    def mark_value(self, symbol: str) -> int:
        """Money units of one lot at the mark; 0 before the first close."""
        mark = self.marks.get(symbol)
        return price_e8(mark) * self.lot_e8[symbol] if mark is not None else 0

    def unrealised(self) -> int:
        """Profit of the open positions at the marks."""
        total = 0
        for symbol, lots in self.lots.items():
            if lots:
                total += lots * self.mark_value(symbol) - self.cost[symbol]
        return total

    def equity(self) -> int:
        """cash + unrealised profit of derivatives + value of spot holdings."""
        total = self.cash
        for symbol, lots in self.lots.items():
            if lots:
                total += lots * self.mark_value(symbol)
                if not self.spot[symbol]:
                    total -= self.cost[symbol]
        return total

    def free_cash(self) -> int:
        """What new orders may use before reservations: wallet less the margin of open positions and less open losses.

        Open profits do not count: the conservative side of what venues allow. Without leverage the margin is the entry value.
        """
        if self.margins is not None:
            return self.margins.free_cash(self.cash)
        margin = 0
        profit = 0
        for symbol, lots in self.lots.items():
            if lots and not self.spot[symbol]:
                margin += abs(self.cost[symbol])
                profit += lots * self.mark_value(symbol) - self.cost[symbol]
        return self.cash - margin + min(0, profit)

    def holdings(self) -> list[tuple[str, str, int]]:
        """(strategy_id, symbol, signed lots) of every open position of a strategy, in order of first trade."""
        return [(strategy_id, symbol, lots) for (strategy_id, symbol), lots in self.strategy_lots.items() if lots]

    def snapshot(self, time_ms: int) -> AccountSnapshot:
        """The state at `time_ms`, as a message."""
        unrealised = 0
        exposure = 0
        equity = self.cash
        views = []
        for symbol, lots in self.lots.items():
            if lots:
                mark_e8 = price_e8(self.marks.get(symbol, 0.0))
                value = lots * mark_e8 * self.lot_e8[symbol]
                profit = value - self.cost[symbol]
                unrealised += profit
                exposure += abs(value)
                equity += value if self.spot[symbol] else profit
                views.append(self._view(symbol, lots, mark_e8, profit))
        cash = decimal_from_money(self.cash)
        margins = self.margins.totals() if self.margins is not None else ()
        return AccountSnapshot(
            time_ms,
            cash,
            decimal_from_money(equity) if views else cash,
            decimal_from_money(unrealised) if views else NOTHING,
            decimal_from_money(self.realised),
            decimal_from_money(self.fees),
            decimal_from_money(exposure) if views else NOTHING,
            tuple(views),
            *map(decimal_from_money, margins),
        )

    def position(self, symbol: str) -> Decimal:
        """Net signed quantity of `symbol` over all strategies."""
        return decimal_from_e8(self.lots[symbol] * self.lot_e8[symbol])

    def _view(self, symbol: str, lots: int, mark_e8: int, profit: int) -> PositionView:
        size_e8 = abs(lots) * self.lot_e8[symbol]
        return PositionView(
            symbol,
            size_from_e8(lots * self.lot_e8[symbol]),
            decimal_from_e8((2 * abs(self.cost[symbol]) + size_e8) // (2 * size_e8)),
            decimal_from_e8(mark_e8),
            decimal_from_money(profit),
            self._liquidation_price(symbol) if self.margins is not None else None,
        )

    def _liquidation_price(self, symbol: str) -> Decimal | None:
        if self.margins is None or symbol not in self.margins.terms:
            return None
        price = self.margins.liquidation_price_e8(symbol, cash=self.cash)
        return None if price is None else decimal_from_e8(price)
