"""The floors of equity: none is missed, and what follows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.run_events import ControlEvent
from backtester.domain.vocabulary import Market, Side
from tests.account.desk import Till
from tests.sim.small_run import A, B, expect, flat, small_run

closes = st.lists(st.tuples(st.integers(1, 2_500), st.integers(1, 2_500)), min_size=1, max_size=30)
positions = st.integers(-300, 300).filter(bool)


@given(
    rows=closes,
    a_tenths=positions,
    b_tenths=st.integers(-300, 300),
    loss=st.sampled_from((None, "0.01", "0.3")),
    broadcast=st.booleans(),
)
def test_a_floor_is_noticed_at_the_first_close_that_reaches_it(
    rows: list[tuple[int, int]], a_tenths: int, b_tenths: int, loss: str | None, broadcast: bool
) -> None:
    till = Till(cash="5000", daily_loss=Decimal(loss) if loss else None, broadcast=broadcast)
    for symbol, tenths in ((A, a_tenths), (B, b_tenths)):
        if tenths:
            till.fill(Side.BUY if tenths > 0 else Side.SELL, Decimal(abs(tenths)) / 10, 100, symbol=symbol)
    floor = till.books.starting_cash - int(till.books.starting_cash * Decimal(loss or "1"))
    halted = False
    for close_a, close_b in rows:
        till.marks |= {A: close_a / 10, B: close_b / 10}
        equity = till.books.equity()
        actions = [event.action.value for event in till.close(a=close_a / 10, b=close_b / 10)]
        if equity <= 0:
            assert "bankrupt" in actions
            assert till.account.bankrupt
            return
        expected = ["daily_loss_halt"] if loss and not halted and equity <= floor else []
        assert actions == expected
        halted = halted or bool(expected)
        assert not till.account.bankrupt


def test_the_loss_of_a_closed_trade_counts_at_once() -> None:
    till = Till(cash="1000", daily_loss=Decimal("0.1"))
    till.fill(Side.BUY, 10, 100)
    assert [event.action.value for event in till.fill(Side.SELL, 10, 90)] == ["daily_loss_halt"]


def test_a_loss_greater_than_all_the_money_is_bankruptcy() -> None:
    till = Till(cash="1000")
    till.fill(Side.SELL, 10, 100)
    assert [event.action.value for event in till.fill(Side.BUY, 10, 200)] == ["bankrupt"]
    assert till.account.bankrupt


def test_the_floor_is_counted_from_the_equity_at_midnight() -> None:
    till = Till(cash="1000", daily_loss=Decimal("0.1"))
    till.fill(Side.BUY, 5, 100)
    till.close(a=200.0)
    assert list(till.account.on_day()) == []
    assert till.close(a=170.1) == []
    assert [event.action.value for event in till.close(a=170.0)] == ["daily_loss_halt"]
    assert till.close(a=160.0) == []
    assert [message.action.value for _, message in till.account.on_day()] == ["daily_loss_rearm"]
    assert [event.action.value for event in till.close(a=134.0)] == ["daily_loss_halt"]


# -- in a run ------------------------------------------------------------------------------------------------------------

FALL = """
    00:00 100 100 100 100 1000
    00:01 100 100 100 100 1000
    00:02 100 100  97  97 1000
    00:03  97  97  97  97 1000
    00:04  97  97  97  97 1000
"""


def outcome(bars: str, orders: str, **settings: Any) -> list[str]:
    run = small_run(bars, orders, **settings)
    run.engine.account.check()
    lines = run.told(Fill, OrderCanceled, OrderRefused, OrderRejected, ControlEvent)
    return [*lines, run.reason]


def test_a_breach_cancels_and_refuses_entries_and_keeps_protection() -> None:
    orders = """
        00:01 in buy 10
        00:02 more buy 10 at 50
        00:02 stop sell 10 at 150 reduce
        00:04 again buy 1
        00:04 out sell 10
    """
    assert outcome(FALL, orders, cash="2000", risk={"daily_loss_limit": "0.01"}) == [
        *expect(
            """
            00:01 in buy 10 @ 100 taker
            00:03 daily_loss_halt
            00:03 more ends USER 10
            00:04 again refused DAILY_LOSS
            00:04 out sell 10 @ 97 taker
            00:04 stop ends REDUCE_ONLY 10
            """
        ),
        "data",
    ]


def test_flatten_closes_everything_too() -> None:
    settings = {"cash": "2000", "risk": {"daily_loss_limit": "0.01", "daily_loss_action": "flatten"}}
    assert outcome(FALL, "00:01 in buy 10\n00:01 low buy 1 at 50", **settings) == [
        *expect(
            """
            00:01 in buy 10 @ 100 taker
            00:03 daily_loss_flatten
            00:03 risk-1 sell 10 @ 97 taker
            00:03 low ends USER 1
            """
        ),
        "data",
    ]


def test_what_an_entry_fills_in_spite_of_its_cancel_is_closed_as_well() -> None:
    bars = f"{FALL}\n00:05 97 97 94 95 1000\n{flat('00:06', 3, price=95)}"
    settings = {"cash": "4000", "risk": {"daily_loss_limit": "0.005", "daily_loss_action": "flatten"}}
    settings |= {"cancel_latency_ms": 200_000, "order_latency_ms": 1}
    assert outcome(bars, "00:01 in buy 10\n00:02 low buy 2 at 95\n00:02 exit sell 10 at 150", **settings) == [
        *expect(
            """
            00:01:00.001 in buy 10 @ 100 taker
            00:03 daily_loss_flatten
            00:03:00.001 risk-1 sell 10 @ 97 taker
            00:06 low buy 2 @ 95 maker bar
            00:06:00.001 risk-2 sell 2 @ 95 taker
            00:06:20 low rejected TOO_LATE
            00:06:20 exit ends USER 10
            """
        ),
        "data",
    ]


def test_a_way_out_whose_position_is_gone_opens_nothing_while_entries_are_halted() -> None:
    bars = f"{FALL}\n00:05 97 97 97 97 1000\n00:06 97 200 97 97 1000"
    orders = "00:01 in buy 10\n00:02 exit sell 10 at 150\n00:04 out sell 10"
    assert outcome(bars, orders, cash="2000", risk={"daily_loss_limit": "0.01"}) == [
        *expect(
            """
            00:01 in buy 10 @ 100 taker
            00:03 daily_loss_halt
            00:04 out sell 10 @ 97 taker
            00:04 exit ends USER 10
            """
        ),
        "data",
    ]


def test_the_rail_is_armed_again_the_next_day() -> None:
    bars = f"{flat('23:56', 2)}\n23:58 100 100 97 97 1000\n{flat('23:59', 3, price=97)}"
    orders = """
        23:57 in buy 10
        24:00 same buy 1
        24:01 next buy 1
    """
    assert outcome(bars, orders, cash="2000", risk={"daily_loss_limit": "0.01"}) == [
        *expect(
            """
            23:57 in buy 10 @ 100 taker
            23:59 daily_loss_halt
            24:00 daily_loss_rearm
            24:00 same buy 1 @ 97 taker
            24:01 next buy 1 @ 97 taker
            """
        ),
        "data",
    ]


def test_a_day_that_begins_in_a_gap_is_armed_again() -> None:
    bars = f"{flat('23:00', 2)}\n23:02 100 100 97 97 1000\n{flat('25:00', 3, price=97)}"
    lines = outcome(bars, "23:01 in buy 10\n25:01 next buy 1", cash="2000", risk={"daily_loss_limit": "0.01"})
    assert lines[1:] == ["23:03 daily_loss_halt", "24:00 daily_loss_rearm", "25:01 next buy 1 @ 97 taker", "data"]


def test_no_equity_left_ends_the_run() -> None:
    bars = f"{flat('00:00', 2)}\n00:02 100 250 100 250 1000\n{flat('00:03', 5, price=250)}"
    lines = outcome(bars, "00:01 in sell 10\n00:02 low buy 1 at 50\n00:05 never buy 1", cash="1100")
    assert lines == ["00:01 in sell 10 @ 100 taker", "00:03 bankrupt", "00:03 low ends BANKRUPT 1", "bankrupt"]


def test_spot_can_lose_all_but_not_more() -> None:
    bars = f"{flat('00:00', 2)}\n00:02 100 100 0.1 0.1 1000\n{flat('00:03', 2, price=0.1)}"
    run = small_run(bars, "00:01 in buy 10", cash="1000", market=Market.SPOT)
    assert run.reason == "data"
    assert run.snapshots[-1].equity == 1
