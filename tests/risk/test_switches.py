"""Switches that stop entries for the rest of a run: the drawdown from the peak, and the kill switch."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.app.kill_file import KillFile
from backtester.domain.candle import Candle
from backtester.domain.intents import MarketOrderIntent
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.run_events import ControlEvent
from backtester.domain.vocabulary import Side
from backtester.engine.loop import Loop
from backtester.strategy.base import Strategy
from tests.account.desk import Till
from tests.sim.small_run import A, B, expect, flat, ms, small_run

D = Decimal

HILL = """
    00:00 100 100 100 100 1000
    00:01 100 100 100 100 1000
    00:02 100 150 100 150 1000
    00:03 150 150 144 145 1000
    00:04 145 145 144 145 1000
    00:05 145 145 145 145 1000
"""
"""Ten held from 00:01 make equity 2000, 2500 at 00:03 and 2450 at 00:04."""

ORDERS = """
    00:01 in buy 10
    00:02 more buy 1 at 50
    00:02 stop sell 10 stop 90 reduce
    00:05 again buy 1
    00:05 out sell 1
"""


def outcome(bars: str, orders: str, risk: dict[str, Any], **facts: Any) -> list[str]:
    run = small_run(bars, orders, cash="2000", risk=risk, **facts)
    run.engine.account.check()
    return run.told(Fill, OrderCanceled, OrderRefused, OrderRejected, ControlEvent)


def test_a_drawdown_is_counted_from_the_peak_and_halts_for_good() -> None:
    assert outcome(HILL, ORDERS, {"max_drawdown": D("0.02")}) == expect(
        """
        00:01 in buy 10 @ 100 taker
        00:04 drawdown_halt
        00:04 more ends USER 1
        00:05 again refused MAX_DRAWDOWN
        00:05 out sell 1 @ 145 taker
        00:06 stop ends END_OF_RUN 10
        """
    )


def test_a_drawdown_can_close_everything() -> None:
    risk = {"max_drawdown": D("0.02"), "max_drawdown_action": "flatten"}
    assert outcome(HILL, ORDERS, risk) == expect(
        """
        00:01 in buy 10 @ 100 taker
        00:04 drawdown_flatten
        00:04 risk-1 sell 10 @ 145 taker
        00:04 stop ends REDUCE_ONLY 10
        00:04 more ends USER 1
        00:05 again refused MAX_DRAWDOWN
        00:05 out refused MAX_DRAWDOWN
        """
    )


def test_a_drawdown_is_not_armed_again_on_the_next_day() -> None:
    bars = f"{flat('23:56', 2)}\n23:58 100 100 97 97 1000\n{flat('23:59', 3, price=97)}"
    orders = "23:57 in buy 10\n24:00 same buy 1\n24:01 next buy 1"
    risk = {"max_drawdown": D("0.015"), "daily_loss_limit": D("0.01")}
    assert outcome(bars, orders, risk) == expect(
        """
        23:57 in buy 10 @ 100 taker
        23:59 daily_loss_halt
        23:59 drawdown_halt
        24:00 daily_loss_rearm
        24:00 same refused MAX_DRAWDOWN
        24:01 next refused MAX_DRAWDOWN
        """
    )


def test_two_switches_at_one_instant_close_a_position_once() -> None:
    risk = {"max_drawdown": D("0.02"), "max_drawdown_action": "flatten", "daily_loss_limit": D("0.03")}
    risk |= {"daily_loss_action": "flatten", "kill_at": "2025-01-06T00:04", "kill_switch": "flatten"}
    bars = HILL.replace("150 150 144 145", "150 150 90 90").replace("145", "90").replace("144", "90")
    assert outcome(bars, "00:01 in buy 10", risk, order_latency_ms=2_000) == expect(
        """
        00:01:02 in buy 10 @ 100 taker
        00:04 daily_loss_flatten
        00:04 drawdown_flatten
        00:04 kill_flatten
        00:04:02 risk-1 sell 10 @ 90 taker
        """
    )


def test_no_strategy_can_stop_what_a_switch_closes() -> None:
    risk = {"kill_switch": "flatten", "kill_at": "2025-01-06T00:03:30"}
    orders = "00:01 in buy 10\n00:04 cancel all\n00:04 cancel risk-1\n00:04 amend risk-1 qty 1"
    assert outcome(HILL, orders, risk, order_latency_ms=59_000) == expect(
        """
        00:01:59 in buy 10 @ 100 taker
        00:03:30 kill_flatten
        00:04 risk-1 refused HALTED
        00:04 risk-1 refused HALTED
        00:04:29 risk-1 sell 10 @ 145 taker
        """
    )


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (
            "halt",
            """
            00:01 in buy 10 @ 100 taker
            00:03:30 kill_halt
            00:03:30 more ends USER 1
            00:05 again refused KILL_SWITCH
            00:05 out sell 1 @ 145 taker
            00:06 stop ends END_OF_RUN 10
            """,
        ),
        (
            "flatten",
            """
            00:01 in buy 10 @ 100 taker
            00:03:30 kill_flatten
            00:03:30 risk-1 sell 10 @ 145 taker
            00:03:30 stop ends REDUCE_ONLY 10
            00:03:30 more ends USER 1
            00:05 again refused KILL_SWITCH
            00:05 out refused KILL_SWITCH
            """,
        ),
    ],
)
def test_the_kill_switch_ends_entries_and_keeps_protection(action: str, told: str) -> None:
    risk = {"kill_switch": action, "kill_at": "2025-01-06T00:03:30"}
    bars = HILL.replace("00:03 150 150 144", "00:03 145 145 144")
    assert outcome(bars, ORDERS, risk) == expect(told)


def test_a_kill_before_the_start_lets_nothing_be_opened() -> None:
    assert outcome(HILL, "00:01 in buy 1", {"kill_at": "2024-01-01"}) == expect(
        """
        00:00 kill_halt
        00:01 in refused KILL_SWITCH
        """
    )


def kinds(entries: list[tuple[int, int, str, Any]]) -> list[Any]:
    return [message for _, _, _, message in entries]


def test_a_kill_from_outside_does_what_the_same_kill_at_a_time_does(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Loop.run

    def killed_at_once(loop: Loop) -> Any:
        loop.request_kill()
        return started(loop)

    timed = small_run(HILL, ORDERS, risk={"kill_at": "2025-01-06T00:00"})
    monkeypatch.setattr(Loop, "run", killed_at_once)
    outside = small_run(HILL, ORDERS)
    assert kinds(outside.entries) == kinds(timed.entries)
    assert [event.action.value for event in outside.messages(ControlEvent)] == ["kill_halt"]


def test_a_kill_while_a_run_goes_on_is_thrown_between_two_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[Loop] = []
    started = Loop.run

    class Killed(Strategy):
        """Somebody throws the switch when the tenth candle has closed."""

        def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
            if self.ctx.now_ms == ms("00:10"):
                loops[0].request_kill()
            return [MarketOrderIntent(symbol=A, side=Side.BUY, qty="0.001")]

    def run(loop: Loop) -> Any:
        loops.append(loop)
        return started(loop)

    monkeypatch.setattr(Loop, "run", run)
    happened = small_run(flat("00:00", 5_000), Killed)
    (event,) = happened.messages(ControlEvent)
    assert event.action.value == "kill_halt"
    assert ms("00:10") < event.time_ms < ms("83:00")
    assert event.time_ms % 60_000 == 1
    assert all(fill.time_ms < event.time_ms for fill in happened.fills)


class Switch:
    """A loop as far as a kill file is concerned."""

    count = 0

    def request_kill(self) -> None:
        self.count += 1


def test_a_kill_file_throws_the_switch_once_when_it_appears(tmp_path: Path) -> None:
    loop = Switch()
    file = KillFile(str(tmp_path / "STOP"))
    file.look()
    file.guard(loop)  # type: ignore[arg-type] # only what is called
    file.look()
    assert loop.count == 0
    (tmp_path / "STOP").touch()
    file.look()
    file.look()
    assert loop.count == 1
    KillFile(str(tmp_path / "STOP")).guard(loop)  # type: ignore[arg-type] # only what is called
    assert loop.count == 2


closes = st.lists(st.tuples(st.integers(500, 2_500), st.integers(500, 2_500)), min_size=1, max_size=30)


@given(rows=closes, a_tenths=st.integers(-100, 100).filter(bool), limit=st.sampled_from(("0.01", "0.3")), broadcast=st.booleans())
def test_a_drawdown_is_noticed_at_the_first_close_that_reaches_it(
    rows: list[tuple[int, int]], a_tenths: int, limit: str, broadcast: bool
) -> None:
    till = Till(cash="50000", drawdown=D(limit), broadcast=broadcast)
    till.fill(Side.BUY if a_tenths > 0 else Side.SELL, D(abs(a_tenths)) / 10, 100)
    till.fill(Side.BUY, D(5), 100, symbol=B)
    peak, tripped = till.books.starting_cash, False
    for close_a, close_b in rows:
        till.marks |= {A: close_a / 10, B: close_b / 10}
        equity = till.books.equity()
        peak = max(peak, equity)
        reached = not tripped and equity <= peak - int(peak * D(limit))
        tripped = tripped or reached
        assert [event.action.value for event in till.close(a=close_a / 10, b=close_b / 10)] == ["drawdown_halt"] * reached


@pytest.mark.parametrize(
    ("way_out", "opened"),
    [
        ("out sell 1 at 101", "00:05 out sell 1 @ 101 maker bar"),
        ("out sell 1 oco 103 98 -", "00:05 out-stop sell 1 @ 98 taker bar"),
    ],
)
def test_a_way_out_that_a_flattened_position_has_left_behind_opens_nothing_that_stays(way_out: str, opened: str) -> None:
    """It was sent while the position was still being closed, and traded before its cancel arrived."""
    bars = "\n".join((flat("00:00", 4), "00:04 100 102 97 100 1000", flat("00:05", 4)))
    found = outcome(
        bars, f"00:01 in buy 1\n00:03 {way_out}", {"kill_at": "2025-01-06T00:02:30", "kill_switch": "flatten"},
        order_latency_ms=60_000, cancel_latency_ms=200_000,
    )  # fmt: skip
    closing = next(line for line in found if "risk-2" in line)
    assert opened in found
    assert closing == "00:06 risk-2 buy 1 @ 100 taker"
