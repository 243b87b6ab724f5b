"""Initial and maintenance margin of a position, what an order costs, and the margin rates of an account.

Values are in the settle coin: quote for linear, base for inverse contracts.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from backtester.domain.calculation import decimal_of, finite, not_negative, positive, signed_size
from backtester.domain.errors import DomainError
from backtester.domain.tiers import TierTable
from backtester.domain.vocabulary import Market, Side


class OrderCost(msgspec.Struct, frozen=True):
    """What an opening order ties up, in the settle coin: initial margin, fee to open, fee to close at bankruptcy."""

    initial_margin: Decimal
    open_fee: Decimal
    close_fee: Decimal
    total: Decimal


class PositionMargins(msgspec.Struct, frozen=True):
    """Margins of a position in the settle coin, each with the fee to close included; `close_fee` is that fee."""

    initial: Decimal
    maintenance: Decimal
    close_fee: Decimal


class AccountRates(msgspec.Struct, frozen=True):
    """Margin rates of a cross account; the rates are None when the margin balance is not above 0."""

    margin_balance: Decimal
    initial_rate: Decimal | None
    maintenance_rate: Decimal | None
    is_liquidated: bool


def contract_value(market: Market, *, qty: Fraction, price: Fraction) -> Fraction:
    """Value of a position in its settle coin: qty x price (linear), qty / price (inverse). Raises DomainError for others."""
    if market is Market.LINEAR:
        return qty * price
    if market is Market.INVERSE:
        return qty / price
    raise DomainError(f"margin by leverage is a matter of linear and inverse contracts, not of {market.value}")


def value_after_loss(market: Market, *, entry_value: Fraction, loss: Fraction, sign: int) -> Fraction:
    """Value of a position where it has lost `loss`: a linear long and an inverse short lose as their value falls."""
    return entry_value - sign * loss if market is Market.LINEAR else entry_value + sign * loss


def leverage_of(leverage: Decimal) -> Fraction:
    """`leverage` as a fraction. Raises DomainError below 1."""
    (found,) = positive(leverage=leverage)
    if found < 1:
        raise DomainError(f"leverage must be 1 or more, was {leverage}")
    return found


def initial_margin(*, value: Decimal, leverage: Decimal) -> Decimal:
    """value / leverage, in the settle coin. Source: exchange_semantics.md, section 4.2; golden D01, D03."""
    (amount,) = not_negative(value=value)
    return decimal_of(amount / leverage_of(leverage))


def order_cost(*, market: Market, side: Side, qty: Decimal, price: Decimal, leverage: Decimal, taker_frac: Decimal) -> OrderCost:
    """Initial margin + fee to open + fee to close at the bankruptcy price, in the settle coin.

    `qty` is in base for linear, in quote for inverse contracts.
    Source: exchange_semantics.md, section 4.2; golden D10 (linear), D11 (inverse).
    """
    size, at = positive(qty=qty, price=price)
    (taker,) = not_negative(taker_frac=taker_frac)
    times = leverage_of(leverage)
    value = contract_value(market, qty=size, price=at)
    margin, open_fee = value / times, value * taker
    close_fee = value_after_loss(market, entry_value=value, loss=margin, sign=side.sign) * taker
    return OrderCost(
        initial_margin=decimal_of(margin),
        open_fee=decimal_of(open_fee),
        close_fee=decimal_of(close_fee),
        total=decimal_of(margin + open_fee + close_fee),
    )


def affords(*, available: Decimal, cost: Decimal) -> bool:
    """Whether an order of this cost is accepted: the available balance must not be below it.

    Source: exchange_semantics.md, section 1.4 (INSUFFICIENT); golden D16.
    """
    free, needed = finite(available=available, cost=cost)
    return free >= needed


def isolated_margins(
    *,
    market: Market,
    signed_qty: Decimal,
    entry: Decimal,
    mark: Decimal,
    leverage: Decimal,
    taker_frac: Decimal,
    tiers: TierTable,
) -> PositionMargins:
    """Initial margin at the entry, maintenance at the mark; both hold the fee to close at the bankruptcy price.

    Initial = entry value / leverage + fee; maintenance = mark value x rate - deduction + fee.
    Source: exchange_semantics.md, section 4.2 (rules since 2025-09-02); golden D03, D04.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    opened, marked = positive(entry=entry, mark=mark)
    (taker,) = not_negative(taker_frac=taker_frac)
    times = leverage_of(leverage)
    entry_value = contract_value(market, qty=size, price=opened)
    fee = value_after_loss(market, entry_value=entry_value, loss=entry_value / times, sign=sign) * taker
    maintenance = tiers.maintenance_fraction(contract_value(market, qty=size, price=marked))
    return PositionMargins(
        initial=decimal_of(entry_value / times + fee), maintenance=decimal_of(maintenance + fee), close_fee=decimal_of(fee)
    )


def cross_margins(
    *, market: Market, signed_qty: Decimal, mark: Decimal, leverage: Decimal, taker_frac: Decimal, tiers: TierTable
) -> PositionMargins:
    """Initial and maintenance margin at the mark, each with the fee to close at the bankruptcy price counted from the mark.

    Source: exchange_semantics.md, section 4.2; golden D18.
    """
    return isolated_margins(
        market=market, signed_qty=signed_qty, entry=mark, mark=mark, leverage=leverage, taker_frac=taker_frac, tiers=tiers
    )


def account_rates(
    *,
    wallet: Decimal,
    unrealised: Decimal,
    initial: Decimal,
    maintenance: Decimal,
    haircut: Decimal = Decimal(0),
    order_loss: Decimal = Decimal(0),
) -> AccountRates:
    """Margin rates of a cross account: margin / (wallet + unrealised - haircut + order loss), all in one currency.

    `order_loss` is what open orders would lose at once when filled: 0 or negative. The account is liquidated when maintenance
    is owed and reaches that balance (maintenance rate of 100 % or more).
    Source: exchange_semantics.md, section 4.2; golden D18.
    """
    cash, profit, loss = finite(wallet=wallet, unrealised=unrealised, order_loss=order_loss)
    first, least, cut = not_negative(initial=initial, maintenance=maintenance, haircut=haircut)
    if loss > 0:
        raise DomainError(f"order_loss must be 0 or negative, was {order_loss}")
    balance = cash + profit - cut + loss
    return AccountRates(
        margin_balance=decimal_of(cash + profit),
        initial_rate=decimal_of(first / balance) if balance > 0 else None,
        maintenance_rate=decimal_of(least / balance) if balance > 0 else None,
        is_liquidated=least > 0 and least >= balance,
    )
