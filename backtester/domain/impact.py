"""What size does to a price: volume-share rules of other engines, the square-root law, and Almgren's two models.

Impacts are fractions of the price (0.002 is 20 bps) unless a name says otherwise.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from backtester.domain.calculation import decimal_of, finite, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION
from backtester.domain.vocabulary import Side

BPS = 10_000
ZIPLINE_VOLUME_LIMIT_FRAC = Decimal("0.025")
VOLUME_SHARE_IMPACT = Decimal("0.1")
BASANA_VOLUME_LIMIT_FRAC = Decimal("0.25")
VOLATILITY_ETA = Decimal("0.049018143225019836")
NO_HISTORY_BPS = Decimal("7.5")
PERMANENT_GAMMA = Decimal("0.314")
TEMPORARY_ETA = Decimal("0.142")
TEMPORARY_EXPONENT = Decimal("0.6")


class VolumeShareFill(msgspec.Struct, frozen=True):
    """What a bar gives: the size, what stays open, our share of the bar's volume, the price (None without a fill)."""

    filled: Decimal
    rest: Decimal
    share_frac: Decimal
    price: Decimal | None


class MetaorderCost(msgspec.Struct, frozen=True):
    """Almgren 2005, fractions of the price: lasting move, extra paid while trading, and the mean cost (half of it + extra)."""

    permanent_frac: Decimal
    temporary_frac: Decimal
    cost_frac: Decimal


class SquareRootImpact(msgspec.Struct, frozen=True):
    """Move of the price at completion, and the mean cost of having built the position up: two thirds of it."""

    peak_frac: Decimal
    average_frac: Decimal


def zipline_volume_share(
    *,
    side: Side,
    qty: Decimal,
    close: Decimal,
    volume: Decimal,
    consumed: Decimal = Decimal(0),
    lot_size: Decimal = Decimal(1),
    limit_price: Decimal | None = None,
    volume_limit_frac: Decimal = ZIPLINE_VOLUME_LIMIT_FRAC,
    price_impact: Decimal = VOLUME_SHARE_IMPACT,
) -> VolumeShareFill:
    """Fill up to a share of the bar's volume, at close x (1 +/- impact x share^2); `consumed` of the bar is taken already.

    The share counts all fills of the bar. Sizes are whole lots. Nothing is filled in a bar without volume, nor when the price
    with impact is worse than `limit_price`.
    Source: exchange_semantics.md, section 5.3; golden I01.
    """
    wanted, at, lot = positive(qty=qty, close=close, lot_size=lot_size)
    traded, used, most, impact = not_negative(
        volume=volume, consumed=consumed, volume_limit_frac=volume_limit_frac, price_impact=price_impact
    )
    filled = min(wanted, max(Fraction(0), most * traded - used)) // lot * lot
    if not filled:
        return VolumeShareFill(filled=Decimal(0), rest=qty, share_frac=Decimal(0), price=None)
    share = min((used + filled) / traded, most)
    price = at * (1 + side.sign * impact * share**2)
    if limit_price is not None and (price - positive(limit_price=limit_price)[0]) * side.sign > 0:
        return VolumeShareFill(filled=Decimal(0), rest=qty, share_frac=Decimal(0), price=None)
    return VolumeShareFill(
        filled=decimal_of(filled), rest=decimal_of(wanted - filled), share_frac=decimal_of(share), price=decimal_of(price)
    )


def basana_volume_share(
    *,
    used_before: Decimal,
    qty: Decimal,
    volume: Decimal,
    volume_limit_frac: Decimal = BASANA_VOLUME_LIMIT_FRAC,
    impact_frac: Decimal = VOLUME_SHARE_IMPACT,
) -> Decimal:
    """impact x (used / limit)^2 after the take less the same before it, limit = share x volume.

    Raises DomainError when more is taken than the limit allows.
    Source: exchange_semantics.md, section 5.7; golden I03.
    """
    used, taken, traded, most, impact = not_negative(
        used_before=used_before, qty=qty, volume=volume, volume_limit_frac=volume_limit_frac, impact_frac=impact_frac
    )
    limit = most * traded
    if used + taken > limit or not limit:
        raise DomainError(f"only {decimal_of(limit)} of this bar may be used, not {decimal_of(used + taken)}")
    return decimal_of(impact * (((used + taken) / limit) ** 2 - (used / limit) ** 2))


def lean_volume_share_quote(
    *,
    qty: Decimal,
    volume: Decimal,
    price: Decimal,
    volume_limit_frac: Decimal = ZIPLINE_VOLUME_LIMIT_FRAC,
    price_impact: Decimal = VOLUME_SHARE_IMPACT,
) -> Decimal:
    """LEAN's slippage in quote for one unit: price x impact x min(qty / volume, limit)^2, and 0 in a crypto bar without volume.

    The 0 is theirs and flatters; `zipline_volume_share` fills nothing in such a bar, which is our rule.
    Source: exchange_semantics.md, section 5.4; golden J07.
    """
    size, at = positive(qty=qty, price=price)
    traded, most, impact = not_negative(volume=volume, volume_limit_frac=volume_limit_frac, price_impact=price_impact)
    if not traded:
        return Decimal(0)
    return decimal_of(at * impact * min(size / traded, most) ** 2)


def volatility_volume_share_bps(
    *,
    qty: Decimal,
    mean_daily_volume: Decimal,
    annual_volatility: Decimal | None,
    eta: Decimal = VOLATILITY_ETA,
    no_history_bps: Decimal = NO_HISTORY_BPS,
) -> Decimal:
    """zipline's futures rule, in bps: eta x volatility x square root of (qty / mean daily volume); 7.5 without a history.

    Source: exchange_semantics.md, section 5.3 (VolatilityVolumeShare).
    """
    (size,) = positive(qty=qty)
    (mean,) = not_negative(mean_daily_volume=mean_daily_volume)
    if annual_volatility is None or not mean:
        return no_history_bps
    volatility, scale = not_negative(annual_volatility=annual_volatility, eta=eta)
    return decimal_of(scale * volatility * _root(size / mean))


def square_root_impact(
    *, qty: Decimal, daily_volume: Decimal, daily_volatility_frac: Decimal, prefactor: Decimal = Decimal(1)
) -> SquareRootImpact:
    """prefactor x daily volatility x square root of (qty / daily volume).

    Source: exchange_semantics.md, section 5.9; golden I05.
    """
    (size,) = not_negative(qty=qty)
    (volume,) = positive(daily_volume=daily_volume)
    volatility, factor = not_negative(daily_volatility_frac=daily_volatility_frac, prefactor=prefactor)
    peak = factor * volatility * _root(size / volume)
    return SquareRootImpact(peak_frac=decimal_of(peak), average_frac=decimal_of(peak * 2 / 3))


def conservative_impact(
    *,
    qty: Decimal,
    bar_volume: Decimal,
    daily_volume: Decimal,
    daily_volatility_frac: Decimal,
    price_impact: Decimal = VOLUME_SHARE_IMPACT,
    prefactor: Decimal = Decimal(1),
) -> Decimal:
    """The larger of impact x share^2 (share of the bar, at most all of it) and the square-root law.

    Source: exchange_semantics.md, section 5.11 (impact).
    """
    (size,) = positive(qty=qty)
    traded, impact = not_negative(bar_volume=bar_volume, price_impact=price_impact)
    share = min(Fraction(1), size / traded) if traded else Fraction(1)
    law = square_root_impact(qty=qty, daily_volume=daily_volume, daily_volatility_frac=daily_volatility_frac, prefactor=prefactor)
    return decimal_of(max(impact * share**2, Fraction(law.peak_frac)))


def almgren_2005(
    *,
    volume_share: Decimal,
    daily_volatility_frac: Decimal,
    shares_outstanding_days: Decimal,
    duration_days: Decimal,
    gamma: Decimal = PERMANENT_GAMMA,
    eta: Decimal = TEMPORARY_ETA,
    exponent: Decimal = TEMPORARY_EXPONENT,
) -> MetaorderCost:
    """gamma sigma (X/V) (Theta/V)^(1/4) lasts; eta sigma (X/(V T))^(3/5) is paid on top of half of it while trading.

    `volume_share` is size / daily volume (X/V), `shares_outstanding_days` what exists / daily volume (Theta/V), both 0 or more.
    Source: exchange_semantics.md, section 5.9 (Almgren et al. 2005); golden I06.
    """
    (outstanding, duration, power) = positive(
        shares_outstanding_days=shares_outstanding_days, duration_days=duration_days, exponent=exponent
    )
    share, volatility, lasting, passing = not_negative(
        volume_share=volume_share, daily_volatility_frac=daily_volatility_frac, gamma=gamma, eta=eta
    )
    permanent = lasting * volatility * share * _root(_root(outstanding))
    rate = share / duration
    temporary = passing * volatility * Fraction(CALCULATION.power(decimal_of(rate), decimal_of(power))) if rate else Fraction(0)
    return MetaorderCost(
        permanent_frac=decimal_of(permanent),
        temporary_frac=decimal_of(temporary),
        cost_frac=decimal_of(permanent / 2 + temporary),
    )


def decayed_impact(*, impact_frac: Decimal, elapsed_ms: int, half_life_ms: int) -> Decimal:
    """What is left of a temporary impact: half of it after each half-life.

    Source: policy; a temporary impact that stayed for ever would be a permanent one.
    """
    (impact,) = finite(impact_frac=impact_frac)
    if elapsed_ms < 0 or half_life_ms <= 0:
        raise DomainError("elapsed_ms must not be negative and half_life_ms must be above 0")
    halvings = decimal_of(Fraction(elapsed_ms, half_life_ms))
    return decimal_of(impact / Fraction(CALCULATION.power(Decimal(2), halvings)))


def quarter_volumes(*, volume: Decimal, size_increment: Decimal) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """A bar's volume at its open, high, low and close: a quarter each, down to the increment; the close takes the rest.

    Source: exchange_semantics.md, section 5.1; golden H09.
    """
    (total,) = not_negative(volume=volume)
    (step,) = positive(size_increment=size_increment)
    quarter = total / 4 // step * step
    part = decimal_of(quarter)
    return part, part, part, decimal_of(total - 3 * quarter)


def _root(value: Fraction) -> Fraction:
    """Square root to 60 digits, exact where it ends."""
    return Fraction(CALCULATION.sqrt(decimal_of(value)))
