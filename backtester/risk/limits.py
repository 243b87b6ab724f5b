"""The rails of `[risk]`, and the cost assumptions they need."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from backtester.domain.margin_terms import MarginTerms
from backtester.domain.money import PRICE_ONE, ceil_div, e8_from_decimal
from backtester.risk.readers import OptionNeeds


class ExposureLimits(NamedTuple):
    """Caps of what is held and may come to be held, as multiples of equity; None is no cap."""

    max_leverage: Decimal | None = None
    max_symbol: Decimal | None = None
    max_total: Decimal | None = None
    max_correlated: Decimal | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    """Symbols that move together: `max_correlated` caps each group."""

    @property
    def any(self) -> bool:
        """Whether anything is capped."""
        caps = (self.max_leverage, self.max_symbol, self.max_total, self.max_correlated if self.groups else None)
        return any(cap is not None for cap in caps)


NO_CAPS = ExposureLimits()


class RiskLimits:
    """The rails of `[risk]` and the cost assumptions they need, as whole numbers."""

    def __init__(
        self,
        *,
        collar_bps: Decimal | None = None,
        max_open_orders: int | None = None,
        max_position_notional: Decimal | None = None,
        orders_per_second: Decimal | None = None,
        order_burst: int = 100,
        margin: Mapping[str, MarginTerms] | None = None,
        fee_bps: Mapping[str, Decimal] | None = None,
        market_bps: Decimal = Decimal(0),
        exposure: ExposureLimits = NO_CAPS,
        options: OptionNeeds | None = None,
        hedge: bool = False,
    ) -> None:
        self.collar_e8 = _bps_e8(collar_bps) if collar_bps is not None else None
        self.max_open_orders = max_open_orders
        self.max_position = e8_from_decimal(max_position_notional) * PRICE_ONE if max_position_notional is not None else None
        self.orders_per_second_e8 = e8_from_decimal(orders_per_second) if orders_per_second is not None else None
        self.order_burst = order_burst
        self.margin = dict(margin or {})
        """Terms of the symbols that are traded on margin; any other is paid for whole."""
        self.fee_e8 = {symbol: max(0, _bps_e8(bps)) for symbol, bps in (fee_bps or {}).items()}
        """The highest fee that an order may cost; a rebate counts as none."""
        self.market_e8 = _bps_e8(market_bps)
        self.exposure = exposure
        self.options = options
        self.hedge = hedge
        """Whether a symbol has a long and a short position of their own, and orders say which they mean."""

    def on_rules(self, symbol: str, *, fee_bps: Decimal | None, margin: MarginTerms | None) -> None:
        """From now on a symbol has this highest fee and these terms; None leaves what there was."""
        if fee_bps is not None:
            self.fee_e8[symbol] = max(0, _bps_e8(fee_bps))
        if margin is not None and symbol in self.margin:
            self.margin[symbol] = margin


def _bps_e8(bps: Decimal) -> int:
    """Basis points as a fraction in whole 1e-8, rounded up."""
    numerator, denominator = bps.as_integer_ratio()
    return ceil_div(numerator * (PRICE_ONE // 10_000), denominator)
