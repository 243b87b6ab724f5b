"""Bounds of instruments in whole numbers: what is allowed at the ends, and that they are the formulas of the venues."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.money import PRICE_ONE
from backtester.domain.order_bounds import OrderBounds, PriceBand, order_bounds
from backtester.domain.price_bands import band_breach, futures_band, percent_price_band, spot_band
from backtester.domain.vocabulary import Market, Side

D = Decimal
PRICES = st.integers(1, 10**14)
RATIOS = st.integers(1, 5000).map(lambda bps: D(bps) / 10_000)


def bounds(market: Market = Market.LINEAR, **said: object) -> OrderBounds | None:
    rules: dict[str, Any] = {"max_market_qty": None, "min_price": None, "max_price": None, "price_band": None, **said}
    return order_bounds(market=market, **rules)


def in_e8(price_e8: int) -> Decimal:
    return D(price_e8).scaleb(-8)


def test_what_the_venue_did_not_say_bounds_nothing() -> None:
    assert bounds() is None
    assert bounds(price_band=PriceBand()) is None


def test_numbers_of_more_decimals_are_rounded_to_the_inside() -> None:
    assert bounds(max_market_qty=D("0.123456789"), min_price=D("0.0000000011"), max_price=D("1.000000009")) == OrderBounds(
        12_345_678, 1, PRICE_ONE
    )


@given(price_e8=PRICES, reference_e8=PRICES, up=RATIOS, down=RATIOS, side=st.sampled_from(Side))
def test_the_band_of_binance_futures_is_its_formula(price_e8, reference_e8, up, down, side) -> None:
    held = bounds(price_band=PriceBand(buy_min=1 - down, buy_max=1 + up, sell_min=1 - down, sell_max=1 + up))
    band = percent_price_band(reference=in_e8(reference_e8), up=1 + up, down=1 - down)
    assert held is not None
    breach = band_breach(band, side=side, price=in_e8(price_e8))
    assert held.is_in_band(side, price_e8, reference_e8=reference_e8) is (breach is None)


@given(price_e8=PRICES, reference_e8=PRICES, near=RATIOS, far=RATIOS, side=st.sampled_from(Side))
def test_bybits_bands_are_its_formulas_without_premium(price_e8, reference_e8, near, far, side) -> None:
    held = bounds(price_band=PriceBand(ratio_x=near, ratio_y=far))
    at, none = in_e8(reference_e8), D(0)
    formulas = [
        spot_band(index=at, near_frac=near, far_frac=far, premium_quote=none),
        futures_band(mark=at, index=at, near_frac=near, far_frac=far, premium_weight_frac=D("0.5"), premium_quote=none),
    ]
    assert held is not None
    for band in formulas:
        breach = band_breach(band, side=side, price=in_e8(price_e8))
        assert held.is_in_band(side, price_e8, reference_e8=reference_e8) is (breach is None)


@pytest.mark.parametrize(("side", "price", "allowed"), [("buy", 20, True), ("buy", 19, False), ("sell", 501, False)])
def test_spot_of_binance_bounds_both_ends(side: str, price: int, allowed: bool) -> None:
    held = bounds(Market.SPOT, price_band=PriceBand(buy_min=D("0.2"), buy_max=D(5), sell_min=D("0.2"), sell_max=D(5)))
    assert held is not None
    assert held.is_in_band(Side(side), price * PRICE_ONE, reference_e8=100 * PRICE_ONE) is allowed
