"""Orders worked in parts, in runs on the simulated venue: what is sent when, and that it sums to what was asked for."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.domain.candle import Candle
from backtester.domain.errors import DomainError, RunAbortedError
from backtester.domain.intents import MarketOrderIntent
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected, SanitizedOrder
from backtester.domain.timeframe import DAY_MS, HOUR_MS
from backtester.domain.vocabulary import Side
from backtester.strategy.base import Strategy
from backtester.strategy.execution import POV, TWAP, VWAP, Executions, PassiveEntry, executing, volume_profile
from backtester.strategy.execution.execution import Execution
from tests.sim.small_run import MINUTE, A, SmallRun, expect, flat, ms, small_run, spec

D = Decimal
S = 1_000


class Starting(Strategy):
    """What a strategy that starts an execution has made."""

    executions: Executions
    made: Execution


def runs(make: Any, *, at: str = "00:01", **hooks: Any) -> type[Starting]:
    """A strategy that starts one execution when the minute before `at` has closed."""

    @executing
    class Starts(Starting):
        """One execution, driven by the decorator."""

        def on_candle(self, candle: Candle) -> Any:
            if candle.end_ms == ms(at):
                Starts.made = make(self)
                return self.executions.start(self.ctx, Starts.made)
            return hooks["on_candle"](self, candle) if "on_candle" in hooks else None

    return Starts


def told(run: SmallRun) -> list[str]:
    run.engine.account.check()
    return [line.replace("s/x1/", "") for line in run.told(Fill, OrderCanceled, OrderRefused, OrderRejected)]


# -- TWAP ----------------------------------------------------------------------------------------------------------------


def test_twap_sends_equal_parts_at_equal_times() -> None:
    run = small_run(flat("00:00", 8), runs(lambda _: TWAP(A, Side.BUY, "1", duration_ms=4 * MINUTE, parts=4)))
    assert told(run) == expect(
        """
        00:01 1 buy 0.25 @ 100 taker
        00:02 2 buy 0.25 @ 100 taker
        00:03 3 buy 0.25 @ 100 taker
        00:04 4 buy 0.25 @ 100 taker
        """
    )


def test_what_does_not_divide_is_sent_with_later_parts() -> None:
    run = small_run(flat("00:00", 8), runs(lambda _: TWAP(A, Side.SELL, D("0.0109"), duration_ms=90 * S, parts=3)))
    assert told(run) == expect(
        """
        00:01 1 sell 0.003 @ 100 taker
        00:01:30 2 sell 0.003 @ 100 taker
        00:02 3 sell 0.004 @ 100 taker
        """
    )


def test_parts_go_by_the_lot_in_force_and_what_is_less_than_one_is_let_go() -> None:
    made = runs(lambda _: TWAP(A, Side.BUY, "1.05", duration_ms=4 * MINUTE, parts=4))
    run = small_run(flat("00:00", 8), made, changes={"00:03": {"lot_size": D("0.1"), "min_qty": D("0.1")}})
    assert told(run) == expect(
        """
        00:01 1 buy 0.262 @ 100 taker
        00:02 2 buy 0.263 @ 100 taker
        00:03 3 buy 0.2 @ 100 taker
        00:04 4 buy 0.3 @ 100 taker
        """
    )
    assert made.made.is_done


def test_parts_too_small_for_the_venue_wait_and_none_too_small_is_left() -> None:
    rules = spec(min_notional=D(30))
    run = small_run(flat("00:00", 9), runs(lambda _: TWAP(A, Side.BUY, 1, duration_ms=6 * MINUTE, parts=6)), specs=[rules])
    assert told(run) == expect(
        """
        00:02 1 buy 0.333 @ 100 taker
        00:04 2 buy 0.333 @ 100 taker
        00:06 3 buy 0.334 @ 100 taker
        """
    )


def test_what_was_refused_is_sent_again_and_given_up_in_the_end() -> None:
    strategy = runs(lambda _: TWAP(A, Side.BUY, 30, duration_ms=2 * MINUTE, parts=2))
    run = small_run(flat("00:00", 20), strategy, cash="2000")
    assert told(run)[:2] == expect("00:01 1 buy 15 @ 100 taker\n00:02 2 refused INSUFFICIENT")
    assert len(told(run)) == 11
    made: Execution = strategy.made  # type: ignore[attr-defined] # set by the decorated class
    assert made.is_done
    assert (made.quota.filled_lots, made.quota.working_lots, made.quota.left_lots) == (15_000, 0, 15_000)


def test_a_stopped_execution_cancels_what_works_and_sends_no_more() -> None:
    def stop(strategy: Any, candle: Candle) -> Any:
        return strategy.executions.stop() if candle.end_ms == ms("00:03") else None

    make = runs(lambda _: PassiveEntry(A, Side.BUY, 1, fallback_ms=10 * MINUTE, improvement_bps=100), on_candle=stop)
    assert told(small_run(flat("00:00", 15), make)) == expect("00:03 1 ends USER 1")


# -- VWAP ----------------------------------------------------------------------------------------------------------------


def test_vwap_follows_its_weights() -> None:
    make = runs(lambda _: VWAP(A, Side.BUY, 1, duration_ms=3 * MINUTE, parts=3, weights=(1, 0, 3)))
    assert told(small_run(flat("00:00", 8), make)) == expect("00:01 1 buy 0.25 @ 100 taker\n00:03 2 buy 0.75 @ 100 taker")


def test_vwap_learns_its_weights_from_the_days_before() -> None:
    day = "\n".join(f"{minute // 60:02d}:{minute % 60:02d} 100 100 100 100 {30 if minute == 62 else 10}" for minute in range(1440))
    bars = f"{day}\n{flat('24:00', 70)}"
    make = runs(lambda _: VWAP(A, Side.BUY, 1, duration_ms=4 * MINUTE, parts=4), at="25:00")

    class Long(make):  # type: ignore[misc, valid-type] # a class made above
        history_bars = 2_000

    assert told(small_run(bars, Long)) == expect(
        """
        25:00 1 buy 0.166 @ 100 taker
        25:01 2 buy 0.167 @ 100 taker
        25:02 3 buy 0.5 @ 100 taker
        25:03 4 buy 0.167 @ 100 taker
        """
    )


def candle(start_ms: int, length_ms: int, volume: float) -> Candle:
    return Candle(A, "1h", start_ms, start_ms + length_ms, 1.0, 1.0, 1.0, 1.0, volume)


def test_a_profile_counts_a_candle_in_each_part_by_the_time_it_covers() -> None:
    hours = [candle(hour * HOUR_MS, HOUR_MS, float(hour)) for hour in range(48)]
    start_ms = 2 * DAY_MS + 23 * HOUR_MS + HOUR_MS // 2
    profile = volume_profile(hours, start_ms=start_ms, duration_ms=2 * HOUR_MS, parts=2)
    late, early = 23 + 47, 0 + 24
    assert profile == (Fraction(late + early, 2), Fraction(early + 1 + 25, 2))
    whole = volume_profile(hours, start_ms=start_ms, duration_ms=DAY_MS, parts=7)
    assert sum(whole) == sum(range(48))
    with pytest.raises(DomainError, match="a day at most"):
        volume_profile(hours, start_ms=0, duration_ms=DAY_MS + 1, parts=1)


# -- POV -----------------------------------------------------------------------------------------------------------------


def test_pov_sends_its_share_of_what_has_traded() -> None:
    bars = "\n".join(f"00:0{minute} 100 100 100 100 {volume}" for minute, volume in enumerate((9, 9, 4, 0.001, 6, 50, 9)))
    run = small_run(bars, runs(lambda _: POV(A, Side.BUY, 2, rate_bps=1000)))
    assert told(run) == expect(
        """
        00:02 1 buy 0.9 @ 100 taker
        00:03 2 buy 0.4 @ 100 taker
        00:05 3 buy 0.6 @ 100 taker
        00:06 4 buy 0.1 @ 100 taker
        """
    )


@pytest.mark.parametrize(("finish", "last"), [(True, "00:03:30 3 buy 1.8 @ 100 taker\n"), (False, "")])
def test_pov_ends_at_its_deadline(finish: bool, last: str) -> None:
    bars = flat("00:00", 6, volume=1)
    make = runs(lambda _: POV(A, Side.BUY, 2, rate_bps=1000, deadline_ms=ms("00:03:30"), finish=finish))
    assert told(small_run(bars, make)) == expect(f"00:02 1 buy 0.1 @ 100 taker\n00:03 2 buy 0.1 @ 100 taker\n{last}")


# -- passive entry -------------------------------------------------------------------------------------------------------


def test_a_passive_entry_gives_way_step_by_step_and_then_takes() -> None:
    make = runs(lambda _: PassiveEntry(A, Side.BUY, 1, fallback_ms=3 * MINUTE, improvement_bps=90, steps=3))
    run = small_run(flat("00:00", 8), make)
    prices = [(order.price_ticks, order.post_only) for order in run.messages(SanitizedOrder)]
    assert prices == [(991, True), (994, True), (997, True), (0, False)]
    assert told(run) == expect(
        """
        00:02 1 ends USER 1
        00:03 2 ends USER 1
        00:04 3 ends USER 1
        00:04 4 buy 1 @ 100 taker
        """
    )


def test_a_passive_entry_that_is_filled_takes_nothing() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 100 100 98 99 9\n00:02 99 99 99 99 9\n00:03 99 99 99 99 9"
    make = runs(lambda _: PassiveEntry(A, Side.BUY, 1, fallback_ms=90 * S, improvement_bps=50))
    assert told(small_run(bars, make)) == expect("00:02 1 buy 1 @ 99.5 maker bar")


def test_a_cancel_that_comes_too_late_never_makes_it_buy_twice() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 100 100 98 99 9\n00:02 99 99 99 99 9\n00:03 99 99 99 99 9\n00:04 99 99 99 99 9"
    make = runs(lambda _: PassiveEntry(A, Side.BUY, 1, fallback_ms=30 * S, improvement_bps=50))
    run = small_run(bars, make, cancel_latency_ms=40_000, order_latency_ms=1, response_latency_ms=200)
    assert told(run) == expect("00:02 1 buy 1 @ 99.5 maker bar\n00:02:10 1 rejected TOO_LATE")


def test_what_was_filled_in_part_is_not_bought_again() -> None:
    bars = "00:00 100 100 100 100 9\n00:01 100 100 98 99 4\n00:02 100 100 100 100 100\n00:03 99 99 99 99 100"
    make = runs(lambda _: PassiveEntry(A, Side.BUY, 1, fallback_ms=90 * S, improvement_bps=50))
    run = small_run(bars, make, participation_bps=1000)
    assert told(run) == expect(
        """
        00:02 1 buy 0.4 @ 99.5 maker bar
        00:02:30 1 ends USER 0.6
        00:02:30 2 buy 0.6 @ 100 taker
        """
    )


# -- all of them ---------------------------------------------------------------------------------------------------------

bar = st.tuples(st.integers(900, 1100), st.integers(0, 20), st.integers(0, 20), st.integers(0, 60))


@settings(max_examples=60, deadline=None)
@given(
    bars=st.lists(bar, min_size=12, max_size=25),
    lots=st.integers(1, 5_000),
    kind=st.sampled_from(("twap", "vwap", "pov", "passive")),
    parts=st.integers(1, 7),
    minutes=st.integers(1, 8),
    side=st.sampled_from(Side),
    latency=st.sampled_from((0, 125, 61_000)),
    jitter=st.sampled_from((0, 5_000)),
    share=st.sampled_from(("0", "1000")),
    remainder=st.sampled_from(("carry", "cancel")),
    cash=st.sampled_from(("100", "1000000")),
)
def test_never_more_than_was_asked_for_whatever_happens(
    bars: list[tuple[int, int, int, int]],
    lots: int,
    kind: str,
    parts: int,
    minutes: int,
    side: Side,
    latency: int,
    jitter: int,
    share: str,
    remainder: str,
    cash: str,
) -> None:
    table = "\n".join(
        f"00:{minute:02d} {price / 10} {(price + up) / 10} {(price - down) / 10} {price / 10} {volume / 10}"
        for minute, (price, up, down, volume) in enumerate(bars)
    )
    qty, duration_ms = D(lots) / 1000, minutes * MINUTE
    made: dict[str, Any] = {
        "twap": lambda _: TWAP(A, side, qty, duration_ms=duration_ms, parts=parts),
        "vwap": lambda _: VWAP(A, side, qty, duration_ms=duration_ms, parts=parts),
        "pov": lambda _: POV(A, side, qty, rate_bps=2_000, deadline_ms=ms("00:01") + duration_ms, finish=parts > 3),
        "passive": lambda _: PassiveEntry(A, side, qty, fallback_ms=duration_ms, improvement_bps=20, steps=parts),
    }
    strategy = runs(made[kind])
    legs = {"order_latency_ms": latency, "cancel_latency_ms": latency, "response_latency_ms": latency, "latency_jitter_ms": jitter}
    run = small_run(table, strategy, participation_bps=D(share), remainder=remainder, cash=cash, **legs)
    execution: Execution = strategy.made  # type: ignore[attr-defined] # set by the decorated class
    filled = sum(fill.qty_lots for fill in run.fills)
    assert filled <= lots
    quota = execution.quota
    assert quota.lots == lots == quota.filled_lots + quota.working_lots + quota.left_lots
    assert min(quota.filled_lots, quota.working_lots, quota.left_lots) >= 0
    assert quota.filled_lots <= filled  # reports may still be on their way when the run ends
    if execution.is_done and quota.is_filled:
        assert filled == lots


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TWAP(A, Side.BUY, 1, duration_ms=1, parts=2), "parts"),
        (lambda: VWAP(A, Side.BUY, 1, duration_ms=9, parts=2, weights=(1,)), "weights"),
        (lambda: VWAP(A, Side.BUY, 1, duration_ms=9, parts=2, weights=(0, 0)), "weights"),
        (lambda: POV(A, Side.BUY, 1, rate_bps=0), "rate_bps"),
        (lambda: PassiveEntry(A, Side.BUY, 1, fallback_ms=0), "steps"),
        (lambda: PassiveEntry(A, Side.BUY, 1, fallback_ms=9, improvement_bps=-1), "improvement_bps"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(make: Any, named: str) -> None:
    with pytest.raises(DomainError, match=named):
        make()


def test_less_than_one_lot_cannot_be_executed() -> None:
    with pytest.raises(RunAbortedError, match="less than one lot"):
        small_run(flat("00:00", 3), runs(lambda _: TWAP(A, Side.BUY, "0.0001", duration_ms=MINUTE, parts=1)))


def test_a_strategy_under_the_decorator_keeps_its_own_hooks() -> None:
    @executing
    class Both(Strategy):
        """Executes, and sends an order of its own."""

        executions: Executions

        def on_candle(self, candle: Candle) -> Any:
            if candle.end_ms != ms("00:01"):
                return None
            self.ctx.timer("mine", at_ms=ms("00:02"))
            return self.executions.start(self.ctx, TWAP(A, Side.BUY, 1, duration_ms=2 * MINUTE, parts=2))

        def on_timer(self, name: str) -> Any:
            assert name == "mine"
            return MarketOrderIntent(symbol=A, order_id="own", side=Side.BUY, qty=3)

    assert told(small_run(flat("00:00", 5), Both)) == expect(
        """
        00:01 1 buy 0.5 @ 100 taker
        00:02 own buy 3 @ 100 taker
        00:02 2 buy 0.5 @ 100 taker
        """
    )
