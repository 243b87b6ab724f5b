"""An account that a test feeds with fills and closes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backtester.account.account import Account
from backtester.account.books import Books
from backtester.domain.candle import Candle
from backtester.domain.costs import fee_e8
from backtester.domain.money import decimal_from_e8, money_from_decimal
from backtester.domain.orders import Fill
from backtester.domain.rounding import lots_decimal, ticks_decimal
from backtester.domain.run_events import ControlEvent
from backtester.domain.vocabulary import FillNote, Liquidity, Market, OrderType, Side
from backtester.engine.clock import Clock
from backtester.engine.routes import Routes
from tests.sim.small_run import A, B, spec


class Till:
    """Books of two symbols; fills by hand, closes by hand."""

    def __init__(self, *, market: Market = Market.LINEAR, cash: str = "100000", broadcast: bool = True, **floors: Any) -> None:
        self.specs = {symbol: spec(symbol, market=market) for symbol in (A, B)}
        self.marks: dict[str, float] = {A: 100.0, B: 100.0}
        self.clock = Clock()
        self.positions = {name: dict.fromkeys(self.specs, Decimal(0)) for name in ("s", "t")}
        self.books = Books(specs=self.specs, starting_cash=money_from_decimal(Decimal(cash)), quote="USDT", marks=self.marks)
        self.routes = Routes(symbols=self.specs, broadcast=broadcast)
        self.account = Account(
            books=self.books, specs=self.specs, positions=self.positions, clock=self.clock, routes=self.routes, **floors
        )
        self.routes.open_to_all(venue=lambda _: (), books=self.account.on_bar)
        self.count = 0

    def fill(
        self, side: Side, qty: Any, price: Any, *, symbol: str = A, fee_bps: str = "0", strategy_id: str = "s"
    ) -> list[ControlEvent]:
        """Book a fill; what the account published."""
        self.count += 1
        rules = self.specs[symbol]
        lots, ticks = int(Decimal(qty) / rules.lot_size), int(Decimal(price) / rules.tick_size)
        fee = fee_e8(ticks * rules.tick_e8 * lots * rules.lot_e8, Decimal(fee_bps))
        fill = Fill(
            time_ms=0, symbol=symbol, side=side, qty=lots_decimal(lots, rules), price=ticks_decimal(ticks, rules),
            fee=decimal_from_e8(fee), fee_asset="USDT", liquidity=Liquidity.TAKER, order_id=f"o{self.count}",
            fill_id=f"o{self.count}-f1", strategy_id=strategy_id, reason="SIGNAL", order_type=OrderType.MARKET, bar_fill=False,
            note=FillNote.NONE, over_share=False, price_ticks=ticks, qty_lots=lots, fee_e8=fee, open_lots=0,
        )  # fmt: skip
        return [message for _, message in self.account.on_fill(fill)]

    def close(self, **closes: float) -> list[ControlEvent]:
        """One instant: marks of all symbols, then the bars; what the account published."""
        names = {"a": A, "b": B}
        for name, price in closes.items():
            self.marks[names[name]] = price
        published: list[ControlEvent] = []
        for name, price in closes.items():
            bar = Candle(names[name], "1m", 0, 60_000, price, price, price, price, 1.0)
            route = self.routes.books.get(names[name])
            if route is not None and not route[1] < price < route[2]:
                published += [message for _, message in route[0](bar)]
        return published
