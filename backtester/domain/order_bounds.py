"""Bounds that a venue sets to orders beyond quantity and value: size of market orders, range and band of prices."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import msgspec

from backtester.domain.money import PRICE_ONE
from backtester.domain.vocabulary import Market, Side

_Span = tuple[int | None, int | None]
_FREE: _Span = (None, None)


class PriceBand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the price of an order may be from a reference price of the venue.

    Binance: factors of the reference, for buys and sells. Bybit: the ratios X and Y of its formula of price limits.
    """

    buy_min: Decimal | None = None
    buy_max: Decimal | None = None
    sell_min: Decimal | None = None
    sell_max: Decimal | None = None
    ratio_x: Decimal | None = None
    ratio_y: Decimal | None = None


class OrderBounds(NamedTuple):
    """What the venue said, in whole numbers, rounded to the inside; None where it said nothing.

    Sizes and prices in 1e-8; of the band the least and the greatest price of a buy and of a sell, in 1e-8 of the reference.
    """

    max_market_e8: int | None = None
    min_price_e8: int | None = None
    max_price_e8: int | None = None
    buy_e8: _Span = _FREE
    sell_e8: _Span = _FREE

    def is_in_range(self, price_e8: int) -> bool:
        """Whether the venue takes orders at this price at all."""
        return _is_within((self.min_price_e8, self.max_price_e8), price_e8)

    def is_in_band(self, side: Side, price_e8: int, *, reference_e8: int) -> bool:
        """Whether the price is near enough to the reference; the ends of the band are allowed."""
        low, high = self.buy_e8 if side is Side.BUY else self.sell_e8
        ends = (None if low is None else low * reference_e8, None if high is None else high * reference_e8)
        return _is_within(ends, price_e8 * PRICE_ONE)


def order_bounds(
    *,
    market: Market,
    max_market_qty: Decimal | None,
    min_price: Decimal | None,
    max_price: Decimal | None,
    price_band: PriceBand | None,
) -> OrderBounds | None:
    """The bounds of an instrument; None where it has none."""
    buy, sell = (_FREE, _FREE) if price_band is None else _band(price_band, market)
    bounds = OrderBounds(_down(max_market_qty), _up(min_price), _down(max_price), buy, sell)
    return bounds if bounds != OrderBounds() else None


def _band(band: PriceBand, market: Market) -> tuple[_Span, _Span]:
    """Least and greatest price of a buy, and of a sell, at a reference of 1.

    Binance bounds both ends on spot, on futures the end beyond the market. Of Bybit's formulas, with no premium and index and
    mark equal, 1 +- the smaller of X and Y is left, beyond the market only.
    Source: exchange_semantics.md, sections 1.2 ("Price limits") and 2; `price_bands` has the whole formulas.
    """
    ratios = [ratio for ratio in (band.ratio_x, band.ratio_y) if ratio is not None]
    if ratios:
        near = floor(Fraction(min(ratios)) * PRICE_ONE)
        return (None, PRICE_ONE + near), (PRICE_ONE - near, None)
    if market is Market.SPOT:
        return (_up(band.buy_min), _down(band.buy_max)), (_up(band.sell_min), _down(band.sell_max))
    return (None, _down(band.buy_max)), (_up(band.sell_min), None)


def _is_within(span: _Span, value: int) -> bool:
    low, high = span
    return (low is None or value >= low) and (high is None or value <= high)


def _down(value: Decimal | None) -> int | None:
    return None if value is None else floor(Fraction(value) * PRICE_ONE)


def _up(value: Decimal | None) -> int | None:
    return None if value is None else ceil(Fraction(value) * PRICE_ONE)
