"""Maintenance margin by tiers of position value: the sum over slices, and the deduction form that equals it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from backtester.domain.calculation import decimal_of, not_negative, positive
from backtester.domain.errors import DomainError
from backtester.domain.money import ceil_div


class LeverageTier(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"maintenance_frac": "maintenance_rate", "leverage_max": "max_leverage"},
):
    """One tier: position values in (floor, cap], in the coin that settles. It is stored under the venues' words for two fields.

    Maintenance margin = value x `maintenance_frac` - `deduction`, which leaves no jump from tier to tier. `leverage_max` is
    None where the venue names none, `cap` where nothing bounds the tier, `deduction` in an answer that leaves it to the reader.
    """

    floor: Decimal
    maintenance_frac: Decimal
    cap: Decimal | None = None
    leverage_max: Decimal | None = None
    deduction: Decimal | None = None


def next_deduction(
    *, floor: Decimal, maintenance_frac: Decimal, maintenance_frac_before: Decimal, deduction_before: Decimal
) -> Decimal:
    """deduction of the tier before + floor x (rate - rate before), in the settle coin: the step between tiers leaves no jump.

    Source: exchange_semantics.md, section 4.2; golden D05, D06.
    """
    value, rate, rate_before, before = not_negative(
        floor=floor,
        maintenance_frac=maintenance_frac,
        maintenance_frac_before=maintenance_frac_before,
        deduction_before=deduction_before,
    )
    return decimal_of(before + value * (rate - rate_before))


class TierTable:
    """The tiers of one symbol, from value 0 upwards, with their deductions.

    Raises DomainError unless floors start at 0 and rise, and rates lie between 0 and 1 and never fall.
    Source: exchange_semantics.md, section 4.2; golden D03, D05.
    """

    def __init__(
        self,
        *,
        floors: Sequence[Decimal],
        maintenance_fracs: Sequence[Decimal],
        leverages_max: Sequence[Decimal | None] | None = None,
        cap: Decimal | None = None,
    ) -> None:
        if not floors or len(floors) != len(maintenance_fracs) or (leverages_max and len(leverages_max) != len(floors)):
            raise DomainError("a tier table needs as many rates (and leverages) as floors, and at least one of each")
        if not_negative(floor=floors[0])[0]:
            raise DomainError(f"the first tier must start at 0, not at {floors[0]}")
        tiers: list[LeverageTier] = []
        deduction = Decimal(0)
        for index, (floor, rate) in enumerate(zip(floors, maintenance_fracs, strict=True)):
            if positive(maintenance_frac=rate)[0] >= 1:
                raise DomainError(f"maintenance_frac must be below 1, was {rate}")
            if tiers:
                before = tiers[-1]
                if floor <= before.floor or rate < before.maintenance_frac:
                    raise DomainError(f"tier {index + 1}: floors must rise and rates must not fall, was {floor} at {rate}")
                deduction = next_deduction(
                    floor=floor,
                    maintenance_frac=rate,
                    maintenance_frac_before=before.maintenance_frac,
                    deduction_before=deduction,
                )
            leverage = leverages_max[index] if leverages_max else None
            if leverage is not None:
                positive(leverage_max=leverage)
            last = index + 1 == len(floors)
            tiers.append(
                LeverageTier(
                    floor=floor,
                    maintenance_frac=rate,
                    cap=cap if last else floors[index + 1],
                    leverage_max=leverage,
                    deduction=deduction,
                )
            )
        if cap is not None and cap <= floors[-1]:
            raise DomainError(f"the last tier must end above its floor {floors[-1]}, not at {cap}")
        self.tiers = tuple(tiers)
        self._ratios = tuple(_ratios(tier) for tier in tiers)

    @classmethod
    def flat(cls, maintenance_frac: Decimal) -> TierTable:
        """One rate for every value."""
        return cls(floors=(Decimal(0),), maintenance_fracs=(maintenance_frac,))

    @classmethod
    def of(cls, tiers: Sequence[LeverageTier]) -> TierTable:
        """The table of a venue's tiers, its deductions worked out from floors and rates whatever the answer said."""
        return cls(
            floors=tuple(tier.floor for tier in tiers),
            maintenance_fracs=tuple(tier.maintenance_frac for tier in tiers),
            leverages_max=tuple(tier.leverage_max for tier in tiers),
            cap=tiers[-1].cap if tiers else None,
        )

    def at(self, value: Decimal) -> LeverageTier:
        """The tier of a position value; a value on a floor still belongs to the tier below it."""
        (found,) = not_negative(value=value)
        return self.at_fraction(found)

    def at_fraction(self, value: Fraction) -> LeverageTier:
        """`at` for an exact value."""
        for tier in reversed(self.tiers):
            if value > Fraction(tier.floor):
                return tier
        return self.tiers[0]

    def maintenance(self, value: Decimal) -> Decimal:
        """value x rate - deduction of the tier of `value`, in the settle coin. Golden D03, D04."""
        (found,) = not_negative(value=value)
        return decimal_of(self.maintenance_fraction(found))

    def maintenance_fraction(self, value: Fraction) -> Fraction:
        """`maintenance` for an exact value, exact."""
        tier = self.at_fraction(value)
        return value * Fraction(tier.maintenance_frac) - Fraction(tier.deduction or 0)

    def maintenance_by_slices(self, value: Decimal) -> Decimal:
        """Sum over tiers of (part of the value inside the tier) x its rate; always equal to `maintenance`. Golden D03."""
        (found,) = not_negative(value=value)
        total = Fraction(0)
        for index, tier in enumerate(self.tiers):
            floor = Fraction(tier.floor)
            if found <= floor:
                break
            top = Fraction(self.tiers[index + 1].floor) if index + 1 < len(self.tiers) else found
            total += (min(found, top) - floor) * Fraction(tier.maintenance_frac)
        return decimal_of(total)

    def maintenance_money(self, value_money: int) -> int:
        """`maintenance` in whole money units (1e-16 of the settle coin), rounded up."""
        for floor_numerator, floor_denominator, numerator, deduction, denominator in reversed(self._ratios):
            if value_money * floor_denominator > floor_numerator:
                return ceil_div(value_money * numerator - deduction, denominator)
        return 0

    def leverage_max(self, value: Decimal) -> Decimal | None:
        """The highest leverage that the tier of `value` allows; None where the venue names none."""
        return self.at(value).leverage_max

    def allows_leverage(self, *, value: Decimal, leverage: Decimal) -> bool:
        """Whether a position of `value` may be held at `leverage`; a venue refuses the order that would break it.

        Source: exchange_semantics.md, section 4.2 ("Higher tier also lowers max leverage").
        """
        (asked,) = positive(leverage=leverage)
        most = self.leverage_max(value)
        return most is None or asked <= Fraction(most)


def _ratios(tier: LeverageTier) -> tuple[int, int, int, int, int]:
    """(floor, its denominator, rate, deduction, their common denominator) as whole numbers, money in units of 1e-16."""
    one = 10**16
    floor = Fraction(tier.floor) * one
    rate, deduction = Fraction(tier.maintenance_frac), Fraction(tier.deduction or 0) * one
    denominator = rate.denominator * deduction.denominator
    return (
        floor.numerator,
        floor.denominator,
        rate.numerator * deduction.denominator,
        deduction.numerator * rate.denominator,
        denominator,
    )
