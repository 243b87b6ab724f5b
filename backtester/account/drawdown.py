"""The fall from the highest equity so far."""

from __future__ import annotations

from decimal import Decimal


class DrawdownRail:
    """Follows equity and says once that it has fallen by the limit from its peak; it is never armed again.

    Equity counts where it is looked at: at every close while something is held, after fills and after funding.
    """

    def __init__(self, limit: Decimal, *, equity: int) -> None:
        self._limit = limit.as_integer_ratio()
        self.peak = equity

    @property
    def floor(self) -> int:
        """Money units at which the limit is reached."""
        numerator, denominator = self._limit
        return self.peak - self.peak * numerator // denominator

    def is_reached(self, equity: int) -> bool:
        """Whether equity has fallen to the floor; a new peak raises it."""
        self.peak = max(self.peak, equity)
        return equity <= self.floor
