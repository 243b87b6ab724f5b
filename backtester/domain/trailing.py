"""Trailing stops: the extreme they follow, the price that triggers them, and the exit in a bar that hides its order.

`side` is that of the stop order: a SELL protects a long and follows the high, a BUY protects a short and follows the low.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from backtester.domain.calculation import decimal_of, positive
from backtester.domain.errors import DomainError
from backtester.domain.vocabulary import Side

BPS = 10_000


def trigger_by_bps(*, side: Side, extreme: Decimal, delta_bps: Decimal) -> Decimal:
    """high x (1 - delta) for a sell, low x (1 + delta) for a buy, of the extreme since activation.

    Source: exchange_semantics.md, section 1.1 ("trailing"); golden G13.
    """
    best, delta = positive(extreme=extreme, delta_bps=delta_bps)
    if side is Side.SELL and delta >= BPS:
        raise DomainError(f"delta_bps must be below {BPS}, was {delta_bps}")
    return decimal_of(best * (1 + side.sign * delta / BPS))


def trigger_by_distance(*, side: Side, extreme: Decimal, distance_quote: Decimal) -> Decimal:
    """high - distance for a sell, low + distance for a buy, of the extreme since activation; not below 0.

    Source: exchange_semantics.md, section 1.1 ("trailing").
    """
    best, distance = positive(extreme=extreme, distance_quote=distance_quote)
    return decimal_of(max(Fraction(0), best + side.sign * distance))


def is_activated(*, side: Side, activation: Decimal | None, price: Decimal) -> bool:
    """Whether tracking starts at `price`: at once without an activation price, else when a sell's is reached from below.

    Source: exchange_semantics.md, section 1.1 ("trailing").
    """
    (at,) = positive(price=price)
    if activation is None:
        return True
    (wanted,) = positive(activation=activation)
    return at >= wanted if side is Side.SELL else at <= wanted


def moved_extreme(*, side: Side, extreme: Decimal, price: Decimal) -> Decimal:
    """The extreme after a trade at `price`: only a new high moves a sell's, only a new low a buy's. Golden G13."""
    best, at = positive(extreme=extreme, price=price)
    return decimal_of(max(best, at) if side is Side.SELL else min(best, at))


def is_triggered(*, side: Side, trigger: Decimal, price: Decimal) -> bool:
    """Whether a trade at `price` triggers: at or below for a sell, at or above for a buy. Golden G13."""
    at, wanted = positive(price=price, trigger=trigger)
    return at <= wanted if side is Side.SELL else at >= wanted


def worst_exit(*, side: Side, trigger_before: Decimal, adverse_extreme: Decimal) -> Decimal:
    """The reference price of an exit in a bar that raised the stop and may have hit it, in an order nobody knows.

    For a sell: the stop as it was before the bar, or the bar's low where that is higher: the bar may have fallen only after its
    high, but never to a price that it did not trade. A buy is mirrored. Never the high less the trail, which flatters.
    Source: exchange_semantics.md, section 5.11 (trailing stop).
    """
    before, extreme = positive(trigger_before=trigger_before, adverse_extreme=adverse_extreme)
    return decimal_of(max(before, extreme) if side is Side.SELL else min(before, extreme))
