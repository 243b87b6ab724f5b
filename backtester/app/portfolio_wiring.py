"""Composition of an account with several settlement assets."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtester.account.books import Books
from backtester.account.hedged_books import HedgedBooks, LegMarks, LegRoutes, specs_by_leg
from backtester.account.hedged_margins import HedgedLiquidations, HedgedMargins
from backtester.account.liquidations import Liquidations, MarkReader, StopsBefore
from backtester.account.margins import Margins
from backtester.account.portfolio import AssetAccount, HedgedAssetAccount, Portfolio
from backtester.account.portfolio_books import HedgedPortfolioBooks, PortfolioBooks
from backtester.app.currency import CurrencyPlan
from backtester.app.margin import MarginPlan
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import legs_of
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
    hedge: bool,
) -> Portfolio:
    """The account at its start; `marks` are the prices of positions, `closes` those by which assets are counted."""
    settles = plan.currency.settles
    accounts: dict[str, AssetAccount] = {}
    make_books, make_account = (HedgedBooks, HedgedAssetAccount) if hedge else (Books, AssetAccount)
    marks = LegMarks(marks) if hedge else marks
    for deposit in plan.deposits:
        own = {symbol: spec for symbol, spec in specs.items() if settles.get(symbol) == deposit.asset}
        own = specs_by_leg(own) if hedge else own
        books = make_books(specs=own, starting_cash=money_from_decimal(deposit.amount), quote=deposit.asset, marks=marks)
        accounts[deposit.asset] = make_account(books=books, specs=own, positions=positions, clock=clock, routes=routes)
    parts = {asset: account.books for asset, account in accounts.items()}
    specs = specs_by_leg(specs) if hedge else specs
    together = (HedgedPortfolioBooks if hedge else PortfolioBooks)(parts=parts, currency=plan.currency, specs=specs, closes=closes)
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
    hedge: bool,
) -> None:
    """Each asset has margins of its own, and is liquidated by itself."""
    terms = {leg: found for key, found in margin.terms.items() for leg in (legs_of(key) if hedge else (key,))}
    specs, marks = (specs_by_leg(specs), LegMarks(marks)) if hedge else (specs, marks)
    for asset, account in portfolio.accounts.items():
        books = account.books
        own = {position: found for position, found in terms.items() if position in books.lots}
        of_books: dict[str, Any] = {"mode": margin.mode, "lots": books.lots, "cost": books.cost, "marks": marks}
        known: dict[str, Any] = {"books": books, "specs": specs, "clock": clock, "stops_before": stops, "series": stored}
        prefix = f"liq-{asset}"
        if hedge:
            legs = books.margins = HedgedMargins(terms=own, specs=specs, **of_books)
            account.liquidations = HedgedLiquidations(margins=legs, routes=LegRoutes(routes), prefix=prefix, **known)
        else:
            margins = books.margins = Margins(terms=own, specs=specs, **of_books)
            account.liquidations = Liquidations(margins=margins, routes=routes, prefix=prefix, **known)
