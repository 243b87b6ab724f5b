"""Margin and liquidation in hedge mode. Cross: the price shown is the price that liquidates both sides, and nothing is owed after it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backtester import Market, PositionSide, Side
from backtester.domain.orders import LiquidationOrder
from backtester.domain.tiers import LeverageTier
from tests.sim.hedged_run import hedged, held
from tests.sim.small_run import A, B, SmallRun, expect, flat, small_run, spec

TIERS = tuple(
    LeverageTier(floor=Decimal(floor), cap=cap, maintenance_frac=Decimal(rate), leverage_max=Decimal(most))
    for floor, cap, rate, most in ((0, Decimal(4000), "0.005", 50), (4000, None, "0.02", 50))
)
SIZES = st.integers(5, 60)


def both(bars: str, long: int, short: int, *, market: Market, routing: str = "interest") -> SmallRun:
    """A long and a short position opened at 100; 1000 of money behind them, or as much in coins."""
    inverse = market is Market.INVERSE
    size, cash = (100, "10") if inverse else (1, "1000")
    terms = {"settle": "AAA", "contract_size": Decimal(1), "lot_size": Decimal(1), "min_qty": Decimal(1)} if inverse else {}
    rule = spec(A, market=market, leverage_tiers=() if inverse else TIERS, **terms)
    orders = f"00:01 l buy {long * size} long\n00:01 s sell {short * size} short"
    account = {"leverage": Decimal(40), "position_mode": "hedge"}
    return small_run(
        bars, orders, specs=[rule], cash=cash, account=account, routing=routing, fee_bps=("2", "5"), snapshot_every="1m"
    )


@pytest.mark.parametrize("market", [Market.LINEAR, Market.INVERSE])
@given(long=SIZES, short=SIZES)
@settings(max_examples=30, deadline=None)
def test_a_bar_liquidates_both_sides_exactly_when_it_reaches_the_price_shown(market: Market, long: int, short: int) -> None:
    views = both(flat("00:00", 3), long, short, market=market).snapshots[-1].positions
    assume(len(views) == 2 and views[0].liquidation_price is not None)
    (shown,) = {view.liquidation_price for view in views}
    assert shown is not None
    tick = Decimal("0.1")
    safe = shown + (tick if shown < 100 else -tick)
    for reach, liquidated in ((safe, False), (shown, True)):
        if reach == 100:
            continue
        low, high = min(reach, Decimal(100)), max(reach, Decimal(100))
        run = both(flat("00:00", 3) + f"\n00:03 100 {high} {low} 100 1000", long, short, market=market)
        assert bool(run.messages(LiquidationOrder)) is liquidated


@pytest.mark.parametrize("market", [Market.LINEAR, Market.INVERSE])
@given(long=SIZES, short=SIZES, closes=st.lists(st.sampled_from([70, 85, 93, 97, 100, 103, 107, 115, 130]), min_size=3, max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_liquidation_leaves_no_debt_and_is_the_same_with_every_call_made(
    market: Market, long: int, short: int, closes: list[int]
) -> None:
    rows, before = [flat("00:00", 3)], 100
    for minute, close in enumerate(closes, start=3):
        rows.append(f"00:{minute:02d} {before} {max(before, close) + 1} {min(before, close) - 1} {close} 1000")
        before = close
    runs = [both("\n".join(rows), long, short, market=market, routing=routing) for routing in ("interest", "broadcast")]
    assert runs[0].entries == runs[1].entries
    assert runs[0].snapshots[-1].equity >= 0
    runs[0].engine.account.check()


class TestMargin:
    def test_reservations_are_for_what_opens_and_margin_is_of_both_sides(self) -> None:
        run = hedged(
            flat("00:00", 6),
            """
            00:01 l buy 5 long
            00:01 s sell 4 short
            00:02 more buy 2 long
            00:03 out sell 5 at 120 long
            00:04 fits buy 1 at 90 long
            """,
            cash="1000",
        )
        assert [line for line in run.told() if "refused" in line] == ["00:02 more refused INSUFFICIENT"]
        assert run.engine.account.books.free_cash() == 100 * 10**16

    @pytest.mark.parametrize("margin", ["cross", "isolated"])
    def test_snapshots_have_the_margins_of_both_sides(self, margin: str) -> None:
        account = {"leverage": Decimal(10), "margin": margin}
        run = hedged(flat("00:00", 4), "00:01 l buy 5 long\n00:01 s sell 4 short", cash="1000", account=account)
        assert run.snapshots[-1].initial_margin == 90
        assert run.snapshots[-1].maintenance_margin == Decimal("22.5")

    def test_isolated_one_side_is_liquidated_and_the_other_stays_with_its_stop(self) -> None:
        bars = flat("00:00", 3) + "\n00:03 100 100 89 95 1000\n" + flat("00:04", 3, price=95)
        orders = "00:01 l buy 5 long\n00:01 s sell 4 short\n00:02 x buy 4 stop 120 short"
        run = hedged(bars, orders, cash="1000", account={"leverage": Decimal(10), "margin": "isolated"})
        (order,) = run.messages(LiquidationOrder)
        assert (order.order.symbol, order.order.position_side, order.order.side) == (A, PositionSide.LONG, Side.SELL)
        assert held(run) == ("0", "-4")
        assert run.told()[-1] == "00:07 x ends END_OF_RUN 4"
        assert run.snapshots[-1].equity == 1000 - 50 + 20

    def test_cross_a_hedged_account_is_not_liquidated_by_a_bar_that_goes_both_ways(self) -> None:
        bars = flat("00:00", 3) + "\n00:03 100 150 50 100 1000\n" + flat("00:04", 3)
        run = hedged(bars, "00:01 l buy 20 long\n00:01 s sell 20 short", cash="1000", account={"leverage": Decimal(10)})
        assert not run.messages(LiquidationOrder)
        assert held(run) == ("20", "-20")

    @pytest.mark.parametrize(
        ("orders", "words", "sides"),
        [
            ("00:01 l buy 50 long\n00:01 s sell 10 short", "up", None),
            ("00:01 l buy 50 long\n00:01 s sell 10 short", "down", ["long", "short"]),
            ("00:01 l buy 10 long\n00:01 s sell 50 short", "up", ["long", "short"]),
            ("00:01 l buy 10 long\n00:01 s sell 50 short", "down", None),
        ],
    )
    def test_cross_the_liquidation_price_shown_is_the_one_that_liquidates_both_sides(
        self, orders: str, words: str, sides: list[str] | None
    ) -> None:
        account = {"leverage": Decimal(10)}
        first = hedged(flat("00:00", 3), orders, cash="1000", account=account).snapshots[-1]
        (shown,) = {view.liquidation_price for view in first.positions}
        assert shown is not None
        assert (shown < 100) is orders.startswith("00:01 l buy 50")
        for beyond, liquidated in ((Decimal("0.1"), False), (Decimal(0), True)):
            reach = shown + beyond if shown < 100 else shown - beyond
            reach = reach if (words == "down") is (shown < 100) else 200 - reach
            low, high = min(reach, Decimal(100)), max(reach, Decimal(100))
            bars = flat("00:00", 3) + f"\n00:03 100 {high} {low} 100 1000"
            run = hedged(bars, orders, cash="1000", account=account)
            found = [order.order.position_side.value for order in run.messages(LiquidationOrder)]
            assert found == (sides if liquidated and sides else [])
            if found:
                assert held(run) == ("0", "0")
                assert 0 <= run.snapshots[-1].equity < 10

    def test_stops_of_a_side_come_before_its_liquidation(self) -> None:
        bars = flat("00:00", 3) + "\n00:03 100 100 60 60 1000\n" + flat("00:04", 3, price=60)
        orders = "00:01 l buy 50 long\n00:01 s sell 10 short\n00:02 x sell 50 stop 95 long"
        run = hedged(bars, orders, cash="1000", account={"leverage": Decimal(10)})
        assert run.told()[2:] == expect("00:04 x sell 50 @ 95 taker bar")
        assert not run.messages(LiquidationOrder)

    def test_the_liquidation_of_two_symbols_takes_every_side(self) -> None:
        bars = {A: flat("00:00", 3) + "\n00:03 100 100 50 50 1000", B: flat("00:00", 4)}
        orders = "00:01 l buy 60 long\n00:01 s sell 10 short\n00:01 b:BBBUSDT sell 5 short"
        run = hedged(bars, orders, cash="1000", account={"leverage": Decimal(10)})
        assert len(run.messages(LiquidationOrder)) == 3
        assert (held(run), held(run, B)) == (("0", "0"), ("0", "0"))
