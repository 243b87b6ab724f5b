"""The strategies that other tests run do what they say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.intents import CancelAllIntent
from backtester.domain.timeframe import HOUR_MS
from backtester.domain.vocabulary import Side
from backtester.strategy.registry import load_strategy
from tests.support.fake_context import Driver

EXAMPLES = Path(__file__).resolve().parents[1] / "strategies"


def driver_of(file: str, params, **run) -> Driver:
    return Driver(load_strategy(str(EXAMPLES / file)).strategy(params), **run)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_file_holds_one_strategy_that_starts_with_its_defaults(path):
    loaded = load_strategy(str(path))
    assert loaded.strategy_id == path.stem
    assert Driver(loaded.strategy()).sent == []


@given(closes=st.lists(st.integers(90, 110), max_size=60))
def test_cross_is_long_exactly_while_the_fast_average_is_above(closes):
    driver = driver_of("cross.py", {"fast": 2, "slow": 5, "qty": "1"})
    for count, close in enumerate(closes, start=1):
        driver.candle(float(close))
        if driver.ctx.open_orders():
            driver.fill(float(close))
        above = count >= 5 and 5 * sum(closes[count - 2 : count]) > 2 * sum(closes[count - 5 : count])
        assert driver.ctx.position("BTCUSDT") == int(above)


def test_limit_reversion_replaces_its_order_once_the_cancel_is_confirmed():
    driver = driver_of("limit_reversion.py", {"length": 2, "distance": 0.01})
    driver.candle(100.0)
    assert driver.candle(100.0)[0].price == 99.0
    assert isinstance(driver.candle(104.0)[0], CancelAllIntent)
    assert driver.cancel()[0].price == pytest.approx(102 * 0.99)
    driver.fill(100.98)
    assert driver.candle(104.0)[0].side is Side.SELL
    driver.fill(104.0)
    assert driver.ctx.position("BTCUSDT") == 0


def test_rotation_sells_the_old_leader_before_it_buys_the_new_one():
    driver = driver_of("rotation.py", {"lookback": 1}, symbols=("BTCUSDT", "ETHUSDT"))

    def instant(*closes):
        for symbol, close in zip(driver.ctx.symbols, closes, strict=True):
            driver.candle(close, symbol=symbol)
        return [(intent.symbol, intent.side) for intent in driver._take(driver.strategy.on_tick_end())]

    assert instant(100.0, 100.0) == []
    assert instant(110.0, 105.0) == [("BTCUSDT", Side.BUY)]
    assert instant(111.0, 120.0) == []
    driver.fill(111.0)
    assert instant(112.0, 140.0) == [("BTCUSDT", Side.SELL)]
    driver.fill(112.0)
    assert instant(112.0, 160.0) == [("ETHUSDT", Side.BUY)]


def test_timed_leaves_a_while_after_its_fill():
    driver = driver_of("timed.py", {"hold_ms": HOUR_MS})
    assert driver.ctx.timers["enter"] == (None, 6 * HOUR_MS)
    assert driver._take(driver.strategy.on_timer("enter")) == []  # no candle yet: no price to trade at
    driver.candle(100.0)
    assert driver._take(driver.strategy.on_timer("enter"))[0].side is Side.BUY
    driver.fill(100.0)
    assert driver.ctx.timers["leave BTCUSDT"] == (driver.ctx.now_ms + HOUR_MS, None)
    sell = driver._take(driver.strategy.on_timer("leave BTCUSDT"))[0]
    assert (sell.qty, sell.reduce_only) == (Decimal("0.01"), True)
