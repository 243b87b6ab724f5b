"""What metrics.json needs beside fills, trades and the curve: watched while the journal and the candles pass once.

Nothing here changes what passes. Positions and equity are marked at every full UTC hour, prices at every UTC midnight.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO, cast

from backtester.domain.candle import Candle
from backtester.domain.contract_value import falls_with_price, value, worth
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import PRICE_ONE, format_money, price_e8
from backtester.domain.timeframe import DAY_MS, HOUR_MS
from backtester.domain.vocabulary import OrderType
from backtester.engine.ports import MarketDataSource, Tick
from backtester.metrics.costs import price_paid_away
from backtester.metrics.drawdown import Fall, Underwater
from backtester.metrics.trades import TradeResult
from backtester.report.equity import EquityCurve, Replay
from backtester.report.fill_book import DELIVERY_TYPE, END_REASON, BookedFill, FillBook, FillPart
from backtester.report.trades import Trade
from backtester.report.waiting_orders import WaitingOrders

AT_MARKET = frozenset({OrderType.STOP_MARKET.value, OrderType.TAKE_PROFIT_MARKET.value, OrderType.TRAILING_STOP.value})
"""Types of orders that are market orders from their trigger on."""


class MarketWatch:
    """A feed that is looked at while it is read: marks, prices at midnight, and what fills cost against their reference."""

    def __init__(
        self,
        feed: MarketDataSource,
        *,
        book: FillBook | FillPart,
        specs: Mapping[str, SymbolSpec],
        waiting: WaitingOrders,
        starting_cash: int,
        start_ms: int,
        end_ms: int | None,
    ) -> None:
        self._feed = feed
        self._replay = Replay(book, specs=specs, starting_cash=starting_cash)
        self._end_ms = end_ms
        self._next_ms = -(-start_ms // HOUR_MS) * HOUR_MS
        self._now_ms = start_ms
        self._symbols = len(specs)
        self._closes: dict[str, float] = {}
        self._opens: dict[str, float] = {}
        self._fills = book.numbered()
        self._fill = next(self._fills, None)
        self._unpriced: list[BookedFill] = []
        self._waiting = waiting
        self._tick_e8 = {symbol: spec.tick_e8 for symbol, spec in specs.items()}
        self.midnights: list[dict[str, float]] = []
        """Last closes at every UTC midnight, by symbol."""
        self.marks: list[tuple[int, int, int]] = []
        """(equity, gross notional, net notional) at every full UTC hour, in money units."""
        self.slippage = 0
        """What taker fills cost against their reference prices, in money units."""
        self.without_reference = 0
        """Fills of which the reference price is not known."""
        self.bought = 0
        """Value of all purchases, in money units."""
        self.sold = 0
        """Value of all sales, in money units."""

    def batches(self) -> Iterator[Sequence[Tick]]:
        """The feed's ticks."""
        for batch in self._feed.batches():
            ticks = list(batch)
            if ticks:
                self._watch(ticks)
            yield ticks

    def is_even(self) -> bool:
        """That of the feed."""
        return self._feed.is_even()

    def bar_from(self, symbol: str, time_ms: int) -> Candle | None:
        """See `MarketDataSource.bar_from`."""
        return self._feed.bar_from(symbol, time_ms)

    def fingerprint(self) -> str:
        """That of the feed."""
        return self._feed.fingerprint()

    def gap_count(self) -> int:
        """That of the feed."""
        return self._feed.gap_count()

    def candle_count(self) -> int:
        """That of the feed."""
        return self._feed.candle_count()

    def finish(self, curve: EquityCurve) -> None:
        """The last marks are made up to where the curve ends, and the fills that closed positions there are priced."""
        while self._next_ms <= curve.end_ms:
            self._mark()
        if not self.marks:
            self._account()
        while self._fill is not None:
            self._price_next(curve.last_closes)
        self.without_reference += len(self._unpriced)
        self._unpriced.clear()

    def closes(self) -> dict[str, list[float]]:
        """By symbol, the last close at every midnight; before the first close, the first open."""
        return {symbol: [day.get(symbol, self._opens[symbol]) for day in self.midnights] for symbol in sorted(self._opens)}

    def _watch(self, batch: Sequence[Tick]) -> None:
        times = [tick[0] for tick in batch]
        stop = len(batch) if self._end_ms is None else bisect_right(times, self._end_ms)
        if len(self._opens) < self._symbols:
            for _, bars, _ in batch[:stop]:
                for bar in bars:
                    self._opens.setdefault(bar.symbol, bar.open)
        done = 0
        while stop and self._next_ms < times[stop - 1]:
            index = bisect_right(times, self._next_ms, done, stop)
            self._move(batch, done, index)
            self._mark()
            done = index
        self._move(batch, done, stop)
        while self._fill is not None and self._fill[1].time_ms < times[-1]:
            self._price_next({})
        waiting = self._unpriced
        self._unpriced = [fill for fill in waiting if not self._price_at_open(fill, batch, bisect_right(times, fill.time_ms))]

    def _move(self, batch: Sequence[Tick], done: int, index: int) -> None:
        """Time and closes are those of the tick before `index`; ticks before `done` were seen."""
        if index <= done:
            return
        self._now_ms = max(self._now_ms, batch[index - 1][0])
        found: dict[str, float] = {}
        for place in range(index - 1, done - 1, -1):
            for bar in batch[place][1]:
                found.setdefault(bar.symbol, bar.close)
            if len(found) == len(self._opens):
                break
        self._closes.update(found)

    def _mark(self) -> None:
        """The next full hour is marked by what was known then."""
        self._account()
        if self._next_ms % DAY_MS == 0:
            self.midnights.append(dict(self._closes))
        self._next_ms += HOUR_MS

    def _account(self) -> None:
        replay = self._replay
        if replay.due_ms <= self._now_ms:
            replay.advance(self._now_ms)
        gross = net = held = 0
        for symbol, size_e8, cost, face in replay.held:
            close = self._closes.get(symbol)
            value_now = cost if close is None else worth(size_e8, price_e8(close), face)
            held += value_now
            gross += abs(value_now)
            net += value_now * falls_with_price(face)
        self.marks.append((replay.base + held, gross, net))

    def _price_next(self, closes: Mapping[str, float]) -> None:
        """The next fill is compared with its reference: the trigger, the last close (`closes`) or an open that is still to come.

        A limit order that filled inside a bar got its price.
        """
        if self._fill is None:
            return
        index, fill = self._fill
        self._fill = next(self._fills, None)
        if fill.order_type == DELIVERY_TYPE:  # no trade: nobody was met, and nothing was paid away
            return
        worth_now = value(abs(fill.signed_e8), fill.price_e8, fill.face)
        if fill.signed_e8 > 0:
            self.bought += worth_now
        else:
            self.sold += worth_now
        if fill.order_type in AT_MARKET:
            self._pay(fill, self._waiting.trigger_ticks(index) * self._tick_e8.get(fill.symbol, 0) or None)
        elif fill.reason == END_REASON:
            close = closes.get(fill.symbol)
            self._pay(fill, None if close is None else price_e8(close))
        elif not fill.at_close:
            self._unpriced.append(fill)

    def _price_at_open(self, fill: BookedFill, batch: Sequence[Tick], index: int) -> bool:
        """Whether the bar that contains the fill's arrival, or the next one there is, stands from `index` on in `batch`."""
        for _, bars, _ in batch[index:]:
            for bar in bars:
                if bar.symbol == fill.symbol:
                    self._pay(fill, price_e8(bar.open))
                    return True
        return False

    def _pay(self, fill: BookedFill, reference_e8: int | None) -> None:
        if reference_e8 is None:
            self.without_reference += 1
        else:
            self.slippage += price_paid_away(
                signed_size=fill.signed_e8, price=fill.price_e8, reference=reference_e8, face=fill.face
            )


class EquityRows(io.TextIOBase):
    """A text file whose rows of equity are looked at while they are written."""

    def __init__(self, file: TextIO, *, start_ms: int, starting_cash: int) -> None:
        self._file = file
        self._seen = Underwater(start_ms, _amount(starting_cash))

    def write(self, text: str, /) -> int:
        """`text` stands in the file."""
        return self._file.write(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]  # the base speaks of bytes
        """`lines`, rows of equity, stand in the file."""
        rows = list(lines)
        self._file.writelines(rows)
        see = self._seen.see
        for row in rows:
            time_ms, equity, _, _, _, low, high, *_ = row.split(",")
            see(int(time_ms), float(low), float(high), float(equity))

    def as_text(self) -> TextIO:
        """This file, as `typing` names what it is."""
        return cast("TextIO", self)

    def finish(self, curve: EquityCurve) -> tuple[Fall | None, int]:
        """Instants of the curve's deepest fall, and the longest time under water in milliseconds."""
        end = _amount(curve.end_equity)
        self._seen.see(curve.end_ms, end, end, end)
        fall = self._seen.fall(_amount(curve.drawdown_peak), _amount(curve.drawdown_low))
        return fall, self._seen.longest_ms(curve.end_ms)


def trade_result(trade: Trade) -> TradeResult:
    """A trade that is over, with the distances of its stop and its target."""
    return TradeResult(
        symbol=trade.symbol,
        side=trade.side,
        entry_time_ms=trade.entry_time_ms,
        exit_time_ms=trade.exit_time_ms,
        entry_value=abs(trade.entry_value),
        gross=trade.gross,
        fees=trade.fees,
        close_reason=trade.close_reason,
        stop_away=_away(trade, trade.stop_price, sign=-1),
        target_away=_away(trade, trade.target_price, sign=1),
    )


def _away(trade: Trade, price: int | None, *, sign: int) -> float | None:
    """Distance from the entry price, as a fraction of it, positive on the side of `sign`: 1 is that of profits."""
    if price is None:
        return None
    if trade.face:
        return sign * trade.side.sign * (price - trade.entry_price) / trade.entry_price
    return sign * trade.side.sign * (trade.qty_e8 * price - trade.entry_value * PRICE_ONE) / (trade.entry_value * PRICE_ONE)


def _amount(units: int) -> float:
    """What reading the text of an amount gives."""
    return float(format_money(units))
