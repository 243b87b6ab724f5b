"""Prices at which a position is liquidated or bankrupt, and what a liquidation costs, for linear and inverse contracts.

`signed_qty` is in base for linear, in quote for inverse contracts; wallets and values are in the settle coin.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import msgspec

from backtester.domain.calculation import decimal_of, finite, not_negative, positive, signed_size
from backtester.domain.errors import DomainError
from backtester.domain.margin import contract_value, leverage_of, value_after_loss
from backtester.domain.tiers import LeverageTier, TierTable
from backtester.domain.vocabulary import Market, Word


class Reach(Word):
    """Whether a price liquidates: one does (AT_PRICE), no price can (NEVER), or every price would (ALWAYS)."""

    AT_PRICE = "at_price"
    NEVER = "never"
    ALWAYS = "always"


class Liquidation(msgspec.Struct, frozen=True):
    """Where equity equals maintenance margin; `price`, `value` (settle coin) and `tier` are None unless AT_PRICE."""

    reach: Reach
    price: Decimal | None = None
    value: Decimal | None = None
    tier: LeverageTier | None = None


class LiquidationCost(msgspec.Struct, frozen=True):
    """Cash flow of an isolated liquidation in the settle coin; `realised` is negative, fees and `total_loss` positive."""

    bankruptcy_price: Decimal
    realised: Decimal
    open_fee: Decimal
    close_fee: Decimal
    total_loss: Decimal


def price_at_value(market: Market, *, qty: Fraction, value: Fraction) -> Fraction:
    """The price at which a position of `qty` is worth `value` of its settle coin."""
    return value / qty if market is Market.LINEAR else qty / value


def isolated_wallet(
    *, market: Market, signed_qty: Decimal, entry: Decimal, leverage: Decimal, extra: Decimal = Decimal(0)
) -> Decimal:
    """Margin of an isolated position without its fee reserve: entry value / leverage + margin added by hand.

    Source: exchange_semantics.md, section 4.2; golden D04, D08.
    """
    size, _ = signed_size(signed_qty=signed_qty)
    (at,) = positive(entry=entry)
    (added,) = finite(extra=extra)
    return decimal_of(contract_value(market, qty=size, price=at) / leverage_of(leverage) + added)


def liquidation(*, market: Market, signed_qty: Decimal, entry: Decimal, wallet: Decimal, tiers: TierTable) -> Liquidation:
    """Where `wallet` + unrealised profit equals maintenance margin at the mark; the tier is that of the value there.

    Isolated: `wallet` is `isolated_wallet`. Cross: the wallet less the other positions' maintenance plus their profit, frozen
    at current marks (`cross_wallet`). The fee to close stands on both sides and cancels. For an inverse position whose margin
    was added to by hand, the venue divides the addition by (1 +/- taker) before it counts.
    Source: exchange_semantics.md, section 4.2; golden D04, D08.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    (at,) = positive(entry=entry)
    (margin,) = finite(wallet=wallet)
    entry_value = contract_value(market, qty=size, price=at)
    falls = sign > 0 if market is Market.LINEAR else sign < 0
    reach, value, tier = liquidation_value(entry_value=entry_value, margin=margin, loses_as_value_falls=falls, tiers=tiers)
    if reach is not Reach.AT_PRICE:
        return Liquidation(reach)
    price = price_at_value(market, qty=size, value=value)
    return Liquidation(Reach.AT_PRICE, decimal_of(price), decimal_of(value), tier)


def liquidation_value(
    *, entry_value: Fraction, margin: Fraction, loses_as_value_falls: bool, tiers: TierTable
) -> tuple[Reach, Fraction, LeverageTier]:
    """(reach, value, tier) where margin + profit equals the maintenance margin of the value, exact; see `liquidation`.

    Value and tier mean something only where the reach is AT_PRICE.
    """
    value, tier = entry_value, tiers.tiers[0]
    if loses_as_value_falls and margin >= entry_value:
        return Reach.NEVER, value, tier
    if not loses_as_value_falls and margin + entry_value <= 0:
        return Reach.ALWAYS, value, tier
    for tier in tiers.tiers:
        rate, deduction = Fraction(tier.maintenance_frac), Fraction(tier.deduction or 0)
        if loses_as_value_falls:
            value = (entry_value - margin - deduction) / (1 - rate)
        else:
            value = (entry_value + margin + deduction) / (1 + rate)
        if tier is tiers.tiers[-1] or tier.cap is None or value <= Fraction(tier.cap):
            break
    return Reach.AT_PRICE, value, tier


def isolated_liquidation(
    *, market: Market, signed_qty: Decimal, entry: Decimal, leverage: Decimal, tiers: TierTable, extra: Decimal = Decimal(0)
) -> Liquidation:
    """`liquidation` of an isolated position at `leverage` with `extra` margin.

    Source: exchange_semantics.md, section 4.2; golden D04.
    """
    wallet = isolated_wallet(market=market, signed_qty=signed_qty, entry=entry, leverage=leverage, extra=extra)
    return liquidation(market=market, signed_qty=signed_qty, entry=entry, wallet=wallet, tiers=tiers)


def cross_wallet(*, wallet: Decimal, others_maintenance: Decimal, others_unrealised: Decimal) -> Decimal:
    """What one position of a cross account can lose: wallet - maintenance + profit of all others at current marks.

    Source: exchange_semantics.md, section 4.2 ("Cross").
    """
    cash, profit = finite(wallet=wallet, others_unrealised=others_unrealised)
    (owed,) = not_negative(others_maintenance=others_maintenance)
    return decimal_of(cash - owed + profit)


def inverse_extra_margin(*, extra_base: Decimal, signed_qty_quote: Decimal, taker_frac: Decimal) -> Decimal:
    """Margin added by hand to an inverse position, as it counts for the liquidation price: / (1 + taker) long, (1 - taker) short.

    Source: exchange_semantics.md, section 4.2 ("Inverse isolated").
    """
    _, sign = signed_size(signed_qty_quote=signed_qty_quote)
    (added,) = finite(extra_base=extra_base)
    return decimal_of(added / (1 + sign * _taker(taker_frac)))


def entry_based_price(
    *, market: Market, signed_qty: Decimal, entry: Decimal, leverage: Decimal, tiers: TierTable, extra: Decimal = Decimal(0)
) -> Decimal:
    """Liquidation price of the older rule: maintenance margin is that of the entry value, whatever the mark.

    Linear: entry -/+ (initial - maintenance + extra) / qty. Inverse: qty / (entry value +/- (initial - maintenance + extra)).
    Raises DomainError where no price liquidates.
    Source: exchange_semantics.md, section 4.2 ("Old Bybit"); golden D01, D02.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    (at,) = positive(entry=entry)
    (added,) = finite(extra=extra)
    value = contract_value(market, qty=size, price=at)
    room = value / leverage_of(leverage) - tiers.maintenance_fraction(value) + added
    return _price_after_loss(market, size=size, sign=sign, entry_value=value, loss=room)


def bankruptcy_price(
    *, market: Market, signed_qty: Decimal, entry: Decimal, leverage: Decimal, extra: Decimal = Decimal(0)
) -> Decimal:
    """Where the loss equals the margin: entry x (1 -/+ 1/L) linear, entry x L / (L +/- 1) inverse; `extra` moves it away.

    Raises DomainError where no price loses that much: a long without leverage, an inverse short without.
    Source: exchange_semantics.md, section 4.2; golden D01, D04.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    (at,) = positive(entry=entry)
    (added,) = finite(extra=extra)
    value = contract_value(market, qty=size, price=at)
    return _price_after_loss(market, size=size, sign=sign, entry_value=value, loss=value / leverage_of(leverage) + added)


def _price_after_loss(market: Market, *, size: Fraction, sign: int, entry_value: Fraction, loss: Fraction) -> Decimal:
    """The price at which the position has lost `loss`. Raises DomainError where there is none."""
    value = value_after_loss(market, entry_value=entry_value, loss=loss, sign=sign)
    if value <= 0:
        raise DomainError("no price loses that much: the margin covers the whole position")
    return decimal_of(price_at_value(market, qty=size, value=value))


def cross_bankruptcy_price(*, market: Market, signed_qty: Decimal, entry: Decimal, wallet: Decimal, taker_frac: Decimal) -> Decimal:
    """Where `wallet` + profit - the fee to close there is 0: beyond it a cross account owes.

    Inverse long: (1 + taker) x qty / (qty / entry + wallet). Raises DomainError where no price loses that much.
    Source: exchange_semantics.md, section 4.2; golden D14.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    (at,) = positive(entry=entry)
    (margin,) = finite(wallet=wallet)
    entry_value = contract_value(market, qty=size, price=at)
    value = _cross_bankruptcy_value(market, entry_value=entry_value, margin=margin, taker=_taker(taker_frac), sign=sign)
    return decimal_of(price_at_value(market, qty=size, value=value))


def _cross_bankruptcy_value(market: Market, *, entry_value: Fraction, margin: Fraction, taker: Fraction, sign: int) -> Fraction:
    toward = sign if market is Market.LINEAR else -sign
    value = value_after_loss(market, entry_value=entry_value, loss=margin, sign=sign) / (1 - toward * taker)
    if value <= 0:
        raise DomainError("no price loses that much: the wallet covers the whole position")
    return value


def inverse_cross_price_entry_based(
    *, signed_qty_quote: Decimal, entry: Decimal, wallet_base: Decimal, tiers: TierTable, taker_frac: Decimal
) -> Decimal:
    """Older cross rule for inverse contracts: the loss equals wallet - maintenance at entry - fee to close at bankruptcy.

    Raises DomainError where no price loses that much.
    Source: exchange_semantics.md, sections 2 (rounding) and 4.2; golden D14.
    """
    size, sign = signed_size(signed_qty_quote=signed_qty_quote)
    (at,) = positive(entry=entry)
    (margin,) = finite(wallet_base=wallet_base)
    value, taker = size / at, _taker(taker_frac)
    bankrupt = _cross_bankruptcy_value(Market.INVERSE, entry_value=value, margin=margin, taker=taker, sign=sign)
    room = margin - tiers.maintenance_fraction(value) - bankrupt * taker
    return _price_after_loss(Market.INVERSE, size=size, sign=sign, entry_value=value, loss=room)


def _taker(taker_frac: Decimal) -> Fraction:
    (taker,) = not_negative(taker_frac=taker_frac)
    if taker >= 1:
        raise DomainError(f"taker_frac must be below 1, was {taker_frac}")
    return taker


def earlier_tick_price(price: Decimal, *, tick_size: Decimal, signed_qty: Decimal) -> Decimal:
    """`price` moved to the tick that liquidates earlier: up for a long, down for a short.

    Source: exchange_semantics.md, section 2 (rounding); golden D14.
    """
    at, tick = positive(price=price, tick_size=tick_size)
    _, sign = signed_size(signed_qty=signed_qty)
    return decimal_of((ceil(at / tick) if sign > 0 else floor(at / tick)) * tick)


def isolated_liquidation_cost(
    *,
    market: Market,
    signed_qty: Decimal,
    entry: Decimal,
    leverage: Decimal,
    taker_frac: Decimal,
    extra: Decimal = Decimal(0),
) -> LiquidationCost:
    """The position is settled at its bankruptcy price: all its margin and both fees are lost, nothing comes back.

    However far the market jumps beyond that price, the loss stays this (the insurance fund pays; see `gap_loss`).
    Source: exchange_semantics.md, section 4.2; golden D15.
    """
    size, sign = signed_size(signed_qty=signed_qty)
    (at,) = positive(entry=entry)
    (added,) = finite(extra=extra)
    taker = _taker(taker_frac)
    value = contract_value(market, qty=size, price=at)
    margin = value / leverage_of(leverage) + added
    open_fee = value * taker
    close_fee = value_after_loss(market, entry_value=value, loss=margin, sign=sign) * taker
    return LiquidationCost(
        bankruptcy_price=bankruptcy_price(market=market, signed_qty=signed_qty, entry=entry, leverage=leverage, extra=extra),
        realised=decimal_of(-margin),
        open_fee=decimal_of(open_fee),
        close_fee=decimal_of(close_fee),
        total_loss=decimal_of(margin + open_fee + close_fee),
    )


def gap_loss(*, market: Market, signed_qty: Decimal, bankruptcy: Decimal, market_price: Decimal) -> Decimal:
    """What closing at `market_price` would lose beyond bankruptcy, in the settle coin: borne by the insurance fund, reported.

    0 when the market is on the better side. Source: exchange_semantics.md, section 4.2 ("gap loss").
    """
    size, sign = signed_size(signed_qty=signed_qty)
    limit, at = positive(bankruptcy=bankruptcy, market_price=market_price)
    step = contract_value(market, qty=size, price=limit) - contract_value(market, qty=size, price=at)
    return decimal_of(max(Fraction(0), sign * step if market is Market.LINEAR else -sign * step))
