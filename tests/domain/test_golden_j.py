"""Worked examples J: queues, what is left of a level, protection prices, recorded latency."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isclose, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.book_walk import walk_book
from backtester.domain.errors import DomainError
from backtester.domain.impact import lean_volume_share_quote, zipline_volume_share
from backtester.domain.latency_series import EntryLatency, LatencySample, entry_latency
from backtester.domain.price_bands import protection_price
from backtester.domain.queue_position import (
    BehindModel,
    after_trade,
    ahead_probabilistic,
    ahead_risk_averse,
    available_qty,
    behind_probability,
    consumed_after_take,
    consumed_after_update,
)
from backtester.domain.vocabulary import Side
from tests.domain.golden_match import decimals
from tests.domain.hostile_decimals import unchanged_by_hostility


def test_j01_only_what_exceeds_the_queue_fills_us() -> None:
    ahead, open_qty, found = Decimal(100), Decimal(50), []
    for trade in ("80", "30", "50"):
        step = unchanged_by_hostility(
            lambda ahead=ahead, open_qty=open_qty, trade=trade: after_trade(
                ahead=ahead, open_qty=open_qty, trade_qty=Decimal(trade)
            )
        )
        ahead, open_qty = step.ahead, step.open_qty
        found.append((step.ahead, step.filled))
    assert found == [(20, 0), (0, 10), (0, 40)]
    assert open_qty == 0


def test_j02_whoever_cancels_stood_behind_us() -> None:
    assert ahead_risk_averse(ahead=Decimal(100), level_qty=Decimal(150)) == 100
    assert ahead_risk_averse(ahead=Decimal(100), level_qty=Decimal(60)) == 60


@pytest.mark.parametrize(
    ("model", "power", "probability"),
    [
        (BehindModel.POWER_RATIO, 1, 50 / 150),
        (BehindModel.POWER_RATIO, 2, 2500 / 12500),
        (BehindModel.POWER_TOTAL, 2, 2500 / 22500),
        (BehindModel.POWER_SHARE, 2, 1 - (100 / 150) ** 2),
        (BehindModel.LOG_RATIO, 1, log(51) / (log(51) + log(101))),
        (BehindModel.LOG_TOTAL, 1, log(51) / log(151)),
    ],
)
def test_a_decrease_is_shared_between_front_and_back(model: BehindModel, power: int, probability: float) -> None:
    """Front 100, back 50, decrease 30."""
    found = unchanged_by_hostility(
        lambda: behind_probability(model=model, front=Decimal(100), back=Decimal(50), power=Decimal(power))
    )
    assert isclose(found, probability, rel_tol=1e-12)
    level = {"ahead": Decimal(100), "level_qty_before": Decimal(150), "model": model, "power": Decimal(power)}
    ahead = ahead_probabilistic(level_qty=Decimal(120), traded_qty=Decimal(0), **level)
    expected = 100 - (1 - probability) * 30 + min(50 - probability * 30, 0)
    assert isclose(ahead, expected, rel_tol=1e-12)
    assert ahead_probabilistic(level_qty=Decimal(120), traded_qty=Decimal(30), **level) == 100
    assert ahead_probabilistic(level_qty=Decimal(200), traded_qty=Decimal(0), **level) == 100


def test_an_empty_queue_has_nobody_ahead() -> None:
    assert behind_probability(model=BehindModel.LOG_TOTAL, front=Decimal(0), back=Decimal(0)) == 1
    assert behind_probability(model=BehindModel.POWER_RATIO, front=Decimal(5), back=Decimal(0)) == 0


def test_j04_a_level_is_consumed_until_it_is_told_anew() -> None:
    level, consumed, left = Decimal(100), Decimal(0), []
    for take in decimals("30", "50"):
        consumed = consumed_after_take(level_qty=level, consumed_qty=consumed, take_qty=take)
        left.append(available_qty(level_qty=level, consumed_qty=consumed))
    assert left == [70, 20]
    with pytest.raises(DomainError, match="cannot be taken"):
        consumed_after_take(level_qty=level, consumed_qty=consumed, take_qty=Decimal(21))
    assert consumed_after_update(level_qty_before=level, level_qty=level, consumed_qty=consumed) == 80
    renewed = consumed_after_update(level_qty_before=level, level_qty=Decimal(120), consumed_qty=consumed)
    assert available_qty(level_qty=Decimal(120), consumed_qty=renewed) == 120


def test_j05_a_market_order_is_not_filled_beyond_its_protection() -> None:
    quote = {"points": 100, "increment": Decimal("0.01")}
    boundary = unchanged_by_hostility(lambda: protection_price(side=Side.BUY, best=Decimal("1001.00"), **quote))
    assert boundary == 1002
    assert protection_price(side=Side.SELL, best=Decimal("1001.00"), **quote) == 1000
    asks = [decimals("1001", "1"), decimals("1002", "1"), decimals("1002.01", "1")]
    assert walk_book(side=Side.BUY, qty=Decimal(3), levels=asks, limit_price=boundary).filled == 2
    with pytest.raises(DomainError, match="points"):
        protection_price(side=Side.BUY, best=Decimal(1), points=-1, increment=Decimal(1))


def test_j07_a_bar_without_volume_costs_nothing_there_and_fills_nothing_here() -> None:
    assert lean_volume_share_quote(qty=Decimal(1), volume=Decimal(0), price=Decimal(100)) == 0
    nothing = zipline_volume_share(side=Side.BUY, qty=Decimal(1), close=Decimal(100), volume=Decimal(0))
    assert (nothing.filled, nothing.price) == (0, None)
    assert lean_volume_share_quote(qty=Decimal(1), volume=Decimal(100), price=Decimal(100)) == Decimal("0.001")
    assert lean_volume_share_quote(qty=Decimal(50), volume=Decimal(100), price=Decimal(100)) == Decimal("0.00625")


SAMPLES = (
    LatencySample(request_ms=1000, venue_ms=1010, response_ms=1015),
    LatencySample(request_ms=2000, venue_ms=2050, response_ms=2070),
    LatencySample(request_ms=3000, venue_ms=None, response_ms=3100),
)


@pytest.mark.parametrize(
    ("time_ms", "latency_ms", "is_rejected"),
    [
        (0, 10, False),
        (1000, 10, False),
        (1500, 30, False),
        (1999, 49, False),
        (2000, 70, True),  # from here on the next answer is a refusal: the time is that to the answer
        (2500, 85, True),
        (9000, 100, True),
    ],
)
def test_latency_is_linear_between_recorded_orders(time_ms: int, latency_ms: int, is_rejected: bool) -> None:
    assert entry_latency(SAMPLES, time_ms=time_ms) == EntryLatency(latency_ms, is_rejected)


def test_falling_latency_is_cut_toward_the_earlier_sample() -> None:
    falling = (LatencySample(0, 50, 60), LatencySample(3, 43, 50))
    assert [entry_latency(falling, time_ms=time).latency_ms for time in range(4)] == [50, 47, 44, 40]


def test_a_series_that_is_none_is_refused() -> None:
    with pytest.raises(DomainError, match="at least one sample"):
        entry_latency((), time_ms=0)
    with pytest.raises(DomainError, match="in order of sending"):
        entry_latency(SAMPLES[::-1], time_ms=0)
    with pytest.raises(DomainError, match="before it was sent"):
        entry_latency((LatencySample(10, 5, 20),), time_ms=0)


quantities = st.decimals(min_value=0, max_value=1000, places=3)


@given(
    ahead=quantities,
    behind=quantities,
    now=quantities,
    traded=quantities,
    model=st.sampled_from(BehindModel),
    power=st.sampled_from((1, 2, 3)),
)
def test_a_queue_never_grows_ahead_of_us(
    ahead: Decimal, behind: Decimal, now: Decimal, traded: Decimal, model: BehindModel, power: int
) -> None:
    assert 0 <= behind_probability(model=model, front=ahead, back=behind, power=Decimal(power)) <= 1
    found = ahead_probabilistic(
        ahead=ahead,
        level_qty_before=ahead + behind,
        level_qty=now,
        traded_qty=traded,
        model=model,
        power=Decimal(power),
    )
    assert 0 <= found <= min(ahead, now)
    assert found <= ahead_risk_averse(ahead=ahead, level_qty=now)


@given(ahead=quantities, open_qty=quantities, trade=quantities)
def test_a_trade_serves_the_queue_then_us_then_others(ahead: Decimal, open_qty: Decimal, trade: Decimal) -> None:
    step = after_trade(ahead=ahead, open_qty=open_qty, trade_qty=trade)
    served = Fraction(ahead) - Fraction(step.ahead)
    assert Fraction(step.filled) + Fraction(step.open_qty) == Fraction(open_qty)
    assert served + Fraction(step.filled) <= Fraction(trade)
    assert not step.filled or step.ahead == 0
