"""A second opinion on a run: the simulation rules again, slowly, with exact fractions and plain loops.

Written from the rules alone and importing nothing of the engine, so that an error in one is not an error in both.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle.books import Books, EquityRow, FillRow, TradeRow
from tests.oracle.scenario import BPS, Action, Bar, Rules, Script, signal_bars, worth


@dataclass
class Order:
    """An order on its way or at the venue; `open_lots` is what is left of it."""

    action: Action
    symbol: str
    seq: int
    lots: int
    open_lots: int
    limit_ticks: int
    arrival_ms: int
    arrived: bool = False
    met_a_bar: bool = False
    rests: bool = False
    worked_bars: int = 0
    note: str = ""
    end: str = ""


@dataclass
class Result:
    """Everything the oracle says about a run."""

    fills: list[FillRow] = field(default_factory=list)
    equity: list[EquityRow] = field(default_factory=list)
    trades: list[TradeRow] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    positions: dict[str, Fraction] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)


class Oracle:
    """Runs a script over bars; `run()` once."""

    def __init__(self, bars: Mapping[str, Sequence[Bar]], script: Script, rules: Rules) -> None:
        self.bars, self.script, self.rules = bars, script, rules
        self.symbols = list(bars)
        self.tick, self.lot = Fraction(rules.tick), Fraction(rules.lot)
        self.starts = {s: [bar.start_ms for bar in rows] for s, rows in bars.items()}
        self.used: dict[tuple[str, int], int] = {}
        self.books = Books(self.symbols, rules)
        self.working: list[Order] = []
        self.orders_due: list[Order] = []
        self.cancels_due: list[tuple[int, str]] = []
        self.reports_due: list[tuple[int, FillRow]] = []
        self.reacted: set[str] = set()
        self.times: list[int] = []
        self.seq = 0
        self.result = Result(rules=rules)

    def run(self) -> Result:
        """The fills, trades and equity rows of the whole run."""
        ends: dict[int, list[tuple[str, Bar]]] = {}
        signals: dict[int, list[tuple[str, int, Fraction]]] = {}
        moments: set[int] = set()
        for symbol in self.symbols:
            for bar in self.bars[symbol]:
                ends.setdefault(bar.end_ms, []).append((symbol, bar))
                moments |= {bar.start_ms, bar.end_ms}
            for index, (end_ms, close) in enumerate(signal_bars(self.bars[symbol], self.rules.signal_ms)):
                signals.setdefault(end_ms, []).append((symbol, index, close))
                moments.add(end_ms)
        last_ms = max(ends)
        self.times = sorted(moments)
        done_ms = -1
        while self.times:
            now_ms = heapq.heappop(self.times)
            if now_ms == done_ms:
                continue
            if now_ms > last_ms:
                break
            done_ms = now_ms
            self.close_bars(now_ms, ends.get(now_ms, []))
            self.report(now_ms)
            for symbol, index, close in signals.get(now_ms, []):
                self.decide(now_ms, symbol, self.script.on_candle.get((symbol, index), ()), close)
            if now_ms in signals:
                self.books.snapshot(now_ms)
            if now_ms < last_ms:
                self.open_bars(now_ms)
        self.finish(last_ms)
        return self.result

    # what the strategy does

    def report(self, now_ms: int) -> None:
        """Scripted reactions to the fills whose report arrives now."""
        due = [row for at_ms, row in self.reports_due if at_ms == now_ms]
        self.reports_due = [(at_ms, row) for at_ms, row in self.reports_due if at_ms != now_ms]
        for row in due:
            if row.order_id in self.script.on_fill and row.order_id not in self.reacted:
                self.reacted.add(row.order_id)
                self.decide(now_ms, row.symbol, self.script.on_fill[row.order_id], row.price)

    def decide(self, now_ms: int, symbol: str, actions: Sequence[Action], reference: Fraction) -> None:
        """Send each action's order or cancel."""
        for action in actions:
            if action.kind == "cancel":
                self.cancels_due.append((now_ms + self.rules.cancel_latency_ms, action.target))
                heapq.heappush(self.times, now_ms + self.rules.cancel_latency_ms)
            elif action.kind == "flatten":
                held = self.books.positions[symbol].qty
                if held:
                    lots = int(abs(held) / self.lot)
                    self.send(now_ms, symbol, Action("market", action.order_id, held < 0, lots, reduce_only=True), 0)
            else:
                limit_ticks = int(reference / self.tick) + action.offset_ticks if action.kind == "limit" else 0
                self.send(now_ms, symbol, action, limit_ticks)

    def send(self, now_ms: int, symbol: str, action: Action, limit_ticks: int) -> None:
        """Put an order on its way; refuse a reduce-only order with nothing to reduce and a sale of more than a spot account holds."""
        held = int(self.books.positions[symbol].qty / self.lot) * self.lot
        refused = action.reduce_only and (held == 0 or (held < 0) != action.buy)
        if self.rules.spot and not action.buy and not action.reduce_only:
            refused = action.lots * self.lot > held
        if refused:
            self.result.refused.append(action.order_id)
            return
        order = Order(action, symbol, self.seq, action.lots, action.lots, limit_ticks, now_ms + self.rules.order_latency_ms)
        self.seq += 1
        self.orders_due.append(order)
        self.result.orders[action.order_id] = order
        heapq.heappush(self.times, order.arrival_ms)

    def open_orders(self) -> list[Order]:
        """Orders under way and at the venue."""
        return self.orders_due + self.working

    # what the venue does

    def bar_at(self, symbol: str, now_ms: int) -> Bar | None:
        """The bar that contains this instant."""
        index = bisect_right(self.starts[symbol], now_ms) - 1
        if index < 0 or self.bars[symbol][index].end_ms <= now_ms:
            return None
        return self.bars[symbol][index]

    def open_bars(self, now_ms: int) -> None:
        """Working market orders meet the bars that open now, arriving orders the bar they arrive in."""
        first = True
        while True:
            arriving = [o for o in self.orders_due if o.arrival_ms == now_ms]
            self.orders_due = [o for o in self.orders_due if o.arrival_ms != now_ms]
            cancels = [target for at_ms, target in self.cancels_due if at_ms == now_ms]
            self.cancels_due = [(at_ms, target) for at_ms, target in self.cancels_due if at_ms != now_ms]
            if not (first or arriving or cancels):
                return
            for order in arriving:
                order.arrived = True
            for symbol in self.symbols:
                bar = self.bar_at(symbol, now_ms)
                opens_now = first and bar is not None and bar.start_ms == now_ms
                carried = [o for o in self.working if o.symbol == symbol and o.action.kind == "market"] if opens_now else []
                mine = carried + [o for o in arriving if o.symbol == symbol]
                self.working += [o for o in arriving if o.symbol == symbol]
                self.drop_pointless(symbol)
                for order in sorted(mine, key=lambda o: (o.action.kind != "market", o.seq)):
                    if order.end:
                        continue
                    if order.action.kind == "market":
                        self.meet_market(order, bar, now_ms)
                    else:
                        self.arrive_limit(order, bar, now_ms)
            for target in cancels:
                self.cancel(target, now_ms)
            first = False
            self.report(now_ms)

    def meet_market(self, order: Order, bar: Bar | None, now_ms: int) -> None:
        """Fill what the bar's share allows at its open; the rest works on."""
        if bar is None or bar.volume == 0:
            order.note = order.note or ("gap" if bar is None else "zero_volume")
            if order.action.ioc:
                self.stop(order, "NO_LIQUIDITY")
            return
        order.worked_bars += order.met_a_bar
        order.met_a_bar = True
        self.take(order, bar, now_ms)
        worked_out = order.action.ioc or not self.rules.carry or order.worked_bars >= self.rules.work_bars
        if order.open_lots and not order.end and worked_out:
            self.stop(order, "CAPACITY")

    def arrive_limit(self, order: Order, bar: Bar | None, now_ms: int) -> None:
        """A limit at or beyond the open of the bar it arrives in takes; what is left rests, or ends when IOC."""
        if bar is not None and bar.volume > 0:
            limit = order.limit_ticks * self.tick
            if (bar.open <= limit) if order.action.buy else (bar.open >= limit):
                self.take(order, bar, now_ms)
        if order.action.ioc and order.open_lots and not order.end:
            self.stop(order, "NO_LIQUIDITY")
        if order.open_lots and not order.end:
            order.rests = not self.meets_own(order, order.limit_ticks)

    def take(self, order: Order, bar: Bar, now_ms: int) -> None:
        """A taker fill at the bar's open plus half the spread and slippage, rounded once against the trader."""
        lots = self.allowed(order, bar)
        if lots == 0:
            return
        buy, impact = order.action.buy, Fraction(0)
        if order.action.reduce_only and lots > self.left(order.symbol, bar):
            impact = 1000 * min(Fraction(1), lots * self.lot / bar.volume) ** 2
        sign = 1 if buy else -1
        price = bar.open * (1 + sign * Fraction(self.rules.spread_bps) / 2 / BPS)
        price *= 1 + sign * (Fraction(self.rules.slippage_bps) + impact) / BPS
        ticks = -(-price // self.tick) if buy else max(1, price // self.tick)
        if order.action.kind == "limit":
            ticks = min(ticks, order.limit_ticks) if buy else max(ticks, order.limit_ticks)
        if not self.meets_own(order, int(ticks)):
            self.fill(order, bar, lots, ticks * self.tick, now_ms, taker=True)

    def meets_own(self, order: Order, ticks: int) -> bool:
        """Whether an order that reaches to this price ends because it would trade with one of ours that rests.

        On spot it is the one that rests that ends, and so where the order that comes may only reduce.
        """
        buy = order.action.buy
        crossed = [
            o
            for o in self.working
            if o is not order and o.symbol == order.symbol and o.action.kind == "limit" and o.action.buy is not buy and o.rests
        ]
        crossed = [o for o in crossed if (o.limit_ticks <= ticks if buy else o.limit_ticks >= ticks)]
        keeps = self.rules.spot or order.action.reduce_only
        for other in crossed if keeps else [order] if crossed else []:
            self.stop(other, "SELF_TRADE")
        return bool(crossed) and not keeps

    def close_bars(self, now_ms: int, ended: list[tuple[str, Bar]]) -> None:
        """Resting orders meet the ranges of the bars that end now, then the bars' closes become the marks."""
        for symbol, bar in ended:
            self.books.last[symbol] = bar.close
        for symbol, bar in ended:
            for order in sorted(self.working, key=lambda o: o.seq):
                if order.symbol == symbol and order.action.kind == "limit" and not order.end and bar.volume > 0:
                    in_time = (order.arrival_ms - bar.start_ms) * 2 < bar.end_ms - bar.start_ms
                    if in_time and self.crossed(order, bar.low if order.action.buy else bar.high):
                        lots = self.allowed(order, bar)
                        if lots:
                            self.fill(order, bar, lots, order.limit_ticks * self.tick, now_ms, taker=False)
        if ended:
            self.books.bars_closed()

    def crossed(self, order: Order, price: Fraction) -> bool:
        """Whether a resting limit is hit by this price."""
        margin = 1 if self.rules.through else 0
        if order.action.buy:
            return price <= (order.limit_ticks - margin) * self.tick
        return price >= (order.limit_ticks + margin) * self.tick

    def cancel(self, target: str, now_ms: int) -> None:
        """Remove the order, unless a bar with trades opened through it, while it was resting, before this instant."""
        for order in self.working:
            if order.action.order_id == target:
                bar = self.bar_at(order.symbol, now_ms)
                raced = bar is not None and bar.volume > 0 and order.action.kind == "limit" and order.arrival_ms < bar.start_ms
                if not (raced and bar is not None and self.crossed(order, bar.open)):
                    self.stop(order, "USER")
                return

    def left(self, symbol: str, bar: Bar) -> int:
        """Lots of the bar's share not yet used; with no cap more than any order."""
        if self.rules.participation_bps == 0:
            return 10**30
        share = bar.volume * Fraction(self.rules.participation_bps) / BPS // self.lot
        return max(0, int(share) - self.used.get((symbol, bar.start_ms), 0))

    def allowed(self, order: Order, bar: Bar) -> int:
        """Lots this order may fill now; one that may only reduce ends here when the position leaves nothing to reduce."""
        within_share = min(order.open_lots, self.left(order.symbol, bar))
        if not self.only_reduces(order):
            return within_share
        return min(order.open_lots if order.action.reduce_only else within_share, self.reducible(order))

    def only_reduces(self, order: Order) -> bool:
        """A reduce-only order, and any sale on spot."""
        return order.action.reduce_only or (self.rules.spot and not order.action.buy)

    def reducible(self, order: Order) -> int:
        """Lots of the position that this order could close."""
        held = self.books.positions[order.symbol].qty
        return int(abs(held) / self.lot) if (held < 0) == order.action.buy else 0

    def drop_pointless(self, symbol: str) -> None:
        """Orders at the venue that may only reduce end when the position leaves nothing to reduce."""
        for order in list(self.working):
            if order.symbol == symbol and self.only_reduces(order) and self.reducible(order) == 0:
                self.stop(order, "REDUCE_ONLY")

    def stop(self, order: Order, why: str) -> None:
        order.end = why
        self.working = [o for o in self.working if o is not order]

    def fill(self, order: Order, bar: Bar, lots: int, price: Fraction, now_ms: int, *, taker: bool) -> None:
        """Book a fill and its fee, and send its report."""
        self.used[order.symbol, bar.start_ms] = self.used.get((order.symbol, bar.start_ms), 0) + lots
        order.open_lots -= lots
        rate = Fraction(self.rules.taker_bps if taker else self.rules.maker_bps) / BPS
        size = lots * self.lot
        in_base = self.rules.received and (order.action.buy if rate >= 0 or taker else not order.action.buy)
        fee = Fraction(-(-size * (1 if in_base else abs(worth(price, self.rules))) * rate * 10**8 // 1), 10**8)
        side, liquidity = ("buy" if order.action.buy else "sell"), ("taker" if taker else "maker")
        row = FillRow(
            now_ms, order.symbol, side, size, price, fee, liquidity, order.action.order_id, order.action.kind, not taker, in_base
        )
        self.result.fills.append(row)
        self.books.book(row)
        at_ms = now_ms + self.rules.response_latency_ms
        self.reports_due.append((at_ms, row))
        heapq.heappush(self.times, at_ms)
        if order.open_lots == 0:
            self.stop(order, "FILLED")
        elif order.action.reduce_only:
            self.stop(order, "REDUCE_ONLY")
        self.drop_pointless(row.symbol)

    def finish(self, last_ms: int) -> None:
        """Open positions stay, marked at the last close; what still waits expires."""
        for order in self.open_orders():
            order.end = "END_OF_RUN"
        self.result.positions = {symbol: position.qty for symbol, position in self.books.positions.items()}
        self.result.equity = self.books.equity_rows
        self.result.trades = self.books.trades(last_ms)
