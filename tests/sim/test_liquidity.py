"""The share of a bar's volume: whole lots, never more than allowed, taken once."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.candle import Candle
from backtester.sim.liquidity import BarLiquidity, volume_e8
from tests.sim.small_run import A, B, spec


def bar(volume: float, *, symbol: str = A, start_ms: int = 0) -> Candle:
    return Candle(symbol, "1m", start_ms, start_ms + 60_000, 100, 100, 100, 100, volume)


@given(e8=st.integers(0, 10**18))
def test_a_volume_of_up_to_eight_decimals_is_exact_or_rounded_down(e8: int) -> None:
    volume = e8 / 10**8
    exact = Fraction(repr(volume)) * 10**8
    assert volume_e8(volume) == (exact if exact.denominator == 1 else int(exact))


@given(
    volume=st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
    bps=st.decimals("0.01", 10_000, places=2),
    asks=st.lists(st.integers(1, 10**6), max_size=8),
)
def test_all_that_is_taken_of_a_bar_stays_within_the_share(volume: float, bps: Decimal, asks: list[int]) -> None:
    liquidity, rules = BarLiquidity(bps), spec()
    taken = 0
    for ask in asks:
        left = liquidity.left_lots(bar(volume), rules)
        assert left is not None
        lots = min(ask, left)
        if lots:
            liquidity.use(bar(volume), lots)
        taken += lots
    allowed = Fraction(repr(volume)) * Fraction(bps) / 10_000 / Fraction(rules.lot_size)
    assert taken <= allowed
    assert liquidity.left_lots(bar(volume), rules) == int(allowed) - taken


def test_each_bar_and_each_symbol_has_a_share_of_its_own() -> None:
    liquidity = BarLiquidity(Decimal(1000))
    liquidity.use(bar(10), 900)
    assert liquidity.left_lots(bar(10), spec()) == 100
    assert liquidity.left_lots(bar(10, symbol=B), spec(B)) == 1000
    assert liquidity.left_lots(bar(10, start_ms=60_000), spec()) == 1000


def test_what_was_taken_above_the_share_leaves_nothing_not_less() -> None:
    liquidity = BarLiquidity(Decimal(1000))
    liquidity.use(bar(10), 5_000)
    assert liquidity.left_lots(bar(10), spec()) == 0


def test_zero_switches_the_cap_off() -> None:
    assert BarLiquidity(Decimal(0)).left_lots(bar(0), spec()) is None
