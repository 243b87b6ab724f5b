"""equity.csv: the account at every close of the signal timeframe, recomputed from fills and closes after the run.

At an instant T the books hold the fills before T and those inside bars that end at T; marks are the last closes up to T. A fill
at the open of the bar that starts at T belongs to the next row.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TextIO

import msgspec

from backtester.domain.contract_value import book_fill, worth
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import split_leg
from backtester.domain.money import FEE_STEP, PRICE_ONE, format_money, price_e8
from backtester.domain.timeframe import DAY_MS
from backtester.engine.ports import MarketDataSource, Tick
from backtester.metrics.drawdown import DeepestFall
from backtester.report.fill_book import INTEREST_REASON, BookedFill, FillBook, FillPart, with_interest

EQUITY_NAME = "equity.csv"
EQUITY_COLUMNS = "time_ms,equity,cash,unrealised_pnl,exposure,equity_min,equity_max"
_NEVER_MS = sys.maxsize
_ZERO = format_money(0)


class EquityCurve(msgspec.Struct, kw_only=True):
    """What metrics need of the curve, in money units.

    `daily` holds (UTC midnight, equity then) from the start's midnight (or the first after it) to the last one reached.
    `drawdown_peak` and `drawdown_low` are the two ends of the deepest fall seen at execution closes.
    """

    start_ms: int
    end_ms: int
    start_equity: int
    end_equity: int
    daily: list[tuple[int, int]]
    drawdown_peak: int
    drawdown_low: int
    rows: int
    rows_in_position: int
    last_closes: dict[str, float]


class Replay:
    """Cash and positions as the fills leave them, one instant after the other."""

    def __init__(self, book: FillBook | FillPart, *, specs: Mapping[str, SymbolSpec], starting_cash: int) -> None:
        self._fills = chain(book.openings, (fill for _, fill in with_interest(book, book.grown)) if book.grown else book)
        self._next: BookedFill | None = next(self._fills, None)
        self._payments = iter(book.payments)
        self._payment = next(self._payments, None)
        self._outright = {symbol: spec.market.is_outright for symbol, spec in specs.items()}
        self._faces = {symbol: spec.face for symbol, spec in specs.items()}
        self._positions: dict[str, tuple[int, int]] = {}
        self.due_ms = self._due_ms()
        """When the next fill or funding payment happens."""
        self.cash = starting_cash
        self.base = starting_cash
        """Equity less the value of all positions at their marks."""
        self.cost = 0
        """Signed entry value of all positions."""
        self.held: list[tuple[str, int, int, int]] = []
        """(symbol, signed size in 1e-8, worth at its entry, face) of every open position (`domain.contract_value`).

        In hedge mode a symbol may have two.
        """
        self.is_in_position = False
        """Whether anything is held but dust: less than a lot, which no order can close."""
        self._lots_e8: dict[str, int] = {}

    def advance(self, time_ms: int) -> None:
        """The books hold what belongs to the instant `time_ms` and nothing later."""
        fill = self._next
        while fill is not None and (fill.time_ms < time_ms or (fill.time_ms == time_ms and fill.at_close)):
            self._book(fill)
            fill = next(self._fills, None)
        self._next = fill
        while self._payment is not None and self._payment[0] <= time_ms:
            self.cash += self._payment[1]
            self._payment = next(self._payments, None)
        self.due_ms = self._due_ms()
        positions = ((split_leg(leg)[0], *held) for leg, held in self._positions.items())
        self.held = [(symbol, size, cost, self._faces[symbol]) for symbol, size, cost in positions if size]
        lots_e8 = self._lots_e8
        self.is_in_position = any(size and abs(size) >= lots_e8[leg] for leg, (size, _) in self._positions.items())
        self.cost = sum(cost for _, _, cost, _ in self.held)
        self.base = self.cash - sum(cost for symbol, _, cost, _ in self.held if not self._outright[symbol])

    def _due_ms(self) -> int:
        fill_ms = self._next.time_ms if self._next is not None else _NEVER_MS
        return fill_ms if self._payment is None else min(fill_ms, self._payment[0])

    def _book(self, fill: BookedFill) -> None:
        position = fill.symbol if fill.position_side is None else fill.leg
        size, cost = self._positions.get(position, (0, 0))
        booked = book_fill(lots=size, cost=cost, signed_lots=fill.signed_e8, price_e8=fill.price_e8, face=fill.face)
        self._positions[position] = (booked.lots, booked.cost)
        if fill.reason != INTEREST_REASON:
            self._lots_e8[position] = fill.lot_e8
        if self._outright[fill.symbol]:
            self.cash -= fill.signed_e8 * fill.price_e8
        else:
            self.cash += booked.realised
        self.cash -= fill.fee


def write_equity(
    file: TextIO,
    *,
    feed: MarketDataSource,
    book: FillBook,
    specs: Mapping[str, SymbolSpec],
    starting_cash: int,
    start_ms: int,
    end_ms: int | None = None,
) -> EquityCurve:
    """One row in `file` per instant with signals, after `start_ms` (what is before it is warm-up) and up to `end_ms`.

    `feed` is read from its beginning. Minimum and maximum are over the execution closes since the last row, this one included.
    """
    file.write(EQUITY_COLUMNS + "\n")
    curve = Curve(Replay(book, specs=specs, starting_cash=starting_cash), starting_cash, start_ms)
    return draw(file, curve, feed=feed, end_ms=end_ms)


def draw(file: TextIO, curve: Curve, *, feed: MarketDataSource, end_ms: int | None) -> EquityCurve:
    """The rows of a curve stand in `file`; `feed` is read from its beginning up to `end_ms`."""
    last_ms = _NEVER_MS if end_ms is None else end_ms
    for batch in feed.batches():
        ticks = list(batch)
        if ticks and ticks[-1][0] > last_ms:
            file.writelines(curve.read([tick for tick in ticks if tick[0] <= last_ms]))
            break
        file.writelines(curve.read(ticks))
    if end_ms is not None:
        curve.settle(end_ms)
    return curve.finished()


class Curve:
    """The curve as far as it has been read."""

    def __init__(self, replay: Replay, starting_cash: int, start_ms: int) -> None:
        self._replay = replay
        self._closes: dict[str, float] = {}
        self._start_ms = start_ms
        self._tick_ms = start_ms
        self._next_day_ms = -(-start_ms // DAY_MS) * DAY_MS
        self._daily: list[tuple[int, int]] = []
        self._start_equity = self._equity = starting_cash
        self._lowest = self._highest = starting_cash
        self._row_is_new = True
        self._fall = DeepestFall(starting_cash)
        self._rows = self._rows_held = 0
        self._cash_text = format_money(starting_cash)

    def read(self, ticks: Sequence[Tick]) -> list[str]:
        """The rows of the next ticks."""
        replay, closes, held = self._replay, self._closes, self._replay.held
        equity, lowest, highest, row_is_new = self._equity, self._lowest, self._highest, self._row_is_new
        rows: list[str] = []
        for time_ms, bars, signals in ticks:
            for bar in bars:
                closes[bar.symbol] = bar.close
            if time_ms <= self._start_ms:
                continue
            if self._next_day_ms < time_ms:
                self._pass_midnights(time_ms - 1, equity)
            if replay.due_ms <= time_ms:
                replay.advance(time_ms)
                held = replay.held
                self._cash_text = format_money(replay.cash)
            value = exposure = 0
            for symbol, size_e8, cost, face in held:
                close = closes.get(symbol)
                if face:
                    one = worth(size_e8, price_e8(close), face) if close is not None else cost
                else:
                    one = size_e8 * price_e8(close) if close is not None else cost
                value += one
                exposure += one if one > 0 else -one
            before, equity = equity, replay.base + value
            if equity != before:
                self._fall.see(equity)
            if row_is_new:
                lowest = highest = equity
                row_is_new = False
            elif equity < lowest:
                lowest = equity
            elif equity > highest:
                highest = equity
            self._tick_ms = time_ms
            if signals is None or signals:
                self._rows_held += replay.is_in_position
                rows.append(self._row(time_ms, equity, value - replay.cost, exposure, lowest, highest))
                row_is_new = True
        self._equity, self._lowest, self._highest, self._row_is_new = equity, lowest, highest, row_is_new
        self._rows += len(rows)
        return rows

    def settle(self, end_ms: int) -> None:
        """What filled after the last close and up to `end_ms`, where a run was stopped between two bars, is in the books."""
        replay = self._replay
        if replay.due_ms > end_ms:
            return
        replay.advance(end_ms + 1)
        marks = ((size, cost, face, self._closes.get(symbol)) for symbol, size, cost, face in replay.held)
        self._equity = replay.base + sum(
            cost if close is None else worth(size, price_e8(close), face) for size, cost, face, close in marks
        )
        self._fall.see(self._equity)

    def finished(self) -> EquityCurve:
        """What metrics need, once everything has been read."""
        self._pass_midnights(self._tick_ms, self._equity)
        peak, low = self._fall.peak_and_low()
        return EquityCurve(
            start_ms=self._start_ms,
            end_ms=self._tick_ms,
            start_equity=self._start_equity,
            end_equity=self._equity,
            daily=self._daily,
            drawdown_peak=peak,
            drawdown_low=low,
            rows=self._rows,
            rows_in_position=self._rows_held,
            last_closes=self._closes,
        )

    def _pass_midnights(self, until_ms: int, equity: int) -> None:
        """Every midnight up to `until_ms` that was not yet passed saw `equity`."""
        while self._next_day_ms <= until_ms:
            self._daily.append((self._next_day_ms, equity))
            self._next_day_ms += DAY_MS

    def _row(self, time_ms: int, equity: int, unrealised: int, exposure: int, lowest: int, highest: int) -> str:
        equity_text = _money(equity)
        if lowest == highest:
            return (
                f"{time_ms},{equity_text},{self._cash_text},{_money(unrealised)},{_money(exposure)},{equity_text},{equity_text}\n"
            )
        return (
            f"{time_ms},{equity_text},{self._cash_text},{_money(unrealised)},{_money(exposure)},"
            f"{_money(lowest)},{_money(highest)}\n"
        )


def _money(units: int) -> str:
    """As `format_money`, in half the time for amounts of up to 8 decimals."""
    if not units:
        return _ZERO
    coins, rest = divmod(units, FEE_STEP)
    if rest or units < 0:
        return format_money(units)
    return f"{coins // PRICE_ONE}.{coins % PRICE_ONE:08d}"
