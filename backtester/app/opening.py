"""The coins that a spot run begins with, valued at the first price of the run."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_e8, price_e8
from backtester.domain.timeframe import iso_text
from backtester.domain.vocabulary import Market
from backtester.engine.ports import MarketDataSource


def opening_coins(
    balances: Mapping[str, Decimal], specs: Mapping[str, SymbolSpec], *, feed: MarketDataSource, start_ms: int, strategy_id: str
) -> tuple[CoinsDeposited, ...]:
    """`account.balances` as deposits, each in the first spot symbol of its coin, at the open of the first bar from `start_ms` on.

    `feed` is a fresh one that begins there. Raises ConfigError for a coin that no spot symbol of the run is held in,
    DataUnavailableError where there is no price.
    """
    coins: dict[str, str] = {}
    for symbol, spec in specs.items():
        if spec.market is Market.SPOT:
            coins.setdefault(spec.base, symbol)
    return tuple(
        _deposit(asset, qty, coins, specs, feed=feed, start_ms=start_ms, strategy_id=strategy_id) for asset, qty in balances.items()
    )


def _deposit(
    asset: str,
    qty: Decimal,
    coins: Mapping[str, str],
    specs: Mapping[str, SymbolSpec],
    *,
    feed: MarketDataSource,
    start_ms: int,
    strategy_id: str,
) -> CoinsDeposited:
    symbol = coins.get(asset)
    if symbol is None:
        quote = next(iter(specs.values())).money_asset
        hint = (
            "the quote asset is account.starting_cash"
            if asset == quote
            else f"spot coins of this run: {', '.join(coins) or 'none'}"
        )
        raise ConfigError(f"account.balances: no spot symbol of this run is held in {asset}; {hint}")
    bar = feed.bar_from(symbol, start_ms)
    if bar is None:
        raise DataUnavailableError(
            f"account.balances: {symbol} has no candle from {iso_text(start_ms)} UTC on, so its {asset} cannot be valued"
        )
    return CoinsDeposited(start_ms, symbol, asset, qty, decimal_from_e8(price_e8(bar.open)), strategy_id)


def coins_notes(opening: tuple[CoinsDeposited, ...]) -> tuple[str, ...]:
    """What a reader of the result should know of them."""
    return tuple(
        f"{deposit.symbol}: begins with {deposit.qty:f} {deposit.asset}, valued at {deposit.price:f}" for deposit in opening
    )
