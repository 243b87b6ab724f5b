"""Wrong parameters of the reference strategy are refused by name; the defaults are the shipped ones."""

from __future__ import annotations

import math

import pytest

from backtester.domain.errors import ConfigError
from backtester.domain.vocabulary import Market
from backtester.strategy.registry import describe
from backtester.strategy.sma_extended import SMAExtendedStrategy
from tests.strategy.trend_driver import drive
from tests.support.fake_context import Driver


def test_spot_with_shorts_is_refused_before_the_first_candle():
    with pytest.raises(ConfigError, match="allow_short: BTCUSDT is a spot market"):
        drive(allow_short=True, market=Market.SPOT)


def test_a_symbol_that_the_run_does_not_have_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean BTCUSDT"):
        Driver(SMAExtendedStrategy({"symbols": ["BTCUSD"]}))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"tp_pct": 2}, r"tp_pct is a fraction below 1 \(0.02 means 2 %\)"),
        ({"sl_pct": 1.0}, "sl_pct is a fraction below 1"),
        ({"trail_pct": 0}, "trail_pct must be above 0"),
        ({"daily_loss_limit": -0.1}, "daily_loss_limit must be above 0"),
        ({"daily_loss_limit": 5}, "0.02 means 2 %"),
        ({"tp_pct": math.nan}, "tp_pct must be above 0"),
        ({"fast": 50, "slow": 20}, "fast must be below slow, was fast=50 slow=20"),
        ({"fast": 20, "slow": 20}, "fast must be below slow"),
        ({"fast": 0}, "fast must be at least 1"),
        ({"cooldown_bars": -1}, "cooldown_bars must be at least 0"),
        ({"max_positions": 0}, "max_positions must be at least 1"),
        ({"notional_quote": None}, "qty or notional_quote must be given"),
        ({"qty": "-1"}, "qty must be above 0"),
        ({"qty": "NaN"}, "qty must be above 0"),
        ({"notional_quote": 0}, "notional_quote must be above 0"),
        ({"timeframe": "90x"}, "timeframe '90x' is not known"),
        ({"fsat": 10}, "did you mean 'fast'"),
        ({"fast": "ten"}, "fast"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(params, says):
    with pytest.raises(ConfigError, match=says):
        SMAExtendedStrategy(params)


def test_the_defaults_are_the_shipped_ones():
    defaults = {row.name: row.default for row in describe(SMAExtendedStrategy)}
    assert defaults == {
        "symbols": "[]",
        "timeframe": '"1h"',
        "fast": "20",
        "slow": "50",
        "qty": "null",
        "notional_quote": '"1000"',
        "allow_reentry": "true",
        "allow_short": "false",
        "max_positions": "null",
        "cooldown_bars": "0",
        "tp_pct": "null",
        "sl_pct": "null",
        "trail_pct": "null",
        "daily_loss_limit": "null",
    }
    assert all(row.doc for row in describe(SMAExtendedStrategy))
