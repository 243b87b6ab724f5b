"""What each trade went through: the worst and the best it stood at, funding while it was open, slippage of its fills.

Computed from journal and execution bars when it is asked for: a run does not pay for it.

A bar counts for the position that was held in it. A fill at an arrival meets the open of its bar, so that this bar belongs to
the position after it. A fill inside a bar leaves open what of the bar came before it: only its adverse side counts, for the
position before and for the one after, except that a stop leaves at its price and cannot have seen worse.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from backtester.audit.journal import JournalLine
from backtester.domain.borrowing import InterestCharged
from backtester.domain.contract_value import worth
from backtester.domain.delivery import Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.money import e8_from_decimal, money_from_decimal, price_e8
from backtester.domain.orders import Fill
from backtester.domain.vocabulary import OrderType, Side
from backtester.metrics.costs import price_paid_away
from backtester.report.fill_book import END_REASON, INTEREST_PLACE, BookedFill, FillBook, fills_of, with_interest
from backtester.report.metrics_file import AT_MARKET, trade_result
from backtester.report.trades import Trade, trades_of
from backtester.report.waiting_orders import WaitingOrders, with_levels

_STOPS = frozenset({OrderType.STOP_MARKET.value, OrderType.TRAILING_STOP.value})


class Bars(Protocol):
    """Execution bars of one symbol: numpy arrays of equal length, `start_ms` strictly rising."""

    @property
    def start_ms(self) -> Any:
        """Starts, UTC epoch milliseconds."""

    @property
    def open(self) -> Any:
        """Opens."""

    @property
    def high(self) -> Any:
        """Highs."""

    @property
    def low(self) -> Any:
        """Lows."""

    @property
    def close(self) -> Any:
        """Closes."""


class TradeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One trade with what it went through. Amounts in money units (1e-16 quote).

    `held_ms` runs to the end of the run for an open trade. `funding` is positive when received. `slippage` is what its fills cost
    against their reference prices (docs/metrics.md), `worst` and `best` the least and the most that the trade stood at before fees
    while it was open, both counted from 0 at its entry; None where there are no bars to tell.
    """

    number: int
    trade: Trade
    held_ms: int
    funding: int
    slippage: int | None
    worst: int | None
    best: int | None

    @property
    def r_multiple(self) -> float | None:
        """Net profit in units of what the stop put at risk; None while open, and without a stop on the losing side."""
        return None if self.trade.is_open else trade_result(self.trade).r_multiple

    @property
    def worst_bps(self) -> float | None:
        """Maximum adverse excursion in basis points of the entry value, 0 or below."""
        return self._bps(self.worst)

    @property
    def best_bps(self) -> float | None:
        """Maximum favourable excursion in basis points of the entry value, 0 or above."""
        return self._bps(self.best)

    def _bps(self, amount: int | None) -> float | None:
        return None if amount is None else 10_000 * amount / abs(self.trade.entry_value)


class _Leg(NamedTuple):
    """A fill's part in a trade: its place among all fills, and the signed size that belongs to this trade."""

    place: int
    fill: BookedFill
    part_e8: int


class _Payment(NamedTuple):
    after_fills: int
    amount: int


class _History:
    """Fills and funding of a journal, in its order, with what references need."""

    def __init__(self, lines: Iterable[JournalLine], faces: Mapping[str, int]) -> None:
        self.book = FillBook(faces=faces)
        self.waiting = WaitingOrders()
        self.tick_e8: dict[str, int] = {}
        self.payments: dict[str, list[_Payment]] = {}
        self.end_ms = 0
        for event in fills_of(self._seen(lines)):
            if isinstance(event, Fill):
                self.book.add(event)
                if event.price_ticks:
                    self.tick_e8.setdefault(event.symbol, e8_from_decimal(event.price) // event.price_ticks)
            elif isinstance(event, CoinsDeposited):
                self.book.add_opening(event)
            elif isinstance(event, Delivery):
                self.book.add_delivery(event)
            elif isinstance(event, InterestCharged):
                self.book.add_interest(event)
            else:
                paid = _Payment(len(self.book), money_from_decimal(event.amount))
                self.payments.setdefault(event.leg, []).append(paid)

    def _seen(self, lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
        for line in lines:
            self.waiting.see(line)
            if line.topic == "run":
                self.end_ms = _decode_time(line.raw).time_ms
            yield line

    def trigger_e8(self, index: int, symbol: str) -> int | None:
        """The trigger of the order whose fill stands at `index`, where it had a fixed one."""
        return self.waiting.trigger_ticks(index) * self.tick_e8[symbol] or None


class _Timed(msgspec.Struct):
    time_ms: int


_decode_time = msgspec.json.Decoder(_Timed).decode


def trade_facts(
    lines: Iterable[JournalLine],
    *,
    bars_of: Callable[[str], Bars | None],
    length_ms: int,
    open_gross: Mapping[str, int],
    faces: Mapping[str, int] | None = None,
) -> list[TradeFacts]:
    """Every trade of a journal in the order of trades.csv.

        `bars_of` gives a symbol's execution bars (each `length_ms` long), None where there are none. `open_gross` says of each
    position with an open trade what it stood at in the end, before fees, as trades.csv does. `faces`: of inverse contracts.
    """
    history = _History(lines, faces or {})
    found = []
    ranges: dict[str, _Ranges | None] = {}
    for number, (trade, legs) in enumerate(_with_legs(history), start=1):
        if trade.symbol not in ranges:
            bars = bars_of(trade.symbol)
            ranges[trade.symbol] = _Ranges(bars, length_ms) if bars is not None else None
        seen = ranges[trade.symbol]
        if trade.is_open and trade.leg in open_gross:
            trade = _standing_at(trade, open_gross[trade.leg])  # noqa: PLW2901 - the same trade, valued as trades.csv has it
        worst, best = seen.excursion(legs, trade, history.end_ms) if seen is not None else (None, None)
        found.append(
            TradeFacts(
                number=number,
                trade=trade,
                held_ms=(history.end_ms if trade.is_open else trade.exit_time_ms) - trade.entry_time_ms,
                funding=_funding(history.payments.get(trade.leg, []), legs, is_open=trade.is_open),
                slippage=seen.slippage(legs, history) if seen is not None else None,
                worst=worst,
                best=best,
            )
        )
    return found


def _with_legs(history: _History) -> Iterator[tuple[Trade, list[_Leg]]]:
    """Each trade with its fills; one that crosses zero belongs to two, by size."""
    openings = history.book.openings
    pending = {fill.symbol: [_Leg(-1, fill, fill.signed_e8)] for fill in openings}
    held = {fill.symbol: fill.signed_e8 for fill in openings}

    def watched() -> Iterator[BookedFill]:
        for index, fill in with_interest(history.book, history.book.grown):
            position = fill.leg
            if index == INTEREST_PLACE:
                held[position] = held.get(position, 0) + fill.signed_e8
                continue
            before = held.get(position, 0)
            after = held[position] = before + fill.signed_e8
            crosses = before * after < 0
            pending.setdefault(position, []).append(_Leg(index, fill, -before if crosses else fill.signed_e8))
            yield fill
            if crosses or 0 < abs(after) < min(abs(before), fill.lot_e8):  # what is left over is part of the next trade
                pending.setdefault(position, []).append(_Leg(index, fill, after))

    found = trades_of(watched(), last_closes={}, openings=openings, grown=history.book.grown)
    for trade in with_levels(found, history.waiting, tick_e8=history.tick_e8.__getitem__):
        yield trade, pending.pop(trade.leg)


def _standing_at(trade: Trade, gross: int) -> Trade:
    return msgspec.structs.replace(trade, exit_value=trade.entry_value + trade.side.sign * gross)


def _funding(payments: list[_Payment], legs: list[_Leg], *, is_open: bool) -> int:
    """Payments after the trade's first fill and, unless it is open, before its last one."""
    first = bisect_right(payments, legs[0].place, key=lambda paid: paid.after_fills)
    last = len(payments) if is_open else bisect_right(payments, legs[-1].place, key=lambda paid: paid.after_fills)
    return sum(paid.amount for paid in payments[first:last])


class _Ranges:
    """Highs and lows of one symbol, asked for by stretches of time."""

    def __init__(self, bars: Bars, length_ms: int) -> None:
        self._bars = bars
        self._ends: list[int] = (bars.start_ms + length_ms).tolist()

    def excursion(self, legs: list[_Leg], trade: Trade, end_ms: int) -> tuple[int, int]:
        """The least and the most that the trade stood at, exactly."""
        is_long = trade.side is Side.BUY
        cost = size_e8 = 0
        face = trade.face
        points = [0]
        for place, leg in enumerate(legs):
            price = leg.fill.price_e8
            points.append(worth(size_e8, price, face) - cost)
            if _inside_a_bar(leg.fill) and size_e8 and leg.fill.order_type not in _STOPS:
                points += self._adverse_at(leg.fill.time_ms, size_e8, cost, is_long=is_long, face=face)
            cost += worth(leg.part_e8, price, face)
            size_e8 += leg.part_e8
            if not size_e8:
                break
            if _inside_a_bar(leg.fill):
                points += self._adverse_at(leg.fill.time_ms, size_e8, cost, is_long=is_long, face=face)
            following = legs[place + 1].fill if place + 1 < len(legs) else None
            first, last = self._between(leg.fill, following, end_ms)
            if first < last:
                extremes = float(self._bars.low[first:last].min()), float(self._bars.high[first:last].max())
                points += [worth(size_e8, price_e8(extreme), face) - cost for extreme in extremes]
        if trade.is_open:
            points.append(trade.gross)
        return min(points), max(points)

    def slippage(self, legs: list[_Leg], history: _History) -> int | None:
        """What the fills cost against trigger, open or last close; None when one of them has no reference."""
        total = 0
        for leg in legs:
            fill = leg.fill
            if fill.order_type in AT_MARKET:
                reference = history.trigger_e8(leg.place, fill.symbol)
            elif fill.reason == END_REASON:
                place = bisect_right(self._ends, fill.time_ms)
                reference = price_e8(float(self._bars.close[place - 1])) if place else None
            elif fill.at_close:
                continue
            else:
                place = bisect_right(self._ends, fill.time_ms)
                reference = price_e8(float(self._bars.open[place])) if place < len(self._ends) else None
            if reference is None:
                return None
            total += price_paid_away(signed_size=leg.part_e8, price=fill.price_e8, reference=reference, face=fill.face)
        return total

    def _between(self, fill: BookedFill, following: BookedFill | None, end_ms: int) -> tuple[int, int]:
        """The bars [first, last) in which nothing but the position after `fill` was held."""
        first = bisect_right(self._ends, fill.time_ms)
        if following is None:
            return first, bisect_right(self._ends, end_ms)
        inside = _inside_a_bar(following)
        return first, (bisect_left if inside else bisect_right)(self._ends, following.time_ms)

    def _adverse_at(self, time_ms: int, size_e8: int, cost: int, *, is_long: bool, face: int) -> list[int]:
        """Where the position stood at the adverse extreme of the bar that ends at `time_ms`."""
        place = bisect_left(self._ends, time_ms)
        if place == len(self._ends) or self._ends[place] != time_ms:
            return []
        extreme = self._bars.low[place] if is_long else self._bars.high[place]
        return [worth(size_e8, price_e8(float(extreme)), face) - cost]


def _inside_a_bar(fill: BookedFill) -> bool:
    """It is stamped with the end of the bar in which it happened somewhere; fills at the end of a run are at the close itself."""
    return fill.at_close and fill.reason != END_REASON
