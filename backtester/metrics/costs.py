"""What trading cost, against what it earned before fees. Amounts of one unit, positive when paid."""

from __future__ import annotations

from collections.abc import Iterable

from backtester.domain.contract_value import worth


def gross_profit(grosses: Iterable[int]) -> int:
    """Sum of the profits before fees of the trades that gained before fees."""
    return sum(gross for gross in grosses if gross > 0)


def share_of_gross_profit(cost: int, *, gross_profit: int) -> float | None:
    """A cost as a fraction of gross profit, above 1 where it was all eaten up; None without a gross profit."""
    return cost / gross_profit if gross_profit > 0 else None


def price_paid_away(*, signed_size: int, price: int, reference: int, face: int = 0) -> int:
    """What a fill cost against a reference price: size x distance, positive when worse than the reference.

    `signed_size` is above 0 for a purchase; the unit is that of size x price, of inverse contracts (`face`) 1e-16 of the coin.
    """
    return worth(signed_size, price, face) - worth(signed_size, reference, face)
