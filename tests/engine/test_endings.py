"""How a run ends: stopped, failed, or out of data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from backtester import Candle, LimitOrderIntent, Side, Strategy
from backtester.domain.errors import RunAbortedError, StrategyError
from backtester.domain.intents import AnyIntent
from backtester.domain.run_events import LogEvent
from tests.engine.diary import BARS, PAIR, Diary, buy, kept
from tests.sim.small_run import A, clock_text, flat, ms, small_run

# -- endings -------------------------------------------------------------------------------------------------------------


def test_a_stop_finishes_the_tick_and_ends_the_run_as_interrupted() -> None:
    stops: list[Any] = []

    class Stopper(Diary):
        def on_candle(self, candle: Candle) -> list[AnyIntent]:
            super().on_candle(candle)
            if candle.end_ms == ms("00:02") and candle.symbol == A:
                stops[0]()
            return [LimitOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=1, price=10)]

    import tests.sim.small_run as module

    built = module.build

    def building(*arguments: Any, **more: Any) -> Any:
        engine = built(*arguments, **more)
        stops.append(engine.loop.request_stop)
        return engine

    made, instances = kept(Stopper)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build", building)
        run = small_run(PAIR, made)
    assert run.reason == "interrupted"
    assert instances[0].diary[-4:] == ["00:02 candle A", "00:02 candle B", "00:02 tick end", "00:02 end"]
    assert [line.split()[1:] for line in run.told()] == [[f"s-{number}", "ends", "END_OF_RUN", "1"] for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("hook", ["on_start", "on_candle", "on_fill", "on_reject", "on_tick_end", "on_end"])
def test_a_hook_that_raises_ends_the_run_and_is_named(hook: str) -> None:
    def fail(self: Strategy, *_: Any) -> None:
        raise ZeroDivisionError("seven")

    class Failing(Diary):
        plan: ClassVar[Any] = {"00:01 A": [buy(), buy(symbol="NONE")]}

    made = type("Made", (Failing,), {hook: fail})
    with pytest.raises(
        RunAbortedError, match=rf"strategy s raised ZeroDivisionError in {hook}: seven \(.*test_endings.py:\d+\)"
    ) as caught:
        small_run(BARS, made)
    assert isinstance(caught.value.cause, StrategyError)


def test_a_generator_that_raises_is_the_strategys_failure() -> None:
    class Failing(Strategy):
        def on_candle(self, candle: Candle) -> Iterator[AnyIntent]:
            yield buy()
            raise KeyError("late")

    with pytest.raises(RunAbortedError, match="strategy s raised KeyError in on_candle"):
        small_run(BARS, Failing)


def test_notes_are_text_and_carry_the_time() -> None:
    class Noter(Strategy):
        def on_candle(self, candle: Candle) -> None:
            self.ctx.log("close", price=candle.close)

    first, *_ = small_run(BARS, Noter).messages(LogEvent)
    assert (first.time_ms, first.event, first.facts) == (ms("00:01"), "close", {"price": "100.0"})


def test_snapshots_stand_on_the_grid_whether_or_not_a_bar_ends_there() -> None:
    bars = f"{flat('00:00', 2)}\n{flat('00:07', 2)}"
    run = small_run(bars, "00:01 a buy 1", snapshot_every="2m")
    assert [clock_text(row.time_ms) for row in run.snapshots] == ["00:00", "00:02", "00:04", "00:06", "00:08", "00:09"]
