"""Trades by the clock: a timer buys, one set from the fill sells some time later, whatever the price does."""

from decimal import Decimal

from backtester import Candle, Fill, MarketOrderIntent, Side, Strategy, StrategyParams


class Timed(Strategy):
    """Enters every `every_ms` when flat; leaves `hold_ms` after the entry was reported."""

    class Params(StrategyParams, frozen=True):
        """Durations in milliseconds, size in base."""

        every_ms: int = 6 * 3_600_000
        hold_ms: int = 2 * 3_600_000
        qty: Decimal = Decimal("0.01")

    def on_start(self):
        self.seen = set()
        self.ctx.timer("enter", every_ms=self.params.every_ms)

    def on_candle(self, candle: Candle):
        self.seen.add(candle.symbol)

    def on_timer(self, name: str):
        if name == "enter":
            return [
                MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=self.params.qty, reason="TIMER")
                for symbol in self.ctx.symbols
                if symbol in self.seen and self.ctx.position(symbol) == 0 and not self.ctx.open_orders(symbol)
            ]
        symbol = name.removeprefix("leave ")
        position = self.ctx.position(symbol)
        if position <= 0:
            return None
        return MarketOrderIntent(symbol=symbol, side=Side.SELL, qty=position, reduce_only=True, reason="TIMER")

    def on_fill(self, fill: Fill):
        if fill.side is Side.BUY:
            self.ctx.timer(f"leave {fill.symbol}", at_ms=self.ctx.now_ms + self.params.hold_ms)
