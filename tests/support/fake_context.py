"""A strategy driven by hand: the test says which candles close and which orders are filled, refused or cancelled."""

from __future__ import annotations

from decimal import Decimal

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import CancelAllIntent, CancelOrderIntent, LimitOrderIntent, MarketOrderIntent
from backtester.domain.orders import Fill, OpenOrder, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.timeframe import HOUR_MS
from backtester.domain.vocabulary import FillNote, Liquidity, Market, OrderStatus, OrderType, RejectReason

LOT = Decimal("0.001")


def spec_of(symbol: str, market: Market = Market.LINEAR) -> SymbolSpec:
    return SymbolSpec(
        symbol=symbol,
        exchange="test",
        market=market,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=LOT,
        min_qty=LOT,
    )


class FakeContext:
    """The names of StrategyContext, with values that the test sets."""

    def __init__(self, symbols: tuple[str, ...], *, timeframe: str = "1h", market: Market = Market.LINEAR) -> None:
        self.symbols = symbols
        self.timeframe = timeframe
        self.now_ms = 0
        self.warming = False
        self.cash = Decimal(10_000)
        self.equity = Decimal(10_000)
        self.notes: list[str] = []
        self.timers: dict[str, tuple[int | None, int | None]] = {}
        self.orders: dict[str, OpenOrder] = {}
        self._positions = dict.fromkeys(symbols, Decimal(0))
        self._market = market

    def position(self, symbol: str) -> Decimal:
        return self._positions[symbol]

    def closable(self, symbol: str) -> Decimal:
        return self._positions[symbol]

    def open_orders(self, symbol: str | None = None) -> tuple[OpenOrder, ...]:
        return tuple(order for order in self.orders.values() if symbol in {None, order.symbol})

    def spec(self, symbol: str) -> SymbolSpec:
        return spec_of(symbol, self._market)

    def timer(self, name: str, *, at_ms: int | None = None, every_ms: int | None = None) -> None:
        self.timers[name] = (at_ms, every_ms)

    def log(self, event: str, **facts: object) -> None:
        self.notes.append(event)


class Driver:
    """Hands a strategy its hooks and keeps the book of what it sends; `sent` holds every intent in order."""

    def __init__(self, strategy, *, symbols=("BTCUSDT",), timeframe="1h", market=Market.LINEAR) -> None:
        self.strategy = strategy
        self.ctx = strategy.ctx = FakeContext(tuple(symbols), timeframe=timeframe, market=market)
        self.sent = []
        self._count = 0
        self._take(strategy.on_start())

    def candle(self, close: float, *, symbol: str | None = None, bar_ms: int = HOUR_MS):
        """The next candle of `symbol` closes; returns what the strategy sent. Time moves with the run's first symbol."""
        symbol = symbol or self.ctx.symbols[0]
        if symbol == self.ctx.symbols[0]:
            self.ctx.now_ms += bar_ms
        now_ms = self.ctx.now_ms
        return self._take(
            self.strategy.on_candle(Candle(symbol, self.ctx.timeframe, now_ms - bar_ms, now_ms, close, close, close, close, 1.0))
        )

    def fill(self, price: float, *, symbol: str | None = None, qty: str | None = None):
        """The oldest working order (of `symbol`) is filled, whole unless `qty` says how much."""
        order = self._oldest(symbol)
        left = order.qty - order.filled_qty
        done = left if qty is None else Decimal(qty)
        signed = done * order.side.sign
        if order.reduce_only:
            assert abs(self.ctx.position(order.symbol) + signed) < abs(self.ctx.position(order.symbol))
        self.ctx._positions[order.symbol] += signed
        if done == left:
            del self.ctx.orders[order.order_id]
        else:
            self.ctx.orders[order.order_id] = _filled_by(order, done)
        return self._take(self.strategy.on_fill(self._fill_of(order, done, left - done, price)))

    def cancel(self, *, symbol: str | None = None):
        """The venue ends the oldest working order."""
        order = self._oldest(symbol)
        del self.ctx.orders[order.order_id]
        return self._take(
            self.strategy.on_cancel(
                OrderCanceled(
                    time_ms=self.ctx.now_ms,
                    order_id=order.order_id,
                    strategy_id="test",
                    symbol=order.symbol,
                    status=OrderStatus.CANCELED,
                    reason=RejectReason.USER,
                    open_qty=order.qty - order.filled_qty,
                )
            )
        )

    def refuse(self, *, symbol: str | None = None):
        """Risk refuses the oldest order."""
        order = self._oldest(symbol)
        del self.ctx.orders[order.order_id]
        return self._take(self.strategy.on_reject(OrderRefused(**self._refusal(order), reason=RejectReason.INSUFFICIENT)))

    def refuse_cancel(self, *, symbol: str | None = None):
        """The venue does not cancel the oldest order; it keeps working."""
        order = self._oldest(symbol)
        return self._take(
            self.strategy.on_reject(OrderRejected(**self._refusal(order), reason=RejectReason.TOO_LATE, is_cancel=True))
        )

    def _refusal(self, order: OpenOrder) -> dict[str, object]:
        return {
            "time_ms": self.ctx.now_ms,
            "order_id": order.order_id,
            "strategy_id": "test",
            "symbol": order.symbol,
            "detail": "",
        }

    def _oldest(self, symbol: str | None) -> OpenOrder:
        return self.ctx.open_orders(symbol)[0]

    def _take(self, returned):
        intents = [] if returned is None else [returned] if not isinstance(returned, (list, tuple)) else list(returned)
        for intent in intents:
            if isinstance(intent, (MarketOrderIntent, LimitOrderIntent)):
                self._count += 1
                order_id = f"o{self._count}"
                price = getattr(intent, "price", None)
                self.ctx.orders[order_id] = OpenOrder(
                    order_id=order_id,
                    symbol=intent.symbol,
                    side=intent.side,
                    order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
                    qty=_whole_lots(intent.qty),
                    filled_qty=Decimal(0),
                    price=None if price is None else Decimal(str(price)),
                    status=OrderStatus.SUBMITTED,
                    reduce_only=intent.reduce_only,
                    time_ms=self.ctx.now_ms,
                )
            else:
                assert isinstance(intent, (CancelOrderIntent, CancelAllIntent))
        self.sent.extend(intents)
        return intents

    def _fill_of(self, order: OpenOrder, done: Decimal, left: Decimal, price: float) -> Fill:
        return Fill(
            time_ms=self.ctx.now_ms,
            symbol=order.symbol,
            side=order.side,
            qty=done,
            price=Decimal(str(price)),
            fee=Decimal(0),
            fee_asset="USDT",
            liquidity=Liquidity.TAKER,
            order_id=order.order_id,
            fill_id="",
            strategy_id="test",
            reason="",
            order_type=order.order_type,
            bar_fill=False,
            note=FillNote.NONE,
            over_share=False,
            price_ticks=int(Decimal(str(price)) * 100),
            qty_lots=int(done / LOT),
            fee_e8=0,
            open_lots=int(left / LOT),
        )


def _whole_lots(qty) -> Decimal:
    return int(Decimal(str(qty)) / LOT) * LOT


def _filled_by(order: OpenOrder, done: Decimal) -> OpenOrder:
    return OpenOrder(
        order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        qty=order.qty,
        filled_qty=order.filled_qty + done,
        price=order.price,
        status=OrderStatus.PARTIALLY_FILLED,
        reduce_only=order.reduce_only,
        time_ms=order.time_ms,
    )
