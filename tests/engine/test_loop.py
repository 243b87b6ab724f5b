"""Tick and drain: what a strategy sees, and when."""

from __future__ import annotations

from backtester import CancelOrderIntent, Candle, Fill, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.intents import AnyIntent
from backtester.domain.vocabulary import TimeInForce
from tests.engine.diary import BARS, PAIR, Diary, buy, diary_of, kept
from tests.sim.small_run import A, B, clock_text, ms, small_run


def test_hooks_of_one_instant_come_in_their_order() -> None:
    class Busy(Diary):
        def on_start(self) -> None:
            super().on_start()
            self.ctx.timer("t", at_ms=ms("00:02"))

    Busy.plan = {
        "00:01 A": [buy(order_id="fills"), buy(order_id="ends", qty="1", tif=TimeInForce.IOC), buy(order_id="x", symbol="NONE")]
    }
    bars = """
        00:00 100 100 100 100 10
        00:01 100 100 100 100 0
        00:02 100 100 100 100 10
    """
    made, instances = kept(Busy)
    small_run(bars, made, response_latency_ms=60_000)
    assert instances[0].diary == [
        "00:01 candle A", "00:01 reject x", "00:01 tick end",
        "00:02 cancel ends", "00:02 timer t", "00:02 candle A", "00:02 tick end",
        "00:03 fill fills holds 1", "00:03 candle A", "00:03 tick end",
        "00:03 end",
    ]  # fmt: skip


def test_the_position_is_the_venues_before_the_report_arrives() -> None:
    class Reader(Diary):
        def on_candle(self, candle: Candle) -> list[AnyIntent] | None:
            self.note(f"holds {self.ctx.position(A).normalize()}")
            return super().on_candle(candle)

    Reader.plan = {"00:01 A": [buy(order_id="a")]}
    made, instances = kept(Reader)
    small_run(BARS, made, order_latency_ms=1000, response_latency_ms=90_000)
    assert [line for line in instances[0].diary if "holds" in line] == [
        "00:01 holds 0",
        "00:02 holds 1",
        "00:02:31 fill a holds 1",
        "00:03 holds 1",
        "00:04 holds 1",
    ]


def test_bars_that_end_are_decided_before_the_next_ones_open() -> None:
    diary = diary_of({"00:01 A": [buy(A, order_id="a")], "00:01 B": [buy(B, order_id="b")]}, PAIR)
    assert diary[:5] == ["00:01 candle A", "00:01 candle B", "00:01 tick end", "00:01 fill a holds 1", "00:01 fill b holds 1"]


def test_each_intent_of_a_list_is_settled_before_the_next_one() -> None:
    plan: dict[str, list[AnyIntent]] = {
        "00:01 A": [
            LimitOrderIntent(symbol=A, side=Side.BUY, qty=1, price=90, order_id="a"),
            LimitOrderIntent(symbol=A, side=Side.BUY, qty=1, price=91, order_id="a"),
            LimitOrderIntent(symbol=A, side=Side.BUY, qty=1, price=92, order_id="b"),
            CancelOrderIntent(symbol=A, order_id="a"),
        ]
    }
    diary = diary_of(plan, risk={"max_open_orders": 1})
    assert diary[:5] == ["00:01 candle A", "00:01 reject a", "00:01 reject b", "00:01 tick end", "00:01 cancel a"]


def test_what_one_hook_returns_is_settled_before_the_next_hook_runs() -> None:
    class Watcher(Diary):
        def on_candle(self, candle: Candle) -> list[AnyIntent] | None:
            self.note(f"{candle.symbol[:1]} sees {[order.order_id for order in self.ctx.open_orders()]}")
            return self.left.pop(f"{clock_text(candle.end_ms)} {candle.symbol[:1]}", None)

    Watcher.plan = {"00:01 A": [buy(A, order_id="a")]}
    made, instances = kept(Watcher)
    small_run(PAIR, made)
    assert instances[0].diary[:2] == ["00:01 A sees []", "00:01 B sees ['a']"]


def test_an_order_never_meets_the_event_that_caused_it() -> None:
    class Chaser(Strategy):
        def on_fill(self, fill: Fill) -> AnyIntent | None:
            return buy(order_id="second") if fill.order_id == "first" else None

        def on_candle(self, candle: Candle) -> AnyIntent | None:
            return buy(order_id="first") if candle.end_ms == ms("00:01") else None

    bars = "00:00 100 100 100 100 10\n00:01 101 101 101 101 10\n00:02 102 102 102 102 10\n00:03 103 103 103 103 10"
    run = small_run(bars, Chaser, participation_bps=1000)
    assert run.told() == ["00:01 first buy 1 @ 101 taker", "00:02 second buy 1 @ 102 taker carried"]
    apart = small_run(bars, Chaser, order_latency_ms=10)
    assert apart.told() == ["00:01:00.010 first buy 1 @ 101 taker", "00:01:00.020 second buy 1 @ 101 taker"]


def test_times_in_the_journal_never_decrease() -> None:
    run = small_run(
        PAIR, "00:01 a buy 1\n00:01 b buy 1 at 90\n00:02 cancel b\n00:03 c sell 1", order_latency_ms=125, response_latency_ms=125
    )
    times = [message.time_ms for _, _, _, message in run.entries]
    assert times == sorted(times)
    assert [seq for seq, _, _, _ in run.entries] == list(range(1, len(run.entries) + 1))


def test_every_message_points_at_what_caused_it() -> None:
    class Chaser(Strategy):
        def on_candle(self, candle: Candle) -> AnyIntent | None:
            return buy(order_id="a") if candle.end_ms == ms("00:01") else None

        def on_fill(self, fill: Fill) -> AnyIntent | None:
            return MarketOrderIntent(symbol=A, side=Side.SELL, qty=1, order_id="b") if fill.order_id == "a" else None

    run = small_run(BARS, Chaser, order_latency_ms=125, response_latency_ms=125)
    topics = {seq: (topic, getattr(message, "order_id", "")) for seq, _, topic, message in run.entries}
    causes = {topics[seq]: topics.get(cause) for seq, cause, topic, message in run.entries if topic != "account.snapshot"}
    assert causes["orders.intent", "a"] is None
    assert causes["orders.sanitized", "a"] == ("orders.intent", "a")
    assert causes["orders.ack", "a"] == causes["fills", "a"] == ("orders.sanitized", "a")
    assert causes["orders.intent", "b"] == ("fills", "a")
