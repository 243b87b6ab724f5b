"""Holds the symbol that rose most over the last candles and changes over when another one leads."""

from collections import deque

from backtester import Candle, MarketOrderIntent, Side, Strategy, StrategyParams


class Rotation(Strategy):
    """Decides at the end of an instant, when the candles of all symbols are in; sells first, buys when flat."""

    class Params(StrategyParams, frozen=True):
        """Momentum over `lookback` candles; `notional_quote` is what one holding costs."""

        lookback: int = 24
        notional_quote: float = 1000.0

    def on_start(self):
        self.closes = {}
        self.seen = False

    def on_candle(self, candle: Candle):
        closes = self.closes.setdefault(candle.symbol, deque(maxlen=self.params.lookback + 1))
        closes.append(candle.close)
        self.seen = True

    def on_tick_end(self):
        if not self.seen or self.ctx.open_orders():
            return []
        self.seen = False
        momentum = {
            symbol: closes[-1] / closes[0] - 1 for symbol, closes in self.closes.items() if len(closes) > self.params.lookback
        }
        if not momentum:
            return []
        best = max(momentum, key=lambda symbol: momentum[symbol])
        leaving = [symbol for symbol in self.ctx.symbols if symbol != best and self.ctx.position(symbol) > 0]
        if leaving:
            return [
                MarketOrderIntent(symbol=symbol, side=Side.SELL, qty=self.ctx.position(symbol), reduce_only=True, reason="ROTATE")
                for symbol in leaving
            ]
        if momentum[best] > 0 and self.ctx.position(best) == 0:
            qty = self.params.notional_quote / self.closes[best][-1]
            return [MarketOrderIntent(symbol=best, side=Side.BUY, qty=qty, reason="ROTATE")]
        return []
