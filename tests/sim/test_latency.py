"""Three legs: to the venue, to the venue with a cancel, and back."""

from __future__ import annotations

from backtester import Candle, Fill, Strategy
from backtester.domain.intents import AnyIntent
from backtester.domain.orders import OrderAck
from backtester.engine.rng import RandomStreams
from backtester.sim.latency import Latency
from tests.sim.small_run import clock_text, flat, intent_of, ms, small_run

ORDERS = "00:01 a buy 1\n00:02 b buy 1 at 90\n00:03 cancel b"


def test_each_leg_takes_its_own_time() -> None:
    reports: list[str] = []

    class Listener(Strategy):
        def on_candle(self, candle: Candle) -> list[AnyIntent] | None:
            plan = {"00:01": "a buy 1", "00:02": "b buy 1 at 90", "00:03": "cancel b"}
            text = plan.get(clock_text(candle.end_ms))
            return [intent_of(text.split())] if text else None

        def on_fill(self, fill: Fill) -> None:
            reports.append(f"{clock_text(self.ctx.now_ms)} fill of {clock_text(fill.time_ms)}")

        def on_cancel(self, canceled: object) -> None:
            reports.append(f"{clock_text(self.ctx.now_ms)} cancel")

    run = small_run(flat("00:00", 6), Listener, order_latency_ms=1_000, cancel_latency_ms=2_000, response_latency_ms=4_000)
    assert run.told(OrderAck) == ["00:01:01 a ack", "00:02:01 b ack"]
    assert run.told()[-1] == "00:03:02 b ends USER 1"
    assert reports == ["00:01:05 fill of 00:01:01", "00:03:06 cancel"]


def test_a_stop_sent_from_the_fill_protects_the_entry_bar() -> None:
    class Protected(Strategy):
        def on_candle(self, candle: Candle) -> AnyIntent | None:
            return intent_of(["in", "buy", "1"]) if candle.end_ms == ms("00:01") else None

        def on_fill(self, fill: Fill) -> AnyIntent | None:
            return intent_of(["out", "sell", "1", "at", "110", "reduce"]) if fill.order_id == "in" else None

    bars = "00:00 100 100 100 100 10\n00:01 100 120 90 100 10\n00:02 100 100 100 100 10"
    run = small_run(bars, Protected, order_latency_ms=125, response_latency_ms=125)
    assert run.told() == ["00:01:00.125 in buy 1 @ 100 taker", "00:02 out sell 1 @ 110 maker bar"]


def test_jitter_is_a_function_of_the_seed() -> None:
    def told(seed: int) -> list[str]:
        return small_run(flat("00:00", 6), ORDERS, latency_jitter_ms=5_000, seed=seed).told(OrderAck)

    assert told(1) == told(1)
    assert len({tuple(told(seed)) for seed in range(5)}) > 1


def test_jitter_adds_from_nothing_up_to_its_bound() -> None:
    latency = Latency(order_ms=10, cancel_ms=20, response_ms=30, jitter_ms=3, stream=RandomStreams(7).stream("latency"))
    drawn = [(latency.order_ms(), latency.cancel_ms(), latency.response_ms()) for _ in range(200)]
    for leg, base in enumerate((10, 20, 30)):
        assert {row[leg] for row in drawn} == set(range(base, base + 4))


def test_without_jitter_nothing_is_drawn() -> None:
    streams = RandomStreams(7)
    latency = Latency(order_ms=10, cancel_ms=20, response_ms=30, stream=streams.stream("latency"))
    assert [latency.order_ms(), latency.cancel_ms(), latency.response_ms()] == [10, 20, 30]
    assert streams.stream("latency").random() == RandomStreams(7).stream("latency").random()
