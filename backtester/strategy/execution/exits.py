"""When to leave a position, judged on closes: stop, target, trailing stop, time, the other direction."""

from __future__ import annotations

from backtester.domain.candle import Candle
from backtester.domain.errors import DomainError
from backtester.domain.intents import AnyIntent, MarketOrderIntent
from backtester.domain.legs import leg_of
from backtester.domain.money import e8_from_decimal
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.position import whole_lots
from backtester.domain.vocabulary import CloseReason, PositionSide, Side
from backtester.strategy.context import StrategyContext


class HeldPosition:
    """What is held of a symbol, from fills.

    lots        signed, whole; `avg_entry` [quote] belongs to them
    rest_e8     what fees that were taken from the coin have left of a lot, in 1e-8
    best_close  most favourable close since the entry (the entry itself before the first)
    since_ms    when it was opened
    """

    __slots__ = ("avg_entry", "best_close", "lots", "rest_e8", "since_ms")

    def __init__(self) -> None:
        self.lots = 0
        self.avg_entry = 0.0
        self.best_close = 0.0
        self.since_ms = 0
        self.rest_e8 = 0

    def see_best(self, close: float) -> None:
        """The best close includes `close`; nothing while flat."""
        if self.lots:
            self.best_close = max(self.best_close, close) if self.lots > 0 else min(self.best_close, close)

    def book_fill(self, fill: Fill) -> None:
        """A fill is part of the position, less a fee that was taken from the coin."""
        signed_lots = fill.side.sign * fill.qty_lots
        if fill.fee_in_base or self.rest_e8:
            lot_e8 = e8_from_decimal(fill.qty) // fill.qty_lots
            size_e8 = self.lots * lot_e8 + self.rest_e8 + fill.net_e8
            lots = whole_lots(size_e8, lot_e8)
            signed_lots, self.rest_e8 = lots - self.lots, size_e8 - lots * lot_e8
        self.book(signed_lots=signed_lots, price=float(fill.price), time_ms=fill.time_ms)

    def book(self, *, signed_lots: int, price: float, time_ms: int = 0) -> None:
        """A fill is part of the position: one that adds moves the average entry, one that reduces leaves it."""
        before, self.lots = self.lots, self.lots + signed_lots
        if self.lots == 0:
            self.avg_entry = self.best_close = 0.0
        elif before == 0 or (before > 0) != (self.lots > 0):
            self.avg_entry = self.best_close = price
            self.since_ms = time_ms
        elif abs(self.lots) > abs(before):
            self.avg_entry += (price - self.avg_entry) * (abs(signed_lots) / abs(self.lots))


class ExitRules:
    """Rules of an exit; None switches one off. Fractions are of the average entry, of the best close for `trail_frac`.

    Where several hold at one close the first of stop, target, trailing stop, time and turn counts: the loss is not dressed up as
    anything else. Before `min_hold_ms` only the stop acts; from `max_hold_ms` on the position is left at the next close.
    """

    __slots__ = ("max_hold_ms", "min_hold_ms", "sl_frac", "tp_frac", "trail_frac")

    def __init__(
        self,
        *,
        sl_frac: float | None = None,
        tp_frac: float | None = None,
        trail_frac: float | None = None,
        max_hold_ms: int | None = None,
        min_hold_ms: int = 0,
    ) -> None:
        for name, fraction in (("sl_frac", sl_frac), ("tp_frac", tp_frac), ("trail_frac", trail_frac)):
            if fraction is not None and not fraction > 0:
                raise DomainError(f"{name} must be above 0 (0.02 means 2 %), or None; it was {fraction}")
        if min_hold_ms < 0 or (max_hold_ms is not None and max_hold_ms < max(1, min_hold_ms)):
            raise DomainError(f"max_hold_ms must be above 0 and not below min_hold_ms, was {max_hold_ms} and {min_hold_ms}")
        self.sl_frac = sl_frac
        self.tp_frac = tp_frac
        self.trail_frac = trail_frac
        self.max_hold_ms = max_hold_ms
        self.min_hold_ms = min_hold_ms

    def reason(self, held: HeldPosition, *, close: float, now_ms: int, turned: bool = False) -> CloseReason | None:
        """Why the position ends at this close; None where it stays. `turned`: its signal is now the other way (REVERSE)."""
        side = 1 if held.lots > 0 else -1
        gain = side * (close - held.avg_entry) / held.avg_entry
        if self.sl_frac is not None and gain <= -self.sl_frac:
            return CloseReason.SL_HIT
        if self.min_hold_ms and now_ms - held.since_ms < self.min_hold_ms:
            return None
        if self.tp_frac is not None and gain >= self.tp_frac:
            return CloseReason.TP_HIT
        if self.trail_frac is not None and side * (held.best_close - close) / held.best_close >= self.trail_frac:
            return CloseReason.TRAIL
        if self.max_hold_ms is not None and now_ms - held.since_ms >= self.max_hold_ms:
            return CloseReason.TIME_EXIT
        return CloseReason.REVERSE if turned else None

    def levels(self, held: HeldPosition) -> tuple[float | None, float | None]:
        """(stop, target) at the entry, for the trade to carry: of stop and trailing stop the nearer; None where there is none."""
        side = 1 if held.lots > 0 else -1
        stops = [fraction for fraction in (self.sl_frac, self.trail_frac) if fraction is not None]
        stop = held.avg_entry * (1 - side * min(stops)) if stops else None
        return stop, held.avg_entry * (1 + side * self.tp_frac) if self.tp_frac is not None else None


class ExitPlan:
    """Leaves one symbol by rules. Drive it from `on_candle`, `on_fill`, `on_cancel` and `on_reject`; it sends one order at a time.

    An exit is a reduce-only market order for all that the strategy holds; one that was refused or that the venue ended is sent
    again at the next close, for the same reason. In hedge mode it leaves the position on `position_side`.
    """

    def __init__(self, symbol: str, rules: ExitRules, position_side: PositionSide | None = None) -> None:
        self.symbol = symbol
        self.position_side = position_side
        self.rules = rules
        self.held = HeldPosition()
        self.closing: CloseReason | None = None
        """Why the position is being left; None while it is not."""
        self._working_id = ""
        self._sent = 0
        self._reverse: AnyIntent | None = None

    def on_candle(self, ctx: StrategyContext, candle: Candle) -> list[AnyIntent]:
        """What is sent at a close of the symbol's candle in the strategy's timeframe; nothing at any other."""
        if candle.symbol != self.symbol or candle.timeframe != ctx.timeframe:
            return []
        self.held.see_best(candle.close)
        return self._judge(ctx, candle.close, turned=False)

    def turn(self, ctx: StrategyContext, *, close: float, reverse: AnyIntent | None = None) -> list[AnyIntent]:
        """What is sent when the signal has turned: the position is left (REVERSE), unless it is too young or leaves for another
        reason; `reverse` is sent as soon as it is closed.
        """
        sent = self._judge(ctx, close, turned=True)
        if sent and self.closing is CloseReason.REVERSE:
            self._reverse = reverse
        return sent

    def on_fill(self, fill: Fill) -> list[AnyIntent]:
        """The position includes the fill; when it is closed, the reversing order is sent."""
        if fill.symbol != self.symbol or fill.position_side is not self.position_side:
            return []
        if fill.order_id == self._working_id and not fill.open_lots:
            self._working_id = ""
        self.held.book_fill(fill)
        if self.held.lots:
            return []
        self.closing = None
        reverse, self._reverse = self._reverse, None
        return [] if reverse is None else [reverse]

    def on_cancel(self, canceled: OrderCanceled) -> list[AnyIntent]:
        """An exit that ended unfilled is sent again at the next close."""
        if canceled.order_id == self._working_id:
            self._working_id = ""
        return []

    def on_reject(self, rejection: OrderRefused | OrderRejected) -> list[AnyIntent]:
        """As `on_cancel`; a lost cancel changes nothing."""
        if rejection.order_id == self._working_id and (isinstance(rejection, OrderRefused) or rejection.ends_order):
            self._working_id = ""
        return []

    def _judge(self, ctx: StrategyContext, close: float, *, turned: bool) -> list[AnyIntent]:
        if self.closing is None and self.held.lots:
            self.closing = self.rules.reason(self.held, close=close, now_ms=ctx.now_ms, turned=turned)
        if self.closing is None or self._working_id:
            return []
        position = ctx.closable(self.symbol, self.position_side)
        if not position:
            return []
        self._sent += 1
        name = leg_of(self.symbol, self.position_side).replace(" ", "/")
        self._working_id = f"{ctx.strategy_id}/exit/{name}/{self._sent}"
        stop, target = self.rules.levels(self.held) if self.held.lots else (None, None)
        return [
            MarketOrderIntent(
                symbol=self.symbol,
                order_id=self._working_id,
                side=Side.SELL if position > 0 else Side.BUY,
                qty=position.copy_abs(),
                reduce_only=True,
                reason=self.closing.value,
                watched_stop=stop,
                watched_target=target,
                position_side=self.position_side,
            )
        ]
