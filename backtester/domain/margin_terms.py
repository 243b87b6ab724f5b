"""What margin of a symbol is worked out from in a run: its leverage, its tiers and its taker fee, in whole money units."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from backtester.domain.calculation import not_negative
from backtester.domain.errors import DomainError
from backtester.domain.margin import leverage_of
from backtester.domain.money import CALCULATION, MONEY_ONE, ceil_div
from backtester.domain.tiers import LeverageTier, TierTable
from backtester.domain.vocabulary import Word

DEFAULT_LEVERAGE_MAX = Decimal(125)
DEFAULT_MAINTENANCE_FRAC = Decimal("0.025")
"""Maintenance where no tiers are known: the rate at which venues end a tier of 20 x, of positions of any size."""


class MarginMode(Word):
    """Whether positions share the wallet (CROSS) or each has a margin of its own and can lose no more (ISOLATED)."""

    CROSS = "cross"
    ISOLATED = "isolated"


class MarginTerms:
    """Margin of linear positions of one symbol. Values are in money units of the quote asset; margins and fees are rounded up.

    Raises DomainError for a leverage below 1, or more than the first tier allows: its most, or 1 / its maintenance rate. Without
    `must_fit` the latter are terms at which nothing may be opened.
    """

    def __init__(self, *, leverage: Decimal, tiers: TierTable, taker_frac: Decimal, must_fit: bool = True) -> None:
        times = leverage_of(leverage)
        (taker,) = not_negative(taker_frac=taker_frac)
        self.leverage = leverage
        self.tiers = tiers
        self._numerator, self._denominator = times.numerator, times.denominator
        self.taker = (taker.numerator, taker.denominator)
        self._tiers = [
            (
                tier,
                None if tier.cap is None else Fraction(tier.cap) * MONEY_ONE,
                (tier.leverage_max is None or times <= Fraction(tier.leverage_max)) and times * Fraction(tier.maintenance_frac) < 1,
            )
            for tier in tiers.tiers
        ]
        if must_fit and not self._tiers[0][2]:
            raise DomainError(f"leverage {leverage} is more than the first tier allows ({_most(tiers.tiers[0])})")

    def initial(self, value: int) -> int:
        """value / leverage. Source: exchange_semantics.md, section 4.2; golden D01."""
        return ceil_div(value * self._denominator, self._numerator)

    def maintenance(self, value: int) -> int:
        """value x rate - deduction, in the tier of the value. Source: exchange_semantics.md, section 4.2; golden D03."""
        return self.tiers.maintenance_money(value)

    def fee(self, value: int) -> int:
        """The taker fee on a value."""
        return ceil_div(value * self.taker[0], self.taker[1])

    def close_fee(self, value: int, sign: int) -> int:
        """Fee to close at the bankruptcy price a position that was entered at `value`: part of what an order costs (D10)."""
        return self.fee(max(0, value - sign * self.initial(value)))

    def refusal(self, value: int) -> str:
        """Why no position may become worth `value` at this leverage; empty where it may.

        Source: exchange_semantics.md, section 4.2 ("Higher tier also lowers max leverage").
        """
        for tier, cap, fits in self._tiers:
            if cap is None or value <= cap:
                if fits:
                    return ""
                return f"leverage {self.leverage} is too high for a position above {tier.floor:f} ({_most(tier)})"
        return f"no tier takes a position above {self.tiers.tiers[-1].cap:f}"


def _most(tier: LeverageTier) -> str:
    if tier.leverage_max is not None:
        return f"at most {tier.leverage_max}"
    return f"its maintenance margin is {tier.maintenance_frac} of the value"


def tiers_or_default(tiers: Sequence[LeverageTier], *, leverage: Decimal, leverage_max: Decimal | None) -> TierTable:
    """The venue's table; where none is stored, one rate for every size: 2.5 %, or half the initial margin where that is less.

    Half the initial margin at the highest leverage is what venues ask for in a first tier (Bybit BTCUSDT: 0.5 % at 100 x), and
    2.5 % is the rate of a tier of 20 x. `leverage_max` (or 125) then bounds the leverage.
    """
    if tiers:
        return TierTable.of(tiers)
    half = CALCULATION.divide(Decimal("0.5"), leverage)
    return TierTable(
        floors=(Decimal(0),),
        maintenance_fracs=(min(DEFAULT_MAINTENANCE_FRAC, half),),
        leverages_max=(leverage_max or DEFAULT_LEVERAGE_MAX,),
    )
