"""Exits by rule: the table of reasons, and plans that carry them out in runs."""

from __future__ import annotations

from typing import Any

import pytest

from backtester.domain.candle import Candle
from backtester.domain.errors import DomainError
from backtester.domain.intents import MarketOrderIntent
from backtester.domain.vocabulary import Side
from backtester.strategy.base import Strategy
from backtester.strategy.execution import Executions, ExitRules, HeldPosition, executing
from tests.sim.small_run import MINUTE, A, ms, small_run

MIN = MINUTE


def held(lots: int, entry: float, *, best: float | None = None) -> HeldPosition:
    position = HeldPosition()
    position.book(signed_lots=lots, price=entry, time_ms=0)
    if best is not None:
        position.see_best(best)
    return position


@pytest.mark.parametrize(
    ("rules", "position", "close", "now_ms", "turned", "reason"),
    [
        ({"sl_frac": 0.02}, held(1, 100.0), 98.0, 0, False, "SL_HIT"),
        ({"sl_frac": 0.02}, held(1, 100.0), 98.1, 0, False, None),
        ({"sl_frac": 0.02}, held(-1, 100.0), 102.0, 0, False, "SL_HIT"),
        ({"tp_frac": 0.02}, held(1, 100.0), 102.0, 0, False, "TP_HIT"),
        ({"tp_frac": 0.02}, held(-1, 100.0), 98.0, 0, False, "TP_HIT"),
        ({"trail_frac": 0.1}, held(1, 100.0, best=200.0), 180.0, 0, False, "TRAIL"),
        ({"trail_frac": 0.1}, held(1, 100.0, best=200.0), 180.1, 0, False, None),
        ({"trail_frac": 0.1}, held(-1, 100.0, best=50.0), 55.0, 0, False, "TRAIL"),
        ({"max_hold_ms": 10}, held(1, 100.0), 100.0, 10, False, "TIME_EXIT"),
        ({"max_hold_ms": 10}, held(1, 100.0), 100.0, 9, False, None),
        ({}, held(1, 100.0), 100.0, 0, True, "REVERSE"),
        # the first that holds
        ({"sl_frac": 0.02, "trail_frac": 0.01, "max_hold_ms": 1}, held(1, 100.0), 90.0, 5, True, "SL_HIT"),
        ({"tp_frac": 0.5, "trail_frac": 0.1, "max_hold_ms": 1}, held(1, 100.0, best=200.0), 170.0, 5, True, "TP_HIT"),
        ({"trail_frac": 0.1, "max_hold_ms": 1}, held(1, 100.0, best=200.0), 170.0, 5, True, "TRAIL"),
        ({"max_hold_ms": 1}, held(1, 100.0), 100.0, 5, True, "TIME_EXIT"),
        # before the least holding time only the stop acts
        ({"tp_frac": 0.01, "min_hold_ms": 10}, held(1, 100.0), 200.0, 9, True, None),
        ({"tp_frac": 0.01, "min_hold_ms": 10}, held(1, 100.0), 200.0, 10, True, "TP_HIT"),
        ({"sl_frac": 0.01, "min_hold_ms": 10}, held(1, 100.0), 99.0, 0, True, "SL_HIT"),
    ],
)
def test_a_reason(
    rules: dict[str, Any], position: HeldPosition, close: float, now_ms: int, turned: bool, reason: str | None
) -> None:
    found = ExitRules(**rules).reason(position, close=close, now_ms=now_ms, turned=turned)
    assert (None if found is None else found.value) == reason


@pytest.mark.parametrize("rules", [{"sl_frac": 0.0}, {"tp_frac": -0.1}, {"max_hold_ms": 5, "min_hold_ms": 6}, {"min_hold_ms": -1}])
def test_rules_that_cannot_be_meant_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        ExitRules(**rules)


def follows(rules: ExitRules, *, turn_at: str = "", reverse: bool = False) -> type[Strategy]:
    @executing
    class Follower(Strategy):
        """Buys ten at 00:01, and leaves by the rules."""

        executions: Executions

        def on_start(self) -> None:
            self.plan = self.executions.guard(self.ctx, A, rules)

        def on_candle(self, candle: Candle) -> Any:
            if candle.end_ms == ms("00:01"):
                return MarketOrderIntent(symbol=A, side=Side.BUY, qty=10)
            if turn_at and candle.end_ms == ms(turn_at):
                other = MarketOrderIntent(symbol=A, order_id="other", side=Side.SELL, qty=4) if reverse else None
                return self.plan.turn(self.ctx, close=candle.close, reverse=other)
            return None

    return Follower


def closes(*prices: float) -> str:
    return "\n".join(f"00:{minute:02d} {price} {price} {price} {price} 100" for minute, price in enumerate(prices))


@pytest.mark.parametrize(
    ("rules", "prices", "ends"),
    [
        (ExitRules(sl_frac=0.05), (100, 100, 97, 94, 93, 92), "00:04 SL_HIT 93"),
        (ExitRules(tp_frac=0.05), (100, 100, 104, 106, 107, 99), "00:04 TP_HIT 107"),
        (ExitRules(trail_frac=0.05), (100, 100, 120, 115, 113, 112), "00:05 TRAIL 112"),
        (ExitRules(max_hold_ms=3 * MIN), (100, 100, 101, 102, 103, 104), "00:04 TIME_EXIT 103"),
        (ExitRules(tp_frac=0.01, min_hold_ms=3 * MIN), (100, 100, 110, 110, 110, 111), "00:04 TP_HIT 110"),
    ],
)
def test_a_plan_leaves_at_the_open_after_the_close_that_says_so(rules: ExitRules, prices: tuple[float, ...], ends: str) -> None:
    run = small_run(closes(*prices), follows(rules))
    entry, leaving = run.fills
    assert (entry.reason, entry.qty, leaving.qty) == ("SIGNAL", 10, 10)
    assert f"00:{(leaving.time_ms - ms('00:00')) // MINUTE:02d} {leaving.reason} {float(leaving.price):g}" == ends


def test_after_a_turn_the_other_side_is_entered_when_the_position_is_closed() -> None:
    run = small_run(closes(*[100] * 6), follows(ExitRules(), turn_at="00:03", reverse=True))
    assert [(fill.side.value, fill.qty, fill.reason) for fill in run.fills] == [
        ("buy", 10, "SIGNAL"),
        ("sell", 10, "REVERSE"),
        ("sell", 4, "SIGNAL"),
    ]
