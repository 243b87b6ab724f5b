"""The reporting currency of a run: which assets it settles in, what it begins with, and by which symbols they are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from backtester.audit.run_store import AssetRecord, CurrencyRecord
from backtester.config.run_config import RunConfig
from backtester.domain.conversion import Currency, Rate
from backtester.domain.deposits import CashDeposited
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_e8, format_money, money_from_decimal, price_e8
from backtester.domain.timeframe import iso_text
from backtester.domain.vocabulary import Market
from backtester.engine.ports import MarketDataSource
from backtester.report.currency_results import CurrencyStart

SETTLED = (Market.LINEAR, Market.INVERSE)
"""Markets that may settle in several assets of one run; spot symbols are there for their prices."""


class CurrencyPlan(NamedTuple):
    """The currency, the balances at the start in the order of the assets, and what a reader of the result should know."""

    currency: Currency
    deposits: tuple[CashDeposited, ...]
    notes: tuple[str, ...]

    def start(self) -> CurrencyStart:
        """The currency and the wallets at the start, for the files of the run."""
        return CurrencyStart(self.currency, {one.asset: money_from_decimal(one.amount) for one in self.deposits})


def currency_record(plan: CurrencyPlan | None) -> CurrencyRecord | None:
    """What the manifest says of the currency of a run."""
    if plan is None:
        return None
    currency = plan.currency
    assets = {
        asset: AssetRecord(
            symbol=rate.symbol,
            divides=rate.divides,
            settles=[symbol for symbol, settled in currency.settles.items() if settled == asset],
        )
        for asset, rate in currency.rates.items()
    }
    return CurrencyRecord(assets=assets, start_equity=format_money(plan.start().equity()))


def settles_in_several(config: RunConfig, specs: Mapping[str, SymbolSpec]) -> bool:
    """Whether the run needs a reporting currency: its symbols settle in several assets, or `account.currency` is another one.

    Raises ConfigError where it needs one and none is named, or where it holds what can only be traded in one asset.
    """
    assets = {key: spec.money_asset for key, spec in specs.items()}
    named = config.account.currency
    if len(set(assets.values())) == 1 and named in {"", *assets.values()}:
        if config.account.peg:
            raise ConfigError("account.peg is for runs of several settlement assets; this one settles in one: leave it out")
        return False
    listed = ", ".join(f"{key} {asset}" for key, asset in assets.items())
    if not named:
        raise ConfigError(
            f"symbols of this run settle in several assets: {listed}. Name the one that results are told in "
            "(--set account.currency=USDT), or run them one by one"
        )
    if all(spec.market is Market.SPOT for spec in specs.values()):
        raise ConfigError(
            f"spot symbols of one run must have one quote asset, that of the account: {listed}. Run them one by one, and leave out "
            "account.currency or name that asset"
        )
    others = [key for key, spec in specs.items() if spec.market is Market.OPTION or spec.expires_ms is not None]
    if others:
        raise ConfigError(f"{', '.join(others)}: options and dated futures cannot be in a run with a reporting currency of its own")
    return True


def without_spot_trading(specs: Mapping[str, SymbolSpec]) -> dict[str, SymbolSpec]:
    """The specs, those of symbols that are in the run for their prices only not tradable."""
    return {key: spec if spec.market in SETTLED else replace(spec, tradable=False) for key, spec in specs.items()}


def plan_currency(
    config: RunConfig, specs: Mapping[str, SymbolSpec], *, open_feed: Callable[[], MarketDataSource], start_ms: int
) -> CurrencyPlan:
    """How the run's assets are counted, where `settles_in_several`; `open_feed` gives a fresh feed that begins at the start.

    The rate of an asset is the price of the first symbol of the run that trades it against the currency, or against what is
    pegged to that. Raises ConfigError for an asset without one, or a balance in an asset that nothing settles in;
    DataUnavailableError where that symbol has no price at the start.
    """
    account = config.account
    settles = {key: spec.money_asset for key, spec in specs.items() if spec.market in SETTLED}
    assets = tuple(dict.fromkeys(settles.values()))
    pegs = _pegs(account.peg)
    feed = open_feed()
    rates = {asset: _rate(asset, account.currency, pegs, specs, feed, start_ms) for asset in assets}
    balances = _balances(config, assets)
    deposits = tuple(CashDeposited(start_ms, asset, balances[asset], decimal_from_e8(rates[asset].first_e8)) for asset in assets)
    plan = CurrencyPlan(Currency(account.currency, rates, settles), deposits, tuple(_notes(account.currency, rates, specs)))
    if plan.start().equity() <= 0:
        raise ConfigError(
            f"the run begins with nothing: no balance of {', '.join(assets)} is given, and account.starting_cash counts where the "
            "currency is one of them; set account.balances, such as --set account.balances.BTC=0.5"
        )
    return plan


def _balances(config: RunConfig, assets: tuple[str, ...]) -> dict[str, Decimal]:
    """By asset the wallet at the start: `account.balances`, for the currency itself else `account.starting_cash`."""
    account = config.account
    unknown = [asset for asset in account.balances if asset not in assets]
    if unknown:
        raise ConfigError(
            f"account.balances: no symbol of this run settles in {', '.join(unknown)}; it settles in {', '.join(assets)}"
        )
    given = {asset: account.balances.get(asset, Decimal(0)) for asset in assets}
    if account.currency in given and account.currency not in account.balances:
        given[account.currency] = account.starting_cash
    return given


def _pegs(pairs: tuple[str, ...]) -> dict[str, set[str]]:
    """By asset what counts one for one with it."""
    pegs: dict[str, set[str]] = {}
    for pair in pairs:
        left, right = pair.split("=")
        group = pegs.get(left, {left}) | pegs.get(right, {right})
        pegs.update(dict.fromkeys(group, group))
    return pegs


def _rate(
    asset: str,
    currency: str,
    pegs: Mapping[str, set[str]],
    specs: Mapping[str, SymbolSpec],
    feed: MarketDataSource,
    start_ms: int,
) -> Rate:
    mine, wanted = pegs.get(asset, {asset}), pegs.get(currency, {currency})
    if asset in wanted:
        return Rate()
    for key, spec in specs.items():
        if spec.market is Market.OPTION or spec.expires_ms is not None:
            continue
        straight, turned = spec.base in mine and spec.quote in wanted, spec.base in wanted and spec.quote in mine
        if not straight and not turned:
            continue
        bar = feed.bar_from(key, start_ms)
        if bar is None:
            raise DataUnavailableError(
                f"{key} has no candle from {iso_text(start_ms)} UTC on, so {asset} cannot be told in {currency}"
            )
        return Rate(key, turned, price_e8(bar.open))
    stable = " (or, for a stablecoin, account.peg)" if "USD" in asset and "USD" in currency else ""
    raise ConfigError(
        f"{asset} cannot be told in {currency}: no symbol of the run has its price. Add {asset}{currency} or {currency}{asset} to "
        f"the symbols{stable}, or choose another account.currency"
    )


def _notes(currency: str, rates: Mapping[str, Rate], specs: Mapping[str, SymbolSpec]) -> list[str]:
    lines = []
    for asset, rate in rates.items():
        if rate.symbol:
            lines.append(f"{asset}: told in {currency} at the last close of {rate.symbol}")
        elif asset != currency:
            lines.append(f"{asset}: told as {currency}, one for one (account.peg)")
    lines += [f"{key}: for its price only, no order in it passes" for key, spec in specs.items() if spec.market not in SETTLED]
    return lines
