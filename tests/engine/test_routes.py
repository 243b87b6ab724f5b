"""Interest, not broadcast: who is called is decided by business, what happens is not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backtester import CancelAllIntent, Candle, Fill, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.intents import AnyIntent
from backtester.engine.routes import Route, Routes
from tests.sim.small_run import A, B, SmallRun, small_run


def on_venue(bar: Candle) -> tuple[()]:
    return ()


def on_books(bar: Candle) -> tuple[()]:
    return ()


def called(table: Mapping[str, Route]) -> dict[str, object]:
    """Who is called with which symbol's bars."""
    return {symbol: route[0] for symbol, route in table.items()}


def test_a_module_is_on_a_route_only_while_it_has_business_there() -> None:
    routes = Routes(symbols=(A, B))
    routes.open_to_all(venue=on_venue, books=on_books)
    assert (routes.venue, routes.books, routes.any) == ({}, {}, False)
    routes.enter_venue(A, on_venue, (90, 110))
    assert routes.any
    routes.enter_books(B, on_books)
    assert (called(routes.venue), called(routes.books)) == ({A: on_venue}, {B: on_books})
    for _ in range(2):
        routes.leave_venue(A)
        assert routes.any is bool(routes.books)
        routes.leave_books(B)
    assert (routes.venue, routes.books, routes.any) == ({}, {}, False)
    routes.enter_books(A, on_books)
    assert routes.any
    routes.clear_books()
    assert not routes.any


def test_broadcast_calls_everyone_always() -> None:
    routes = Routes(symbols=(A, B), broadcast=True)
    routes.open_to_all(venue=on_venue, books=on_books)
    routes.enter_venue(A, on_venue, (90, 110))
    everyone = dict(routes.venue), dict(routes.books)
    assert routes.any
    routes.leave_venue(A)
    routes.leave_books(B)
    assert (routes.venue, routes.books, routes.any) == (*everyone, True)
    assert (called(routes.venue), called(routes.books)) == ({A: on_venue, B: on_venue}, {A: on_books, B: on_books})


def random_bars(rng: random.Random) -> str:
    """Twenty minutes of ticks of 0.1 with gaps and empty bars."""
    lines, last = [], 1000
    for minute in range(20):
        opened = last + rng.randint(-3, 3)
        last = opened + rng.randint(-8, 8)
        high, low = max(opened, last) + rng.randint(0, 5), min(opened, last) - rng.randint(0, 5)
        volume = rng.choice((0, 1, 5, 50))
        if minute in (0, 19) or rng.random() > 0.1:
            lines.append(f"00:{minute:02d} {opened / 10} {high / 10} {low / 10} {last / 10} {volume}")
    return "\n".join(lines)


def trader(seed: int) -> type[Strategy]:
    """A strategy that trades at random, from candles and from fills."""

    class Random(Strategy):
        def on_start(self) -> None:
            self.rng = random.Random(seed)

        def on_candle(self, candle: Candle) -> list[AnyIntent]:
            return [self.intent(candle.symbol, candle.close)] if self.rng.random() < 0.6 else []

        def on_fill(self, fill: Fill) -> list[AnyIntent]:
            return [self.intent(fill.symbol, float(fill.price))] if self.rng.random() < 0.3 else []

        def intent(self, symbol: str, near: float) -> AnyIntent:
            facts: dict[str, Any] = {
                "symbol": symbol,
                "side": self.rng.choice((Side.BUY, Side.SELL)),
                "qty": self.rng.randint(1, 3000) / 1000,
                "reduce_only": self.rng.random() < 0.2,
            }
            kind = self.rng.random()
            if kind < 0.1:
                return CancelAllIntent(symbol=self.rng.choice(("", symbol)))
            if kind < 0.5:
                return MarketOrderIntent(**facts)
            return LimitOrderIntent(price=round(near + self.rng.randint(-6, 6) / 10, 1), **facts)

    return Random


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    order_latency_ms=st.sampled_from((0, 125, 45_000)),
    cash=st.sampled_from(("1000000", "300", "60")),
    flatten=st.booleans(),
)
def test_routing_changes_no_event(seed: int, order_latency_ms: int, cash: str, flatten: bool) -> None:
    rng = random.Random(seed)
    bars = {A: random_bars(rng), B: random_bars(rng)}

    def events(routing: str) -> SmallRun:
        return small_run(
            bars,
            [trader(seed), trader(seed + 1)],
            cash=cash,
            routing=routing,
            order_latency_ms=order_latency_ms,
            response_latency_ms=order_latency_ms,
            participation_bps=1000,
            slippage_bps=20,
            fee_bps=("5", "20"),
            snapshot_every="5m",
            risk={"daily_loss_limit": "0.02", "daily_loss_action": "flatten" if flatten else "halt"},
        )

    interest, broadcast = events("interest"), events("broadcast")
    assert interest.entries == broadcast.entries
    assert interest.reason == broadcast.reason
    interest.engine.account.check()
