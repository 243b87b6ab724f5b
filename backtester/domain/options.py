"""European options settled in cash: fees and their caps, expiry, delivery fee, and the margin of a short.

Prices, strikes and premiums are in quote for one unit of the base; fees, payoffs and margins are in quote.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from backtester.domain.calculation import decimal_of, finite, not_negative, positive
from backtester.domain.vocabulary import Word

TRADING_FEE_CAP_FRAC = Decimal("0.07")
"""A trading fee is at most this share of the option's price (another venue: 0.1 or 0.125)."""
DELIVERY_FEE_FRAC = Decimal("0.00015")
DELIVERY_FEE_CAP_FRAC = Decimal("0.125")
"""A delivery fee is at most this share of the intrinsic value."""
MAINTENANCE_FRAC = Decimal("0.03")
LIQUIDATION_FEE_FRAC = Decimal("0.002")
INITIAL_FRAC_MAX = Decimal("0.15")
INITIAL_FRAC_MIN = Decimal("0.10")


class OptionKind(Word):
    """The right to buy, or to sell, at the strike."""

    CALL = "call"
    PUT = "put"


class OptionExpiry(msgspec.Struct, frozen=True):
    """What expiry pays, in quote, for the whole size; `net` is payoff less delivery fee, as the long receives it."""

    payoff: Decimal
    delivery_fee: Decimal
    net: Decimal


def premium(*, qty: Decimal, price: Decimal) -> Decimal:
    """qty x option price: paid by the buyer at once, received by the seller.

    Source: exchange_semantics.md, section 4.5; golden F05, F06.
    """
    size, at = positive(qty=qty, price=price)
    return decimal_of(size * at)


def trading_fee(
    *, index: Decimal, price: Decimal, qty: Decimal, rate_frac: Decimal, cap_frac: Decimal = TRADING_FEE_CAP_FRAC
) -> Decimal:
    """min(rate x index, cap x option price) x qty, not yet rounded.

    Source: exchange_semantics.md, section 3 ("Option fee"); golden F01, F02.
    """
    spot, at, size = positive(index=index, price=price, qty=qty)
    (cap,) = not_negative(cap_frac=cap_frac)
    (rate,) = finite(rate_frac=rate_frac)
    return decimal_of(min(rate * spot, cap * at) * size)


def liquidation_fee(
    *, index: Decimal, price: Decimal, qty: Decimal, rate_frac: Decimal = Decimal("0.0019"), cap_frac: Decimal = Decimal("0.25")
) -> Decimal:
    """min(rate x index, cap x option price) x qty, as charged on a liquidated option.

    Source: exchange_semantics.md, section 3 ("Liquidation fee options").
    """
    return trading_fee(index=index, price=price, qty=qty, rate_frac=rate_frac, cap_frac=cap_frac)


def intrinsic_value(*, kind: OptionKind, strike: Decimal, price: Decimal) -> Decimal:
    """max(price - strike, 0) of a call, max(strike - price, 0) of a put, for one unit.

    Source: exchange_semantics.md, section 4.5; golden F05, F06, F07.
    """
    return decimal_of(_intrinsic(kind, *positive(strike=strike, price=price)))


def _intrinsic(kind: OptionKind, strike: Fraction, price: Fraction) -> Fraction:
    return max(Fraction(0), price - strike if kind is OptionKind.CALL else strike - price)


def expiry(
    *,
    kind: OptionKind,
    strike: Decimal,
    qty: Decimal,
    delivery_price: Decimal,
    index: Decimal,
    fee_frac: Decimal = DELIVERY_FEE_FRAC,
    cap_frac: Decimal = DELIVERY_FEE_CAP_FRAC,
) -> OptionExpiry:
    """Cash settlement: intrinsic value x qty, and a fee of min(rate x index, cap x intrinsic value) x qty on both sides.

    Out of the money nothing is paid and no fee is due. The short pays the payoff and the same fee.
    Source: exchange_semantics.md, sections 3 and 4.5; golden F05, F06, F07.
    """
    at, size, settled, spot = positive(strike=strike, qty=qty, delivery_price=delivery_price, index=index)
    rate, cap = not_negative(fee_frac=fee_frac, cap_frac=cap_frac)
    value = _intrinsic(kind, at, settled)
    fee = min(rate * spot, cap * value) * size
    return OptionExpiry(payoff=decimal_of(value * size), delivery_fee=decimal_of(fee), net=decimal_of(value * size - fee))


def held_to_expiry(*, is_long: bool, premium_quote: Decimal, trading_fee_quote: Decimal, outcome: OptionExpiry) -> Decimal:
    """What a position opened for `premium_quote` and held to expiry earned, net of both fees.

    Source: exchange_semantics.md, section 4.5; golden F05, F06.
    """
    paid, fee = finite(premium_quote=premium_quote, trading_fee_quote=trading_fee_quote)
    sign = 1 if is_long else -1
    return decimal_of(sign * (Fraction(outcome.payoff) - paid) - fee - Fraction(outcome.delivery_fee))


def opening_cash_flow(*, signed_qty: Decimal, price: Decimal, trading_fee_quote: Decimal) -> Decimal:
    """What opening changes cash by: a buyer pays premium and fee, a seller receives the premium less the fee.

    Source: exchange_semantics.md, section 4.5.
    """
    signed, fee = finite(signed_qty=signed_qty, trading_fee_quote=trading_fee_quote)
    (at,) = positive(price=price)
    return decimal_of(-signed * at - fee)


def out_of_the_money(*, kind: OptionKind, strike: Decimal, index: Decimal) -> Decimal:
    """max(0, strike - index) of a call, max(0, index - strike) of a put, for one unit. Golden F09."""
    at, spot = positive(strike=strike, index=index)
    return decimal_of(_intrinsic(kind, spot, at))


def short_maintenance_margin(
    *,
    qty: Decimal,
    index: Decimal,
    mark: Decimal,
    maintenance_frac: Decimal = MAINTENANCE_FRAC,
    liquidation_fee_frac: Decimal = LIQUIDATION_FEE_FRAC,
) -> Decimal:
    """[max(rate x index, rate x mark) + mark + liquidation fee x index] x qty of a short; `qty` is its unsigned size.

    Source: exchange_semantics.md, section 4.5; used by golden F09.
    """
    size, spot = positive(qty=qty, index=index)
    at, rate, fee = not_negative(mark=mark, maintenance_frac=maintenance_frac, liquidation_fee_frac=liquidation_fee_frac)
    return decimal_of((rate * max(spot, at) + at + fee * spot) * size)


def short_initial_margin(
    *,
    kind: OptionKind,
    strike: Decimal,
    qty: Decimal,
    index: Decimal,
    entry: Decimal,
    mark: Decimal,
    initial_frac_max: Decimal = INITIAL_FRAC_MAX,
    initial_frac_min: Decimal = INITIAL_FRAC_MIN,
    maintenance_frac: Decimal = MAINTENANCE_FRAC,
    liquidation_fee_frac: Decimal = LIQUIDATION_FEE_FRAC,
) -> Decimal:
    """max([max(15 % index - out of the money, 10 % index) + max(entry, mark)] x qty, maintenance margin) of a short.

    `qty` is the unsigned size. Source: exchange_semantics.md, section 4.5; golden F09.
    """
    size, at, spot = positive(qty=qty, strike=strike, index=index)
    opened, marked, most, least = not_negative(
        entry=entry, mark=mark, initial_frac_max=initial_frac_max, initial_frac_min=initial_frac_min
    )
    distance = _intrinsic(kind, spot, at)
    initial = (max(most * spot - distance, least * spot) + max(opened, marked)) * size
    maintenance = short_maintenance_margin(
        qty=qty, index=index, mark=mark, maintenance_frac=maintenance_frac, liquidation_fee_frac=liquidation_fee_frac
    )
    return decimal_of(max(initial, Fraction(maintenance)))
