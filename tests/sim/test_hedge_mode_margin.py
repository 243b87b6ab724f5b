"""Cross margin in hedge mode, by chance: the price shown is the price that liquidates, and nothing is owed after it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backtester import Market
from backtester.domain.orders import LiquidationOrder
from backtester.domain.tiers import LeverageTier
from tests.sim.small_run import A, SmallRun, flat, small_run, spec

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
