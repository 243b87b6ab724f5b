"""Hedge mode: a symbol has a long and a short position at once, and every order says which of them it is about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from backtester import TWAP, Candle, Executions, ExitRules, MarketOrderIntent, PositionSide, Side, Strategy, executing
from backtester.domain.errors import RunAbortedError
from backtester.domain.orders import OrderRefused, SanitizedOrder
from backtester.domain.settlement import FundingPaid, Settlement
from backtester.domain.venue_rules import GENERIC
from tests.sim.hedged_run import hedged, held
from tests.sim.small_run import A, expect, flat, ms, small_run


class TestTwoPositions:
    def test_both_sides_are_open_at_once_and_each_is_reduced_on_its_own(self) -> None:
        run = hedged(
            flat("00:00", 4) + "\n" + flat("00:04", 4, price=110),
            """
            00:01 l buy 2 long
            00:01 s sell 3 short
            00:05 l2 sell 1 long
            00:06 s2 buy 1 short
            """,
        )
        assert run.told() == expect("""
            00:01 l buy 2 @ 100 taker
            00:01 s sell 3 @ 100 taker
            00:05 l2 sell 1 @ 110 taker
            00:06 s2 buy 1 @ 110 taker
        """)
        assert held(run) == ("1", "-2")
        books = run.engine.account.books
        assert (books.position(A), books.equity(), books.realised, books.unrealised()) == (
            Decimal(-1),
            (1_000_000 - 10) * 10**16,
            0,
            -10 * 10**16,
        )
        views = [(view.position_side, view.qty, view.avg_entry, view.unrealised_pnl) for view in run.snapshots[-1].positions]
        assert views == [(PositionSide.LONG, 1, 100, 10), (PositionSide.SHORT, -2, 100, -20)]

    @pytest.mark.parametrize(
        ("orders", "told"),
        [
            ("00:01 a buy 1 long\n00:02 b sell 5 long", "00:01 a buy 1 @ 100 taker\n00:02 b sell 1 @ 100 taker\n00:02 b ends REDUCE_ONLY 4"),
            ("00:01 a sell 1 short\n00:02 b buy 5 short", "00:01 a sell 1 @ 100 taker\n00:02 b buy 1 @ 100 taker\n00:02 b ends REDUCE_ONLY 4"),
            ("00:01 a buy 1 long\n00:02 b buy 1 short", "00:01 a buy 1 @ 100 taker\n00:02 b refused REDUCE_ONLY"),
            ("00:01 a sell 1 long", "00:01 a refused REDUCE_ONLY"),
            ("00:01 a buy 1", "00:01 a refused INVALID"),
            ("00:01 a buy 1 long reduce", "00:01 a refused INVALID"),
            ("00:01 a buy 1 long stop 110 close", "00:01 a refused INVALID"),
            ("00:01 exits a tp 120", "00:01 a refused INVALID"),
            ("00:01 exits a tp 120 long", "00:01 a refused REDUCE_ONLY"),
            ("00:01 a buy 1 long\n00:02 b sell 1 long tp 90", "00:01 a buy 1 @ 100 taker\n00:02 b refused INVALID"),
        ],
    )  # fmt: skip
    def test_what_closes_a_side_never_flips_it(self, orders: str, told: str) -> None:
        assert hedged(flat("00:00", 5), orders).told() == expect(told)

    def test_a_venue_that_rejects_larger_reduce_only_orders_rejects_what_would_flip(self) -> None:
        strict = replace(GENERIC, rejects_larger_reduce_only=True)
        run = hedged(flat("00:00", 5), "00:01 a buy 1 long\n00:02 b sell 5 long", venue=strict)
        assert run.told() == expect("00:01 a buy 1 @ 100 taker\n00:02 b rejected REDUCE_ONLY")
        assert held(run) == ("1", "0")

    def test_one_way_mode_refuses_a_position_side_and_says_why(self) -> None:
        run = small_run(flat("00:00", 3), "00:01 a buy 1 long\n00:01 exits b tp 120 short")
        assert [refused.detail for refused in run.messages(OrderRefused)] == [
            'position_side is for hedge mode: leave it out, or set account.position_mode = "hedge"'
        ] * 2

    def test_a_word_is_no_position_side(self) -> None:
        class Words(Strategy):
            def on_candle(self, candle: Candle) -> list[Any]:
                return [MarketOrderIntent(symbol=A, side=Side.BUY, qty=1, position_side="long")]  # type: ignore[arg-type] # the mistake

        (refused,) = hedged(flat("00:00", 1), Words).messages(OrderRefused)
        assert refused.detail == "position_side must be PositionSide.LONG or PositionSide.SHORT in hedge mode"

    def test_a_resting_order_that_closes_a_side_ends_with_it_and_leaves_the_other_side_alone(self) -> None:
        run = hedged(
            flat("00:00", 6),
            """
            00:01 l buy 1 long
            00:01 s sell 1 short
            00:02 out sell 1 at 120 long
            00:02 cover buy 1 at 80 short
            00:03 l2 sell 1 long
            """,
        )
        assert run.told()[2:] == expect("00:03 l2 sell 1 @ 100 taker\n00:03 out ends REDUCE_ONLY 1\n00:06 cover ends END_OF_RUN 1")


class TestFunding:
    def test_each_side_pays_or_receives_on_its_own(self) -> None:
        settled = [Settlement(ms("00:03"), A, Decimal("0.01"), 100 * 10**8)]
        run = hedged(flat("00:00", 6), "00:01 l buy 2 long\n00:01 s sell 3 short", settlements=settled)
        paid = [(one.position_side, one.qty, one.amount) for one in run.messages(FundingPaid)]
        assert paid == [(PositionSide.LONG, 2, -2), (PositionSide.SHORT, -3, 3)]
        assert run.engine.account.books.funding == 10**16

    def test_a_hole_is_charged_to_both(self) -> None:
        settled = [Settlement(ms("00:03"), A, Decimal("0.01"), 100 * 10**8, is_assumed=True)]
        run = hedged(flat("00:00", 6), "00:01 l buy 2 long\n00:01 s sell 3 short", settlements=settled)
        assert [one.amount for one in run.messages(FundingPaid)] == [-2, -3]


class TestExits:
    BARS = flat("00:00", 3) + "\n00:03 100 112 88 100 1000\n" + flat("00:04", 3)

    def test_a_stop_on_each_side_closes_that_side(self) -> None:
        run = hedged(
            self.BARS,
            """
            00:01 l buy 2 long
            00:01 s sell 3 short
            00:02 ls sell 2 stop 90 long
            00:02 ss buy 3 stop 110 short
            """,
        )
        assert run.told()[2:] == expect("00:04 ls sell 2 @ 90 taker bar\n00:04 ss buy 3 @ 110 taker bar")
        assert held(run) == ("0", "0")

    def test_attached_exits_and_those_of_a_position_belong_to_their_side(self) -> None:
        run = hedged(
            flat("00:00", 3) + "\n00:03 100 112 99 111 1000\n" + flat("00:04", 3, price=111),
            """
            00:01 l buy 2 long tp 110 sl 80
            00:01 s sell 3 short
            00:02 exits x tp 90 sl 120 short
            00:05 exits y tp 85 short
            """,
        )
        assert run.told()[2:] == expect("""
            00:04 l-sl1 ends OCO 2
            00:04 l-tp1 sell 2 @ 110 taker bar
            00:05 x-sl ends REPLACED 3
            00:05 x-tp ends REPLACED 3
            00:07 y-tp ends END_OF_RUN 3
        """)
        assert held(run) == ("0", "-3")

    def test_close_on_trigger_without_a_quantity_follows_its_side(self) -> None:
        run = hedged(
            self.BARS,
            """
            00:01 l buy 2 long
            00:01 s sell 3 short
            00:02 c sell all stop 90 close long
            00:03 l2 buy 1 long
            """,
        )
        assert run.told()[2:] == expect("00:03 l2 buy 1 @ 100 taker\n00:03 c amended 3 @ 90 keeps\n00:04 c sell 3 @ 90 taker bar")
        assert held(run) == ("0", "-3")

    def test_an_oco_closes_its_side(self) -> None:
        run = hedged(self.BARS, "00:01 s sell 3 short\n00:02 o buy 3 oco 80 110 - short")
        assert run.told()[1:] == expect("00:04 o ends OCO 3\n00:04 o-stop buy 3 @ 110 taker bar")
        assert held(run) == ("0", "0")

    def test_cancel_all_ends_the_orders_of_both_sides(self) -> None:
        run = hedged(flat("00:00", 4), "00:01 l buy 2 at 90 long\n00:01 s sell 3 at 110 short\n00:02 cancel all")
        assert run.told() == expect("00:02 l ends USER 2\n00:02 s ends USER 3")


class TestStrategy:
    def test_positions_are_read_net_and_by_side(self) -> None:
        seen: list[tuple[Decimal, ...]] = []

        class Reader(Strategy):
            def on_candle(self, candle: Candle) -> list[Any] | None:
                own = self.ctx.position
                seen.append((own(A), own(A, side=PositionSide.LONG), own(A, side=PositionSide.SHORT)))
                seen.append(tuple(self.ctx.account.position(A, side) for side in (None, *PositionSide)))
                sends = {ms("00:01"): (Side.BUY, 2, PositionSide.LONG), ms("00:02"): (Side.SELL, 3, PositionSide.SHORT)}
                if candle.end_ms not in sends:
                    return None
                side, qty, position = sends[candle.end_ms]
                return [MarketOrderIntent(symbol=A, side=side, qty=qty, position_side=position)]

        hedged(flat("00:00", 4), Reader)
        assert seen[0::2] == seen[1::2] == [(0, 0, 0), (2, 2, 0), (-1, 2, -3), (-1, 2, -3)]

    def test_one_way_mode_has_no_sides_to_read(self) -> None:
        class Reader(Strategy):
            def on_candle(self, candle: Candle) -> None:
                self.ctx.account.position(A, PositionSide.LONG)

        with pytest.raises(RunAbortedError, match="is for hedge mode"):
            small_run(flat("00:00", 1), Reader)

    def test_strategies_close_what_is_their_own_on_a_side(self) -> None:
        class First(Strategy):
            def on_candle(self, candle: Candle) -> list[Any] | None:
                if candle.end_ms == ms("00:01"):
                    return [MarketOrderIntent(symbol=A, side=Side.BUY, qty=2, position_side=PositionSide.LONG)]
                return None

        class Second(Strategy):
            def on_candle(self, candle: Candle) -> list[Any] | None:
                long = {"symbol": A, "position_side": PositionSide.LONG}
                if candle.end_ms == ms("00:02"):
                    return [MarketOrderIntent(side=Side.SELL, qty=1, **long), MarketOrderIntent(side=Side.BUY, qty=1, **long)]
                return [MarketOrderIntent(side=Side.SELL, qty=5, **long)] if candle.end_ms == ms("00:03") else None

        run = hedged(flat("00:00", 6), [First, Second])
        assert run.told() == expect("""
            00:01 s-1 buy 2 @ 100 taker
            00:02 t-1 refused REDUCE_ONLY
            00:02 t-2 buy 1 @ 100 taker
            00:03 t-3 sell 1 @ 100 taker
            00:03 t-3 ends REDUCE_ONLY 4
        """)
        assert held(run) == ("2", "0")


class TestRails:
    def test_flatten_closes_what_each_strategy_holds_of_a_side_and_no_more(self) -> None:
        def buys(qty: int) -> type[Strategy]:
            class Buyer(Strategy):
                def on_candle(self, candle: Candle) -> list[Any] | None:
                    if candle.end_ms != ms("00:01"):
                        return None
                    return [MarketOrderIntent(symbol=A, side=Side.BUY, qty=qty, position_side=PositionSide.LONG)]

            return Buyer

        risk = {"kill_at": "2025-01-06T00:03:00", "kill_switch": "flatten"}
        run = hedged(flat("00:00", 6), [buys(2), buys(3)], risk=risk)
        assert run.told()[2:] == expect("00:03 risk-1 sell 2 @ 100 taker\n00:03 risk-2 sell 3 @ 100 taker")
        closing = [order for order in run.messages(SanitizedOrder) if order.order_id.startswith("risk-")]
        assert all(order.reduce_only for order in closing)

    def test_flatten_closes_both_sides_with_orders_of_their_own(self) -> None:
        risk = {"kill_at": "2025-01-06T00:03:00", "kill_switch": "flatten"}
        run = hedged(flat("00:00", 6), "00:01 l buy 2 long\n00:01 s sell 3 short\n00:02 x buy 1 at 90 long", risk=risk)
        assert run.told()[2:] == expect("""
            00:03 risk-1 sell 2 @ 100 taker
            00:03 risk-2 buy 3 @ 100 taker
            00:03 x ends USER 1
        """)
        assert held(run) == ("0", "0")

    def test_exposure_of_a_symbol_is_that_of_both_sides(self) -> None:
        risk = {"max_symbol_exposure": Decimal("0.5")}
        run = hedged(flat("00:00", 4), "00:01 l buy 3 long\n00:01 s sell 3 short\n00:02 s2 sell 2 short", risk=risk, cash="1000")
        assert run.told() == expect("00:01 s refused MAX_SYMBOL_EXPOSURE\n00:01 l buy 3 @ 100 taker\n00:02 s2 sell 2 @ 100 taker")

    def test_the_value_of_a_position_is_capped_on_each_side(self) -> None:
        risk = {"max_position_notional": Decimal(300)}
        run = hedged(flat("00:00", 4), "00:01 l buy 3 long\n00:01 s sell 3 short\n00:02 s2 sell 1 short", risk=risk)
        assert run.told()[2:] == ["00:02 s2 refused MAX_POSITION"]


def test_an_account_that_is_worth_nothing_ends_the_run_in_hedge_mode_too() -> None:
    bars = flat("00:00", 3) + "\n" + flat("00:03", 3, price=240)
    run = hedged(bars, "00:01 l buy 1 long\n00:01 s sell 9 short", cash="1000")
    assert run.reason == "bankrupt"


@pytest.mark.parametrize(
    "orders", ["00:01 l buy 20 long\n00:01 s sell 50 short\n00:03 x buy 20 short\n00:04 y sell 10 at 103 long"]
)
@pytest.mark.parametrize("margin", ["cross", "isolated"])
def test_calls_by_interest_and_all_calls_give_the_same_run(orders: str, margin: str) -> None:
    bars = flat("00:00", 3) + "\n00:03 100 103 94 97 1000\n00:04 97 108 97 106 1000\n00:05 106 125 90 120 1000\n" + flat("00:06", 3)
    account = {"leverage": Decimal(10), "margin": margin}
    runs = [
        hedged(bars, orders, cash="1000", account=account, routing=routing, risk={"daily_loss_limit": Decimal("0.2")})
        for routing in ("interest", "broadcast")
    ]
    assert runs[0].entries == runs[1].entries


def test_executions_and_exit_rules_work_on_a_side_each() -> None:
    @executing
    class Worker(Strategy):
        executions: Executions

        def on_start(self) -> None:
            for side in PositionSide:
                self.executions.guard(self.ctx, A, ExitRules(sl_frac=0.05), position_side=side)

        def on_candle(self, candle: Candle) -> list[Any]:
            if candle.end_ms != ms("00:01"):
                return []
            facts: dict[str, Any] = {"duration_ms": 120_000, "parts": 2}
            opening = [(Side.BUY, PositionSide.LONG), (Side.SELL, PositionSide.SHORT)]
            return [
                intent
                for side, position in opening
                for intent in self.executions.start(self.ctx, TWAP(A, side, 2, position_side=position, **facts))
            ]

    run = hedged(flat("00:00", 4) + "\n" + flat("00:04", 2, price=110) + "\n" + flat("00:06", 3, price=90), Worker)
    assert run.told() == expect("""
        00:01 s/x1/1 buy 1 @ 100 taker
        00:01 s/x2/1 sell 1 @ 100 taker
        00:02 s/x1/2 buy 1 @ 100 taker
        00:02 s/x2/2 sell 1 @ 100 taker
        00:05 s/exit/AAAUSDT/short/1 buy 2 @ 110 taker
        00:07 s/exit/AAAUSDT/long/1 sell 2 @ 90 taker
    """)
    assert held(run) == ("0", "0")
