"""Prices beyond which a venue takes no order, moves it, or fills no further."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import msgspec

from backtester.domain.calculation import decimal_of, finite, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.vocabulary import RejectReason, Side


class PriceBand(msgspec.Struct, frozen=True):
    """The highest price a buy may have and the lowest a sell may have, in quote; both prices themselves are allowed."""

    buy_max: Decimal
    sell_min: Decimal


def percent_price_band(*, reference: Decimal, up: Decimal, down: Decimal) -> PriceBand:
    """reference x up for buys, reference x down for sells; the reference is the mark on USD-M, an average on spot.

    Source: exchange_semantics.md, section 1.2 ("Price limits"); golden G10.
    """
    at, above, below = positive(reference=reference, up=up, down=down)
    return PriceBand(buy_max=decimal_of(at * above), sell_min=decimal_of(at * below))


def spot_band(*, index: Decimal, near_frac: Decimal, far_frac: Decimal, premium_quote: Decimal) -> PriceBand:
    """Bybit spot: buys up to min(max(I, I(1+x) + premium), I(1+y)), sells down to max(min(I, I(1-x) + premium), I(1-y)).

    x is `near_frac`, y `far_frac`, `premium_quote` the two-minute average of last - index. Spot rejects beyond it.
    Source: exchange_semantics.md, section 1.2 ("Price limits"); golden G12.
    """
    (at,) = positive(index=index)
    near, far = not_negative(near_frac=near_frac, far_frac=far_frac)
    (premium,) = finite(premium_quote=premium_quote)
    return PriceBand(
        buy_max=decimal_of(min(max(at, at * (1 + near) + premium), at * (1 + far))),
        sell_min=decimal_of(max(min(at, at * (1 - near) + premium), at * (1 - far))),
    )


def futures_band(
    *,
    mark: Decimal,
    index: Decimal,
    near_frac: Decimal,
    far_frac: Decimal,
    premium_weight_frac: Decimal,
    premium_quote: Decimal,
) -> PriceBand:
    """Bybit futures: buys up to min(M(1+Y), max(I, M(1+X) + weight x max(0, premium))), sells mirrored.

    X is `near_frac`, Y `far_frac`, `premium_quote` the 30-second average. By default futures move an order to the band.
    Source: exchange_semantics.md, section 1.2 ("Price limits").
    """
    marked, spot = positive(mark=mark, index=index)
    near, far, weight = not_negative(near_frac=near_frac, far_frac=far_frac, premium_weight_frac=premium_weight_frac)
    (premium,) = finite(premium_quote=premium_quote)
    nothing = Fraction(0)
    return PriceBand(
        buy_max=decimal_of(min(marked * (1 + far), max(spot, marked * (1 + near) + weight * max(nothing, premium)))),
        sell_min=decimal_of(max(marked * (1 - far), min(spot, marked * (1 - near) + weight * min(nothing, premium)))),
    )


def rounded_band(band: PriceBand, *, tick_size: Decimal) -> PriceBand:
    """The band on the tick grid, never wider: the buy limit down, the sell limit up.

    Source: exchange_semantics.md, section 2 (rounding).
    """
    (tick,) = positive(tick_size=tick_size)
    buy_max, sell_min = finite(buy_max=band.buy_max, sell_min=band.sell_min)
    return PriceBand(buy_max=decimal_of(floor(buy_max / tick) * tick), sell_min=decimal_of(ceil(sell_min / tick) * tick))


def band_breach(band: PriceBand, *, side: Side, price: Decimal) -> RejectReason | None:
    """PRICE_BAND when a buy is above the band or a sell below it, else None: the passive direction is free.

    Source: exchange_semantics.md, sections 1.2 and 1.4; golden G10.
    """
    (asked,) = positive(price=price)
    breaks = asked > Fraction(band.buy_max) if side is Side.BUY else asked < Fraction(band.sell_min)
    return RejectReason.PRICE_BAND if breaks else None


def price_within_band(band: PriceBand, *, side: Side, price: Decimal) -> Decimal:
    """`price`, or the nearest price of the band where it breaks it. Source: exchange_semantics.md, section 1.2."""
    if band_breach(band, side=side, price=price) is None:
        return price
    return band.buy_max if side is Side.BUY else band.sell_min


def usd_m_percent_price_code(side: Side) -> str:
    """Binance USD-M's own code of a price outside its band. Source: exchange_semantics.md, section 1.4; golden G10."""
    return "-4016" if side is Side.BUY else "-4024"


def protection_price(*, side: Side, best: Decimal, points: int, increment: Decimal) -> Decimal:
    """best price +/- points x increment: a market order is not filled beyond it. Also a slippage tolerance in ticks.

    Source: exchange_semantics.md, section 1.2 ("Slippage tolerance"); golden J05.
    """
    at, step = positive(best=best, increment=increment)
    if points < 0:
        raise DomainError(f"points must not be negative, was {points}")
    return decimal_of(max(Fraction(0), at + side.sign * points * step))


def tolerance_price(*, side: Side, best: Decimal, tolerance_frac: Decimal) -> Decimal:
    """best price x (1 +/- tolerance): a market order is not filled beyond it; a tolerance of 0.01 is one percent.

    Source: exchange_semantics.md, section 1.2 ("Slippage tolerance").
    """
    (at,) = positive(best=best)
    (tolerance,) = not_negative(tolerance_frac=tolerance_frac)
    return decimal_of(max(Fraction(0), at * (1 + side.sign * tolerance)))


def is_price_protected(*, mark: Decimal, last: Decimal, protect_frac: Decimal) -> bool:
    """Whether a protected trigger must wait: last and mark differ by more than the symbol's share of the mark.

    Source: exchange_semantics.md, section 1.1 ("trigger price source").
    """
    marked, traded = positive(mark=mark, last=last)
    (allowed,) = not_negative(protect_frac=protect_frac)
    return abs(marked - traded) > allowed * marked
