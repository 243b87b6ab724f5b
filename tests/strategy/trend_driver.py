"""The reference strategy with short averages, driven by hand."""

from __future__ import annotations

from backtester.domain.vocabulary import Market
from backtester.strategy.sma_extended import SMAExtendedStrategy
from tests.support.fake_context import Driver

FALLING_THEN_UP = (105, 104, 103, 102, 101, 110)
"""With lengths 2 and 3: below from the third close on, above on the last."""


def drive(closes=FALLING_THEN_UP, *, symbols=("BTCUSDT",), market=Market.LINEAR, **params) -> Driver:
    params = {"fast": 2, "slow": 3, "qty": "1"} | params
    driver = Driver(SMAExtendedStrategy(params), symbols=symbols, market=market)
    for close in closes:
        driver.candle(close)
    return driver


def held(closes=FALLING_THEN_UP, *, entry=100.0, **params) -> Driver:
    """Long 1 since `entry`, with averages that stay above until the closes fall far."""
    driver = drive(closes, **params)
    driver.fill(entry)
    return driver
