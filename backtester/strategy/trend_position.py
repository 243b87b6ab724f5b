"""What a trend follower keeps of one symbol: the averages, the entry of its fills, and an exit that is under way."""

from __future__ import annotations

from backtester.strategy.indicators import SMA


class TrendPosition:
    """The trend of one symbol and what is held of it; plain state, no decisions.

    direction      +1 while the fast average is above the slow one, -1 below, as last seen apart; 0 before
    crossed        whether the newest candle turned it
    lots           held, signed, from fills; `avg_entry` [quote] belongs to them
    best_close     most favourable close since the entry (the entry itself before the first)
    cooldown_bars  candles that must yet pass before an entry
    closing        reason of the exit under way; empty when there is none
    reverse_to     direction to enter once the exit is done; 0 for none
    cancel_sent    the entry order whose cancel is on its way
    """

    __slots__ = (
        "avg_entry", "best_close", "cancel_sent", "close", "closing", "cooldown_bars", "crossed", "direction", "fast", "lots",
        "reverse_to", "slow",
    )  # fmt: skip

    def __init__(self, *, fast: int, slow: int) -> None:
        self.fast = SMA(fast)
        self.slow = SMA(slow)
        self.close = 0.0
        self.direction = 0
        self.crossed = False
        self.lots = 0
        self.avg_entry = 0.0
        self.best_close = 0.0
        self.cooldown_bars = 0
        self.closing = ""
        self.reverse_to = 0
        self.cancel_sent = ""

    def see_close(self, close: float) -> None:
        """Averages, direction and best close include `close`."""
        self.close = close
        if self.lots:
            self.best_close = max(self.best_close, close) if self.lots > 0 else min(self.best_close, close)
        fast = self.fast.update(close)
        slow = self.slow.update(close)
        self.crossed = False
        if fast is None or slow is None or fast == slow:
            return
        direction = 1 if fast > slow else -1
        self.crossed = self.direction == -direction
        self.direction = direction

    def book(self, *, signed_lots: int, price: float) -> None:
        """A fill is part of the position: one that adds moves the average entry, one that reduces leaves it."""
        before, self.lots = self.lots, self.lots + signed_lots
        if self.lots == 0:
            self.avg_entry = self.best_close = 0.0
        elif before == 0 or (before > 0) != (self.lots > 0):
            self.avg_entry = self.best_close = price
        elif abs(self.lots) > abs(before):
            self.avg_entry += (price - self.avg_entry) * (abs(signed_lots) / abs(self.lots))

    def end(self) -> int:
        """The exit is done; the direction in which to enter now, 0 for none."""
        reverse_to, self.reverse_to = self.reverse_to, 0
        self.closing = self.cancel_sent = ""
        return reverse_to
