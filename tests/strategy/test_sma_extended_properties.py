"""What the reference strategy keeps whatever the market does."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.strategy.trend_driver import drive

MOVES = st.lists(
    st.tuples(st.integers(90, 110), st.sampled_from(["whole", "part", "nothing", "cancel", "refuse"])), min_size=20, max_size=80
)
RULES = st.fixed_dictionaries(
    {
        "allow_short": st.booleans(),
        "allow_reentry": st.booleans(),
        "cooldown_bars": st.integers(0, 2),
        "tp_pct": st.sampled_from([None, 0.03]),
        "sl_pct": st.sampled_from([None, 0.03]),
        "trail_pct": st.sampled_from([None, 0.02]),
    }
)


@given(moves=MOVES, rules=RULES)
def test_never_more_than_one_entry_works_and_never_more_is_held_than_one_size(moves, rules):
    driver = drive((), **rules)
    for close, answer in moves:
        driver.candle(close)
        for _ in range(4):
            working = driver.ctx.open_orders()
            assert sum(1 for order in working if not order.reduce_only) <= 1
            assert sum(1 for order in working if order.reduce_only) <= 1
            if not working or answer == "nothing":
                break
            if answer == "part" and working[0].qty - working[0].filled_qty > Decimal("0.2"):
                driver.fill(close, qty="0.2")
            elif answer == "cancel":
                driver.cancel()
            elif answer == "refuse":
                driver.refuse()
                break
            else:
                driver.fill(close)
            assert abs(driver.ctx.position("BTCUSDT")) <= 1
            if not rules["allow_short"]:
                assert driver.ctx.position("BTCUSDT") >= 0


@given(closes=st.lists(st.integers(95, 105), min_size=4, max_size=120))
def test_it_is_long_exactly_while_fast_is_above_slow_when_fills_are_immediate(closes):
    driver = drive(())
    expected = 0
    for index, close in enumerate(closes):
        driver.candle(close)
        if driver.ctx.open_orders():
            driver.fill(close)
        if index >= 2:
            fast, slow = Decimal(sum(closes[index - 1 : index + 1])) * 3, Decimal(sum(closes[index - 2 : index + 1])) * 2
            expected = expected if fast == slow else int(fast > slow)
        assert driver.ctx.position("BTCUSDT") == expected
