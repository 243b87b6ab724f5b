"""The state of an account with several settlement assets: one set of books for each, told together in a reporting currency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from operator import attrgetter, methodcaller

from backtester.account.books import Books
from backtester.account.hedged_books import HedgedBooks
from backtester.domain.account import AccountSnapshot, AssetPrice, CoinBalance
from backtester.domain.conversion import Currency
from backtester.domain.errors import LedgerImbalanceError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import split_leg
from backtester.domain.money import decimal_from_e8, decimal_from_money, money_from_decimal
from backtester.domain.orders import Fill


class PortfolioBooks(Books):
    """Books over the `parts`, by asset; every sum is in the currency, at the last closes (`closes`), each part rounded down.

    `lots`, `cost` and `sizes` hold all symbols, and follow the parts (`follow`). Orders use the free cash of their own asset.
    """

    def __init__(
        self, *, parts: Mapping[str, Books], currency: Currency, specs: Mapping[str, SymbolSpec], closes: Mapping[str, float]
    ) -> None:
        self.parts = parts
        self.currency = currency
        self._closes = closes
        super().__init__(specs=specs, starting_cash=0, quote=currency.name, marks=closes)
        self.starting_equity = self.equity()

    @property
    def cash(self) -> int:
        """All wallets together."""
        return self._sum(attrgetter("cash"))

    @cash.setter
    def cash(self, units: int) -> None:
        """Wallets change in their own asset only."""
        if units:
            raise LedgerImbalanceError("a portfolio has no cash of its own")

    def follow(self, position: str) -> None:
        """The position, of a symbol or a leg, is what the books of its asset say."""
        part = self.parts[self.asset_of(position)]
        self.lots[position], self.cost[position] = part.lots[position], part.cost[position]

    def state_of(self, position: str) -> tuple[int, int, int]:
        """(cash, size, cost) of a position and of the wallet that it settles in."""
        return self.parts[self.asset_of(position)].state_of(position)

    @contextmanager
    def with_fills(self, fills: Sequence[Fill]) -> Iterator[None]:
        """The books are as these fills will leave them, each in its asset, until the end of the block."""
        try:
            with ExitStack() as stack:
                for asset in dict.fromkeys(self.asset_of(fill.leg) for fill in fills):
                    own = [fill for fill in fills if self.asset_of(fill.leg) == asset]
                    stack.enter_context(self.parts[asset].with_fills(own))
                for fill in fills:
                    self.follow(fill.leg)
                yield
        finally:
            for fill in fills:
                self.follow(fill.leg)

    def told(self, symbol: str, units: int) -> int:
        """Money units of the currency for units of the asset that `symbol` settles in."""
        return self.currency.of(self.currency.settles[symbol], units, self._closes)

    def asset_of(self, position: str) -> str:
        """The asset that a symbol, or a leg, settles in; empty of one that is there for its price only."""
        return self.currency.settles.get(split_leg(position)[0], "")

    def free_cash_in(self, asset: str) -> int:
        """What new orders that settle in `asset` may use, before reservations, in money units of it; nothing in any other."""
        part = self.parts.get(asset)
        return 0 if part is None else part.free_cash()

    def equity(self) -> int:
        """What all assets are worth together."""
        return self._sum(methodcaller("equity"))

    def unrealised(self) -> int:
        """Equity less the wallets."""
        return self.equity() - self.cash

    def free_cash(self) -> int:
        """What all assets have free together; an order may use its own asset's only (`free_cash_in`)."""
        return self._sum(methodcaller("free_cash"))

    def derivative_profit(self) -> int:
        """As `unrealised`: all positions are derivatives."""
        return self.unrealised()

    def held_by(self, strategy_id: str, position: str) -> int:
        """Signed lots that a strategy holds itself of a symbol."""
        asset = self.asset_of(position)
        return self.parts[asset].held_by(strategy_id, position) if asset else 0

    def holdings(self) -> list[tuple[str, str, int]]:
        """(strategy_id, symbol, signed lots) of every open position of a strategy, asset by asset."""
        return [row for part in self.parts.values() for row in part.holdings()]

    def balance(self, asset: str) -> Decimal | None:
        """The wallet of a settlement asset; None for any other."""
        part = self.parts.get(asset)
        return None if part is None else decimal_from_money(part.cash)

    def snapshot(self, time_ms: int) -> AccountSnapshot:
        """The state at `time_ms`: sums in the currency, wallets in `balances`, and the prices that assets are counted at."""
        snapshots = {asset: part.snapshot(time_ms) for asset, part in self.parts.items()}
        cash, equity = self.cash, self.equity()
        has_margin = any(part.margins is not None for part in self.parts.values())

        def told(name: str) -> Decimal:
            parts = ((asset, getattr(one, name)) for asset, one in snapshots.items())
            return decimal_from_money(sum(self._told(asset, money_from_decimal(amount)) for asset, amount in parts if amount))

        return AccountSnapshot(
            time_ms,
            decimal_from_money(cash),
            decimal_from_money(equity),
            decimal_from_money(equity - cash),
            told("realised_pnl"),
            told("fees"),
            told("exposure"),
            tuple(view for one in snapshots.values() for view in one.positions),
            told("initial_margin") if has_margin else None,
            told("maintenance_margin") if has_margin else None,
            tuple(CoinBalance(asset, one.cash) for asset, one in snapshots.items()),
            prices=tuple(AssetPrice(asset, self._price(asset)) for asset in snapshots),
        )

    def _price(self, asset: str) -> Decimal:
        return decimal_from_e8(self.currency.rates[asset].price_at(self._closes))

    def _told(self, asset: str, units: int) -> int:
        return self.currency.of(asset, units, self._closes)

    def _sum(self, of: Callable[[Books], int]) -> int:
        return sum(self._told(asset, of(part)) for asset, part in self.parts.items())


class HedgedPortfolioBooks(PortfolioBooks, HedgedBooks):
    """Such books in hedge mode: `specs`, `closes`, lots and cost are by leg, those of the parts too."""
