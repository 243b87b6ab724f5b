"""The life cycle of an order: one table for simulation and live (exchange_semantics.md, section 1.3)."""

from __future__ import annotations

from backtester.domain.errors import OrderStateError
from backtester.domain.vocabulary import OrderStatus as S

TRANSITIONS: dict[S, frozenset[S]] = {
    S.NEW: frozenset({S.SUBMITTED, S.REFUSED}),
    S.SUBMITTED: frozenset({S.LIVE, S.UNTRIGGERED, S.REJECTED, S.EXPIRED}),
    S.UNTRIGGERED: frozenset({S.TRIGGERED, S.CANCELED, S.EXPIRED}),
    S.TRIGGERED: frozenset({S.LIVE, S.CANCELED}),
    S.LIVE: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
    S.PARTIALLY_FILLED: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
    S.FILLED: frozenset(),
    S.CANCELED: frozenset(),
    S.EXPIRED: frozenset(),
    S.REFUSED: frozenset(),
    S.REJECTED: frozenset(),
}
"""Allowed transitions; nothing leaves a terminal state. Each is made by a real order in tests/sim/test_life_cycle.py.

SUBMITTED to EXPIRED: the run ended while it was on its way. TRIGGERED to CANCELED: there was no margin for it.
"""

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)


def next_status(current: S, following: S, order_id: str) -> S:
    """`following`, when the table allows it; raises OrderStateError otherwise."""
    if following not in TRANSITIONS[current]:
        raise OrderStateError(f"order {order_id}: {current.value} cannot become {following.value}")
    return following
