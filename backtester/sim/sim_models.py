"""Slippage and fee models: small protocols that a user can implement, and the ones that are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION
from backtester.domain.vocabulary import Liquidity, Side

__all__ = [
    "ChangingFees",
    "FeeModel",
    "FixedFee",
    "FixedSlippage",
    "MakerTakerFee",
    "ScaledFees",
    "SlippageModel",
    "SymbolFees",
    "VolumeShareSlippage",
    "checked_bps",
    "checked_rate_bps",
]

FEE_RATE_BPS_MAX = 10_000


class SlippageModel(Protocol):
    """How much worse than the half-spread a taker fill is. A function of its arguments only."""

    def cost(self, *, symbol: str, side: Side, qty: Decimal, price: float, bar_volume: float) -> Decimal:
        """Basis points, exact, finite and not negative, of a taker fill of `qty` [base] in a bar of `bar_volume` [base]."""


class FeeModel(Protocol):
    """What the venue takes of the value of a fill."""

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """Basis points of value; negative for a rebate."""


def checked_bps(bps: Decimal) -> Decimal:
    """`bps` when it is a finite Decimal of 0 or more; raises DomainError otherwise, so that no model flatters a fill."""
    if not isinstance(bps, Decimal) or not bps.is_finite() or (bps.is_signed() and bps):
        raise DomainError(f"a slippage model returned {bps!r}; it must return a Decimal of 0 or more basis points")
    return bps


def checked_rate_bps(bps: Decimal) -> Decimal:
    """`bps` when it is a Decimal between -10,000 and 10,000; raises DomainError otherwise."""
    if not isinstance(bps, Decimal) or not bps.is_finite() or not -FEE_RATE_BPS_MAX <= bps <= FEE_RATE_BPS_MAX:
        raise DomainError(f"a fee model returned {bps!r}; it must return a Decimal of at most {FEE_RATE_BPS_MAX} basis points")
    return bps


class FixedSlippage:
    """The same basis points for every taker fill."""

    def __init__(self, bps: Decimal) -> None:
        self.bps = checked_bps(bps)

    def cost(self, *, symbol: str, side: Side, qty: Decimal, price: float, bar_volume: float) -> Decimal:
        """The fixed basis points."""
        return self.bps


class VolumeShareSlippage:
    """base + 10,000 x impact x share^2 basis points, share = qty / bar volume, at most 1.

    Source: zipline VolumeShareSlippage (exchange_semantics.md, section 5.3; golden I01).
    """

    def __init__(self, impact: Decimal = Decimal("0.1"), base_bps: Decimal = Decimal(0)) -> None:
        self._impact_bps = CALCULATION.multiply(checked_bps(impact), Decimal(10_000))
        self._base_bps = checked_bps(base_bps)

    def cost(self, *, symbol: str, side: Side, qty: Decimal, price: float, bar_volume: float) -> Decimal:
        """The base plus the impact of the share of the bar's volume."""
        if bar_volume <= 0:
            return CALCULATION.add(self._base_bps, self._impact_bps)
        share = min(Decimal(1), CALCULATION.divide(qty, Decimal(float.__repr__(bar_volume))))
        return CALCULATION.add(self._base_bps, CALCULATION.multiply(self._impact_bps, CALCULATION.multiply(share, share)))


class FixedFee:
    """One rate for makers and takers."""

    def __init__(self, bps: Decimal) -> None:
        self._bps = checked_rate_bps(bps)

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """The one rate."""
        return self._bps


class MakerTakerFee:
    """A rate for makers and one for takers."""

    def __init__(self, maker_bps: Decimal, taker_bps: Decimal) -> None:
        self._maker_bps = checked_rate_bps(maker_bps)
        self._taker_bps = checked_rate_bps(taker_bps)

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """The rate of the side of the book."""
        return self._maker_bps if liquidity is Liquidity.MAKER else self._taker_bps


class SymbolFees:
    """A maker and a taker rate for each symbol of a run."""

    def __init__(self, rates: Mapping[str, tuple[Decimal, Decimal]]) -> None:
        self._rates = dict(rates)

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """The symbol's rate of that side of the book."""
        maker_bps, taker_bps = self._rates[symbol]
        return maker_bps if liquidity is Liquidity.MAKER else taker_bps


class ChangingFees:
    """Another model's fees until those of a symbol change; each change holds from then on."""

    def __init__(self, fees: FeeModel) -> None:
        self._fees = fees
        self._changed: dict[str, MakerTakerFee] = {}

    def change(self, symbol: str, maker_bps: Decimal, taker_bps: Decimal) -> None:
        """From now on these are the rates of `symbol`."""
        self._changed[symbol] = MakerTakerFee(maker_bps, taker_bps)

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """The rate in force."""
        return self._changed.get(symbol, self._fees).rate_bps(symbol=symbol, liquidity=liquidity)


class ScaledFees:
    """Another model's fees times a factor; a rebate is divided by it, so that a factor above 1 never flatters."""

    def __init__(self, fees: FeeModel, factor: Decimal) -> None:
        """`factor` is 0 or more; 0 leaves no fee and no rebate."""
        self._fees = fees
        self._factor = factor

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """The scaled rate, at most what a fee can be."""
        bps = checked_rate_bps(self._fees.rate_bps(symbol=symbol, liquidity=liquidity))
        if bps >= 0 or not self._factor:
            return min(Decimal(FEE_RATE_BPS_MAX), CALCULATION.multiply(abs(bps), self._factor))
        return max(Decimal(-FEE_RATE_BPS_MAX), CALCULATION.divide(bps, self._factor))
