"""A deliberately naive venue: plain loops over all orders at every instant, in whole ticks and fractions.

Written from docs/simulation.md, without any code of the package. Prices are in ticks (bars also in halves of one), sizes and
volumes in lots, fees in 1e-8 of the quote asset. Trailing stops, exits, OCO and amendments: `naive_exits.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from tests.sim.naive_exits import (
    amend_arrives,
    amend_refusal,
    begin_oco,
    begin_trail,
    end_other,
    follow,
    protect,
    spares_added,
    trail,
)
from tests.sim.naive_words import BPS, CLASSES, CONDITIONAL, MINUTE, Amend, Asked, Bar, Cancel, Event, Order, Terms


@dataclass
class NaiveMatcher:
    """Matches a script of orders on bars; `events` is all that was said, in order. Spot buys spend at most their `budgets`."""

    symbols: list[str]
    bars: dict[str, list[Bar]]
    script: Mapping[tuple[str, int], list[Asked]]
    terms: Terms
    budgets: Mapping[str, Fraction]
    events: list[Event] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    agenda: list[tuple[int, int, int, int, Asked]] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    paid: Fraction = Fraction(0)
    close: dict[str, Fraction] = field(default_factory=dict)
    taken: dict[tuple[str, int], int] = field(default_factory=dict)
    resting: list[Order] = field(default_factory=list)
    waiting: list[Order] = field(default_factory=list)
    followers: list[Order] = field(default_factory=list)
    pairs: dict[str, list[Order]] = field(default_factory=dict)
    added: dict[str, tuple[int, int]] = field(default_factory=dict)
    now: int = 0
    count: int = 0

    def run(self) -> None:
        """All that happens, instant by instant."""
        self.held = dict.fromkeys(self.symbols, 0)
        ends = sorted({bar.end for rows in self.bars.values() for bar in rows})
        for end in ends:
            self.meet_agenda(before=end)
            self.now = end
            closed = [bar for symbol in self.symbols for bar in self.bars[symbol] if bar.end == end]
            for bar in closed:
                self.close[bar.symbol] = bar.close
            for bar in closed:
                self.bar_closed(bar)
            for bar in closed:
                for asked in self.script.get((bar.symbol, end), []):
                    self.decide(asked)
            self.meet_agenda(before=end + 1)
        for order in self.orders.values():
            if order.state != "over":
                self.end(order, "END_OF_RUN", "expired")

    def equity(self) -> Fraction:
        """Change of equity in units of the quote asset: what was received less what was paid, and what is held at the closes."""
        marked = sum((lots * self.close[symbol] for symbol, lots in self.held.items() if lots), Fraction(0))
        return marked * self.terms.tick * self.terms.lot - self.paid

    # -- what the trader sends -------------------------------------------------------------------------------------------

    def decide(self, asked: Asked) -> None:
        """Risk refuses it, or it is on its way."""
        symbol_index = self.symbols.index(asked.symbol)
        self.count += 1
        if isinstance(asked, Cancel):
            target = self.orders.get(asked.target)
            if target is None or target.state == "over":
                self.events.append(("refused", self.now, asked.target, "UNKNOWN_ORDER"))
            else:
                self.agenda.append((self.now + self.terms.cancel_latency, symbol_index, 4, self.count, asked))
            return
        reason = amend_refusal(self, asked) if isinstance(asked, Amend) else self.refusal(asked)
        if reason:
            name = asked.target if isinstance(asked, Amend) else asked.order_id
            self.events.append(("refused", self.now, name, reason))
            return
        if isinstance(asked, Amend):
            self.agenda.append((self.now + self.terms.order_latency, symbol_index, 4, self.count, asked))
            return
        asked.state, asked.open, asked.sequence = "coming", asked.lots, self.count
        asked.budget = self.budgets.get(asked.order_id)
        self.orders[asked.order_id] = asked
        order_class = CLASSES.get(asked.kind, 3)
        self.agenda.append((self.now + self.terms.order_latency, symbol_index, order_class, self.count, asked))

    def refusal(self, order: Order) -> str:
        """Why Risk refuses an order of an account that has cash enough; empty when it does not."""
        if order.tif == "gtd" and order.good_till <= self.now + self.terms.good_till_least:
            return "INVALID"
        if not self.terms.has_triggers and (
            order.kind in CONDITIONAL or order.kind == "oco" or (order.take_profit or order.stop_loss) is not None
        ):
            return "INVALID"
        if order.kind == "oco" and order.tif in {"ioc", "fok"}:
            return "INVALID"
        held = self.held[order.symbol]
        opposite = max(0, -held if order.buys else held)
        if order.reduce_only:
            return "REDUCE_ONLY" if not opposite and order.kind not in CONDITIONAL else ""
        return "SHORT_SPOT" if self.terms.spot and not order.buys and order.lots > opposite else ""

    # -- what arrives ----------------------------------------------------------------------------------------------------

    def meet_agenda(self, *, before: int) -> None:
        """Everything due before an instant, in order of time, symbol, class and sending."""
        while self.agenda and min(self.agenda, key=lambda item: item[:4])[0] < before:
            self.now = min(item[0] for item in self.agenda)
            due = sorted((item for item in self.agenda if item[0] == self.now), key=lambda item: item[:4])
            self.agenda = [item for item in self.agenda if item[0] != self.now]
            for _, _, order_class, _, what in due:
                if isinstance(what, Cancel):
                    self.cancel_arrives(self.orders[what.target])
                elif isinstance(what, Amend):
                    amend_arrives(self, what)
                elif what.state == "over":
                    continue
                elif order_class == 5:
                    self.end(what, "GOOD_TILL", "expired")
                elif what.state == "coming":
                    self.order_arrives(what)
                else:
                    self.work(what)

    def bar_at(self, symbol: str, time: int) -> tuple[Bar | None, bool]:
        """The bar that is open at a time, else the next one; and whether it is open."""
        for bar in self.bars[symbol]:
            if bar.end > time:
                return bar, bar.start <= time
        return None, False

    def order_arrives(self, order: Order) -> None:
        bar, is_open = self.bar_at(order.symbol, self.now)
        order.arrived = self.now
        price = bar.open if bar is not None and is_open else self.close[order.symbol]
        if order.tif == "gtd" and order.good_till <= self.now:
            self.reject(order, "GOOD_TILL")
        elif self.is_one_too_many(order):
            self.reject(order, "MAX_OPEN_ORDERS")
        elif order.kind not in CONDITIONAL and order.reduce_only and self.is_too_large(order):
            self.reject(order, "REDUCE_ONLY")
        elif order.kind in CONDITIONAL:
            if order.kind != "trail" and order.is_triggered(price):
                self.reject(order, "TRIGGER_SIDE")
                return
            if order.kind == "trail":
                begin_trail(order, price)
            self.events.append(("ack", self.now, order.order_id, True))
            order.state = "waiting"
            if bar is None or not is_open or bar.start == self.now:
                order.meets_from = self.now
            else:
                order.meets_from = bar.start if order.is_stop else bar.end
            self.waiting.append(order)
            self.schedule_date(order)
        elif order.kind == "oco":
            begin_oco(self, order, bar, price, is_open=is_open)
        elif order.post_only and order.crosses(price):
            self.end_by_venue(order, "POST_ONLY", self.terms.post_only_crossing)
        elif order.tif == "fok" and not (bar and is_open and bar.volume and order.crosses(price) and self.fits_whole(order, bar)):
            self.end_by_venue(order, "FOK", self.terms.fok_short)
        else:
            self.events.append(("ack", self.now, order.order_id, False))
            order.state = "working"
            if order.kind == "market":
                self.work(order)
            else:
                self.place(order, bar, is_open=is_open)

    def is_one_too_many(self, order: Order) -> bool:
        """Whether the venue does not let it stand beside the others of its symbol; an OCO is two, one of which waits."""
        most, most_waiting = self.terms.open_orders_max, self.terms.waiting_orders_max
        if order.kind == "market" or order.tif in {"ioc", "fok"} or most is None:
            return False
        pair = order.kind == "oco"
        waiting = [other for other in self.waiting if other.symbol == order.symbol]
        others = [other for other in self.resting if other.symbol == order.symbol] + waiting
        waits = pair or order.kind in CONDITIONAL
        return len(others) + 1 + pair > most or (waits and most_waiting is not None and len(waiting) >= most_waiting)

    def work(self, order: Order) -> None:
        """A market order meets the open of the bar there is, or waits for the next."""
        bar, is_open = self.bar_at(order.symbol, self.now)
        if bar is None or not is_open or not bar.volume:
            if order.tif == "ioc":
                self.end(order, "NO_LIQUIDITY", "expired")
            elif bar is not None:
                if order.note in {"", "carried"}:
                    order.note = "zero_volume" if is_open else "gap"
                self.meet_again(order, self.bar_at(order.symbol, bar.end)[0] if is_open else bar)
            return
        self.take(order, bar)
        if order.state == "over":
            return
        if order.tif == "ioc":
            self.end(order, "NO_LIQUIDITY", "expired")
        elif not self.terms.carry or order.bars_worked >= self.terms.work_bars:
            self.end(order, "CAPACITY", "expired")
        else:
            order.bars_worked += 1
            order.note = "carried"
            self.meet_again(order, self.bar_at(order.symbol, bar.end)[0])

    def meet_again(self, order: Order, bar: Bar | None) -> None:
        if bar is not None:
            self.agenda.append((bar.start, self.symbols.index(order.symbol), 2, order.sequence, order))

    def place(self, order: Order, bar: Bar | None, *, is_open: bool) -> None:
        """A limit order takes what it crosses; the rest of it rests."""
        if bar is not None and is_open and bar.volume and order.crosses(bar.open):
            self.take(order, bar)
        if order.state == "over":
            return
        if order.tif == "ioc":
            self.end(order, "NO_LIQUIDITY", "expired")
            return
        if self.meets_own(order, order.price):
            return
        self.end_if_pointless(order)
        if order.state == "over":
            return
        if bar is not None and is_open:
            order.meets_from = bar.start if self.now - bar.start < MINUTE // 2 else bar.end
        else:
            order.meets_from = self.now
        self.schedule_date(order)
        self.rest(order)

    def schedule_date(self, order: Order) -> None:
        if order.tif == "gtd":
            self.count += 1
            self.agenda.append((order.good_till, self.symbols.index(order.symbol), 5, self.count, order))

    def meets_own(self, order: Order, ticks: int | None) -> bool:
        """Whether an order that reaches to a price would trade with one that rests, and ends for it; else those may have ended."""
        assert ticks is not None
        own = [o for o in self.resting if o.symbol == order.symbol and o.buys != order.buys and o.price is not None]
        crossed = [o for o in own if (o.price or 0) == ticks or ((o.price or 0) < ticks) == order.buys]
        if not crossed or self.terms.stp == "none":
            return False
        if order.reduce_only or self.terms.stp in {"cancel_maker", "cancel_both"}:
            for other in crossed:
                self.end(other, "SELF_TRADE", "expired")
        if order.reduce_only or self.terms.stp == "cancel_maker":
            return False
        self.end(order, "SELF_TRADE", "expired")
        return True

    def rest(self, order: Order) -> None:
        order.state = "resting"
        self.resting.append(order)

    def cancel_arrives(self, order: Order) -> None:
        if order.state == "coming":
            self.events.append(("rejected", self.now, order.order_id, "UNKNOWN_ORDER", "cancel"))
        elif order.state == "over" or self.is_through(order):
            self.events.append(("rejected", self.now, order.order_id, "TOO_LATE", "cancel"))
        else:
            self.end(order, "USER", "canceled")

    def is_through(self, order: Order) -> bool:
        """Whether the bar in which a cancel arrives opened beyond an order that stood before it."""
        bar, is_open = self.bar_at(order.symbol, self.now)
        if order.state not in {"resting", "waiting"} or bar is None or not is_open or not bar.volume:
            return False
        if order.arrived >= bar.start or order.meets_from > bar.start:
            return False
        return order.is_triggered(bar.open) if order.state == "waiting" else self.is_reached(order, bar.open)

    # -- what a bar does -------------------------------------------------------------------------------------------------

    def bar_closed(self, bar: Bar) -> None:
        """Stops, then resting limits, the stops of what these filled, then take-profits, each in order of arrival."""
        if not bar.volume:
            return
        self.trigger_all(bar, stops=True)
        for order in list(self.resting):
            if order.symbol != bar.symbol or order.state != "resting" or order.meets_from > bar.start:
                continue
            if self.is_reached(order, bar.low if order.buys else bar.high):
                assert order.price is not None
                lots, over = self.allowed(order, bar)
                paid = self.affordable(order, lots, order.price, maker=True)
                self.trade(order, bar, paid, order.price, maker=True, inside=True, over=over)
                if paid < lots:
                    self.end(order, "INSUFFICIENT", "expired")
                self.end_if_pointless(order)
        self.trigger_all(bar, stops=True, only_new=True)
        self.trigger_all(bar, stops=False)

    def is_reached(self, order: Order, price: Fraction) -> bool:
        """Whether a trade at this price fills the limit: through it by a tick, or at it (touch)."""
        assert order.price is not None
        beyond = 0 if self.terms.touch else 1
        return price <= order.price - beyond if order.buys else price >= order.price + beyond

    def trigger_all(self, bar: Bar, *, stops: bool, only_new: bool = False) -> None:
        """Those that stand when the bar is met, and still stand when it is their turn."""
        for order in list(self.waiting):
            if order.symbol != bar.symbol or order.state != "waiting" or order.meets_from > bar.start:
                continue
            if order.is_stop != stops or (only_new and order.arrived != bar.end):
                continue
            if order.kind == "trail":
                thrown_out = trail(order, bar)
                if thrown_out is not None:
                    self.trigger(order, bar, thrown_out)
            elif order.is_triggered(bar.high if order.rises else bar.low):
                self.trigger(order, bar, self.reference(order, bar))

    def reference(self, order: Order, bar: Bar) -> Fraction:
        """A stop trades at its trigger, or at an open beyond it; a take-profit at its trigger, or at the worst price beyond it."""
        assert order.trigger is not None
        first = bar.open if order.is_stop else bar.low if order.rises else bar.high
        return max(first, Fraction(order.trigger)) if order.rises else min(first, Fraction(order.trigger))

    def trigger(self, order: Order, bar: Bar, reference: Fraction) -> None:
        """What was to happen instead ends; then it is a market order at the reference, or a limit that the close confirms."""
        if not spares_added(self, order, bar):
            return
        order.state = "working"
        self.waiting.remove(order)
        end_other(self, order)
        self.events.append(("triggered", self.now, order.order_id))
        lots, over = self.allowed(order, bar)
        if order.price is None:
            ticks = self.taker_ticks(order, reference, lots, bar, over=over)
        else:
            if not self.is_reached(order, bar.close) or (order.tif == "fok" and lots < order.open):
                lots = 0
            ticks = min(order.price, floor(bar.high)) if order.buys else max(order.price, ceil(bar.low))
        self.trade(order, bar, self.affordable(order, lots, ticks, maker=False), ticks, maker=False, inside=True, over=over)
        self.end_if_pointless(order)
        if order.state == "over":
            return
        if order.price is None:
            self.end(order, "INSUFFICIENT", "expired")
        elif order.tif in {"ioc", "fok"}:
            self.end(order, "FOK" if order.tif == "fok" else "NO_LIQUIDITY", "expired")
        elif not self.meets_own(order, order.price):
            order.meets_from = bar.end
            self.rest(order)

    # -- trades ----------------------------------------------------------------------------------------------------------

    def only_closes(self, order: Order) -> bool:
        return order.reduce_only or (self.terms.spot and not order.buys)

    def is_too_large(self, order: Order) -> bool:
        held = self.held[order.symbol]
        return self.terms.rejects_larger_reduce_only and order.lots > (-held if order.buys else held)

    def allowed(self, order: Order, bar: Bar) -> tuple[int, bool]:
        """Lots that may trade in this bar, and whether they are more than its share leaves."""
        lots = order.open
        if self.only_closes(order):
            held = self.held[order.symbol]
            lots = min(lots, max(0, -held if order.buys else held))
        if not self.terms.share_bps:
            return lots, False
        left = max(0, floor(bar.volume * self.terms.share_bps * BPS) - self.taken.get((bar.symbol, bar.start), 0))
        if order.reduce_only or (order.kind in CONDITIONAL and order.price is None):
            return lots, lots > left
        return min(lots, left), False

    def taker_ticks(self, order: Order, reference: Fraction, lots: int, bar: Bar, *, over: bool) -> int:
        """reference x (1 +/- half spread) x (1 +/- slippage), rounded against the trader, never beyond the limit."""
        slippage = self.terms.slippage_bps
        if over:
            slippage += 1000 * min(Fraction(1), Fraction(lots, bar.volume)) ** 2
        sign = 1 if order.buys else -1
        price = reference * (1 + sign * self.terms.spread_bps / 2 * BPS) * max(Fraction(0), 1 + sign * slippage * BPS)
        ticks = ceil(price) if order.buys else max(1, floor(price))
        if order.price is None:
            return ticks
        return min(ticks, order.price) if order.buys else max(ticks, order.price)

    def fee_e8(self, lots: int, ticks: int, *, maker: bool) -> int:
        rate = (self.terms.maker_bps if maker else self.terms.taker_bps) * BPS
        return ceil(lots * ticks * self.terms.lot * self.terms.tick * rate * 10**8)

    def cost_e8(self, lots: int, ticks: int, *, maker: bool) -> int:
        """Value, rounded up, and fee."""
        return ceil(lots * ticks * self.terms.lot * self.terms.tick * 10**8) + self.fee_e8(lots, ticks, maker=maker)

    def affordable(self, order: Order, lots: int, ticks: int, *, maker: bool) -> int:
        """A spot buy spends at most what was reserved for it."""
        if order.budget is not None:
            while lots and self.cost_e8(lots, ticks, maker=maker) > order.budget:
                lots -= 1
        return lots

    def fits_whole(self, order: Order, bar: Bar) -> bool:
        lots, _ = self.allowed(order, bar)
        ticks = self.taker_ticks(order, bar.open, lots, bar, over=False)
        return lots == order.open and self.affordable(order, lots, ticks, maker=False) == lots

    def take(self, order: Order, bar: Bar) -> None:
        """Trade at the bar's open."""
        lots, over = self.allowed(order, bar)
        ticks = self.taker_ticks(order, bar.open, lots, bar, over=over)
        if lots and self.meets_own(order, ticks):
            return
        paid = self.affordable(order, lots, ticks, maker=False)
        self.trade(order, bar, paid, ticks, maker=False, inside=False, over=over)
        if paid < lots:
            self.end(order, "INSUFFICIENT", "expired")
        else:
            self.end_if_pointless(order)

    def trade(self, order: Order, bar: Bar, lots: int, ticks: int, *, maker: bool, inside: bool, over: bool) -> None:
        if not lots:
            return
        fee = self.fee_e8(lots, ticks, maker=maker)
        if order.budget is not None:
            order.budget -= self.cost_e8(lots, ticks, maker=maker)
        self.taken[bar.symbol, bar.start] = self.taken.get((bar.symbol, bar.start), 0) + lots
        order.open -= lots
        sign = 1 if order.buys else -1
        self.held[order.symbol] += sign * lots
        self.paid += sign * lots * ticks * self.terms.lot * self.terms.tick + Fraction(fee, 10**8)
        said = ("maker" if maker else "taker", inside, order.note, over)
        self.events.append(("fill", self.now, order.order_id, lots, ticks, fee, *said, order.open))
        if not order.open:
            self.forget(order)
        if (order.take_profit, order.stop_loss) != (None, None):
            protect(self, order, bar, lots)
        end_other(self, order)
        follow(self, bar)
        before, after = self.held[order.symbol] - sign * lots, self.held[order.symbol]
        if not after or before * after < 0:
            for other in [*self.resting, *self.waiting]:
                if other.symbol == order.symbol:
                    self.end_if_pointless(other)

    # -- endings ---------------------------------------------------------------------------------------------------------

    def end_if_pointless(self, order: Order) -> None:
        """What may only close ends when there is nothing to close."""
        held = self.held[order.symbol]
        if order.state != "over" and self.only_closes(order) and (-held if order.buys else held) <= 0:
            self.end(order, "REDUCE_ONLY" if order.reduce_only else "INSUFFICIENT", "expired")

    def end_by_venue(self, order: Order, reason: str, outcome: str) -> None:
        if outcome == "rejected":
            self.reject(order, reason)
        else:
            self.events.append(("ack", self.now, order.order_id, False))
            self.end(order, reason, outcome)

    def reject(self, order: Order, reason: str) -> None:
        self.events.append(("rejected", self.now, order.order_id, reason, "order"))
        self.forget(order)

    def end(self, order: Order, reason: str, status: str) -> None:
        self.events.append(("ends", self.now, order.order_id, status, reason, order.open))
        self.forget(order)
        if order.is_listed or order.kind == "oco":
            end_other(self, order)

    def forget(self, order: Order) -> None:
        order.state = "over"
        self.resting = [other for other in self.resting if other is not order]
        self.waiting = [other for other in self.waiting if other is not order]
