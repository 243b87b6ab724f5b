"""The reference strategy: two moving averages, with every protection that a simple trend follower may want."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtester.domain.candle import Candle
from backtester.domain.errors import ConfigError, DomainError
from backtester.domain.intents import AnyIntent, CancelOrderIntent, MarketOrderIntent
from backtester.domain.money import e8_from_decimal
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.timeframe import DAY_MS, timeframe_ms
from backtester.domain.vocabulary import CloseReason, Market, Side
from backtester.strategy.base import Strategy, StrategyParams
from backtester.strategy.execution.exits import ExitRules
from backtester.strategy.trend_position import NOTHING, TrendPosition

FRACTIONS = ("tp_pct", "sl_pct", "trail_pct", "daily_loss_limit")


class SMAExtendedParams(StrategyParams, frozen=True):
    """What can be set; percentages are fractions (0.02 is 2 %), None switches a rule off."""

    symbols: tuple[str, ...] = ()
    """symbols to trade; empty means all of the run"""
    timeframe: str = "1h"
    """timeframe of the candles it decides on"""
    fast: int = 20
    """length of the fast average in candles"""
    slow: int = 50
    """length of the slow average in candles"""
    qty: Decimal | None = None
    """size of an entry in base; goes before notional_quote"""
    notional_quote: Decimal | None = Decimal(1000)
    """value of an entry in quote, at the close it was decided on"""
    allow_reentry: bool = True
    """enter whenever fast is above slow; off: only on the candle on which they cross"""
    allow_short: bool = False
    """short while fast is below slow (derivatives)"""
    max_positions: int | None = None
    """how many symbols may be held at once"""
    cooldown_bars: int = 0
    """candles without an entry after a position has ended"""
    tp_pct: float | None = None
    """take profit this far from the average entry, on closes"""
    sl_pct: float | None = None
    """stop the loss this far from the average entry, on closes"""
    trail_pct: float | None = None
    """stop this far behind the best close since the entry"""
    daily_loss_limit: float | None = None
    """close all and wait for the next UTC day when equity has lost this fraction of what the day began with"""

    def __post_init__(self) -> None:
        timeframe_ms(self.timeframe)
        for name, least in (("fast", 1), ("slow", 2), ("cooldown_bars", 0)):
            if getattr(self, name) < least:
                raise DomainError(f"{name} must be at least {least}, was {getattr(self, name)}")
        if self.fast >= self.slow:
            raise DomainError(f"fast must be below slow, was fast={self.fast} slow={self.slow}")
        if self.max_positions is not None and self.max_positions < 1:
            raise DomainError(f"max_positions must be at least 1, was {self.max_positions}")
        if self.qty is None and self.notional_quote is None:
            raise DomainError("qty or notional_quote must be given")
        for name in ("qty", "notional_quote"):
            amount = getattr(self, name)
            if amount is not None and not (amount.is_finite() and amount > 0):
                raise DomainError(f"{name} must be above 0, was {amount}")
        for name in FRACTIONS:
            fraction = getattr(self, name)
            if fraction is None:
                continue
            if fraction >= 1:
                raise DomainError(f"{name} is a fraction below 1 (0.02 means 2 %), was {fraction}")
            if not fraction > 0:
                raise DomainError(f"{name} must be above 0 (leave it out to switch it off), was {fraction}")


class SMAExtendedStrategy(Strategy):
    """Long while the fast average is above the slow one, flat (or short with `allow_short`) while it is below.

    Decides on closes only. An entry is a market order, sent when nothing of the symbol is held or working. An exit is a
    reduce-only market order; what still works of an entry is cancelled with it, and what fills in spite of that is closed
    as well. Its reason says which rule it was: SL_HIT, TP_HIT, TRAIL, SIGNAL, REVERSE (an entry the other way follows as soon
    as the position is closed) or DAILY_LOSS. What is too little to be sold counts as nothing. Equal averages
    change nothing. An entry that was refused is tried again on the next candle that allows one: any with `allow_reentry`, the
    next cross without.
    """

    Params = SMAExtendedParams
    params: SMAExtendedParams

    def __init__(self, params: StrategyParams | Mapping[str, Any] | None = None) -> None:
        super().__init__(params)
        self.warmup_bars = self.params.slow  # the averages stand on the first candle of the run, where there is data before it
        self._exits = ExitRules(sl_frac=self.params.sl_pct, tp_frac=self.params.tp_pct, trail_frac=self.params.trail_pct)
        self._positions: dict[str, TrendPosition] = {}
        self._day: int | None = None
        self._day_equity = 0.0
        self._halted = False

    def on_start(self) -> None:
        """Every traded symbol has its averages, empty. Raises ConfigError for a symbol that the run does not have."""
        for symbol in self.params.symbols or self.ctx.symbols:
            if symbol not in self.ctx.symbols:
                near = difflib.get_close_matches(symbol, self.ctx.symbols, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                known = ", ".join(self.ctx.symbols)
                raise ConfigError(f"sma_extended: parameter symbols: {symbol} is not a symbol of this run ({known}){hint}")
            if self.params.allow_short and self.ctx.spec(symbol).market is Market.SPOT:
                raise ConfigError(f"sma_extended: parameter allow_short: {symbol} is a spot market, which cannot be sold short")
            self._positions[symbol] = TrendPosition(fast=self.params.fast, slow=self.params.slow)
            if self.ctx.position(symbol):
                self._begin_with(symbol)

    def _begin_with(self, symbol: str) -> None:
        """Coins that the account begins with are a position, entered at what they are valued at."""
        trend, held = self._positions[symbol], self.ctx.closable(symbol)
        trend.dust = NOTHING if held else self.ctx.position(symbol)
        entry = next(view.avg_entry for view in self.ctx.account.snapshot().positions if view.symbol == symbol)
        trend.book(signed_lots=e8_from_decimal(held) // self.ctx.spec(symbol).lot_e8, price=float(entry), time_ms=self.ctx.now_ms)

    def on_candle(self, candle: Candle) -> list[AnyIntent]:
        """Decides for the candle's symbol; for all of them when the day's loss limit is reached."""
        trend = self._positions.get(candle.symbol)
        if trend is None or candle.timeframe != self.ctx.timeframe:
            return []
        trend.see_close(candle.close)
        if self.ctx.warming:
            return []
        cooling = trend.cooldown_bars > 0
        if cooling:
            trend.cooldown_bars -= 1
        if self.params.daily_loss_limit is not None and self._limit_reached(self.params.daily_loss_limit):
            return [intent for symbol in self._positions for intent in self._close(symbol, "DAILY_LOSS")]
        if trend.closing:
            return self._settle(candle.symbol)
        position = self.ctx.position(candle.symbol)
        if position and position != trend.dust:
            # A fill of this very instant is in the position before its report has come: it is judged on the next close.
            reason = self._exit_reason(trend) if trend.lots else ""
            return self._close(candle.symbol, reason) if reason else []
        orders = self.ctx.open_orders(candle.symbol)
        if orders:  # an entry that has not met a price yet
            turned = trend.direction == -orders[0].side.sign
            return self._close(candle.symbol, self._turn_reason()) if turned else []
        return [] if cooling else self._enter(candle.symbol, fresh=trend.crossed)

    def on_fill(self, fill: Fill) -> list[AnyIntent]:
        """The average entry is that of the fills; a position that was to be closed is closed to the last lot."""
        trend = self._positions.get(fill.symbol)
        if trend is None:
            return []
        trend.book_fill(fill)
        position = self.ctx.position(fill.symbol)
        is_dust = bool(position) and not self.ctx.closable(fill.symbol)
        trend.dust = position if is_dust else NOTHING
        if is_dust:
            trend.book(signed_lots=-trend.lots, price=float(fill.price))
        if trend.lots == 0:
            trend.cooldown_bars = self.params.cooldown_bars
        return self._settle(fill.symbol)

    def on_cancel(self, canceled: OrderCanceled) -> list[AnyIntent]:
        """What an entry has bought before its cancel is closed; an exit that the venue ended is sent again on the next candle."""
        # Not at once: a venue that ends every exit would be answered with a storm of orders.
        trend = self._positions.get(canceled.symbol)
        return self._settle(canceled.symbol) if trend is not None and canceled.order_id == trend.cancel_sent else []

    def on_reject(self, rejection: OrderRefused | OrderRejected) -> list[AnyIntent]:
        """Nothing is sent in answer, so that no refusal can go in circles; the next candle tries again."""
        trend = self._positions.get(rejection.symbol)
        if trend is not None:
            trend.cancel_sent = ""
        return []

    def _exit_reason(self, trend: TrendPosition) -> str:
        """The rule that ends the position at this close; empty when none does."""
        turned = trend.direction == (-1 if trend.lots > 0 else 1)
        reason = self._exits.reason(trend, close=trend.close, now_ms=self.ctx.now_ms, turned=turned)
        if reason is None:
            return ""
        return self._turn_reason() if reason is CloseReason.REVERSE else reason.value

    def _turn_reason(self) -> str:
        return "REVERSE" if self.params.allow_short else "SIGNAL"

    def _enter(self, symbol: str, *, fresh: bool) -> list[AnyIntent]:
        """One entry in the trend's direction, where the rules allow it now."""
        trend = self._positions[symbol]
        long = trend.direction > 0
        if not (long or (trend.direction < 0 and self.params.allow_short)):
            return []
        if self._halted or not (fresh or self.params.allow_reentry):
            return []
        if self.params.max_positions is not None and self._held_count() >= self.params.max_positions:
            return []
        qty = self.params.qty if self.params.qty is not None else self._qty_for_notional(symbol, trend.close)
        return [MarketOrderIntent(symbol=symbol, side=Side.BUY if long else Side.SELL, qty=qty)]

    def _qty_for_notional(self, symbol: str, close: float) -> float:
        """Size worth `notional_quote` at `close`; Risk rounds it down to whole lots."""
        notional = self.params.notional_quote
        return float(notional) / self.ctx.spec(symbol).unit_value_quote(close) if notional is not None else 0.0

    def _held_count(self) -> int:
        rows = self._positions.items()
        return sum(1 for symbol, trend in rows if self.ctx.position(symbol) != trend.dust or self.ctx.open_orders(symbol))

    def _close(self, symbol: str, reason: str) -> list[AnyIntent]:
        """The symbol is being closed from now on, until nothing of it is held or working."""
        trend = self._positions[symbol]
        if trend.closing:
            return []
        trend.closing = reason
        trend.reverse_to = trend.direction if reason == "REVERSE" else 0
        return self._settle(symbol)

    def _settle(self, symbol: str) -> list[AnyIntent]:
        """What has yet to be sent for a symbol that is being closed; nothing for any other."""
        trend = self._positions[symbol]
        if not trend.closing:
            return []
        position = self.ctx.position(symbol)
        if position == trend.dust:
            position = NOTHING
        orders = self.ctx.open_orders(symbol)
        if not position and not orders:
            reverse_to = trend.end()
            if reverse_to and reverse_to == trend.direction and not self.params.cooldown_bars:
                return self._enter(symbol, fresh=True)
            return []
        intents: list[AnyIntent] = []
        for order in orders:
            if not order.reduce_only and order.order_id != trend.cancel_sent:
                trend.cancel_sent = order.order_id
                intents.append(CancelOrderIntent(symbol=symbol, order_id=order.order_id))
        if position and not any(order.reduce_only for order in orders):
            side = Side.SELL if position > 0 else Side.BUY
            qty = position.copy_abs()
            stop, target = self._exits.levels(trend) if trend.lots else (None, None)
            intents.append(
                MarketOrderIntent(
                    symbol=symbol,
                    side=side,
                    qty=qty,
                    reduce_only=True,
                    reason=trend.closing,
                    watched_stop=stop,
                    watched_target=target,
                )
            )
        return intents

    def _limit_reached(self, limit: float) -> bool:
        """Whether this UTC day has just lost `limit` of the equity it began with; from then on no entry until the next."""
        day = self.ctx.now_ms // DAY_MS
        equity = float(self.ctx.equity)
        if day != self._day:
            self._day, self._day_equity, self._halted = day, equity, False
        if self._halted or equity > self._day_equity * (1 - limit):
            return False
        self._halted = True
        self.ctx.log("daily_loss_limit", equity_quote=equity, day_equity_quote=self._day_equity)
        return True
