"""Long while the fast average of closes is above the slow one, flat otherwise; sums are kept in O(1)."""

from collections import deque
from decimal import Decimal

from backtester import Candle, Fill, MarketOrderIntent, Side, Strategy, StrategyParams


class Cross(Strategy):
    """One position per symbol, one order at a time."""

    class Params(StrategyParams, frozen=True):
        """Lengths in signal candles, size in base."""

        fast: int = 20
        slow: int = 50
        qty: Decimal = Decimal("0.01")

    def on_start(self):
        self.closes = {}
        self.sums = {}

    def on_candle(self, candle: Candle):
        fast, slow = self.params.fast, self.params.slow
        symbol, close = candle.symbol, candle.close
        closes = self.closes.get(symbol)
        if closes is None:
            closes = self.closes[symbol] = deque(maxlen=slow)
            self.sums[symbol] = [0.0, 0.0]
        sums = self.sums[symbol]
        sums[0] += close
        sums[1] += close
        if len(closes) >= fast:
            sums[0] -= closes[-fast]
        if len(closes) < slow:
            closes.append(close)
            if len(closes) < slow:
                return []
        else:
            sums[1] -= closes[0]
            closes.append(close)
        above = sums[0] / fast > sums[1] / slow
        position = self.ctx.position(symbol)
        if above == (position > 0) or self.ctx.open_orders(symbol):
            return []
        if above:
            return [MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=self.params.qty)]
        return [MarketOrderIntent(symbol=symbol, side=Side.SELL, qty=position, reduce_only=True)]

    def on_fill(self, fill: Fill):
        return []
