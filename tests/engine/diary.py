"""A strategy that keeps a diary of its hooks."""

from __future__ import annotations

from typing import Any, ClassVar

from backtester import Candle, Fill, MarketOrderIntent, Side, Strategy
from backtester.domain.intents import AnyIntent
from backtester.domain.orders import OrderCanceled
from tests.sim.small_run import A, B, clock_text, flat, small_run

BARS = flat("00:00", 4)
PAIR = {A: flat("00:00", 4), B: flat("00:00", 4, price=50)}


def buy(symbol: str = A, qty: str = "1", **facts: Any) -> MarketOrderIntent:
    return MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=qty, **facts)


class Diary(Strategy):
    """Notes each hook with its time; `plan` says what to send at which candle."""

    plan: ClassVar[dict[str, list[AnyIntent]]] = {}

    def on_start(self) -> None:
        self.diary: list[str] = []
        self.left = dict(self.plan)

    def note(self, text: str) -> None:
        self.diary.append(f"{clock_text(self.ctx.now_ms)} {text}")

    def on_candle(self, candle: Candle) -> list[AnyIntent] | None:
        self.note(f"candle {candle.symbol[:1]}")
        return self.left.pop(f"{clock_text(candle.end_ms)} {candle.symbol[:1]}", None)

    def on_fill(self, fill: Fill) -> None:
        self.note(f"fill {fill.order_id} holds {self.ctx.position(fill.symbol).normalize()}")

    def on_reject(self, rejection: Any) -> None:
        self.note(f"reject {rejection.order_id}")

    def on_cancel(self, canceled: OrderCanceled) -> None:
        self.note(f"cancel {canceled.order_id}")

    def on_timer(self, name: str) -> None:
        self.note(f"timer {name}")

    def on_tick_end(self) -> None:
        self.note("tick end")

    def on_end(self) -> None:
        self.note("end")


def kept(made: type[Strategy]) -> tuple[type[Strategy], list[Any]]:
    """The class with a list that its instances enter when they are made."""
    instances: list[Any] = []

    class Kept(made):  # type: ignore[misc, valid-type] # a class handed over at run time
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            instances.append(self)

    return Kept, instances


def diary_of(plan: dict[str, list[AnyIntent]], bars: Any = BARS, **settings: Any) -> list[str]:
    class Planned(Diary):
        pass

    Planned.plan = plan
    made, instances = kept(Planned)
    small_run(bars, made, **settings)
    return list(instances[0].diary)
