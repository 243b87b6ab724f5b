"""The venue against a deliberately naive one, over random order flow: every word it says and what is left at the end.

BT_NIGHTLY=1 pytest -s tests/sim/test_naive_matcher.py        10,000 sequences, with what they met
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st
from msgspec import structs

from backtester import (
    AmendOrderIntent,
    CancelOrderIntent,
    Candle,
    Fill,
    LimitOrderIntent,
    Market,
    MarketOrderIntent,
    OcoOrderIntent,
    Side,
    StopOrderIntent,
    Strategy,
    TakeProfitOrderIntent,
    TimeInForce,
    TrailingStopIntent,
)
from backtester.config.venue_rules import venue_table
from backtester.domain.money import MONEY_ONE
from backtester.domain.orders import (
    OrderAck,
    OrderAmended,
    OrderAttached,
    OrderCanceled,
    OrderRefused,
    OrderRejected,
    OrderTriggered,
    SanitizedOrder,
)
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import ExitSize, OrderStatus, SelfTrade
from tests.sim.naive_matcher import NaiveMatcher
from tests.sim.naive_words import CONDITIONAL, MINUTE, Amend, Asked, Bar, Cancel, Event, Order, Terms
from tests.sim.small_run import MIDNIGHT, A, B, SmallRun, small_run

NIGHTLY = os.environ.get("BT_NIGHTLY") == "1"
CASH = 10**12
BARS, ORDERS = 12, 12
KINDS = (
    "market",
    "limit",
    "stop",
    "target",
    "stop_limit",
    "target_limit",
    "limit",
    "cancel",
    "trail",
    "oco",
    "amend",
    "limit",
    "amend",
)
RULES = (GENERIC, *venue_table().values())
MET: Counter[str] = Counter()
"""How often each kind of event was compared, over all sequences."""


class Digits:
    """A number taken apart, so that a whole bar or order is one draw; 0 is the plainest of each."""

    def __init__(self, code: int) -> None:
        self._rest = code

    def below(self, count: int) -> int:
        self._rest, digit = divmod(self._rest, count)
        return digit

    def around(self, most: int) -> int:
        """0, 1, -1, 2, -2, ..."""
        digit = self.below(2 * most + 1)
        return (digit + 1) // 2 * (1 if digit % 2 else -1)

    def one_of(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]


class World(NamedTuple):
    """What one example decides."""

    terms: Terms
    rules: VenueRules
    bars: dict[str, list[Bar]]
    script: dict[tuple[str, int], list[Asked]]


def bars_of(symbol: str, codes: list[int]) -> list[Bar]:
    """A walk in halves of a tick around 100 ticks, with gaps, leaps and minutes without volume."""
    rows: list[Bar] = []
    last = 200
    for minute, code in enumerate(codes):
        digits = Digits(code)
        is_missing = digits.below(8) == 7 and minute > 0
        open_ = max(60, last + digits.around(4) * digits.one_of(1, 1, 4))
        high, low = open_ + digits.below(6), max(50, open_ - digits.below(6))
        last = low + digits.below(7) * (high - low) // 6
        volume = digits.one_of(1000, 100, 30, 0)
        if not is_missing:
            prices = [Fraction(price, 2) for price in (open_, high, low, last)]
            rows.append(Bar(symbol, MIDNIGHT + minute * MINUTE, *prices, volume))
    return rows


def script_of(codes: list[int], bars: dict[str, list[Bar]], *, spot: bool) -> dict[tuple[str, int], list[Asked]]:
    """Orders, cancels and (not on spot, where budgets would move) amendments by symbol and the close at which they are sent."""
    script: dict[tuple[str, int], list[Asked]] = {}
    symbols = list(bars)
    sent: list[tuple[Order, int]] = []
    for number, pair in enumerate(zip(codes[::2], codes[1::2], strict=False)):
        digits = Digits(pair[0] + (pair[1] << BITS))
        symbol = symbols[digits.below(len(symbols))]
        bar = bars[symbol][digits.below(len(bars[symbol]))]
        kind = digits.one_of(*KINDS)
        if kind in {"cancel", "amend"}:
            near = sent if kind == "cancel" else [pair for pair in sent if pair[0].kind not in {"market", "oco"}]
            if near and not (spot and kind == "amend"):
                target, since = near[-1 - digits.below(len(near))]
                later = [row for row in bars[target.symbol] if row.end >= since + digits.one_of(1, 0, 2, 4) * MINUTE]
                bar = later[0] if later else bars[target.symbol][-1]
                asked = cancel_of(digits, target) if kind == "cancel" else amend_of(digits, target, bar)
                script.setdefault((target.symbol, bar.end), []).append(asked)
            continue
        order = Order(
            f"o{number}",
            symbol,
            kind,
            buys=digits.below(2) == 0,
            lots=digits.one_of(10, 1, 40, 250),
            reduce_only=digits.below(5) == 4,
        )
        price_it(order, digits, int(bar.close))
        order.whole = not spot and (order.take_profit or order.stop_loss) is not None and digits.below(2) == 1
        order.tif = digits.one_of("gtc", "gtc", "ioc", "fok", "gtd")
        if kind == "market" and order.tif == "gtd":
            order.tif = "gtc"
        if order.tif == "gtd":
            order.good_till = bar.end + digits.one_of(5, 12, 2, 1) * MINUTE + digits.one_of(0, 125, 20_000)
        order.post_only = kind == "limit" and order.tif in {"gtc", "gtd"} and digits.below(3) == 2
        if kind == "oco" and order.tif in {"ioc", "fok"} and digits.below(8):
            order.tif = "gtc"
        sent.append((order, bar.end))
        script.setdefault((symbol, bar.end), []).append(order)
    return script


def price_it(order: Order, digits: Digits, close: int) -> None:
    """Trigger, limit, distance and exits around a close."""
    kind, sign = order.kind, 1 if order.buys else -1
    if kind == "trail":
        order.distance = digits.one_of(3, 1, 8)
        if digits.below(3) == 2:
            order.distance, order.trail_bps = 0, 400
        if digits.below(3) == 2:
            order.trigger = close - sign * digits.around(5)
    elif kind in CONDITIONAL:
        away = digits.below(9) - 1  # mostly on the side that waits
        order.trigger = close + (away if order.rises else -away)
    if kind == "limit" or kind.endswith("limit"):
        order.price = close + digits.around(8)
    if kind == "oco":
        order.price = close - sign * digits.one_of(2, 1, 5)
        order.trigger = close + sign * digits.one_of(2, 1, 5)
        order.stop_price = digits.one_of(None, None, order.trigger + sign)
    if kind in {"market", "limit"} and not order.reduce_only and digits.below(3) == 2:
        middle = order.price or close
        order.take_profit = digits.one_of(middle + sign * 2, middle + sign * 4, None)
        order.stop_loss = digits.one_of(middle - sign * 2, middle - sign * 4, None)


def cancel_of(digits: Digits, target: Order) -> Cancel:
    tail = digits.one_of("", "", "-stop") if target.kind == "oco" else digits.one_of("", "", "-sl1") if target.stop_loss else ""
    return Cancel(target.order_id + tail, target.symbol)


def amend_of(digits: Digits, target: Order, bar: Bar) -> Amend:
    lots = digits.one_of(None, target.lots // 2 or 1, target.lots * 2, 3, 1)
    price = digits.one_of(None, int(bar.close) + digits.around(4)) if target.price else None
    trigger = digits.one_of(None, int(bar.close) + digits.around(6)) if target.trigger else None
    return Amend(target.order_id, target.symbol, lots, price, trigger)


def terms_of(code: int) -> tuple[Terms, VenueRules]:
    digits = Digits(code)
    costly = digits.below(2) == 1
    spot = digits.below(3) == 2
    rules = structs.replace(
        digits.one_of(*RULES),
        stp=digits.one_of(*SelfTrade),
        rejects_larger_reduce_only=digits.below(2) == 1,
    )
    if digits.below(3) == 2:  # what venues allow is more than a world has
        rules = structs.replace(rules, open_orders_max=digits.one_of(3, 5), waiting_orders_max=digits.one_of(None, 2, 1))
    terms = Terms(
        spot=spot,
        order_latency=digits.one_of(0, 125, 30_000, 45_000, 60_000, 61_000),
        cancel_latency=digits.one_of(0, 125, 60_000, 75_000),
        share_bps=digits.one_of(0, 1000, 10_000),
        touch=digits.below(2) == 1,
        carry=digits.below(3) != 2,
        work_bars=digits.one_of(60, 1, 2),
        spread_bps=Fraction(digits.one_of(1, 20, 300)) if costly else Fraction(0),
        slippage_bps=Fraction(digits.one_of(1, 15, 200)) if costly else Fraction(0),
        maker_bps=Fraction(digits.one_of(2, -1, 0)) if costly else Fraction(0),
        taker_bps=Fraction(digits.one_of(5, 10, 0)) if costly else Fraction(0),
        post_only_crossing=rules.post_only_crossing.value,
        fok_short=rules.fok_short.value,
        good_till_least=rules.good_till_least_ms,
        rejects_larger_reduce_only=rules.rejects_larger_reduce_only,
        stp=rules.stp.value,
        has_triggers=bool(rules.triggers),
        amends_waiting=rules.amends_waiting,
        amend_keeps_place=rules.amend_keeps_place,
        amend_below_filled=rules.amend_below_filled.value,
        open_orders_max=rules.open_orders_max,
        waiting_orders_max=rules.waiting_orders_max,
    )
    return terms, rules


BITS = 24
"""Beyond 24 bits hypothesis prefers small numbers, and most orders would be of the first kind."""
CODES = st.integers(0, 2**BITS - 1)


def world_of(terms_code: int, bar_codes: list[list[int]], order_codes: list[int]) -> World:
    """The world of some numbers: one or two symbols, their bars, orders, and the terms of the run."""
    terms, rules = terms_of(terms_code)
    bars = {symbol: bars_of(symbol, codes) for symbol, codes in zip((A, B), bar_codes, strict=False)}
    return World(terms, rules, bars, script_of(order_codes, bars, spot=terms.spot))


WORLDS = st.builds(
    world_of,
    CODES,
    st.lists(st.lists(CODES, min_size=6, max_size=BARS), min_size=1, max_size=2),
    st.lists(CODES, min_size=12, max_size=2 * ORDERS),
)


def below_filled(amend_below_filled: OrderStatus) -> World:
    """A limit of which the first bar fills 100 of 250 lots, then asked to be 50: too rare to be left to chance."""
    terms, rules = terms_of(0)
    rules = structs.replace(rules, amend_below_filled=amend_below_filled)
    terms = replace(terms, share_bps=1000, amend_below_filled=amend_below_filled.value)
    prices = [Fraction(price) for price in (101, 102, 98, 101)]
    bars = [Bar(A, MIDNIGHT + minute * MINUTE, *prices, 1000) for minute in range(4)]
    limit = Order("o0", A, "limit", buys=True, lots=250, price=100)
    return World(terms, rules, {A: bars}, {(A, bars[0].end): [limit], (A, bars[1].end): [Amend("o0", A, 50, None, None)]})


def price_of(ticks: int | None) -> Decimal | None:
    return None if ticks is None else Decimal(ticks).scaleb(-1)


def intent_of(order: Asked) -> Any:
    """The intent that asks for it."""
    if isinstance(order, Cancel):
        return CancelOrderIntent(symbol=order.symbol, order_id=order.target)
    if isinstance(order, Amend):
        qty = None if order.lots is None else Decimal(order.lots).scaleb(-3)
        asked = {"qty": qty, "price": price_of(order.price), "trigger_price": price_of(order.trigger)}
        return AmendOrderIntent(symbol=order.symbol, order_id=order.target, **asked)
    facts: dict[str, Any] = {
        "symbol": order.symbol,
        "order_id": order.order_id,
        "side": Side.BUY if order.buys else Side.SELL,
        "qty": Decimal(order.lots).scaleb(-3),
        "reduce_only": order.reduce_only,
        "tif": TimeInForce(order.tif),
    }
    exits: dict[str, Any] = {"take_profit": price_of(order.take_profit), "stop_loss": price_of(order.stop_loss)}
    exits |= {"exit_size": ExitSize.WHOLE} if order.whole else {}
    if order.kind == "market":
        return MarketOrderIntent(**facts, **exits)
    facts["good_till_ms"] = order.good_till
    trigger = price_of(order.trigger)
    if order.kind == "trail":
        follows = {"trail_bps": order.trail_bps} if order.trail_bps else {"distance": price_of(order.distance)}
        return TrailingStopIntent(activation_price=trigger, **follows, **facts)
    facts["price"] = price_of(order.price)
    if order.kind == "oco":
        return OcoOrderIntent(trigger_price=trigger, stop_price=price_of(order.stop_price), **facts)
    if order.kind == "limit":
        return LimitOrderIntent(post_only=order.post_only, **facts, **exits)
    kind = StopOrderIntent if order.kind.startswith("stop") else TakeProfitOrderIntent
    return kind(trigger_price=trigger, **facts)


def engine_run(world: World) -> SmallRun:
    """The engine's run of a world."""

    class Scripted(Strategy):
        def on_candle(self, candle: Candle) -> list[Any]:
            return [intent_of(order) for order in world.script.get((candle.symbol, candle.end_ms), ())]

    terms = world.terms
    texts = {symbol: "\n".join(map(row_of, rows)) for symbol, rows in world.bars.items()}
    return small_run(
        texts,
        Scripted,
        market=Market.SPOT if terms.spot else Market.LINEAR,
        cash=str(CASH),
        fee_bps=(str(terms.maker_bps), str(terms.taker_bps)),
        venue=world.rules,
        order_latency_ms=terms.order_latency,
        cancel_latency_ms=terms.cancel_latency,
        spread_bps=Decimal(int(terms.spread_bps)),
        slippage_bps=Decimal(int(terms.slippage_bps)),
        participation_bps=Decimal(terms.share_bps),
        limit_fill="touch" if terms.touch else "through",
        remainder="carry" if terms.carry else "cancel",
        work_bars=terms.work_bars,
    )


def row_of(bar: Bar) -> str:
    minute = (bar.start - MIDNIGHT) // MINUTE
    prices = " ".join(str(float(price) / 10) for price in (bar.open, bar.high, bar.low, bar.close))
    return f"{minute // 60:02d}:{minute % 60:02d} {prices} {bar.volume / 1000}"


def said_by(run: SmallRun) -> Iterator[Event]:
    """The messages of a run in the naive venue's words."""
    kinds = (Fill, OrderAck, OrderAmended, OrderAttached, OrderCanceled, OrderRefused, OrderRejected, OrderTriggered)
    for message in run.messages(*kinds):
        if isinstance(message, OrderAttached):
            child = message.order
            yield ("attached", message.time_ms, child.order_id, child.qty_lots, child.trigger_ticks)
            continue
        head = (message.time_ms, message.order_id)
        if isinstance(message, Fill):
            assert message.price == Decimal(message.price_ticks).scaleb(-1)
            assert message.qty == Decimal(message.qty_lots).scaleb(-3)
            assert message.fee == Decimal(message.fee_e8).scaleb(-8)
            how = (message.liquidity.value, message.bar_fill, message.note.value, message.over_share)
            yield ("fill", *head, message.qty_lots, message.price_ticks, message.fee_e8, *how, message.open_lots)
        elif isinstance(message, OrderAck):
            yield ("ack", *head, message.is_waiting)
        elif isinstance(message, OrderCanceled):
            yield ("ends", *head, message.status.value, message.reason.value, int(message.open_qty.scaleb(3)))
        elif isinstance(message, OrderRefused):
            yield ("refused", *head, message.reason.value)
        elif isinstance(message, OrderRejected):
            what = "cancel" if message.is_cancel else "amend" if message.is_amend else "order"
            yield ("rejected", *head, message.reason.value, what)
        elif isinstance(message, OrderAmended):
            values = (message.qty_lots, message.open_lots, message.price_ticks, message.trigger_ticks, message.keeps_place)
            yield ("amended", *head, *values)
        else:
            yield ("triggered", *head)


def naive_run(world: World, run: SmallRun) -> NaiveMatcher:
    """The naive venue's run of the orders that the engine's Risk was asked for; spot buys have the budgets that it gave them."""
    budgets = {order.order_id: Fraction(order.budget_e8) for order in run.messages(SanitizedOrder) if order.budget_e8}
    script = {key: [replace(asked) for asked in orders] for key, orders in world.script.items()}
    naive = NaiveMatcher(list(world.bars), world.bars, script, world.terms, budgets)
    naive.run()
    return naive


def compare(world: World) -> None:
    """Engine and naive venue say the same, event by event, and leave the same positions and equity."""
    run = engine_run(world)
    naive = naive_run(world, run)
    theirs = list(said_by(run))
    for index, (engine, mine) in enumerate(zip(theirs, naive.events, strict=False)):
        assert engine == mine, f"event {index}: engine {engine}, naive {mine}"
    assert theirs == naive.events
    books = run.engine.account.books
    assert books.lots == naive.held
    assert Fraction(books.equity(), MONEY_ONE) == CASH + naive.equity()
    MET.update(map(kind_of, theirs))
    MET["sequences"] += 1


def kind_of(event: Event) -> str:
    """`fill maker`, `ends CAPACITY`, `rejected FOK`: what is counted."""
    if event[0] == "attached" and event[2].endswith("-rest"):
        return "attached rest"
    place = {"fill": 6, "ends": 4, "rejected": 3, "refused": 3}.get(event[0])
    return event[0] if place is None else f"{event[0]} {event[place]}"


@settings(
    max_examples=10_000 if NIGHTLY else 500,
    derandomize=not NIGHTLY,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(world=WORLDS)
@example(world=below_filled(OrderStatus.REJECTED))
@example(world=below_filled(OrderStatus.CANCELED))
def search(world: World) -> None:
    """What `compare` finds, in the smallest world in which it is found."""
    note(f"{world.terms}")
    for rows in world.bars.values():
        note("\n".join(map(row_of, rows)))
    for (symbol, end), orders in world.script.items():
        note(f"{symbol} {(end - MIDNIGHT) // MINUTE} min: {orders}")
    compare(world)


def test_the_venue_says_and_leaves_what_a_naive_one_does() -> None:
    MET.clear()
    search()
    print(f"\n{MET['sequences']:,} sequences agree: {dict(sorted(MET.items()))}")
    if not NIGHTLY:  # five hundred sequences may miss what is rare
        assert {"fill maker", "fill taker", "triggered", "ends USER", "attached", "amended", "ends OCO"} <= MET.keys()
        return
    lacking = {
        *("fill maker", "fill taker", "triggered", "ends CAPACITY", "ends FOK", "ends GOOD_TILL", "ends INSUFFICIENT"),
        *("ends NO_LIQUIDITY", "ends POST_ONLY", "ends REDUCE_ONLY", "ends USER", "ends END_OF_RUN", "rejected FOK"),
        *("rejected POST_ONLY", "rejected TOO_LATE", "rejected UNKNOWN_ORDER", "rejected TRIGGER_SIDE", "rejected GOOD_TILL"),
        "rejected MAX_OPEN_ORDERS",
        *("refused REDUCE_ONLY", "refused SHORT_SPOT", "refused UNKNOWN_ORDER", "refused INVALID"),
        *("attached", "attached rest", "amended", "ends OCO", "ends REPLACED", "ends SELF_TRADE"),
        *("ends AMEND_BELOW_FILLED", "rejected AMEND_BELOW_FILLED"),
    } - MET.keys()
    assert lacking == set(), "the flow met nothing of this kind"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda terms: replace(terms, touch=not terms.touch),
        lambda terms: replace(terms, order_latency=terms.order_latency + 30_000),
        lambda terms: replace(terms, cancel_latency=terms.cancel_latency + 60_000),
        lambda terms: replace(terms, taker_bps=terms.taker_bps + 1),
        lambda terms: replace(terms, slippage_bps=terms.slippage_bps + 50),
        lambda terms: replace(terms, share_bps=500),
        lambda terms: replace(terms, carry=not terms.carry),
        lambda terms: replace(terms, fok_short="canceled" if terms.fok_short == "expired" else "expired"),
        lambda terms: replace(terms, stp="none" if terms.stp != "none" else "cancel_both"),
        lambda terms: replace(terms, amends_waiting=not terms.amends_waiting),
        lambda terms: replace(terms, amend_keeps_place=not terms.amend_keeps_place),
        lambda terms: replace(terms, open_orders_max=2),
    ],
    ids=[
        *("touch", "latency", "cancel latency", "fee", "slippage", "share", "carry", "fill or kill"),
        *("own orders", "amendments of what waits", "place after an amendment", "orders that stand"),
    ],
)
def test_a_venue_of_other_rules_is_found_out(wrong: Callable[[Terms], Terms]) -> None:
    draw = random.Random(1)
    for _ in range(200):
        codes = [[draw.getrandbits(BITS) for _ in range(count)] for count in (1, BARS, 2 * ORDERS)]
        world = world_of(codes[0][0], [codes[1]], codes[2])
        run = engine_run(world)
        assert list(said_by(run)) == naive_run(world, run).events
        if list(said_by(run)) != naive_run(world._replace(terms=wrong(world.terms)), run).events:
            return
    raise AssertionError("two hundred worlds, and nobody noticed")
