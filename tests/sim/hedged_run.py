"""Small runs in hedge mode."""

from __future__ import annotations

from typing import Any

from backtester import PositionSide
from tests.sim.small_run import A, SmallRun, small_run

HEDGE = {"position_mode": "hedge"}


def hedged(bars: Any, orders: Any, *, account: dict[str, Any] | None = None, **more: Any) -> SmallRun:
    """A small run in hedge mode."""
    return small_run(bars, orders, account={**HEDGE, **(account or {})}, **more)


def held(run: SmallRun, symbol: str = A) -> tuple[str, ...]:
    """(long, short) of the account in the end."""
    books = run.engine.account.books
    return tuple(str(books.position(symbol, side).normalize() + 0) for side in PositionSide)
