"""Composition of an account with several settlement assets."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtester.account.books import Books
from backtester.account.liquidations import Liquidations, MarkReader, StopsBefore
from backtester.account.margins import Margins
from backtester.account.portfolio import AssetAccount, Portfolio
from backtester.account.portfolio_books import PortfolioBooks
from backtester.app.currency import CurrencyPlan
from backtester.app.margin import MarginPlan
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import money_from_decimal
from backtester.engine.clock import Clock
from backtester.engine.routes import Routes


def portfolio_of(
    plan: CurrencyPlan,
    specs: Mapping[str, SymbolSpec],
    *,
    marks: Mapping[str, float],
    closes: Mapping[str, float],
    positions: Mapping[str, dict[str, Decimal]],
    clock: Clock,
    routes: Routes,
    rails: Mapping[str, Any],
) -> Portfolio:
    """The account at its start; `marks` are the prices of positions, `closes` those by which assets are counted."""
    settles = plan.currency.settles
    accounts: dict[str, AssetAccount] = {}
    for deposit in plan.deposits:
        own = {symbol: spec for symbol, spec in specs.items() if settles.get(symbol) == deposit.asset}
        books = Books(specs=own, starting_cash=money_from_decimal(deposit.amount), quote=deposit.asset, marks=marks)
        accounts[deposit.asset] = AssetAccount(books=books, specs=own, positions=positions, clock=clock, routes=routes)
    parts = {asset: account.books for asset, account in accounts.items()}
    together = PortfolioBooks(parts=parts, currency=plan.currency, specs=specs, closes=closes)
    return Portfolio(books=together, accounts=accounts, specs=specs, positions=positions, clock=clock, routes=routes, **rails)


def put_portfolio_on_margin(
    portfolio: Portfolio,
    margin: MarginPlan,
    specs: Mapping[str, SymbolSpec],
    *,
    stops: StopsBefore,
    clock: Clock,
    routes: Routes,
    stored: MarkReader | None,
    marks: Mapping[str, float],
) -> None:
    """Each asset has margins of its own, and is liquidated by itself."""
    for asset, account in portfolio.accounts.items():
        books = account.books
        terms = {symbol: found for symbol, found in margin.terms.items() if symbol in books.lots}
        margins = Margins(terms=terms, specs=specs, mode=margin.mode, lots=books.lots, cost=books.cost, marks=marks)
        books.margins = margins
        account.liquidations = Liquidations(
            margins=margins,
            books=books,
            specs=specs,
            clock=clock,
            routes=routes,
            stops_before=stops,
            series=stored,
            prefix=f"liq-{asset}",
        )
