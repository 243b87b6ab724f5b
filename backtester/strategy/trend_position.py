"""What a trend follower keeps of one symbol: the averages, the entry of its fills, and an exit that is under way."""

from __future__ import annotations

from decimal import Decimal

from backtester.strategy.execution.exits import HeldPosition
from backtester.strategy.indicators import SMA

NOTHING = Decimal(0)


class TrendPosition(HeldPosition):
    """The trend of one symbol and what is held of it; plain state, no decisions.

    direction      +1 while the fast average is above the slow one, -1 below, as last seen apart; 0 before
    crossed        whether the newest candle turned it
    cooldown_bars  candles that must yet pass before an entry
    closing        reason of the exit under way; empty when there is none
    reverse_to     direction to enter once the exit is done; 0 for none
    cancel_sent    the entry order whose cancel is on its way
    dust           what is held but too little to be sold, as last seen; 0 for none
    """

    __slots__ = (
        "cancel_sent", "close", "closing", "cooldown_bars", "crossed", "direction", "dust", "fast", "reverse_to", "slow",
    )  # fmt: skip

    def __init__(self, *, fast: int, slow: int) -> None:
        super().__init__()
        self.fast = SMA(fast)
        self.slow = SMA(slow)
        self.close = 0.0
        self.direction = 0
        self.crossed = False
        self.cooldown_bars = 0
        self.closing = ""
        self.reverse_to = 0
        self.cancel_sent = ""
        self.dust = NOTHING

    def see_close(self, close: float) -> None:
        """Averages, direction and best close include `close`."""
        self.close = close
        if self.lots:
            self.see_best(close)
        fast = self.fast.update(close)
        slow = self.slow.update(close)
        self.crossed = False
        if fast is None or slow is None or fast == slow:
            return
        direction = 1 if fast > slow else -1
        self.crossed = self.direction == -direction
        self.direction = direction

    def end(self) -> int:
        """The exit is done; the direction in which to enter now, 0 for none."""
        reverse_to, self.reverse_to = self.reverse_to, 0
        self.closing = self.cancel_sent = ""
        return reverse_to
