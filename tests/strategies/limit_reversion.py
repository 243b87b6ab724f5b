"""Buys below the average with a resting limit order, moves it as the average moves, sells at the average."""

from collections import deque
from decimal import Decimal

from backtester import CancelAllIntent, Candle, LimitOrderIntent, Side, Strategy, StrategyParams


class LimitReversion(Strategy):
    """At most one order per symbol; the replacement is sent once the cancel of the old one is confirmed."""

    class Params(StrategyParams, frozen=True):
        """`distance` is a fraction of the average of `length` closes."""

        length: int = 20
        distance: float = 0.002
        qty: Decimal = Decimal("0.01")

    def on_start(self):
        self.closes = {}

    def on_candle(self, candle: Candle):
        closes = self.closes.setdefault(candle.symbol, deque(maxlen=self.params.length))
        closes.append(candle.close)
        if len(closes) < self.params.length:
            return []
        orders = self.ctx.open_orders(candle.symbol)
        if not orders:
            return self._quote(candle.symbol)
        if abs(float(orders[0].price) / self._target(candle.symbol) - 1) > self.params.distance / 4:
            return [CancelAllIntent(symbol=candle.symbol)]
        return []

    def on_cancel(self, canceled):
        return self._quote(canceled.symbol)

    def _target(self, symbol):
        closes = self.closes[symbol]
        average = sum(closes) / len(closes)
        return average if self.ctx.position(symbol) > 0 else average * (1 - self.params.distance)

    def _quote(self, symbol):
        if self.ctx.open_orders(symbol):
            return []
        position = self.ctx.position(symbol)
        price = self._target(symbol)
        if position > 0:
            return [LimitOrderIntent(symbol=symbol, side=Side.SELL, qty=position, price=price, reduce_only=True)]
        return [LimitOrderIntent(symbol=symbol, side=Side.BUY, qty=self.params.qty, price=price)]
