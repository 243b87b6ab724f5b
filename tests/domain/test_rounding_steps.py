"""Rounding where a tick, or a lot, is several of what a run counts in."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtester.domain.errors import ConfigError
from backtester.domain.rounding import on_step, price_ticks, qty_lots, smallest_opening_lots
from backtester.domain.vocabulary import Side
from tests.sim.small_run import spec

prices = st.decimals("0.11", "99999", places=4)
sizes = st.decimals("0.0011", "9999", places=6)
steps = st.integers(1, 60)


@given(prices, sizes, st.sampled_from(Side))
def test_with_steps_of_one_nothing_differs(price: Decimal, size: Decimal, side: Side) -> None:
    plain = spec()
    assert (plain.tick_step, plain.lot_step, plain.tick_e8, plain.lot_e8) == (1, 1, 10_000_000, 100_000)
    exact = price / plain.tick_size
    rounded = exact.to_integral_value("ROUND_FLOOR" if side is Side.BUY else "ROUND_CEILING")
    assert price_ticks(price, spec=plain, side=side) == rounded
    assert qty_lots(size, spec=plain) == (size / plain.lot_size).to_integral_value("ROUND_FLOOR")
    assert on_step(int(rounded), 1, up=True) == on_step(int(rounded), 1, up=False) == rounded


@given(prices, sizes, st.sampled_from(Side), steps, steps)
def test_orders_are_rounded_as_if_the_run_counted_in_the_tick_and_lot(
    price: Decimal, size: Decimal, side: Side, tick_step: int, lot_step: int
) -> None:
    """Whatever a run counts in, price and size are the same."""
    steps_e8 = {"tick_size": tick_step * Decimal("0.01"), "lot_size": lot_step * Decimal("0.0001"), "min_qty": Decimal(0)}
    whole = spec(**steps_e8)
    parts = replace(whole, tick_step=tick_step, lot_step=lot_step)
    assert (parts.tick_e8, parts.lot_e8) == (1_000_000, 10_000)
    ticks, lots = price_ticks(price, spec=parts, side=side), qty_lots(size, spec=parts)
    assert (ticks * parts.tick_e8, ticks % tick_step) == (price_ticks(price, spec=whole, side=side) * whole.tick_e8, 0)
    assert (lots * parts.lot_e8, lots % lot_step) == (qty_lots(size, spec=whole) * whole.lot_e8, 0)
    least = smallest_opening_lots(spec=replace(parts, min_notional=Decimal(5)), price=price)
    assert least * parts.lot_e8 == smallest_opening_lots(spec=replace(whole, min_notional=Decimal(5)), price=price) * whole.lot_e8


@pytest.mark.parametrize("given", [{"tick_step": 3}, {"lot_step": 7}, {"tick_step": 0}, {"lot_step": -1}])
def test_a_step_that_is_no_whole_part_is_an_error(given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="whole parts"):
        replace(spec(), **given)
