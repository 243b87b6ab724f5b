"""Where an order stands in the queue of its price, and what of a level is still there to take. All quantities in base."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from backtester.domain.calculation import decimal_of, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION
from backtester.domain.vocabulary import Word


class QueueStep(msgspec.Struct, frozen=True):
    """After a trade at our price: what is still ahead, what of ours was filled by it, and what of ours is left."""

    ahead: Decimal
    filled: Decimal
    open_qty: Decimal


class BehindModel(Word):
    """How likely a decrease of the level happened behind us; f is a power of x, or ln(1 + x).

    RATIO: f(back) / (f(back) + f(front)). TOTAL: f(back) / f(back + front). SHARE: 1 - f(front / (front + back)), power only.
    """

    POWER_RATIO = "power_ratio"
    POWER_TOTAL = "power_total"
    POWER_SHARE = "power_share"
    LOG_RATIO = "log_ratio"
    LOG_TOTAL = "log_total"


def after_trade(*, ahead: Decimal, open_qty: Decimal, trade_qty: Decimal) -> QueueStep:
    """A trade at our price takes what is ahead first; only the excess fills us.

    Source: exchange_semantics.md, section 5.1 (queue_position); golden J01.
    """
    front, ours, traded = not_negative(ahead=ahead, open_qty=open_qty, trade_qty=trade_qty)
    excess = max(Fraction(0), traded - front)
    filled = min(ours, excess)
    return QueueStep(
        ahead=decimal_of(max(Fraction(0), front - traded)), filled=decimal_of(filled), open_qty=decimal_of(ours - filled)
    )


def ahead_risk_averse(*, ahead: Decimal, level_qty: Decimal) -> Decimal:
    """min(ahead, size of the level now): whoever cancelled is taken to have stood behind us.

    Source: exchange_semantics.md, section 5.6 (RiskAdverse); golden J02.
    """
    front, size = not_negative(ahead=ahead, level_qty=level_qty)
    return decimal_of(min(front, size))


def behind_probability(*, model: BehindModel, front: Decimal, back: Decimal, power: Decimal = Decimal(1)) -> Decimal:
    """How likely a decrease of the level happened behind us; 1 where nobody else stands in the queue.

    Source: exchange_semantics.md, section 5.6 (Prob models).
    """
    ahead, behind = not_negative(front=front, back=back)
    positive(power=power)
    if not ahead + behind:
        return Decimal(1)
    if model is BehindModel.POWER_SHARE:
        return decimal_of(1 - _weight(ahead / (ahead + behind), power=power))
    exponent = power if model in {BehindModel.POWER_RATIO, BehindModel.POWER_TOTAL} else None
    ours = _weight(behind, power=exponent)
    if model in {BehindModel.POWER_RATIO, BehindModel.LOG_RATIO}:
        return decimal_of(ours / (ours + _weight(ahead, power=exponent)))
    return decimal_of(ours / _weight(behind + ahead, power=exponent))


def _weight(value: Fraction, *, power: Decimal | None) -> Fraction:
    """value to the power, or ln(1 + value) without one."""
    if power is None:
        return Fraction(CALCULATION.ln(decimal_of(1 + value)))
    return Fraction(CALCULATION.power(decimal_of(value), power)) if value else Fraction(0)


def ahead_probabilistic(
    *,
    ahead: Decimal,
    level_qty_before: Decimal,
    level_qty: Decimal,
    traded_qty: Decimal,
    model: BehindModel,
    power: Decimal = Decimal(1),
) -> Decimal:
    """What is ahead after the level changed: front - (1 - p) x decrease + min(back - p x decrease, 0), at most the level.

    `traded_qty` is what has traded there since the last change: it was taken off the front already and is not counted twice.
    A level that grew leaves us where we are. The result is 0 or more.
    Source: exchange_semantics.md, section 5.6 (Prob models).
    """
    front, before, now, traded = not_negative(
        ahead=ahead, level_qty_before=level_qty_before, level_qty=level_qty, traded_qty=traded_qty
    )
    decrease = before - now - traded
    if decrease < 0:
        return decimal_of(min(front, now))
    back = max(Fraction(0), before - front)
    share = Fraction(behind_probability(model=model, front=ahead, back=decimal_of(back), power=power))
    moved = front - (1 - share) * decrease + min(back - share * decrease, Fraction(0))
    return decimal_of(max(Fraction(0), min(moved, now)))


def ahead_after_amend(*, ahead: Decimal, behind: Decimal, is_only_smaller: bool, venue_keeps_place: bool) -> Decimal:
    """What is ahead after an amendment: the same for a smaller quantity where the venue keeps the place, else everyone.

    Any change of price and any larger quantity goes to the back. `behind` is what others have behind us, at the new price.
    Source: exchange_semantics.md, section 1.2 ("Amend"); golden G17.
    """
    front, back = not_negative(ahead=ahead, behind=behind)
    return decimal_of(front if is_only_smaller and venue_keeps_place else front + back)


def available_qty(*, level_qty: Decimal, consumed_qty: Decimal) -> Decimal:
    """What of a level we may still take: its size less what we took before, never below 0.

    Source: exchange_semantics.md, section 5.1 (liquidity_consumption); golden J04.
    """
    size, used = not_negative(level_qty=level_qty, consumed_qty=consumed_qty)
    return decimal_of(max(Fraction(0), size - used))


def consumed_after_take(*, level_qty: Decimal, consumed_qty: Decimal, take_qty: Decimal) -> Decimal:
    """What we have taken of a level after taking more. Raises DomainError when that much is not there. Golden J04."""
    (wanted,) = not_negative(take_qty=take_qty)
    if wanted > Fraction(available_qty(level_qty=level_qty, consumed_qty=consumed_qty)):
        raise DomainError(f"{take_qty} cannot be taken of a level of {level_qty} of which {consumed_qty} are gone")
    return decimal_of(wanted + Fraction(consumed_qty))


def consumed_after_update(*, level_qty_before: Decimal, level_qty: Decimal, consumed_qty: Decimal) -> Decimal:
    """What counts as taken once the level is told anew: nothing when its size changed, else what it was. Golden J04."""
    before, now, used = not_negative(level_qty_before=level_qty_before, level_qty=level_qty, consumed_qty=consumed_qty)
    return decimal_of(used if before == now else Fraction(0))
