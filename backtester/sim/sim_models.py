"""Slippage and fee models: small protocols that a user can implement, and the ones that are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Protocol

from backtester.domain.errors import DomainError
from backtester.domain.vocabulary import Liquidity, Side

__all__ = [
    "FeeModel",
    "FixedFee",
    "FixedSlippage",
    "MakerTakerFee",
    "SlippageModel",
    "SymbolFees",
    "VolumeShareSlippage",
    "checked_bps",
]

_EXACT = Context(prec=60)


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
    if not isinstance(bps, Decimal) or not bps.is_finite() or bps.is_signed() and bps:
        raise DomainError(f"a slippage model returned {bps!r}; it must return a Decimal of 0 or more basis points")
    return bps


class FixedSlippage:
    """The same basis points for every taker fill."""

    def __init__(self, bps: Decimal) -> None:
        self._bps = checked_bps(bps)

    def cost(self, *, symbol: str, side: Side, qty: Decimal, price: float, bar_volume: float) -> Decimal:
        """The fixed basis points."""
        return self._bps


class VolumeShareSlippage:
    """base + 10,000 x impact x share^2 basis points, share = qty / bar volume, at most 1.

    Source: zipline VolumeShareSlippage (exchange_semantics.md, section 5.3; golden I01).
    """

    def __init__(self, impact: Decimal = Decimal("0.1"), base_bps: Decimal = Decimal(0)) -> None:
        self._impact_bps = _EXACT.multiply(checked_bps(impact), Decimal(10_000))
        self._base_bps = checked_bps(base_bps)

    def cost(self, *, symbol: str, side: Side, qty: Decimal, price: float, bar_volume: float) -> Decimal:
        """The base plus the impact of the share of the bar's volume."""
        if bar_volume <= 0:
            return _EXACT.add(self._base_bps, self._impact_bps)
        share = min(Decimal(1), _EXACT.divide(qty, Decimal(repr(bar_volume))))
        return _EXACT.add(self._base_bps, _EXACT.multiply(self._impact_bps, _EXACT.multiply(share, share)))


class FixedFee:
    """One rate for makers and takers."""

    def __init__(self, bps: Decimal) -> None:
        self._bps = bps

    def rate_bps(self, *, symbol: str, liquidity: Liquidity) -> Decimal:
        """The one rate."""
        return self._bps


class MakerTakerFee:
    """A rate for makers and one for takers."""

    def __init__(self, maker_bps: Decimal, taker_bps: Decimal) -> None:
        self._maker_bps = maker_bps
        self._taker_bps = taker_bps

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
