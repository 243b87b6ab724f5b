"""Cash held for working orders comes back, whole."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from backtester.risk.order_rate import TokenBucket
from backtester.risk.reservations import Reservations
from tests.engine.test_routes import random_bars, trader
from tests.sim.small_run import A, B, Market, small_run


@given(amount=st.integers(0, 10**24), fills=st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_a_fill_releases_its_share_and_the_last_one_the_rest(amount: int, fills: list[int]) -> None:
    held, lots = Reservations(), sum(fills)
    held.hold("a", amount=amount, lots=lots)
    open_lots = lots
    for fill in fills:
        open_lots -= fill
        held.fill("a", open_lots=open_lots)
        exact = amount * open_lots
        assert exact <= held.total * lots <= exact + 10 * lots * lots
    assert (held.total, len(held)) == (0, 0)


def test_orders_unknown_to_it_hold_nothing() -> None:
    held = Reservations()
    held.hold("a", amount=5, lots=2)
    held.release("b")
    held.fill("b", open_lots=1)
    assert held.total == 5
    held.release("a")
    held.release("a")
    assert held.total == 0


@given(seed=st.integers(0, 2**32), market=st.sampled_from((Market.LINEAR, Market.SPOT)), latency_ms=st.sampled_from((0, 125)))
def test_nothing_is_reserved_when_nothing_works(seed: int, market: Market, latency_ms: int) -> None:
    rng = random.Random(seed)
    run = small_run(
        {A: random_bars(rng), B: random_bars(rng)},
        trader(seed),
        market=market,
        cash=rng.choice(("300", "100000")),
        fee_bps=("10", "10"),
        participation_bps=1000,
        order_latency_ms=latency_ms,
        response_latency_ms=latency_ms,
    )
    assert run.engine.risk.reservations.total == 0
    assert len(run.engine.risk.reservations) == 0


@given(
    per_second=st.integers(1, 5 * 10**8),
    burst=st.integers(1, 5),
    steps=st.lists(st.integers(0, 3_000), max_size=40),
)
def test_a_bucket_never_lets_more_pass_than_burst_plus_rate(per_second: int, burst: int, steps: list[int]) -> None:
    bucket = TokenBucket(per_second_e8=per_second, burst=burst, now_ms=0)
    passed: list[int] = []
    now_ms = 0
    for step in steps:
        now_ms += step
        if bucket.take(now_ms):
            passed.append(now_ms)
        for index, start_ms in enumerate(passed):
            count = len(passed) - index
            assert count * 10**11 <= burst * 10**11 + (passed[-1] - start_ms) * per_second


def test_a_bucket_is_full_at_the_start_and_never_fuller() -> None:
    bucket = TokenBucket(per_second_e8=10**8, burst=2, now_ms=0)
    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(1_000_000) for _ in range(3)] == [True, True, False]
    assert bucket.take(1_000_999) is False
    assert bucket.take(1_001_000) is True
