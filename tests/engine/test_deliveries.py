"""Warm-up, timeframes, and several strategies in one run."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

from backtester import CancelOrderIntent, Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.intents import AnyIntent
from backtester.domain.orders import OrderRefused, SanitizedOrder
from tests.engine.diary import BARS, PAIR, Diary, buy, kept
from tests.sim.small_run import A, B, clock_text, flat, ms, small_run

# -- warm-up -------------------------------------------------------------------------------------------------------------


def test_warm_up_intents_are_discarded_and_counted_and_use_no_id() -> None:
    class Eager(Strategy):
        def on_start(self) -> None:
            self.seen: list[tuple[str, bool]] = []

        def on_candle(self, candle: Candle) -> list[AnyIntent]:
            self.seen.append((clock_text(candle.end_ms), self.ctx.warming))
            return [buy(), buy()]

    made, instances = kept(Eager)
    run = small_run(BARS, made, start="00:02")
    assert instances[0].seen == [("00:01", True), ("00:02", True), ("00:03", False), ("00:04", False)]
    assert run.engine.loop.discarded_count == 4
    assert [order.order_id for order in run.messages(SanitizedOrder)] == ["s-1", "s-2", "s-3", "s-4"]


def test_a_generator_hook_runs_in_the_warm_up_too() -> None:
    class Lazy(Strategy):
        def on_start(self) -> None:
            self.count = 0

        def on_candle(self, candle: Candle) -> Iterator[AnyIntent]:
            self.count += 1
            if self.count == 3:
                yield buy()

    made, instances = kept(Lazy)
    run = small_run(BARS, made, start="00:02")
    assert instances[0].count == 4
    assert run.told() == ["00:03 s-1 buy 1 @ 100 taker"]


def test_history_is_warm_at_the_start() -> None:
    class Reader(Strategy):
        def on_candle(self, candle: Candle) -> None:
            if candle.end_ms == ms("00:03"):
                self.kept = [clock_text(row.end_ms) for row in self.ctx.history(A)]

    made, instances = kept(Reader)
    small_run(BARS, made, start="00:02")
    assert instances[0].kept == ["00:01", "00:02", "00:03"]


# -- several timeframes, several strategies -----------------------------------------------------------------------------


def test_a_symbols_shorter_timeframe_comes_first_and_history_holds_closed_bars_only() -> None:
    class TwoFrames(Strategy):
        extra_timeframes = ("2m",)

        def on_start(self) -> None:
            self.seen: list[str] = []

        def on_candle(self, candle: Candle) -> None:
            long = [clock_text(row.end_ms) for row in self.ctx.history(A, "2m")]
            self.seen.append(f"{clock_text(candle.end_ms)} {candle.timeframe} {candle.symbol[:1]} {long}")

    made, instances = kept(TwoFrames)
    small_run(PAIR, made)
    assert instances[0].seen == [
        "00:01 1m A []", "00:01 1m B []",
        "00:02 1m A ['00:02']", "00:02 2m A ['00:02']", "00:02 1m B ['00:02']", "00:02 2m B ['00:02']",
        "00:03 1m A ['00:02']", "00:03 1m B ['00:02']",
        "00:04 1m A ['00:02', '00:04']", "00:04 2m A ['00:02', '00:04']",
        "00:04 1m B ['00:02', '00:04']", "00:04 2m B ['00:02', '00:04']",
    ]  # fmt: skip


def test_two_strategies_hold_their_own_positions_and_share_one_account() -> None:
    class Long(Diary):
        plan: ClassVar[Any] = {"00:01 A": [buy(qty="2", order_id="long")]}

    class Short(Diary):
        plan: ClassVar[Any] = {"00:01 A": [MarketOrderIntent(symbol=A, side=Side.SELL, qty="0.5", order_id="short")]}

    (made_long, longs), (made_short, shorts) = kept(Long), kept(Short)
    run = small_run(BARS, [made_long, made_short])
    assert [str(longs[0].ctx.position(A)), str(shorts[0].ctx.position(A))] == ["2.00000000", "-0.50000000"]
    assert longs[0].ctx.account.position(A) == shorts[0].ctx.account.position(A) == Decimal("1.5")
    assert run.engine.account.books.lots == {A: 1500}
    assert not any("short" in line for line in longs[0].diary)
    assert not any("long" in line for line in shorts[0].diary)


def test_strategies_are_called_in_the_order_of_configuration() -> None:
    calls: list[str] = []

    def made(name: str) -> type[Strategy]:
        class Caller(Strategy):
            def on_start(self) -> None:
                calls.append(f"{name} start")

            def on_candle(self, candle: Candle) -> None:
                calls.append(f"{name} {clock_text(candle.end_ms)} {candle.symbol[:1]}")

            def on_tick_end(self) -> None:
                calls.append(f"{name} tick end")

            def on_end(self) -> None:
                calls.append(f"{name} end")

        return Caller

    bars = {symbol: flat("00:00", 1) for symbol in (A, B)}
    small_run(bars, [made("x"), made("y")])
    assert calls == [
        "x start", "y start", "x 00:01 A", "y 00:01 A", "x 00:01 B", "y 00:01 B", "x tick end", "y tick end", "x end", "y end",
    ]  # fmt: skip


def test_a_strategy_cancels_only_its_own_orders() -> None:
    class Sender(Diary):
        plan: ClassVar[Any] = {"00:01 A": [LimitOrderIntent(symbol=A, side=Side.BUY, qty=1, price=90, order_id="mine")]}

    class Meddler(Diary):
        plan: ClassVar[Any] = {"00:02 A": [CancelOrderIntent(symbol=A, order_id="mine")]}

    run = small_run(BARS, [Sender, Meddler])
    assert run.told() == ["00:02 mine refused UNKNOWN_ORDER", "00:04 mine ends END_OF_RUN 1"]
    assert run.messages(OrderRefused)[0].strategy_id == "t"
