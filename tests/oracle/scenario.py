"""What a scripted run is made of: bars, a script of intents, and the rules in force. Nothing here knows the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

BPS = 10_000


class Bar(NamedTuple):
    """One candle over [start_ms, end_ms); prices and volume at their shortest decimal form."""

    start_ms: int
    end_ms: int
    open: Fraction
    high: Fraction
    low: Fraction
    close: Fraction
    volume: Fraction


@dataclass(frozen=True)
class Action:
    """One scripted intent. A limit price is `offset_ticks` away from the close (or the fill price) it reacts to.

    kind: market, limit, cancel (of order `target`) or flatten (a reduce-only market order over the whole position).
    """

    kind: str
    order_id: str = ""
    buy: bool = True
    lots: int = 0
    offset_ticks: int = 0
    ioc: bool = False
    reduce_only: bool = False
    target: str = ""


@dataclass(frozen=True)
class Script:
    """What to send at the n-th candle of a symbol, and once at the first fill of an order."""

    on_candle: Mapping[tuple[str, int], Sequence[Action]]
    on_fill: Mapping[str, Sequence[Action]]


@dataclass(frozen=True)
class Rules:
    """The venue's and the account's settings of a run."""

    signal_ms: int = 60_000
    order_latency_ms: int = 125
    cancel_latency_ms: int = 125
    response_latency_ms: int = 125
    spread_bps: Decimal = Decimal(1)
    slippage_bps: Decimal = Decimal(1)
    maker_bps: Decimal = Decimal(2)
    taker_bps: Decimal = Decimal(5)
    participation_bps: Decimal = Decimal(1000)
    carry: bool = True
    work_bars: int = 60
    through: bool = True
    cash: Decimal = Decimal(10_000_000)
    spot: bool = False
    received: bool = False
    """Fees of spot are taken from the coin received."""
    inverse: bool = False
    """Sizes are contracts of one unit of quote, money is in the coin."""
    tick: Decimal = Decimal("0.1")
    lot: Decimal = Decimal("0.001")


def worth(price: Fraction, rules: Rules) -> Fraction:
    """What one unit of size counts for: its price; of an inverse contract, which a long loses as it rises, less than nothing."""
    return -1 / price if rules.inverse else price


def signal_bars(bars: Sequence[Bar], signal_ms: int) -> list[tuple[int, Fraction]]:
    """(end_ms, close) of each bucket with a bar in it; a first or last bucket that the data cuts is left out."""
    closes: dict[int, Fraction] = {}
    for bar in bars:
        closes[bar.start_ms // signal_ms * signal_ms] = bar.close
    if bars and bars[0].start_ms % signal_ms:
        closes.pop(bars[0].start_ms // signal_ms * signal_ms)
    if bars and bars[-1].end_ms % signal_ms:
        closes.pop(bars[-1].start_ms // signal_ms * signal_ms, None)
    return [(start + signal_ms, close) for start, close in closes.items()]
