"""What a naive venue does with trailing stops, exits of a fill, OCO and amendments. Written from docs/simulation.md alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from tests.sim.naive_words import BPS, CONDITIONAL, Amend, Bar, Order

if TYPE_CHECKING:
    from tests.sim.naive_matcher import NaiveMatcher


# -- trailing stops ------------------------------------------------------------------------------------------------------


def level(order: Order, extreme: Fraction) -> Fraction:
    """Where the stop stands behind an extreme, on the tick that is reached later."""
    away = extreme * order.trail_bps * BPS if order.trail_bps else Fraction(order.distance)
    return Fraction(ceil(extreme + away) if order.buys else max(1, floor(extreme - away)))


def is_beyond(order: Order, price: Fraction, mark: Fraction) -> bool:
    """Whether a price lies where the trailing stop is drawn to, seen from a mark."""
    return price <= mark if order.buys else price >= mark


def begin_trail(order: Order, market: Fraction) -> None:
    """It follows from now on, or from its activation."""
    if order.trigger is None or is_beyond(order, market, Fraction(order.trigger)):
        order.extreme, order.stop = market, level(order, market)


def trail(order: Order, bar: Bar) -> Fraction | None:
    """Where the bar throws it out; else it has followed. The old stop is tried first, and what is unknown is assumed at its worst."""
    best, worst = (bar.low, bar.high) if order.buys else (bar.high, bar.low)
    if order.stop is None:
        assert order.trigger is not None
        if not is_beyond(order, best, Fraction(order.trigger)):
            return None
        order.extreme, order.stop = best, level(order, best)
        if not order.is_triggered(worst):
            return None
        least = level(order, Fraction(order.trigger))
        return min(least, worst) if order.buys else max(least, worst)
    if order.arrived <= bar.start and order.is_triggered(bar.open):
        return bar.open
    if order.is_triggered(worst):
        return order.stop
    assert order.extreme is not None
    if is_beyond(order, best, order.extreme):
        order.extreme, order.stop = best, level(order, best)
        if order.is_triggered(worst):
            return worst
    return None


# -- exits of a fill, and OCO --------------------------------------------------------------------------------------------


def attach(venue: NaiveMatcher, child: Order, meets_from: int) -> None:
    """An order that the venue makes itself waits from now on."""
    child.state, child.open, child.arrived, child.meets_from = "waiting", child.lots, venue.now, meets_from
    venue.orders[child.order_id] = child
    venue.waiting.append(child)
    venue.events.append(("attached", venue.now, child.order_id, child.lots, child.trigger))


def protect(venue: NaiveMatcher, order: Order, bar: Bar, lots: int) -> None:
    """What a fill opened has its own stop, which this bar may reach, and its own target, which it may not; one ends the other."""
    order.fills += 1
    held = venue.held[order.symbol]
    lots = min(lots, max(0, held if order.buys else -held))
    if not lots:
        return
    meets = {"sl": bar.start, "tp": bar.end}
    asked = [
        (word, kind, ticks)
        for word, kind, ticks in (("sl", "stop", order.stop_loss), ("tp", "target", order.take_profit))
        if ticks is not None
    ]
    if order.whole:
        old = venue.pairs.get(order.symbol, [])
        if [one.trigger for one in old if one.state == "waiting" and one.buys is not order.buys] == [row[2] for row in asked]:
            return
        for one in old:
            if one.state == "waiting":
                venue.end(one, "REPLACED", "canceled")
    children = []
    for word, kind, ticks in asked:
        name, size = f"{order.order_id}-{word}{order.fills}", abs(held) if order.whole else lots
        child = Order(name, order.symbol, kind, not order.buys, size, trigger=ticks, reduce_only=True, follows=order.whole)
        attach(venue, child, meets[word])
        children.append(child)
    pair_up(venue, children)


def pair_up(venue: NaiveMatcher, children: list[Order]) -> None:
    """One ends the other; those that follow the position are its one pair."""
    if len(children) == 2:
        children[0].other, children[1].other = children[1], children[0]
    if children[0].follows:
        venue.followers += children
        venue.pairs[children[0].symbol] = children


def resize(venue: NaiveMatcher, order: Order, lots: int) -> None:
    """It is of another size from now on."""
    order.lots = order.open = lots
    venue.events.append(("amended", venue.now, order.order_id, lots, lots, order.price or 0, order.trigger or 0, True))


def follow(venue: NaiveMatcher, bar: Bar) -> None:
    """What follows the position has its size, or ends with it; what a bar adds is remembered."""
    held, grown = venue.held[bar.symbol], 0
    for order in [one for one in venue.followers if one.symbol == bar.symbol and one.state == "waiting"]:
        if (held if order.buys else -held) >= 0:
            venue.end(order, "REDUCE_ONLY", "expired")
            venue.added.pop(bar.symbol, None)
        elif order.open != abs(held):
            grown = abs(held) - order.open
            resize(venue, order, abs(held))
    if grown > 0:
        until, lots = venue.added.get(bar.symbol, (0, 0))
        venue.added[bar.symbol] = bar.end, grown + (lots if until > bar.start else 0)


def spares_added(venue: NaiveMatcher, order: Order, bar: Bar) -> bool:
    """Whether it may be triggered; a target closes what was held before this bar, what was added keeps such exits."""
    until, added = venue.added.get(bar.symbol, (0, 0))
    if not order.follows or order.is_stop or until <= bar.start:
        return True
    if order.open <= added:
        return False
    other = order.other
    legs = [order] if other is None or other.state != "waiting" else [other, order]
    order.follows = False
    venue.followers = [one for one in venue.followers if one is not order]
    resize(venue, order, order.open - added)
    rest = [
        Order(f"{leg.order_id}-rest", leg.symbol, leg.kind, leg.buys, added, trigger=leg.trigger, reduce_only=True, follows=True)
        for leg in legs
    ]
    for child in rest:
        attach(venue, child, bar.end)
    pair_up(venue, rest)
    return True


def begin_oco(venue: NaiveMatcher, order: Order, bar: Bar | None, price: Fraction, *, is_open: bool) -> None:
    """The limit rests and its stop waits, where the market lies between them."""
    assert order.price is not None and order.trigger is not None
    if order.crosses(price) or (price >= order.trigger if order.buys else price <= order.trigger):
        venue.reject(order, "TRIGGER_SIDE")
        return
    venue.events.append(("ack", venue.now, order.order_id, False))
    order.state = "working"
    venue.place(order, bar, is_open=is_open)
    if order.state != "over":
        kind = "stop" if order.stop_price is None else "stop_limit"
        stop = Order(f"{order.order_id}-stop", order.symbol, kind, order.buys, order.lots, price=order.stop_price)
        stop.trigger, stop.reduce_only, stop.budget, stop.is_listed = order.trigger, order.reduce_only, order.budget, True
        attach(venue, stop, bar.start if bar is not None and is_open else venue.now)
        stop.other, order.other = order, stop


def end_other(venue: NaiveMatcher, order: Order) -> None:
    """What was to happen instead ends."""
    other, order.other = order.other, None
    if other is not None:
        other.other = None
        if other.state != "over":
            venue.end(other, "OCO", "canceled")


# -- amendments ----------------------------------------------------------------------------------------------------------


def amend_refusal(venue: NaiveMatcher, amend: Amend) -> str:
    """Why Risk refuses it; empty when it does not."""
    order = venue.orders.get(amend.target)
    if order is None or order.state == "over":
        return "UNKNOWN_ORDER"
    waits = order.kind in CONDITIONAL and order.state in {"coming", "waiting"}
    if (amend.lots, amend.price, amend.trigger) == (None, None, None) or order.kind in {"oco", "market"} or order.is_listed:
        return "INVALID"
    if waits and not venue.terms.amends_waiting:
        return "INVALID"
    if amend.price is not None and order.price is None:
        return "INVALID"
    return "INVALID" if amend.trigger is not None and (not waits or order.kind == "trail") else ""


def amend_arrives(venue: NaiveMatcher, amend: Amend) -> None:
    """The order is what was asked for from now on, or the request is rejected."""
    order = venue.orders[amend.target]

    def reject(reason: str) -> None:
        venue.events.append(("rejected", venue.now, amend.target, reason, "amend"))

    if order.state == "coming":
        reject("UNKNOWN_ORDER")
    elif order.state not in {"resting", "waiting"} or venue.is_through(order):
        reject("TOO_LATE")
    else:
        changed = replace(
            order, lots=amend.lots or order.lots, price=amend.price or order.price, trigger=amend.trigger or order.trigger
        )
        left = order.open + changed.lots - order.lots
        bar, is_open = venue.bar_at(order.symbol, venue.now)
        price = bar.open if bar is not None and is_open else venue.close[order.symbol]
        only_less = (changed.price, changed.trigger) == (order.price, order.trigger) and changed.lots <= order.lots
        if left <= 0 and venue.terms.amend_below_filled == "canceled":
            venue.end(order, "AMEND_BELOW_FILLED", "canceled")
        elif left <= 0:
            reject("AMEND_BELOW_FILLED")
        elif amend.trigger is not None and order.state != "waiting":
            reject("TOO_LATE")
        elif amend.trigger is not None and not only_less and changed.is_triggered(price):
            reject("TRIGGER_SIDE")
        else:
            keeps = only_less and (venue.terms.amend_keeps_place or order.state == "waiting" or left == order.open)
            order.lots, order.price, order.trigger, order.open = changed.lots, changed.price, changed.trigger, left
            told = (order.lots, left, order.price or 0, order.trigger or 0, keeps)
            venue.events.append(("amended", venue.now, order.order_id, *told))
            stand_anew(venue, order, bar, price, is_open=is_open, keeps=keeps, moved=amend.trigger is not None)


def stand_anew(
    venue: NaiveMatcher, order: Order, bar: Bar | None, price: Fraction, *, is_open: bool, keeps: bool, moved: bool
) -> None:
    """A trigger that moved waits as one that arrives now; a limit that lost its place arrives now."""
    if order.state == "waiting":
        if moved:
            begun = bar is not None and is_open and bar.start < venue.now
            order.meets_from = venue.now if bar is None or not begun else bar.start if order.is_stop else bar.end
    elif not keeps:
        venue.resting = [other for other in venue.resting if other is not order]
        order.state, order.arrived = "working", venue.now
        if order.post_only and order.crosses(price):
            venue.end(order, "POST_ONLY", "canceled")
        else:
            venue.place(order, bar, is_open=is_open)
