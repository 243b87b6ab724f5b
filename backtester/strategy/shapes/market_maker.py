"""Market-making bots: objects with quotes in `active_orders` and a method `update_orders()`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.domain.intents import CancelOrderIntent, LimitOrderIntent, MarketOrderIntent
from backtester.domain.orders import Fill
from backtester.domain.vocabulary import Side
from backtester.strategy.base import Strategy, StrategyParams

_BOOK = {"buy": Side.BUY, "sell": Side.SELL}


class MarketMakerStrategy(Strategy):
    """Runs a bot of one symbol: `update_orders()` is called at a cadence, and the quotes it leaves replace those that stand.

    Before each call the bot has `session` None, `mid_price`, `last_price`, `orderbook` ({"bids": [[price, size], ...], "asks"}),
    `position` (signed), `avg_entry_price`, `unrealized_pnl`, `realized_pnl`, and `active_orders` = {"buy": {id: {"price", "size"}},
    "sell": {...}} with the quotes that still stand. After it every quote of `active_orders` is a limit order; those of the step
    before are cancelled. Fills, fees and equity are the engine's; the bot's own accounts are overwritten with them, before fees.
    The book is synthetic: `book_levels` levels around the last close, half of `book_spread_bps` and then a spread apart, each with
    `book_level_share` of the last candle's volume.

    Where the bot has `config.STOP_LOSS_PCT` or `config.TAKE_PROFIT_PCT` (percent of the entry price: 2 is 2 %), a position that has
    lost or gained as much at a close is closed at market and quotes are withdrawn until it is.
    `update_orders` may be a coroutine, if it waits for nothing outside.
    """

    class Params(StrategyParams, frozen=True):
        """Cadence and the shape of the synthetic book."""

        every_bars: int = 1
        """Candles between two calls of update_orders()."""
        book_levels: int = 5
        book_spread_bps: float = 2.0
        book_level_share: float = 0.01

    def bot(self, symbol: str) -> Any:
        """A new bot for `symbol`; override it."""
        raise StrategyError(f"{type(self).__name__}: override bot(symbol) to return an object with update_orders()")

    def on_start(self) -> None:
        """Every symbol has a bot without position and quotes."""
        if self.params.every_bars < 1 or self.params.book_levels < 1:
            raise StrategyError(f"{type(self).__name__}: every_bars and book_levels must be at least 1")
        self._desks = {symbol: _Desk(self.bot(symbol), type(self).__name__) for symbol in self.ctx.symbols}

    def on_candle(self, candle: Candle) -> list[LimitOrderIntent | CancelOrderIntent | MarketOrderIntent]:
        """At the cadence: the bot sees the market, and what it quotes replaces what stands."""
        desk = self._desks[candle.symbol]
        desk.bars += 1
        held = self.ctx.position(candle.symbol)
        working = self.ctx.open_orders(candle.symbol)
        withdrawn: list[LimitOrderIntent | CancelOrderIntent | MarketOrderIntent] = [
            CancelOrderIntent(symbol=candle.symbol, order_id=order.order_id) for order in working if not order.reduce_only
        ]
        reason = desk.exit_reason(candle.close, held)
        if reason:
            if any(order.reduce_only for order in working):
                return withdrawn
            side = Side.SELL if held > 0 else Side.BUY
            close = MarketOrderIntent(symbol=candle.symbol, side=side, qty=abs(held), reduce_only=True, reason=reason)
            return [*withdrawn, close]
        if desk.bars % self.params.every_bars:
            return []
        standing = {
            order.order_id: (order.side, order.price, order.qty - order.filled_qty) for order in working if order.price is not None
        }
        desk.show(candle, held, standing, self._book(candle))
        quotes = desk.quotes(candle.symbol)
        return [*withdrawn, *quotes]

    def on_fill(self, fill: Fill) -> None:
        """The bot's position and profit are those of the fills."""
        self._desks[fill.symbol].book(fill)

    def _book(self, candle: Candle) -> dict[str, list[list[float]]]:
        half = candle.close * self.params.book_spread_bps / 20_000
        size = candle.volume * self.params.book_level_share
        steps = [half * (1 + 2 * level) for level in range(self.params.book_levels)]
        return {"bids": [[candle.close - step, size] for step in steps], "asks": [[candle.close + step, size] for step in steps]}


class _Desk:
    """A bot, its accounts, and how often it was due."""

    def __init__(self, bot: Any, name: str) -> None:
        if not callable(getattr(bot, "update_orders", None)):
            raise StrategyError(f"{name}: {bot!r:.100} has no update_orders()")
        self.bot = bot
        self.bars = 0
        self._held = 0.0
        self._entry = 0.0
        self._realized = 0.0
        bot.session = None
        bot.active_orders = {"buy": {}, "sell": {}}

    def book(self, fill: Fill) -> None:
        """Average-cost accounting, before fees."""
        size, price = float(fill.qty), float(fill.price)
        signed = size if fill.side is Side.BUY else -size
        if self._held * signed < 0:
            closed = min(size, abs(self._held))
            self._realized += closed * (price - self._entry) * (1 if self._held > 0 else -1)
            rest = size - closed
            self._entry = price if rest else self._entry
        else:
            self._entry = (self._entry * abs(self._held) + price * size) / (abs(self._held) + size)
        self._held += signed
        if abs(self._held) < 1e-12:
            self._held = self._entry = 0.0

    def exit_reason(self, close: float, held: Decimal) -> str:
        """SL_HIT or TP_HIT when the position is to be closed; empty otherwise."""
        config = getattr(self.bot, "config", None)
        if not held or config is None or not self._entry:
            return ""
        gain_pct = (close / self._entry - 1) * 100 * (1 if held > 0 else -1)
        stop, target = (_setting(config, name) for name in ("STOP_LOSS_PCT", "TAKE_PROFIT_PCT"))
        if stop and gain_pct <= -stop:
            return "SL_HIT"
        return "TP_HIT" if target and gain_pct >= target else ""

    def show(
        self, candle: Candle, held: Decimal, standing: dict[str, tuple[Side, Decimal, Decimal]], book: dict[str, list[list[float]]]
    ) -> None:
        """The bot's attributes are current."""
        bot = self.bot
        bot.last_price = candle.close
        bot.orderbook = book
        bot.mid_price = (book["bids"][0][0] + book["asks"][0][0]) / 2
        bot.position = float(held)
        bot.avg_entry_price = self._entry
        bot.realized_pnl = self._realized
        bot.unrealized_pnl = (candle.close - self._entry) * float(held) if held else 0.0
        bot.active_orders = {
            word: {
                order_id: {"price": float(price), "size": float(size)}
                for order_id, (own, price, size) in standing.items()
                if own is side
            }
            for word, side in _BOOK.items()
        }

    def quotes(self, symbol: str) -> list[LimitOrderIntent]:
        """The bot has been asked; what it quotes now, as orders."""
        answer = self.bot.update_orders()
        if inspect.iscoroutine(answer):
            _run_to_its_end(answer)
        orders = self.bot.active_orders
        if not isinstance(orders, Mapping) or not set(orders) <= set(_BOOK):
            raise StrategyError(f"active_orders must be {{'buy': {{...}}, 'sell': {{...}}}}, was {orders!r:.200}")
        intents = []
        for word, side in _BOOK.items():
            for quote in dict(orders.get(word) or {}).values():
                try:
                    price, size = Decimal(str(quote["price"])), Decimal(str(quote["size"]))
                except (KeyError, TypeError, ArithmeticError):
                    raise StrategyError(f"a quote must have a price and a size, was {quote!r:.100}") from None
                if size > 0:
                    intents.append(LimitOrderIntent(symbol=symbol, side=side, qty=size, price=price, reason="QUOTE"))
        return intents


def _setting(config: Any, name: str) -> float:
    value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
    return float(value) if value else 0.0


def _run_to_its_end(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing; raises StrategyError when it does."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise StrategyError("update_orders() waits for something outside; in a backtest it must come to its end at once")
