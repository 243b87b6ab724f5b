"""What a naive venue is asked, and on which terms. Prices are in ticks, sizes in lots."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MINUTE = 60_000
BPS = Fraction(1, 10_000)
CONDITIONAL = {"stop", "stop_limit", "target", "target_limit", "trail"}
CLASSES = {"stop": 1, "stop_limit": 1, "market": 2}
"""Who comes first at one instant on one symbol: stops, market orders, all other orders (3), cancels and amendments (4), dates (5)."""

Event = tuple[Any, ...]


@dataclass(frozen=True)
class Bar:
    """A minute of one symbol."""

    symbol: str
    start: int
    open: Fraction
    high: Fraction
    low: Fraction
    close: Fraction
    volume: int

    @property
    def end(self) -> int:
        return self.start + MINUTE


@dataclass
class Order:
    """What was asked for, and where it stands: new, coming, working, waiting, resting, over."""

    order_id: str
    symbol: str
    kind: str
    buys: bool
    lots: int
    price: int | None = None
    trigger: int | None = None
    tif: str = "gtc"
    good_till: int = 0
    post_only: bool = False
    reduce_only: bool = False
    state: str = "new"
    open: int = 0
    arrived: int = -1
    meets_from: int = -1
    sequence: int = 0
    bars_worked: int = 0
    note: str = ""
    budget: Fraction | None = None
    distance: int = 0
    trail_bps: int = 0
    extreme: Fraction | None = None
    stop: Fraction | None = None
    take_profit: int | None = None
    stop_loss: int | None = None
    stop_price: int | None = None
    fills: int = 0
    whole: bool = False
    follows: bool = False
    other: Order | None = None
    is_listed: bool = False

    @property
    def is_stop(self) -> bool:
        """Whether it waits for the market to go against a position."""
        return self.kind.startswith("stop") or self.kind == "trail"

    @property
    def rises(self) -> bool:
        """Whether it waits for a rise."""
        return self.is_stop == self.buys

    def is_triggered(self, price: Fraction) -> bool:
        """Whether a price reaches what it waits for; a trailing stop that does not follow yet waits for none."""
        at = self.stop if self.kind == "trail" else self.trigger
        if at is None:
            return False
        return price >= at if self.rises else price <= at

    def crosses(self, price: Fraction) -> bool:
        """Whether the limit is at the market or beyond it."""
        return self.price is None or (self.price >= price if self.buys else self.price <= price)


@dataclass(frozen=True)
class Cancel:
    """A request to cancel an order."""

    target: str
    symbol: str


@dataclass(frozen=True)
class Amend:
    """A request to change an order; what is None stays."""

    target: str
    symbol: str
    lots: int | None = None
    price: int | None = None
    trigger: int | None = None


Asked = Order | Cancel | Amend


@dataclass(frozen=True)
class Terms:
    """Everything that a run's settings decide."""

    spot: bool = False
    order_latency: int = 0
    cancel_latency: int = 0
    spread_bps: Fraction = Fraction(0)
    slippage_bps: Fraction = Fraction(0)
    maker_bps: Fraction = Fraction(0)
    taker_bps: Fraction = Fraction(0)
    share_bps: int = 0
    touch: bool = False
    carry: bool = True
    work_bars: int = 60
    post_only_crossing: str = "rejected"
    fok_short: str = "expired"
    good_till_least: int = 0
    rejects_larger_reduce_only: bool = False
    stp: str = "none"
    has_triggers: bool = True
    amends_waiting: bool = True
    amend_keeps_place: bool = False
    amend_below_filled: str = "rejected"
    open_orders_max: int | None = None
    waiting_orders_max: int | None = None
    tick: Fraction = Fraction(1, 10)
    lot: Fraction = Fraction(1, 1000)
