"""What spot trading and borrowing cost: commission in which coin, rebates, discounts, interest by the hour."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import msgspec

from backtester.domain.calculation import decimal_of, finite, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.timeframe import HOUR_MS, MINUTE_MS
from backtester.domain.vocabulary import Liquidity, Side, Word

INTEREST_DELAY_MS = 5 * MINUTE_MS
"""Interest is charged five minutes past each full hour."""


class FeeCoin(Word):
    """Which coin of the pair a fee is taken from, or a rebate paid in."""

    BASE = "base"
    QUOTE = "quote"


class SpotFill(msgspec.Struct, frozen=True):
    """What a fill changes: both balances net of the fee, and the fee (negative for a rebate) in its coin."""

    base_change: Decimal
    quote_change: Decimal
    fee: Decimal
    fee_coin: FeeCoin


class ValueOrder(msgspec.Struct, frozen=True):
    """Size bought for an amount of quote, and what of the amount is not spent."""

    qty: Decimal
    unspent_quote: Decimal


def fee_coin(*, side: Side, liquidity: Liquidity, rate_frac: Decimal) -> FeeCoin:
    """The received coin: base for a buy, quote for a sale; a maker's rebate comes in the coin that was given.

    Source: exchange_semantics.md, section 3 ("Currency"); golden E01, E06.
    """
    (rate,) = finite(rate_frac=rate_frac)
    flips = liquidity is Liquidity.MAKER and rate < 0
    return FeeCoin.BASE if (side is Side.BUY) != flips else FeeCoin.QUOTE


def spot_fill(*, side: Side, liquidity: Liquidity, qty: Decimal, price: Decimal, rate_frac: Decimal) -> SpotFill:
    """Both balances after a fill whose fee is taken from the received coin (or whose rebate is paid in the given one).

    The fee is exact; a ledger rounds it with `costs.charged_fee`.
    Source: exchange_semantics.md, section 3 ("Currency"); golden E01, E03, E06.
    """
    size, at = positive(qty=qty, price=price)
    coin = fee_coin(side=side, liquidity=liquidity, rate_frac=rate_frac)
    (rate,) = finite(rate_frac=rate_frac)
    value = size * at
    fee = (size if coin is FeeCoin.BASE else value) * rate
    base, quote = side.sign * size, -side.sign * value
    return SpotFill(
        base_change=decimal_of(base - fee if coin is FeeCoin.BASE else base),
        quote_change=decimal_of(quote - fee if coin is FeeCoin.QUOTE else quote),
        fee=decimal_of(fee),
        fee_coin=coin,
    )


def commission(*, notional: Decimal, rates_frac: tuple[Decimal, ...]) -> Decimal:
    """notional x the sum of the rates that apply: one of maker and taker, and one of buyer and seller.

    Standard, tax and special commission are computed so, each from its own rates, and added up.
    Source: exchange_semantics.md, section 3; golden E04.
    """
    (value,) = not_negative(notional=notional)
    return decimal_of(value * sum((finite(rate_frac=rate)[0] for rate in rates_frac), Fraction(0)))


def discounted_fee(
    *, notional_quote: Decimal, rate_frac: Decimal, discount_frac: Decimal, fee_coin_price_quote: Decimal
) -> Decimal:
    """Fee in a third coin: notional x rate x (1 - discount) / price of that coin; the received coin stays whole.

    Source: exchange_semantics.md, section 3 ("BNB payment").
    """
    value, at = positive(notional_quote=notional_quote, fee_coin_price_quote=fee_coin_price_quote)
    rate, discount = not_negative(rate_frac=rate_frac, discount_frac=discount_frac)
    if discount > 1:
        raise DomainError(f"discount_frac must be at most 1, was {discount_frac}")
    return decimal_of(value * rate * (1 - discount) / at)


def qty_for_value(*, value_quote: Decimal, price: Decimal, step: Decimal) -> ValueOrder:
    """floor(value / price, step) and what is left of the value; the rest is returned, not spent.

    Source: exchange_semantics.md, section 1.1 ("spot market by value").
    """
    value, at, unit = positive(value_quote=value_quote, price=price, step=step)
    size = floor(value / at / unit) * unit
    return ValueOrder(qty=decimal_of(size), unspent_quote=decimal_of(value - size * at))


def borrowed(*, equity: Decimal) -> Decimal:
    """What is borrowed of a coin: the shortfall of its equity below 0, else 0.

    Source: exchange_semantics.md, section 4.6.
    """
    (owned,) = finite(equity=equity)
    return decimal_of(max(Fraction(0), -owned))


def hourly_interest(*, borrowed: Decimal, hourly_frac: Decimal) -> Decimal:
    """borrowed x hourly rate: what one full hour of the loan costs, in the coin borrowed, not yet rounded.

    Source: exchange_semantics.md, section 4.6; golden E07.
    """
    owed, rate = not_negative(borrowed=borrowed, hourly_frac=hourly_frac)
    return decimal_of(owed * rate)


def hourly_rate_frac(*, hourly_frac: Decimal, borrowed: Decimal, limit: Decimal) -> Decimal:
    """The hourly rate of a loan: beyond its limit the rate is multiplied by (borrowed / limit) to the third power.

    Source: exchange_semantics.md, section 4.6.
    """
    owed, rate = not_negative(borrowed=borrowed, hourly_frac=hourly_frac)
    (most,) = positive(limit=limit)
    utilisation = max(Fraction(1), owed / most)
    return decimal_of(rate * utilisation**3)


def next_interest_ms(time_ms: int) -> int:
    """The first instant after `time_ms` at which interest is charged: five minutes past a full hour, UTC.

    Source: exchange_semantics.md, section 4.6.
    """
    return ((time_ms - INTEREST_DELAY_MS) // HOUR_MS + 1) * HOUR_MS + INTEREST_DELAY_MS
