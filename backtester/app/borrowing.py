"""Borrowing on spot, from the settings of a run (`account.borrow`)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from backtester.account.books import Books
from backtester.account.borrowing import Borrowing
from backtester.config.run_config import RunConfig
from backtester.domain.borrowing import BorrowTerms
from backtester.domain.errors import ConfigError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.vocabulary import Liquidity, Market
from backtester.sim.sim_models import FeeModel, checked_rate_bps


def plan_borrowing(config: RunConfig, specs: Mapping[str, SymbolSpec]) -> BorrowTerms | None:
    """The terms of a run that borrows; None where `account.borrow` is off.

    Raises ConfigError where a symbol is not spot, the leverage leaves nothing to borrow, fees are taken in coins, a rate is
    missing, or one is given that nothing here is borrowed at.
    """
    account = config.account
    if account.borrow == "off" and account.borrow_rates:
        raise ConfigError(f"account.borrow_rates names {', '.join(account.borrow_rates)}, and account.borrow is off: set it to on")
    if account.borrow == "off":
        return None
    others = [symbol for symbol, spec in specs.items() if spec.market is not Market.SPOT]
    if others:
        raise ConfigError(f"{', '.join(others)}: account.borrow is for spot; leave it off, or use --market spot")
    if account.leverage <= 1:
        raise ConfigError("account.borrow = on borrows up to (account.leverage - 1) x equity: give a leverage above 1")
    if config.sim.spot_fee == "received":
        raise ConfigError("account.borrow = on takes fees in quote (sim.spot_fee = quote): one in the coin would leave a part owed")
    assets = dict.fromkeys(asset for spec in specs.values() for asset in (spec.money_asset, spec.base))
    missing = [asset for asset in assets if asset not in account.borrow_rates]
    if missing:
        raise ConfigError(
            f"account.borrow_rates has no rate for {', '.join(missing)}, which can be borrowed: give its fraction an hour, "
            f"such as --set account.borrow_rates.{missing[0]}=0.0001"
        )
    unknown = [asset for asset in account.borrow_rates if asset not in assets]
    if unknown:
        raise ConfigError(f"account.borrow_rates names {', '.join(unknown)}; this run borrows {', '.join(assets)}")
    return BorrowTerms(account.borrow_rates, account.leverage, account.borrow_liquidation)


def borrow_notes(terms: BorrowTerms | None) -> tuple[str, ...]:
    """What a reader of the result should know of it."""
    if terms is None:
        return ()
    rates = ", ".join(f"{asset} {rate:f}" for asset, rate in terms.rates.items())
    return (f"borrowed up to {terms.leverage - 1:f} x equity, interest an hour: {rates}",)


def highest_fee_e8(fees: FeeModel, symbol: str) -> int:
    """The higher of a symbol's two fees as a fraction in whole 1e-8, rounded up; 0 where both are rebates."""
    return max(0, *(ceil(checked_rate_bps(fees.rate_bps(symbol=symbol, liquidity=kind)) * 10_000) for kind in Liquidity))


def put_on_borrowing(books: Books, specs: Mapping[str, SymbolSpec], terms: BorrowTerms | None, fees: FeeModel) -> None:
    """The books borrow at these terms; they know nothing of it where there are none."""
    if terms is None:
        return
    fee_e8 = {symbol: highest_fee_e8(fees, symbol) for symbol in specs}
    books.borrowing = Borrowing(books=books, specs=specs, terms=terms, fee_e8=fee_e8)
