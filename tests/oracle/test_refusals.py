"""What Risk refuses never reaches the venue, and what reduces a position always does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import OrderIntent
from backtester.domain.vocabulary import Market
from tests.oracle.driver import frame_of, number
from tests.oracle.generate import make_bars

SYMBOL = "AAAUSDT"


def spec(market: Market, **limits: Any) -> SymbolSpec:
    """An instrument around 100 a piece in hundredths and thousandths."""
    return SymbolSpec(
        symbol=SYMBOL,
        exchange="binance",
        market=market,
        base="AAA",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        **({"min_qty": Decimal("0.001")} | limits),
    )


def outcome(orders: dict[int, OrderIntent], rules: SymbolSpec, *, cash: str = "10000") -> tuple[list[tuple[str, str]], list[str]]:
    """(order, reason) of every refusal, and the orders that were filled."""
    refused: list[tuple[str, str]] = []

    class Sender(Strategy):
        def on_start(self) -> None:
            self.count = -1

        def on_candle(self, candle: Candle) -> OrderIntent | None:
            self.count += 1
            return orders.get(self.count)

        def on_reject(self, rejection: Any) -> None:
            refused.append((rejection.order_id, rejection.reason.value))

    bars = make_bars(1, 30, missing=0.0, empty=0.0)
    result = backtester.run(
        Sender,
        symbols=[SYMBOL],
        data={SYMBOL: frame_of(bars)},
        timeframe="1m",
        cash=Decimal(cash),
        specs=[rules],
        exchange="binance",
        market=rules.market.value,
        settings={"sim.participation_bps": 0},
    )
    assert all(number(row["qty"]) > 0 for row in result.fills.to_dicts())
    return refused, [row["order_id"] for row in result.fills.to_dicts()]


def order(order_id: str, side: Side, qty: str, *, reduce_only: bool = False) -> MarketOrderIntent:
    return MarketOrderIntent(symbol=SYMBOL, order_id=order_id, side=side, qty=Decimal(qty), reduce_only=reduce_only)


def test_an_opening_order_below_the_minimum_notional_is_refused_and_a_closing_one_is_not() -> None:
    orders = {
        1: order("dust", Side.BUY, "0.01"),
        3: order("open", Side.BUY, "1"),
        5: order("trim", Side.SELL, "0.01", reduce_only=True),
        7: order("trim2", Side.SELL, "0.01"),
    }
    refused, filled = outcome(orders, spec(Market.LINEAR, min_notional=Decimal(5)))
    assert refused == [("dust", "MIN_NOTIONAL")]
    assert filled == ["open", "trim", "trim2"]


def test_a_reduce_only_order_without_a_position_to_reduce_is_refused() -> None:
    orders = {
        1: order("flat", Side.SELL, "1", reduce_only=True),
        3: order("open", Side.BUY, "1"),
        5: order("same side", Side.BUY, "1", reduce_only=True),
        7: order("close", Side.SELL, "2", reduce_only=True),
    }
    refused, filled = outcome(orders, spec(Market.LINEAR))
    assert refused == [("flat", "REDUCE_ONLY"), ("same side", "REDUCE_ONLY")]
    assert filled == ["open", "close"]


def test_spot_cannot_go_short() -> None:
    orders = {
        1: order("short", Side.SELL, "1"),
        3: order("open", Side.BUY, "1"),
        5: order("too much", Side.SELL, "1.5"),
        7: order("all", Side.SELL, "1"),
    }
    refused, filled = outcome(orders, spec(Market.SPOT))
    assert refused == [("short", "SHORT_SPOT"), ("too much", "SHORT_SPOT")]
    assert filled == ["open", "all"]


def test_more_than_the_cash_allows_is_refused_and_leaving_is_always_allowed() -> None:
    orders = {
        1: order("huge", Side.BUY, "200"),
        3: order("most", Side.BUY, "90"),
        5: order("more", Side.BUY, "20"),
        7: order("out", Side.SELL, "90"),
    }
    refused, filled = outcome(orders, spec(Market.LINEAR))
    assert refused == [("huge", "INSUFFICIENT"), ("more", "INSUFFICIENT")]
    assert filled == ["most", "out"]


def test_quantities_are_checked_in_whole_lots() -> None:
    orders = {
        1: order("below a lot", Side.BUY, "0.0009"),
        3: order("below the minimum", Side.BUY, "0.05"),
        5: order("above", Side.BUY, "30"),
    }
    refused, filled = outcome(orders, spec(Market.LINEAR, min_qty=Decimal("0.1"), max_qty=Decimal(20)))
    assert [name for name, _ in refused] == ["below a lot", "below the minimum", "above"]
    assert [reason for _, reason in refused][1:] == ["MIN_QTY", "MAX_QTY"]
    assert filled == []
