"""What holds of the gate whatever the rails, positions and orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.intents import LimitOrderIntent, MarketOrderIntent
from backtester.domain.orders import SanitizedOrder
from backtester.domain.run_events import ControlAction, ControlEvent
from backtester.domain.vocabulary import Side, TimeInForce
from backtester.risk.limits import NO_CAPS, ExposureLimits
from tests.risk.desk import Desk, spot
from tests.sim.small_run import A, spec

D = Decimal
MAY_REFUSE_A_WAY_OUT = {"ok", "TICK", "LOT_STEP", "MIN_QTY"}


NOTHING_MORE = ExposureLimits(D("0.001"), D("0.001"), D("0.001"), D("0.001"), ((A,),))


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    """A desk with random rails, a random position and perhaps a halt."""
    is_spot = draw(st.booleans())
    rules: dict[str, Any] = {
        "lot_size": draw(st.sampled_from((D("0.001"), D("0.1")))),
        "min_qty": draw(st.sampled_from((D(0), D("0.2")))),
        "max_qty": draw(st.sampled_from((None, D(1)))),
        "min_notional": draw(st.sampled_from((D(0), D(100)))),
        "max_notional": draw(st.sampled_from((None, D(150)))),
        "tradable": draw(st.booleans()),
    }
    held = draw(st.integers(0 if is_spot else -50, 50).map(lambda tenths: D(tenths) / 10))
    desk = Desk(
        rules=spot(**rules) if is_spot else spec(**rules),
        mark=draw(st.sampled_from((None, 100.0, 0.5))),
        held=str(held),
        cash=draw(st.sampled_from(("0", "50", "1000000"))),
        fee_bps=draw(st.sampled_from(("0", "50"))),
        collar_bps=draw(st.sampled_from((None, D(1)))),
        max_open_orders=draw(st.sampled_from((None, 1))),
        max_position_notional=draw(st.sampled_from((None, D(1)))),
        orders_per_second=draw(st.sampled_from((None, D("0.001")))),
        exposure=draw(st.sampled_from((NO_CAPS, NOTHING_MORE))),
        order_burst=1,
    )
    if draw(st.booleans()):
        for qty in draw(st.lists(st.sampled_from((1, 2)), max_size=3)):
            desk.send("buy 1 at 60", qty=qty)
    if draw(st.booleans()):
        switch = draw(st.sampled_from((ControlAction.DAILY_LOSS_HALT, ControlAction.DRAWDOWN_HALT, ControlAction.KILL_HALT)))
        desk.gate.on_control(ControlEvent(time_ms=1_000, action=switch, detail=""))
    return desk


def order_of(data: st.DataObject, *, side: Side, qty: Any) -> MarketOrderIntent | LimitOrderIntent:
    facts: dict[str, Any] = {
        "symbol": A,
        "order_id": "out",
        "side": side,
        "qty": qty,
        "reduce_only": data.draw(st.booleans()),
        "tif": data.draw(st.sampled_from((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))),
    }
    if data.draw(st.booleans()):
        return LimitOrderIntent(price=data.draw(st.sampled_from((D("0.01"), D(1), D(90), D(99), D(120), D(5000)))), **facts)
    return MarketOrderIntent(**facts)


@given(desk=desks(), data=st.data())
def test_no_rail_refuses_an_order_that_reduces_a_position(desk: Desk, data: st.DataObject) -> None:
    lots = desk.books.lots[A]
    if not lots:
        return
    qty = D(data.draw(st.integers(1, abs(lots)))) * desk.spec.lot_size
    intent = order_of(data, side=Side.SELL if lots > 0 else Side.BUY, qty=qty)
    outcome = desk.send_intent(intent)
    assert outcome in MAY_REFUSE_A_WAY_OUT, outcome
    if outcome == "ok":
        assert len(desk.gate.reservations) == sum(row.order_id != "out" for row in desk.orders.working())


@given(desk=desks(), data=st.data())
def test_what_passes_is_never_larger_or_worse_than_asked(desk: Desk, data: st.DataObject) -> None:
    qty = data.draw(st.decimals("0.0001", 10, places=5))
    intent = order_of(data, side=data.draw(st.sampled_from(Side)), qty=qty)
    if desk.send_intent(intent) != "ok":
        return
    order = desk.order
    lot, tick = desk.spec.lot_size, desk.spec.tick_size
    assert 0 <= qty - order.qty_lots * lot < lot
    assert order.qty_lots * lot >= desk.spec.min_qty
    if isinstance(intent, LimitOrderIntent):
        gap = D(intent.price) - order.price_ticks * tick
        assert 0 <= (gap if intent.side is Side.BUY else -gap) < tick
    if intent.reduce_only:
        assert desk.books.lots[A] * intent.side.sign < 0


@given(desk=desks(), data=st.data())
def test_what_works_never_holds_more_than_there_is(desk: Desk, data: st.DataObject) -> None:
    for number in range(data.draw(st.integers(1, 6))):
        qty = data.draw(st.decimals("0.1", 6, places=1))
        side = data.draw(st.sampled_from(Side))
        desk.send(f"{side.value} {qty}" + data.draw(st.sampled_from(("", " at 70", " at 130"))), order_id=f"n{number}")
        assert desk.gate.reservations.total <= max(0, desk.books.free_cash())


@given(st.data())
def test_a_halt_lets_nothing_open_and_everything_close(data: st.DataObject) -> None:
    held = data.draw(st.sampled_from(("-1", "0", "1")))
    desk = Desk(held=held)
    desk.gate.on_control(ControlEvent(time_ms=1_000, action=ControlAction.DAILY_LOSS_HALT, detail=""))
    side, qty = data.draw(st.sampled_from(Side)), data.draw(st.sampled_from((D("0.5"), D(1), D("1.5"))))
    reduces = D(held) * side.sign < 0 and qty <= 1
    assert desk.send(f"{side.value} {qty}") == ("ok" if reduces else "DAILY_LOSS")
    desk.gate.on_control(ControlEvent(time_ms=1_000, action=ControlAction.DAILY_LOSS_REARM, detail=""))
    assert desk.send(f"{side.value} {qty}") == "ok"


def test_a_halt_cancels_entries_and_keeps_protection() -> None:
    desk = Desk(held="1")
    for name, text in {
        "entry": "buy 1 at 90",
        "target": "sell 1 at 120",
        "stop": "sell 5 at 130 reduce",
        "flip": "sell 2 at 120",
    }.items():
        assert desk.send(text, order_id=name) == "ok"
    published = desk.gate.on_control(ControlEvent(time_ms=1_000, action=ControlAction.DAILY_LOSS_HALT, detail=""))
    assert [message.order_id for _, message in published] == ["entry", "flip"]


def test_a_flatten_also_closes_every_position() -> None:
    desk = Desk(held="-1.5")
    published = desk.gate.on_control(ControlEvent(time_ms=1_000, action=ControlAction.DAILY_LOSS_FLATTEN, detail=""))
    ((_, order),) = published
    assert isinstance(order, SanitizedOrder)
    assert (order.order_id, order.side, order.qty_lots, order.reduce_only, order.reason) == (
        "risk-1",
        Side.BUY,
        1500,
        True,
        "DAILY_LOSS",
    )


def test_other_switches_change_nothing() -> None:
    desk = Desk(held="1")
    for action in (ControlAction.BANKRUPT, ControlAction.END_CLOSE):
        assert desk.gate.on_control(ControlEvent(time_ms=1_000, action=action, detail="")) == ()
    assert desk.send("buy 1") == "ok"
