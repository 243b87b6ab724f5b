"""Strategies that decide on the past alone, each by other means. `bt check` must find nothing wrong with them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from backtester import (
    CancelOrderIntent,
    LimitOrderIntent,
    MarketOrderIntent,
    Side,
    StopOrderIntent,
    Strategy,
    TimeInForce,
    TrailingStopIntent,
)
from backtester.strategy.indicators import ATR, RSI, SMA, BollingerBands, Donchian

HOUR_MS = 3_600_000
QTY = Decimal("0.01")
log = logging.getLogger(__name__)


def entry_or_exit(strategy, symbol, wanted, **options):
    """Market orders that bring the position to long or flat, one at a time."""
    held = strategy.ctx.position(symbol)
    if strategy.ctx.open_orders(symbol) or wanted == (held > 0):
        return []
    if wanted:
        return [MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=QTY, **options)]
    return [MarketOrderIntent(symbol=symbol, side=Side.SELL, qty=held, reduce_only=True)]


class Cross(Strategy):
    """Indicators with the warm-up that they need."""

    warmup_bars = 30

    def on_start(self):
        self.averages = {symbol: (SMA(10), SMA(30)) for symbol in self.ctx.symbols}

    def on_candle(self, candle):
        fast, slow = (average.update(candle.close) for average in self.averages[candle.symbol])
        return [] if slow is None else entry_or_exit(self, candle.symbol, fast > slow)


class RelativeStrength(Strategy):
    """Several symbols, decided together."""

    warmup_bars = 25

    def on_tick_end(self):
        windows = {symbol: self.ctx.history(symbol, n=20) for symbol in self.ctx.symbols}
        if any(len(window) < 20 for window in windows.values()):
            return []
        gains = {symbol: window[-1].close / window[0].close for symbol, window in windows.items()}
        best = max(sorted(gains), key=gains.__getitem__)
        return [intent for symbol in self.ctx.symbols for intent in entry_or_exit(self, symbol, symbol == best)]


class HigherTimeframe(Strategy):
    """Trend of the hour, entries of the minutes."""

    extra_timeframes = ("1h",)
    warmup_bars = 60

    def on_start(self):
        self.hourly = {}

    def on_candle(self, candle):
        if candle.timeframe == "1h":
            self.hourly[candle.symbol] = candle
            return []
        hour = self.hourly.get(candle.symbol)
        return [] if hour is None else entry_or_exit(self, candle.symbol, hour.close > hour.open and candle.close > hour.low)


class Brackets(Strategy):
    """Stop and target attached to each entry."""

    warmup_bars = 20

    def on_start(self):
        self.ranges = {symbol: Donchian(20) for symbol in self.ctx.symbols}

    def on_candle(self, candle):
        channel = self.ranges[candle.symbol].value
        self.ranges[candle.symbol].update(candle.high, candle.low)
        if channel is None or self.ctx.position(candle.symbol) or self.ctx.open_orders(candle.symbol):
            return []
        if candle.close <= channel.upper:
            return []
        stop, target = round(candle.close * 0.997, 2), round(candle.close * 1.004, 2)
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=QTY, stop_loss=stop, take_profit=target)


class Trailing(Strategy):
    """A trailing stop and a hard one, sent when the entry is filled."""

    def on_candle(self, candle):
        if self.ctx.position(candle.symbol) or self.ctx.open_orders(candle.symbol) or candle.close < candle.open:
            return []
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=QTY)

    def on_fill(self, fill):
        if fill.side is Side.SELL or len(self.ctx.open_orders(fill.symbol)) > 0:
            return []
        price = float(fill.price)
        return [
            TrailingStopIntent(symbol=fill.symbol, side=Side.SELL, qty=fill.qty, trail_bps=20, reduce_only=True),
            StopOrderIntent(
                symbol=fill.symbol, side=Side.SELL, qty=fill.qty, trigger_price=round(price * 0.99, 1), reduce_only=True
            ),
        ]


class Quotes(Strategy):
    """Resting limits, cancelled and replaced at each candle."""

    def on_candle(self, candle):
        cancels = [CancelOrderIntent(symbol=one.symbol, order_id=one.order_id) for one in self.ctx.open_orders(candle.symbol)]
        held = self.ctx.position(candle.symbol)
        side, price = (Side.SELL, candle.close * 1.001) if held > 0 else (Side.BUY, candle.close * 0.999)
        qty = held if held > 0 else QTY
        return [*cancels, LimitOrderIntent(symbol=candle.symbol, side=side, qty=qty, price=round(price, 1), reduce_only=held > 0)]


class GoodTillDate(Strategy):
    """Orders that end by themselves, and carry a time in their reason."""

    def on_candle(self, candle):
        if self.ctx.open_orders(candle.symbol) or self.ctx.position(candle.symbol):
            return entry_or_exit(self, candle.symbol, candle.close < candle.open)
        return LimitOrderIntent(
            symbol=candle.symbol,
            side=Side.BUY,
            qty=QTY,
            price=round(candle.low, 1),
            tif=TimeInForce.GTD,
            good_till_ms=self.ctx.now_ms + HOUR_MS,
            reason=f"low of {candle.start_ms}",
        )


class Hourly(Strategy):
    """Timers."""

    def on_start(self):
        self.ctx.timer("hour", every_ms=HOUR_MS)

    def on_timer(self, name):
        intents = []
        for symbol in self.ctx.symbols:
            candles = self.ctx.history(symbol, n=12)
            if candles:
                intents += entry_or_exit(self, symbol, candles[-1].close > candles[0].open)
        return intents


class Chance(Strategy):
    """Random numbers that the run's seed repeats."""

    def on_candle(self, candle):
        return (
            entry_or_exit(self, candle.symbol, True)
            if self.ctx.rng("coin").random() < 0.3
            else entry_or_exit(self, candle.symbol, False)
        )


class Oscillator(Strategy):
    """Indicators that forget slowly, with the warm-up that takes."""

    warmup_bars = 110

    def on_start(self):
        self.tools = {symbol: (RSI(3), ATR(3), BollingerBands(10, 2)) for symbol in self.ctx.symbols}

    def on_candle(self, candle):
        rsi, atr, bands = self.tools[candle.symbol]
        values = (rsi.update(candle.close), atr.update(candle.high, candle.low, candle.close), bands.update(candle.close))
        if None in values or self.ctx.warming:
            return []
        strength, width, band = values
        return entry_or_exit(self, candle.symbol, strength < 50 and candle.close < band.middle + width)


class Session(Strategy):
    """Hours of New York, days of the week and of the month."""

    zone = ZoneInfo("America/New_York")

    def on_candle(self, candle):
        here = datetime.fromtimestamp(self.ctx.now_ms / 1000, tz=UTC).astimezone(self.zone)
        is_open = 9 <= here.hour < 16 and here.weekday() < 6 and here.day != 29
        return entry_or_exit(self, candle.symbol, is_open == (candle.close > candle.open))


class Frames(Strategy):
    """Frames and arrays made of its own history, with a log of its own."""

    warmup_bars = 40

    def on_candle(self, candle):
        closes = [one.close for one in self.ctx.history(candle.symbol, n=40)]
        if len(closes) < 40 or candle.end_ms % HOUR_MS:
            return []
        shifted = pl.DataFrame({"close": closes}).select(pl.col("close").shift(1)).to_series()[-1]
        mean = pl.Series(closes).rolling_mean(20)[-1]
        log.info("mean %s at %s", mean, candle.end_ms)
        return entry_or_exit(self, candle.symbol, bool(np.median(closes) < mean and shifted < mean * 1.01))


class Settings(Strategy):
    """A file that is declared and read."""

    reads = ("settings/*.json",)

    def on_start(self):
        self.settings = json.loads((Path(__file__).parent / "settings/honest.json").read_text(encoding="utf-8"))
        self.ready = set(self.ctx.symbols)

    def on_candle(self, candle):
        if candle.symbol not in self.ready:
            return []
        rise = candle.close / candle.open - 1
        return entry_or_exit(self, candle.symbol, rise > self.settings["rise"])


class Insistent(Strategy):
    """Answers refusals and cancels."""

    def on_start(self):
        self.size = Decimal(100)

    def on_candle(self, candle):
        if self.ctx.open_orders() or self.ctx.position(candle.symbol):
            return entry_or_exit(self, candle.symbol, candle.close > candle.open)
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=self.size)

    def on_reject(self, rejection):
        self.size = max(self.size / 2, QTY)
        return MarketOrderIntent(symbol=rejection.symbol, side=Side.BUY, qty=self.size)
