"""Free cash where each settlement asset stands for its own orders: nothing is converted for an order (ADR 019)."""

from __future__ import annotations

from backtester.risk.readers import OrderReader, PortfolioReader
from backtester.risk.reservations import Reservations


class SeveralAssets:
    """What working orders hold, by the asset that they settle in; an order that is not known holds in every asset."""

    def __init__(self, portfolio: PortfolioReader, reservations: Reservations, orders: OrderReader) -> None:
        self._portfolio = portfolio
        self._reservations = reservations
        self._orders = orders

    def free_cash(self, symbol: str) -> int:
        """Money units of the symbol's asset that no position and no working order needs."""
        asset = self._portfolio.asset_of(symbol)
        return self._portfolio.free_cash_in(asset) - sum(self._held_in(asset, *held) for held in self._reservations.held())

    def _held_in(self, asset: str, order_id: str, amount: int) -> int:
        found = self._orders.find(order_id)
        return amount if found is None or self._portfolio.asset_of(found[0].symbol) == asset else 0
