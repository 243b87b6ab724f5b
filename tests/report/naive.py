"""Trades and equity the slow way: plain Fractions, lists and loops; nothing of the code under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class NaiveFill:
    """What the naive side sees of a fill."""

    time_ms: int
    symbol: str
    signed: Fraction
    price: Fraction
    fee: Fraction
    at_close: bool
    reason: str = "SIGNAL"


@dataclass
class NaiveTrade:
    """(signed size, price) of every part that entered and left."""

    symbol: str
    begun_ms: int
    sign: int
    entries: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    exits: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    fees: Fraction = Fraction(0)
    ended_ms: int | None = None
    reason: str = "END"

    def open_size(self) -> Fraction:
        return sum((size for size, _ in self.entries), Fraction(0)) - sum((size for size, _ in self.exits), Fraction(0))


def naive_trades(fills: list[NaiveFill]) -> list[NaiveTrade]:
    """Closed ones in order of their end, then the open ones in order of their start."""
    begun: list[NaiveTrade] = []
    ended: list[NaiveTrade] = []
    for fill in fills:
        sign, left = (1 if fill.signed > 0 else -1), abs(fill.signed)
        mine = [trade for trade in begun if trade.symbol == fill.symbol]
        if mine and mine[0].sign != sign:
            part = min(left, mine[0].open_size())
            mine[0].exits.append((part, fill.price))
            mine[0].fees += fill.fee * part / abs(fill.signed)
            left -= part
            if mine[0].open_size() == 0:
                goes_on = left > 0 and fill.reason == "SIGNAL"
                mine[0].ended_ms, mine[0].reason = fill.time_ms, "REVERSE" if goes_on else fill.reason
                ended.append(mine[0])
                begun.remove(mine[0])
                mine = []
        if left:
            if not mine:
                mine = [NaiveTrade(fill.symbol, fill.time_ms, sign)]
                begun.append(mine[0])
            mine[0].entries.append((left, fill.price))
            mine[0].fees += fill.fee * left / abs(fill.signed)
    return ended + begun


@dataclass
class NaiveRow:
    """One row of equity.csv."""

    time_ms: int
    equity: Fraction
    cash: Fraction
    unrealised: Fraction
    exposure: Fraction
    equity_min: Fraction = Fraction(0)
    equity_max: Fraction = Fraction(0)


def naive_state(fills: list[NaiveFill], marks: dict[str, Fraction], *, time_ms: int, start: Fraction, spot: bool) -> NaiveRow:
    """Everything recomputed from the first fill on."""
    booked = [fill for fill in fills if fill.time_ms < time_ms or (fill.time_ms == time_ms and fill.at_close)]
    cash = start - sum((fill.fee for fill in booked), Fraction(0))
    unrealised = exposure = value = Fraction(0)
    for symbol in {fill.symbol for fill in booked}:
        size = average = Fraction(0)
        for fill in booked:
            if fill.symbol != symbol:
                continue
            if size * fill.signed >= 0:
                average = (average * abs(size) + fill.price * abs(fill.signed)) / (abs(size) + abs(fill.signed))
            else:
                part = min(abs(size), abs(fill.signed))
                cash += 0 if spot else part * (fill.price - average) * (1 if size > 0 else -1)
                if abs(fill.signed) > abs(size):
                    average = fill.price
            size += fill.signed
            cash -= fill.signed * fill.price if spot else 0
        mark = marks.get(symbol, average)
        unrealised += size * (mark - average)
        value += size * mark
        exposure += abs(size) * mark
    return NaiveRow(time_ms, cash + (value if spot else unrealised), cash, unrealised, exposure)
