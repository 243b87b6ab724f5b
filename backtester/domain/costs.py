"""What trading costs, in whole numbers: fees on a value, spread and slippage in a price, impact above the volume share."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import ceil

from backtester.domain.calculation import decimal_of, finite, not_negative
from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION, FEE_STEP
from backtester.domain.vocabulary import Side

_BPS = 10_000
OVER_SHARE_IMPACT = Decimal("0.1")
"""zipline's volume-share impact: price x (1 +/- 0.1 x share^2) (exchange_semantics.md, section 5.3; golden I01)."""


def fee_ratio(rate_bps: Decimal) -> tuple[int, int]:
    """(numerator, denominator) that take money units of value to a fee in whole 1e-8 of the asset."""
    numerator, denominator = rate_bps.as_integer_ratio()
    return numerator, denominator * _BPS * FEE_STEP


def fee_e8(value: int, rate_bps: Decimal) -> int:
    """Fee in whole 1e-8 of the asset on `value` money units, rounded up; a rebate is rounded toward smaller (section 2).

    Source: fee = executed value x rate (exchange_semantics.md, section 3; golden A01).
    """
    numerator, denominator = fee_ratio(rate_bps)
    return -(-value * numerator // denominator)


def fee_of_value(*, value: Decimal, rate_frac: Decimal) -> Decimal:
    """value x rate, exact and not yet rounded, in the asset of `value`; negative for a rebate.

    Trading fees, and delivery of dated futures (value at the settlement price), are charged like this.
    Source: exchange_semantics.md, section 3; golden A01, A02, A03.
    """
    (amount,) = not_negative(value=value)
    (rate,) = finite(rate_frac=rate_frac)
    return decimal_of(amount * rate)


def charged_fee(fee: Decimal, *, coin_decimals: int = 8) -> Decimal:
    """A fee as it is taken: rounded up at coin precision; a rebate is rounded toward smaller.

    Source: exchange_semantics.md, section 2 (rounding); golden B06, G09.
    """
    if not 0 <= coin_decimals <= 18:
        raise DomainError(f"coin_decimals must lie between 0 and 18, was {coin_decimals}")
    (amount,) = finite(fee=fee)
    return CALCULATION.scaleb(Decimal(ceil(amount * 10**coin_decimals)), -coin_decimals)


def balance_change(*, cash_flow: Decimal, funding: Decimal, fee: Decimal) -> Decimal:
    """cash flow + funding - fee: what one entry changes a balance by; funding is negative when paid, a fee positive.

    Source: exchange_semantics.md, section 3 ("Currency"); golden A02.
    """
    flow, settled, paid = finite(cash_flow=cash_flow, funding=funding, fee=fee)
    return decimal_of(flow + settled - paid)


@lru_cache(maxsize=4096)
def cost_ratio(half_spread_bps: Decimal, slippage_bps: Decimal, side: Side) -> tuple[int, int]:
    """(numerator, denominator) of (1 +/- half spread) x (1 +/- slippage): plus for a buy, minus for a sale (golden H10)."""
    spread_numerator, spread_denominator = half_spread_bps.as_integer_ratio()
    slip_numerator, slip_denominator = slippage_bps.as_integer_ratio()
    sign = side.sign
    return (
        (spread_denominator * _BPS + sign * spread_numerator) * max(0, slip_denominator * _BPS + sign * slip_numerator),
        spread_denominator * _BPS * slip_denominator * _BPS,
    )


def over_share_impact_bps(qty_e8: int, volume_e8: int) -> Decimal:
    """Extra slippage of a fill larger than the allowed share of its bar: 10,000 x 0.1 x share^2, share at most the whole bar.

    A reduce-only order is never held back by the volume cap; this is what it pays instead (exchange_semantics.md, 5.11).
    """
    share = CALCULATION.divide(Decimal(min(qty_e8, volume_e8)), Decimal(max(1, volume_e8)))
    return CALCULATION.multiply(CALCULATION.multiply(share, share), CALCULATION.multiply(OVER_SHARE_IMPACT, Decimal(_BPS)))
