"""An account with several settlement assets: one account for each, and rails over all in the reporting currency (ADR 019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from backtester.account.account import Account
from backtester.account.hedged_account import HedgedAccount
from backtester.account.ledger import Ledger
from backtester.account.portfolio_books import PortfolioBooks
from backtester.domain.borrowing import InterestDue
from backtester.domain.candle import Candle
from backtester.domain.delivery import Expiry
from backtester.domain.errors import LedgerImbalanceError, require
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import split_leg
from backtester.domain.orders import Fill
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.run_events import ControlAction
from backtester.domain.settlement import Settlement
from backtester.engine.clock import Clock
from backtester.engine.routes import Routes
from backtester.engine.topics import Published


class AssetAccount(Account):
    """The part of a portfolio that settles in one asset: books, margin and liquidations as ever; the portfolio has the rails."""

    def _after_change(self, closed: bool) -> Sequence[Published]:
        if self.liquidations is not None:
            self.liquidations.arm()
        return ()

    def _watch(self) -> Sequence[Published]:
        return ()


class HedgedAssetAccount(AssetAccount, HedgedAccount):
    """Such a part in hedge mode: its positions are legs."""


class Portfolio(Account):
    """Sends what happens to the account of its asset; watches equity of all, in the currency, at every close while it can matter.

    The run is bankrupt when nothing is left of all assets together, or when an asset with open positions has nothing left: no
    venue carries those, and no other asset stands for them. All accounts post to one ledger, each in its asset.
    """

    def __init__(
        self,
        *,
        books: PortfolioBooks,
        accounts: Mapping[str, AssetAccount],
        specs: Mapping[str, SymbolSpec],
        positions: Mapping[str, dict[str, Decimal]],
        clock: Clock,
        routes: Routes,
        daily_loss: Decimal | None = None,
        flatten: bool = False,
        drawdown: Decimal | None = None,
        drawdown_flatten: bool = False,
        kill_flatten: bool = False,
    ) -> None:
        super().__init__(
            books=books,
            specs=specs,
            positions=positions,
            clock=clock,
            routes=routes,
            daily_loss=daily_loss,
            flatten=flatten,
            drawdown=drawdown,
            drawdown_flatten=drawdown_flatten,
            kill_flatten=kill_flatten,
            uses_last=False,
        )
        self.accounts = accounts
        self._parts = books
        self._symbols = tuple(dict.fromkeys(split_leg(position)[0] for position in books.lots))
        self._settles = books.currency.settles
        self._has_rails = daily_loss is not None or drawdown is not None
        self._watched_ms = -1
        self.ledger = Ledger()
        for account in accounts.values():
            self.ledger.balances.update(account.ledger.balances)
            account.ledger = self.ledger
        if self._has_rails:
            self._follow_prices()

    def on_fill(self, fill: Fill) -> Sequence[Published]:
        """The fill is in the books of its asset, and the prices that now matter are watched."""
        published = self.accounts[self._settles[fill.symbol]].on_fill(fill)
        position = fill.symbol if fill.position_side is None else fill.leg
        self._parts.follow(position)
        return (*published, *self._after_change(closed=not self._parts.lots[position]))

    def on_settlement(self, settlement: Settlement | Expiry | InterestDue) -> Sequence[Published]:
        """Funding is in the wallet of the asset that the symbol settles in."""
        if not isinstance(settlement, Settlement) or settlement.symbol not in self._settles:
            return ()  # nothing ends in such a run, and nothing is borrowed
        published = self.accounts[self._settles[settlement.symbol]].on_settlement(settlement)
        return (*published, *self._after_change(closed=False)) if published else ()

    def on_rules(self, changed: RulesChanged) -> None:
        """The positions of every asset are looked at again."""
        for account in self.accounts.values():
            account.on_rules(changed)

    def on_margin(self, bars: Sequence[Candle], *, at_open: bool) -> Sequence[Published]:
        """Stops and liquidations that these bars bring, in each asset by itself."""
        found: list[Published] = []
        for asset, account in self.accounts.items():
            found += account.on_margin([bar for bar in bars if self._settles.get(bar.symbol) == asset], at_open=at_open)
        return found

    def on_bar(self, bar: Candle) -> Sequence[Published]:
        """Nothing, unless equity at the closes of this instant has reached a floor."""
        if self._watched_ms == self._clock.now_ms or not (self._has_rails or any(self._parts.lots.values())):
            return ()
        self._watched_ms = self._clock.now_ms
        return self._watch()

    def check(self) -> None:
        """Raise LedgerImbalanceError unless the books of every asset are what its postings and fills say."""
        for asset, account in self.accounts.items():
            account.check()
            for symbol, lots in account.books.lots.items():
                require(self._parts.lots[symbol] == lots, "%s is not what %s holds", symbol, asset, error=LedgerImbalanceError)

    def _after_change(self, closed: bool) -> Sequence[Published]:
        if self._has_rails or any(self._parts.lots.values()):
            self._follow_prices()
        else:
            self._routes.clear_books()
        return self._watch() if closed else ()

    def _follow_prices(self) -> None:
        """Every close that equity depends on is looked at."""
        held = {split_leg(position)[0] for position, lots in self._parts.lots.items() if lots}
        for symbol in self._symbols:
            if symbol in held or symbol in self._parts.currency.price_symbols:
                self._routes.enter_books(symbol, self.on_bar)
            else:
                self._routes.leave_books(symbol)

    def _watch(self) -> Sequence[Published]:
        for asset, account in self.accounts.items():
            if any(account.books.lots.values()) and account.books.equity() <= 0:
                self.bankrupt = True
                return (self._control(ControlAction.BANKRUPT, f"equity in {asset} is used up while positions in it are open"),)
        return super()._watch()
