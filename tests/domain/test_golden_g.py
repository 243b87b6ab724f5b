"""Worked examples G that are formulas: what a book gives, rounding, price bands, trailing stops, smallest orders."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.config.venue_rules import venue_status
from backtester.domain.book_walk import BookWalk, walk_book
from backtester.domain.costs import charged_fee
from backtester.domain.errors import DomainError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import PRICE_ONE
from backtester.domain.price_bands import (
    PriceBand,
    band_breach,
    futures_band,
    is_price_protected,
    percent_price_band,
    price_within_band,
    rounded_band,
    spot_band,
    tolerance_price,
    usd_m_percent_price_code,
)
from backtester.domain.queue_position import ahead_after_amend
from backtester.domain.rounding import (
    fill_price_ticks,
    lots_decimal,
    price_ticks,
    qty_lots,
    size_breach,
    smallest_opening_lots,
    ticks_decimal,
)
from backtester.domain.trailing import (
    is_activated,
    is_triggered,
    moved_extreme,
    trigger_by_bps,
    trigger_by_distance,
    worst_exit,
)
from backtester.domain.vocabulary import Market, RejectReason, Side
from tests.domain.golden_match import decimals, matches
from tests.domain.hostile_decimals import unchanged_by_hostility

ASKS = [decimals("100.0", "3"), decimals("100.1", "2"), decimals("100.3", "5")]
BIDS = [decimals("4000", "1"), decimals("3999", "5")]
LIMIT = Decimal("100.1")


def spec(tick: str, step: str, *, min_notional: str, **limits: Decimal) -> SymbolSpec:
    return SymbolSpec(
        symbol="BTCUSDT",
        exchange="bybit",
        market=Market.LINEAR,
        base="BTC",
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(step),
        min_qty=Decimal(step),
        min_notional=Decimal(min_notional),
        **limits,
    )


def test_g01_fill_or_kill_takes_nothing_when_the_book_is_short() -> None:
    order = {"side": Side.BUY, "levels": ASKS, "limit_price": LIMIT, "all_or_nothing": True}
    short = unchanged_by_hostility(lambda: walk_book(qty=Decimal(6), **order))
    assert short == BookWalk(fills=(), filled=Decimal(0), rest=Decimal(6), average_price=None)
    words = {"bybit_linear": "Cancelled", "bybit_spot": "Cancelled", "binance_spot": "EXPIRED", "binance_um": "rejected -5021"}
    assert {venue: venue_status(venue=venue, walk=short, all_or_nothing=True) for venue in words} == words
    enough = walk_book(qty=Decimal(5), **order)
    assert (enough.filled, enough.rest) == (5, 0)
    assert venue_status(venue="binance_um", walk=enough, all_or_nothing=True) == "FILLED"


def test_g03_immediate_or_cancel_takes_what_is_there() -> None:
    walk = unchanged_by_hostility(lambda: walk_book(side=Side.BUY, qty=Decimal(10), levels=ASKS, limit_price=LIMIT))
    assert (walk.filled, walk.rest, walk.average_price) == decimals("5", "5", "100.04")
    assert walk.fills == tuple(ASKS[:2])
    words = {
        "bybit_linear": "Cancelled",
        "bybit_spot": "PartiallyFilledCanceled",
        "binance_spot": "EXPIRED",
        "binance_um": "EXPIRED",
    }
    assert {venue: venue_status(venue=venue, walk=walk) for venue in words} == words


def test_g04_what_a_book_cannot_give_a_market_order_expires() -> None:
    walk = unchanged_by_hostility(lambda: walk_book(side=Side.SELL, qty=Decimal(10), levels=BIDS))
    assert (walk.filled, walk.rest) == (6, 4)
    assert matches(walk.average_price, "3999.166666666666666666666667")
    assert venue_status(venue="binance_spot", walk=walk) == "EXPIRED"


def test_a_walk_that_fills_whole_is_filled_and_one_beyond_the_limit_is_not() -> None:
    assert venue_status(venue="bybit_spot", walk=walk_book(side=Side.BUY, qty=Decimal(1), levels=ASKS)) == "Filled"
    nothing = walk_book(side=Side.BUY, qty=Decimal(1), levels=ASKS, limit_price=Decimal(99))
    assert (nothing.filled, venue_status(venue="bybit_spot", walk=nothing)) == (0, "Cancelled")
    with pytest.raises(DomainError, match="nowhere"):
        venue_status(venue="nowhere", walk=nothing)
    with pytest.raises(DomainError, match="came too late"):
        walk_book(side=Side.SELL, qty=Decimal(100), levels=ASKS)


def test_g09_everything_is_rounded_against_the_trader_and_checked_again() -> None:
    rules = spec("0.1", "0.001", min_notional="5")
    assert ticks_decimal(price_ticks("100.07", spec=rules, side=Side.BUY), rules) == 100
    assert ticks_decimal(price_ticks("100.03", spec=rules, side=Side.SELL), rules) == Decimal("100.1")
    for side, raw, filled in ((Side.BUY, "100.03", "100.1"), (Side.SELL, "99.97", "99.9")):
        raw_e8 = int(Decimal(raw) * PRICE_ONE)
        ticks = fill_price_ticks(raw_e8, numerator=1, denominator=1, tick_e8=rules.tick_e8, side=side)
        assert ticks_decimal(ticks, rules) == Decimal(filled)
    lots = qty_lots("0.0199", spec=rules)
    assert lots_decimal(lots, rules) == Decimal("0.019")
    assert lots_decimal(lots, rules) * 100 == Decimal("1.9")
    assert size_breach(lots=lots, price=100, spec=rules, is_closing=False) is RejectReason.MIN_NOTIONAL
    assert size_breach(lots=lots, price=100, spec=rules, is_closing=True) is None
    assert charged_fee(Decimal("0.000000011")) == Decimal("0.00000002")


def test_g10_a_price_must_lie_within_its_share_of_the_mark() -> None:
    band = unchanged_by_hostility(lambda: percent_price_band(reference=Decimal(60000), up=Decimal("1.05"), down=Decimal("0.95")))
    assert band == PriceBand(buy_max=Decimal(63000), sell_min=Decimal(57000))
    assert band_breach(band, side=Side.BUY, price=Decimal("63000.1")) is RejectReason.PRICE_BAND
    assert band_breach(band, side=Side.SELL, price=Decimal("56999.9")) is RejectReason.PRICE_BAND
    for side, price in ((Side.BUY, 40000), (Side.BUY, 63000), (Side.SELL, 57000), (Side.SELL, 90000)):
        assert band_breach(band, side=side, price=Decimal(price)) is None
    assert [usd_m_percent_price_code(side) for side in (Side.BUY, Side.SELL)] == ["-4016", "-4024"]


def test_g12_spot_limits_follow_the_index_and_its_premium() -> None:
    rule = {"index": Decimal(60000), "near_frac": Decimal("0.005"), "far_frac": Decimal("0.01")}
    band = unchanged_by_hostility(lambda: spot_band(**rule, premium_quote=Decimal(120)))
    assert band == PriceBand(buy_max=Decimal(60420), sell_min=Decimal(59820))
    assert spot_band(**rule, premium_quote=Decimal(5000)) == PriceBand(buy_max=Decimal(60600), sell_min=Decimal(60000))
    assert spot_band(**rule, premium_quote=Decimal(-5000)) == PriceBand(buy_max=Decimal(60000), sell_min=Decimal(59400))


def test_futures_limits_follow_the_mark_and_move_an_order_to_them() -> None:
    band = futures_band(
        mark=Decimal(60000),
        index=Decimal(60100),
        near_frac=Decimal("0.01"),
        far_frac=Decimal("0.02"),
        premium_weight_frac=Decimal("0.5"),
        premium_quote=Decimal(100),
    )
    assert band == PriceBand(buy_max=Decimal(60650), sell_min=Decimal(59400))
    assert price_within_band(band, side=Side.BUY, price=Decimal(70000)) == 60650
    assert price_within_band(band, side=Side.SELL, price=Decimal(50000)) == 59400
    assert price_within_band(band, side=Side.SELL, price=Decimal(70000)) == 70000
    odd = PriceBand(buy_max=Decimal("100.07"), sell_min=Decimal("99.93"))
    assert rounded_band(odd, tick_size=Decimal("0.1")) == PriceBand(buy_max=Decimal(100), sell_min=Decimal(100))


@pytest.mark.parametrize(
    ("side", "delta_bps", "extreme", "trigger"),
    [
        (Side.SELL, "1000", "41000", "36900"),
        (Side.BUY, "500", "42000", "44100"),
        (Side.BUY, "850", "37000", "40145"),
        (Side.SELL, "750", "46500", "43012.5"),
    ],
)
def test_g13_a_trailing_stop_triggers_at_its_distance_from_the_extreme(
    side: Side, delta_bps: str, extreme: str, trigger: str
) -> None:
    best, delta = decimals(extreme, delta_bps)
    found = unchanged_by_hostility(lambda: trigger_by_bps(side=side, extreme=best, delta_bps=delta))
    assert found == Decimal(trigger)
    assert trigger_by_distance(side=side, extreme=best, distance_quote=abs(best - found)) == found
    assert is_triggered(side=side, trigger=found, price=found)
    assert not is_triggered(side=side, trigger=found, price=best)
    assert moved_extreme(side=side, extreme=best, price=found) == best
    assert moved_extreme(side=side.opposite, extreme=best, price=found) == found


def test_a_trailing_stop_starts_where_it_was_told() -> None:
    assert is_activated(side=Side.SELL, activation=None, price=Decimal(1))
    for side, price, starts in ((Side.SELL, 99, False), (Side.SELL, 100, True), (Side.BUY, 101, False), (Side.BUY, 100, True)):
        assert is_activated(side=side, activation=Decimal(100), price=Decimal(price)) is starts


@pytest.mark.parametrize(
    ("side", "before", "extreme", "exit_price"),
    [
        (Side.SELL, "95", "90", "95"),  # the old stop was reached
        (Side.SELL, "95", "97", "97"),  # only the raised stop can have been reached: at the low at worst
        (Side.BUY, "105", "110", "105"),
        (Side.BUY, "105", "103", "103"),
    ],
)
def test_a_hidden_order_of_events_exits_at_the_worse_of_what_is_possible(
    side: Side, before: str, extreme: str, exit_price: str
) -> None:
    assert worst_exit(side=side, trigger_before=Decimal(before), adverse_extreme=Decimal(extreme)) == Decimal(exit_price)


def test_g17_only_a_smaller_quantity_keeps_its_place() -> None:
    order = {"ahead": Decimal(1), "behind": Decimal(4)}
    assert ahead_after_amend(**order, is_only_smaller=True, venue_keeps_place=True) == 1
    for smaller, keeps in ((True, False), (False, True), (False, False)):
        assert ahead_after_amend(**order, is_only_smaller=smaller, venue_keeps_place=keeps) == 5


def test_g18_opening_needs_the_minimum_notional_and_closing_does_not() -> None:
    rules = spec("0.1", "0.001", min_notional="100")
    least = unchanged_by_hostility(lambda: smallest_opening_lots(spec=rules, price=60000))
    assert lots_decimal(least, rules) == Decimal("0.002")
    one = qty_lots("0.001", spec=rules)
    assert size_breach(lots=one, price=60000, spec=rules, is_closing=False) is RejectReason.MIN_NOTIONAL
    assert size_breach(lots=one, price=60000, spec=rules, is_closing=True) is None
    half = qty_lots("0.0005", spec=rules)
    assert size_breach(lots=half, price=60000, spec=rules, is_closing=True) is RejectReason.MIN_QTY


def test_a_size_has_an_upper_end_too() -> None:
    rules = spec("0.1", "0.001", min_notional="5", max_qty=Decimal(10), max_notional=Decimal(100_000))
    assert size_breach(lots=10_001, price=1, spec=rules, is_closing=False) is RejectReason.MAX_QTY
    assert size_breach(lots=10_000, price=10_001, spec=rules, is_closing=False) is RejectReason.MAX_NOTIONAL
    assert size_breach(lots=10_000, price=10_000, spec=rules, is_closing=False) is None
    assert size_breach(lots=10_001, price=1, spec=rules, is_closing=True) is None


def test_a_market_order_has_a_price_it_will_not_pass() -> None:
    assert tolerance_price(side=Side.BUY, best=Decimal(100), tolerance_frac=Decimal("0.01")) == 101
    assert tolerance_price(side=Side.SELL, best=Decimal(100), tolerance_frac=Decimal("0.01")) == 99
    apart = {"mark": Decimal(100), "protect_frac": Decimal("0.05")}
    assert is_price_protected(last=Decimal("105.01"), **apart)
    assert not is_price_protected(last=Decimal(95), **apart)


prices = st.decimals(min_value=Decimal("0.1"), max_value=10**5, places=1)
quantities = st.decimals(min_value=Decimal("0.001"), max_value=100, places=3)


@given(
    steps=st.lists(st.tuples(st.integers(1, 50), quantities), max_size=8),
    qty=quantities,
    limit=st.none() | st.integers(900, 1200),
    side=st.sampled_from(Side),
    kill=st.booleans(),
)
def test_a_walk_conserves_size_and_keeps_its_limit(
    steps: list[tuple[int, Decimal]], qty: Decimal, limit: int | None, side: Side, kill: bool
) -> None:
    at, levels = 1000, []
    for step, size in steps:
        at += side.sign * step
        levels.append((Decimal(at), size))
    bound = None if limit is None else Decimal(limit)
    walk = walk_book(side=side, qty=qty, levels=levels, limit_price=bound, all_or_nothing=kill)
    assert Fraction(walk.filled) + Fraction(walk.rest) == Fraction(qty)
    assert sum(Fraction(size) for _, size in walk.fills) == Fraction(walk.filled)
    assert all(bound is None or (price - bound) * side.sign <= 0 for price, _ in walk.fills)
    assert not (kill and walk.filled) or walk.rest == 0
    reachable = sum(Fraction(size) for price, size in levels if bound is None or (price - bound) * side.sign <= 0)
    assert kill or Fraction(walk.filled) == min(reachable, Fraction(qty))


@given(price=prices, notional=st.integers(1, 1000), step=st.sampled_from(("0.001", "1", "0.0003")))
def test_the_smallest_opening_size_opens_and_one_lot_less_does_not(price: Decimal, notional: int, step: str) -> None:
    rules = spec("0.1", step, min_notional=str(notional))
    least = smallest_opening_lots(spec=rules, price=price)
    assert size_breach(lots=least, price=price, spec=rules, is_closing=False) is None
    assert size_breach(lots=least - 1, price=price, spec=rules, is_closing=False) is not None


@given(side=st.sampled_from(Side), extreme=prices, delta=st.integers(1, 9999))
def test_a_trigger_lies_on_the_losing_side_of_its_extreme(side: Side, extreme: Decimal, delta: int) -> None:
    trigger = trigger_by_bps(side=side, extreme=extreme, delta_bps=Decimal(delta))
    assert trigger < extreme if side is Side.SELL else trigger > extreme
    assert abs(Fraction(trigger) - Fraction(extreme)) == Fraction(extreme) * delta / 10_000


def test_a_trail_of_everything_is_refused() -> None:
    with pytest.raises(DomainError, match="delta_bps must be below"):
        trigger_by_bps(side=Side.SELL, extreme=Decimal(1), delta_bps=Decimal(10_000))
