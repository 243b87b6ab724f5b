"""The reference strategy enters and leaves by its rules, whatever the market makes of its orders."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backtester.domain.candle import Candle
from backtester.domain.intents import CancelOrderIntent, MarketOrderIntent
from backtester.domain.timeframe import HOUR_MS
from backtester.domain.vocabulary import Side
from backtester.strategy.sma_extended import SMAExtendedStrategy
from tests.strategy.trend_driver import FALLING_THEN_UP, drive, held
from tests.support.fake_context import Driver


def orders(intents) -> list[tuple[str, Decimal | float, bool, str]]:
    return [(intent.side.value, intent.qty, intent.reduce_only, intent.reason) for intent in intents]


def test_it_buys_once_when_fast_is_above_slow():
    driver = drive()
    assert orders(driver.sent) == [("buy", Decimal(1), False, "SIGNAL")]


def test_nothing_is_sent_while_the_entry_is_on_its_way():
    driver = drive()
    assert driver.candle(111) == []
    assert driver.candle(112) == []


def test_it_sells_what_it_holds_when_fast_is_below_slow():
    driver = held()
    assert orders(driver.candle(90)) == [("sell", Decimal(1), True, "SIGNAL")]
    driver.fill(90)
    assert driver.candle(80) == []


def test_equal_averages_change_nothing():
    driver = drive((100,) * 6)
    assert driver.sent == []
    driver = held()
    driver.candle(110)
    assert driver.candle(110) == []
    assert driver.candle(110) == []


def test_it_enters_on_the_first_averages_when_they_stand_above():
    assert len(drive((100, 101, 102)).sent) == 1


def test_without_reentry_it_enters_only_on_a_cross():
    assert drive((100, 101, 102, 103), allow_reentry=False).sent == []
    assert len(drive(allow_reentry=False).sent) == 1


def test_touching_averages_are_no_cross():
    driver = drive((100, 101, 102, 102, 102, 103), allow_reentry=False)
    assert driver.sent == []


def test_with_reentry_it_enters_again_after_a_take_profit():
    driver = held(tp_pct=0.1)
    assert orders(driver.candle(115)) == [("sell", Decimal(1), True, "TP_HIT")]
    driver.fill(115)
    assert orders(driver.candle(116)) == [("buy", Decimal(1), False, "SIGNAL")]


def test_without_reentry_it_waits_for_the_next_cross_after_a_take_profit():
    driver = held(tp_pct=0.1, allow_reentry=False)
    driver.candle(115)
    driver.fill(115)
    assert driver.candle(116) == []
    driver.candle(100)
    driver.candle(90)
    assert len(driver.candle(120)) == 1


@pytest.mark.parametrize(("bars", "blocked"), [(0, 0), (1, 1), (3, 3)])
def test_cool_down_counts_candles_after_the_exit(bars, blocked):
    driver = held(tp_pct=0.1, cooldown_bars=bars)
    driver.candle(115)
    driver.fill(115)
    waited = 0
    while not driver.candle(116 + waited):
        waited += 1
    assert waited == blocked


@pytest.mark.parametrize(
    ("params", "close", "reason"),
    [
        ({"tp_pct": 0.25}, 125.0, "TP_HIT"),
        ({"tp_pct": 0.25}, 124.9, None),
        ({"sl_pct": 0.05}, 106.4, None),
        ({"sl_pct": 0.05}, 95.0, "SL_HIT"),
        ({"sl_pct": 0.05, "trail_pct": 0.01}, 95.0, "SL_HIT"),
    ],
)
def test_long_exits_are_measured_on_closes_from_the_average_entry(params, close, reason):
    driver = held(**params)
    assert [intent.reason for intent in driver.candle(close)] == ([reason] if reason else [])


def test_the_trailing_stop_follows_the_best_close():
    driver = held(trail_pct=0.1)
    assert driver.candle(130) == []
    assert driver.candle(140) == []
    assert driver.candle(127) == []
    assert orders(driver.candle(126)) == [("sell", Decimal(1), True, "TRAIL")]


def test_the_average_entry_is_that_of_all_fills():
    driver = drive(tp_pct=0.1)
    driver.fill(100, qty="0.25")
    driver.fill(120)
    assert driver.candle(126.4) == []
    assert [intent.reason for intent in driver.candle(126.6)] == ["TP_HIT"]


def test_a_position_that_is_reported_later_than_held_is_judged_on_the_next_close():
    driver = drive(sl_pct=0.05)
    driver.ctx._positions["BTCUSDT"] = Decimal(1)
    assert driver.candle(50) == []


def test_a_partly_filled_entry_is_cancelled_and_what_there_is_is_sold():
    driver = drive()
    driver.fill(110, qty="0.4")
    cancel, sell = driver.candle(80)
    assert isinstance(cancel, CancelOrderIntent)
    assert cancel.order_id == "o1"
    assert orders([sell]) == [("sell", Decimal("0.4"), True, "SIGNAL")]
    assert driver.candle(79) == []


def test_what_fills_in_spite_of_the_cancel_is_sold_as_well():
    driver = drive()
    driver.fill(110, qty="0.4")
    driver.candle(80)
    assert driver.fill(80, qty="0.3") == []  # the entry once more, before its cancel arrives
    exit_id = driver.ctx.open_orders()[1].order_id
    entry = driver.ctx.orders.pop("o1")
    assert driver.fill(80)[0].qty == Decimal("0.3")  # the first exit
    assert exit_id not in driver.ctx.orders
    driver.ctx.orders["o1"] = entry
    driver.fill(80)
    assert driver.ctx.position("BTCUSDT") == 0
    assert driver.cancel() == []
    assert driver.ctx.open_orders() == ()


def test_an_entry_that_waits_is_cancelled_when_the_trend_turns():
    driver = drive()
    assert [type(intent) for intent in driver.candle(80)] == [CancelOrderIntent]
    assert driver.candle(79) == []
    driver.cancel()
    assert driver.candle(78) == []


def test_a_refused_cancel_is_asked_again_on_the_next_candle():
    driver = drive()
    driver.candle(80)
    assert driver.refuse_cancel() == []
    assert [type(intent) for intent in driver.candle(79)] == [CancelOrderIntent]


def test_a_refused_entry_is_tried_again_on_the_next_candle_not_at_once():
    driver = drive()
    assert driver.refuse() == []
    assert len(driver.candle(111)) == 1


def test_a_refused_exit_is_tried_again_on_the_next_candle():
    driver = held()
    driver.candle(80)
    assert driver.refuse() == []
    assert orders(driver.candle(79)) == [("sell", Decimal(1), True, "SIGNAL")]


def test_an_exit_that_the_venue_ended_is_sent_again_on_the_next_candle():
    driver = held()
    driver.candle(80)
    assert driver.cancel() == []
    assert orders(driver.candle(79)) == [("sell", Decimal(1), True, "SIGNAL")]


def test_short_selling_reverses_as_soon_as_the_long_is_closed():
    driver = held((100, 101, 110), allow_short=True)
    assert orders(driver.candle(80)) == [("sell", Decimal(1), True, "REVERSE")]
    assert orders(driver.fill(80)) == [("sell", Decimal(1), False, "SIGNAL")]
    driver.fill(80)
    assert driver.ctx.position("BTCUSDT") == -1
    driver.candle(79)
    assert orders(driver.candle(120)) == [("buy", Decimal(1), True, "REVERSE")]
    assert orders(driver.fill(120)) == [("buy", Decimal(1), False, "SIGNAL")]


def test_a_reversal_waits_for_the_cool_down():
    driver = held((100, 101, 110), allow_short=True, cooldown_bars=1)
    driver.candle(80)
    assert driver.fill(80) == []
    assert driver.candle(79) == []
    assert orders(driver.candle(78)) == [("sell", Decimal(1), False, "SIGNAL")]


@pytest.mark.parametrize(("close", "reason"), [(75.0, "TP_HIT"), (105.0, "SL_HIT"), (100.0, None)])
def test_short_exits_are_measured_the_other_way(close, reason):
    driver = drive((100, 110, 120, 60), allow_short=True, tp_pct=0.25, sl_pct=0.05)
    driver.cancel()  # the long of the rising closes
    assert orders(driver.sent[-1:]) == [("sell", Decimal(1), False, "SIGNAL")]
    driver.fill(100)
    assert [intent.reason for intent in driver.candle(close)] == ([reason] if reason else [])


def test_no_short_is_opened_unless_allowed():
    assert drive((105, 104, 103, 102)).sent == []


def test_an_entry_is_worth_the_notional_at_the_close():
    driver = drive(qty=None, notional_quote=550)
    assert driver.sent[0].qty == 5.0


def test_qty_goes_before_notional():
    assert drive(qty="0.3", notional_quote=550).sent[0].qty == Decimal("0.3")


def test_no_more_symbols_are_entered_than_allowed():
    symbols = ("BTCUSDT", "ETHUSDT")
    driver = Driver(SMAExtendedStrategy({"fast": 2, "slow": 3, "max_positions": 1}), symbols=symbols)
    for close in FALLING_THEN_UP:
        for symbol in symbols:
            driver.candle(close, symbol=symbol)
    assert [intent.symbol for intent in driver.sent] == ["BTCUSDT"]
    driver.fill(110)
    assert driver.candle(111, symbol="ETHUSDT") == []
    driver.candle(60)
    driver.fill(60)
    assert [intent.symbol for intent in driver.candle(112, symbol="ETHUSDT")] == ["ETHUSDT"]


def test_only_the_named_symbols_are_traded():
    symbols = ("BTCUSDT", "ETHUSDT")
    driver = Driver(SMAExtendedStrategy({"fast": 2, "slow": 3, "symbols": ["ETHUSDT"]}), symbols=symbols)
    for close in FALLING_THEN_UP:
        for symbol in symbols:
            driver.candle(close, symbol=symbol)
    assert [intent.symbol for intent in driver.sent] == ["ETHUSDT"]


def test_the_daily_loss_limit_closes_all_and_waits_for_the_next_day():
    symbols = ("BTCUSDT", "ETHUSDT")
    driver = Driver(SMAExtendedStrategy({"fast": 2, "slow": 3, "qty": "1", "daily_loss_limit": 0.05}), symbols=symbols)
    for close in FALLING_THEN_UP:
        for symbol in symbols:
            driver.candle(close, symbol=symbol)
    driver.fill(110)
    driver.fill(110)
    driver.ctx.equity = Decimal(9501)
    assert driver.candle(111) == []
    driver.ctx.equity = Decimal(9500)
    closing = driver.candle(111, symbol="ETHUSDT")
    assert [(intent.symbol, intent.reason) for intent in closing] == [("BTCUSDT", "DAILY_LOSS"), ("ETHUSDT", "DAILY_LOSS")]
    driver.fill(111)
    driver.fill(111)
    while driver.ctx.now_ms < 23 * HOUR_MS:
        assert driver.candle(111 + driver.ctx.now_ms / HOUR_MS) == []
    assert len(driver.candle(150)) == 1  # 00:00: a new day begins, and its base is what is left
    assert driver.ctx.notes == ["daily_loss_limit"]


def test_warm_up_feeds_the_averages_and_sends_nothing():
    driver = drive(())
    driver.ctx.warming = True
    for close in FALLING_THEN_UP:
        assert driver.candle(close) == []
    driver.ctx.warming = False
    assert len(driver.candle(111)) == 1
    assert driver.strategy.warmup_bars == 3


def test_candles_of_other_timeframes_are_not_counted():
    driver = drive(())
    for index, close in enumerate(FALLING_THEN_UP):
        minute = Candle("BTCUSDT", "1m", index * 60_000, index * 60_000 + 60_000, close, close, close, close, 1.0)
        assert driver.strategy.on_candle(minute) == []


def test_orders_are_plain_market_orders_of_the_side_of_the_trend():
    driver = drive()
    assert isinstance(driver.sent[0], MarketOrderIntent)
    assert driver.sent[0].side is Side.BUY
