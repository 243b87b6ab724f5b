"""Hypothesis strategies: random markets with gaps and empty bars, random scripts, random settings."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.oracle.scenario import Action, Bar, Rules, Script

BAR_MS = 60_000
START_MS = 1_746_403_200_000
"""2025-05-05 00:00 UTC: the start of a bucket of every timeframe up to a week."""


def search(examples: int) -> settings:
    """Settings of a search over whole runs; the nightly profile looks twenty times as long."""
    factor = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1
    unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(deadline=None, max_examples=examples * factor, suppress_health_check=unhurried)


def exact(value: float) -> Fraction:
    """The value at its shortest decimal form."""
    return Fraction(repr(value))


def make_bars(seed: int, count: int, *, missing: float = 0.05, empty: float = 0.05, price_ticks: int = 10_000) -> list[Bar]:
    """`count` minutes of a random walk in whole hundredths; inner minutes may be missing, some have no volume."""
    rng = random.Random(seed)
    bars, last = [], price_ticks
    for index in range(count):
        opened = max(100, last + rng.choice((0, 0, 0, rng.randint(-20, 20))))
        last = max(100, opened + rng.randint(-30, 30))
        high, low = max(opened, last) + rng.randint(0, 15), max(1, min(opened, last) - rng.randint(0, 15))
        lots = 0 if rng.random() < empty else rng.randint(1, 5_000)
        if 0 < index < count - 1 and rng.random() < missing:
            continue
        start_ms = START_MS + index * BAR_MS
        prices = [Fraction(ticks, 100) for ticks in (opened, high, low, last)]
        bars.append(Bar(start_ms, start_ms + BAR_MS, *prices, Fraction(lots, 1000)))
    return bars


def order_actions(order_id: str, *, spot: bool) -> st.SearchStrategy[Action]:
    """One new order: market or limit around the price, sometimes IOC, sometimes reduce-only."""
    lots = st.one_of(st.integers(1, 30), st.integers(1, 900))
    market = st.builds(
        Action,
        st.just("market"),
        st.just(order_id),
        st.booleans(),
        lots,
        ioc=st.sampled_from((False, False, False, True)),
        reduce_only=st.sampled_from((False, False, False, True)),
    )
    limit = st.builds(
        Action,
        st.just("limit"),
        st.just(order_id),
        st.booleans(),
        lots,
        st.integers(-25, 25),
        ioc=st.sampled_from((False, False, False, True)),
        reduce_only=st.sampled_from((False, False, False, True)),
    )
    flatten = st.just(Action("flatten", order_id))
    return st.one_of(market, limit, limit, flatten) if not spot else st.one_of(market, limit, limit)


@st.composite
def scripts(draw: st.DrawFn, symbols: tuple[str, ...], candles: int, *, spot: bool = False) -> Script:
    """Orders at random candles, cancels of some of them later, and reactions to some first fills."""
    on_candle: dict[tuple[str, int], list[Action]] = {}
    on_fill: dict[str, list[Action]] = {}
    for number in range(draw(st.integers(1, 14))):
        symbol, index = draw(st.sampled_from(symbols)), draw(st.integers(0, candles - 1))
        order_id = f"o{number}"
        on_candle.setdefault((symbol, index), []).append(draw(order_actions(order_id, spot=spot)))
        fate = draw(st.integers(0, 4))
        if fate == 0:
            later = index + draw(st.integers(1, 4))
            on_candle.setdefault((symbol, later), []).append(Action("cancel", target=order_id))
        elif fate == 1:
            on_fill[order_id] = [draw(order_actions(f"r{number}", spot=spot).filter(lambda action: action.kind != "flatten"))]
    return Script(on_candle, on_fill)


COSTS = {"spread_bps": Decimal(0), "slippage_bps": Decimal(0), "maker_bps": Decimal(0), "taker_bps": Decimal(0)}


@st.composite
def rule_sets(draw: st.DrawFn, *, spot: bool = False) -> Rules:
    """Settings: the defaults half of the time, else each drawn by itself; costs on or all zero."""
    costs: dict[str, Any] = {} if draw(st.booleans()) else dict(COSTS)
    if draw(st.booleans()):
        return Rules(spot=spot, tick=Decimal("0.01"), **costs)
    if not costs:
        costs = {
            "spread_bps": draw(st.sampled_from((Decimal(0), Decimal("0.5"), Decimal(7)))),
            "slippage_bps": draw(st.sampled_from((Decimal(0), Decimal("1.25"), Decimal(12)))),
            "maker_bps": draw(st.sampled_from((Decimal(0), Decimal("1.8"), Decimal(2)))),
            "taker_bps": draw(st.sampled_from((Decimal(0), Decimal("5.5"), Decimal(10)))),
        }
    # no latency is a whole number of bars: what is sent then meets the work of earlier orders at the very instant of an open
    order_ms = draw(st.sampled_from((0, 1, 125, 29_999, 30_000, 59_999, 60_000, 90_000)))
    return Rules(
        signal_ms=draw(st.sampled_from((60_000, 60_000, 180_000, 300_000))),
        order_latency_ms=order_ms,
        cancel_latency_ms=max(1, order_ms, draw(st.sampled_from((1, 125, 45_000)))),
        response_latency_ms=draw(st.sampled_from((0, 1, 125, 70_000))),
        participation_bps=draw(st.sampled_from((Decimal(0), Decimal(50), Decimal(1000), Decimal(10_000)))),
        carry=draw(st.booleans()),
        work_bars=draw(st.sampled_from((1, 2, 3, 60))),
        through=draw(st.booleans()),
        spot=spot,
        tick=Decimal("0.01"),
        **costs,
    )


@st.composite
def markets(draw: st.DrawFn, symbols: tuple[str, ...], count: int) -> Mapping[str, list[Bar]]:
    """Bars of each symbol over the same stretch, each with its own gaps."""
    missing = draw(st.sampled_from((0.0, 0.05, 0.3)))
    empty = draw(st.sampled_from((0.0, 0.05, 0.3)))
    return {symbol: make_bars(draw(st.integers(0, 10**6)), count, missing=missing, empty=empty) for symbol in symbols}
