"""The life cycle of orders as the engine keeps it."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import OrderStateError
from backtester.domain.orders import Fill, OrderAck, OrderCanceled, OrderRejected, SanitizedCancel, SanitizedOrder
from backtester.domain.vocabulary import FillNote, Liquidity, OrderStatus, OrderType, RejectReason, Side, TimeInForce
from backtester.execution.order_manager import OrderManager
from backtester.execution.working_orders import WorkingOrders
from tests.engine.test_routes import random_bars, trader
from tests.sim.small_run import A, B, small_run, spec


class Gateway:
    """Remembers what went out."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, order: SanitizedOrder) -> None:
        self.sent.append(order)

    def cancel(self, cancel: SanitizedCancel) -> None:
        self.sent.append(cancel)


def order(order_id: str, *, symbol: str = A, strategy_id: str = "s", side: Side = Side.BUY, **facts: Any) -> SanitizedOrder:
    given: dict[str, Any] = {
        "qty_lots": 1500, "price_ticks": 905, "order_type": OrderType.LIMIT, "tif": TimeInForce.GTC, "reduce_only": False,
        "budget_e8": 0, "reason": "SIGNAL", "time_ms": 7,
    }  # fmt: skip
    return SanitizedOrder(order_id=order_id, strategy_id=strategy_id, symbol=symbol, side=side, **(given | facts))


def ack(order_id: str) -> OrderAck:
    return OrderAck(time_ms=8, order_id=order_id, strategy_id="s", symbol=A)


def fill(order_id: str, lots: int, open_lots: int) -> Fill:
    return Fill(
        time_ms=9, symbol=A, side=Side.BUY, qty=Decimal(lots) / 1000, price=Decimal("90.5"), fee=Decimal(0), fee_asset="USDT",
        liquidity=Liquidity.MAKER, order_id=order_id, fill_id=f"{order_id}-f1", strategy_id="s", reason="SIGNAL",
        order_type=OrderType.LIMIT, bar_fill=True, note=FillNote.NONE, over_share=False, price_ticks=905, qty_lots=lots, fee_e8=0,
        open_lots=open_lots,
    )  # fmt: skip


def canceled(order_id: str) -> OrderCanceled:
    names = {"order_id": order_id, "strategy_id": "s", "symbol": A}
    return OrderCanceled(time_ms=9, status=OrderStatus.CANCELED, reason=RejectReason.USER, open_qty=Decimal(1), **names)


def rejected(order_id: str, *, is_cancel: bool) -> OrderRejected:
    names = {"order_id": order_id, "strategy_id": "s", "symbol": A}
    return OrderRejected(time_ms=9, reason=RejectReason.TOO_LATE, detail="", is_cancel=is_cancel, **names)


def desk() -> tuple[OrderManager, WorkingOrders, Gateway]:
    working, gateway = WorkingOrders(specs={A: spec(A), B: spec(B)}), Gateway()
    return OrderManager(gateway=gateway, working=working), working, gateway


def test_an_order_works_from_its_sending_until_it_is_filled() -> None:
    manager, working, gateway = desk()
    manager.on_sanitized(order("a"))
    assert gateway.sent == [order("a")]
    seen = []
    for step in (lambda: None, lambda: manager.on_ack(ack("a")), lambda: manager.on_fill(fill("a", 500, 1000))):
        step()
        (row,) = working.working()
        seen.append((row.status, row.filled_qty))
    assert seen == [
        (OrderStatus.SUBMITTED, Decimal(0)),
        (OrderStatus.LIVE, Decimal(0)),
        (OrderStatus.PARTIALLY_FILLED, Decimal("0.5")),
    ]
    assert (row.qty, row.price, row.side, row.time_ms) == (Decimal("1.5"), Decimal("90.5"), Side.BUY, 7)
    manager.on_fill(fill("a", 1000, 0))
    assert working.working() == []
    assert manager.sent_count == 1


def test_a_cancel_goes_out_and_changes_nothing_until_the_venue_says_so() -> None:
    manager, working, gateway = desk()
    manager.on_sanitized(order("a"))
    manager.on_ack(ack("a"))
    cancel = SanitizedCancel(time_ms=8, order_id="a", strategy_id="s", symbol=A)
    manager.on_sanitized(cancel)
    assert gateway.sent[-1] == cancel
    manager.on_rejected(rejected("a", is_cancel=True))
    assert working.count() == 1
    manager.on_canceled(canceled("a"))
    assert working.count() == 0


def test_a_rejected_order_is_forgotten() -> None:
    manager, working, _ = desk()
    manager.on_sanitized(order("a"))
    manager.on_rejected(rejected("a", is_cancel=False))
    assert working.count() == 0


def test_a_report_that_the_table_does_not_allow_stops_the_run() -> None:
    manager, _, _ = desk()
    manager.on_sanitized(order("a"))
    with pytest.raises(OrderStateError, match="order a: submitted cannot become filled"):
        manager.on_fill(fill("a", 1500, 0))
    manager.on_ack(ack("a"))
    with pytest.raises(OrderStateError, match="order a: live cannot become live"):
        manager.on_ack(ack("a"))
    with pytest.raises(OrderStateError, match="live cannot become rejected"):
        manager.on_rejected(rejected("a", is_cancel=False))


def test_working_orders_are_listed_by_strategy_and_symbol_in_order_of_sending() -> None:
    manager, working, _ = desk()
    for name, symbol, owner in (("a", A, "s"), ("b", B, "s"), ("c", A, "t"), ("d", A, "s")):
        manager.on_sanitized(order(name, symbol=symbol, strategy_id=owner))

    def names(**wanted: Any) -> str:
        return "".join(row.order_id for row in working.working(**wanted))

    assert (names(), names(strategy_id="s"), names(symbol=A), names(strategy_id="s", symbol=A)) == ("abcd", "abd", "acd", "ad")
    assert (working.owner("c"), working.owner("x")) == ("t", None)


def test_a_chosen_id_is_remembered_after_the_order_and_a_stamped_one_need_not_be() -> None:
    manager, working, _ = desk()
    for name in ("mine", "s-1"):
        manager.on_sanitized(order(name))
        assert working.is_used(name)
        manager.on_ack(ack(name))
        manager.on_fill(fill(name, 1500, 0))
    assert (working.is_used("mine"), working.is_used("s-1"), working.is_used("other")) == (True, False, False)


@pytest.mark.parametrize(
    ("held", "side", "reduce_only", "is_entry"),
    [
        (0, Side.BUY, False, True),
        (0, Side.BUY, True, False),
        (2000, Side.BUY, False, True),
        (-1500, Side.BUY, False, False),
        (-1499, Side.BUY, False, True),
        (1500, Side.SELL, False, False),
        (1499, Side.SELL, True, False),
    ],
)
def test_an_entry_is_what_could_open_or_enlarge_a_position(held: int, side: Side, reduce_only: bool, is_entry: bool) -> None:
    manager, working, _ = desk()
    manager.on_sanitized(order("a", side=side, reduce_only=reduce_only))
    assert working.is_entry("a", held_lots=held) is is_entry


def test_entry_lots_are_the_open_ones_of_that_side() -> None:
    manager, working, _ = desk()
    for name, facts in {
        "a": {}, "b": {"symbol": B}, "c": {"side": Side.SELL}, "d": {"reduce_only": True}, "e": {"qty_lots": 10},
    }.items():  # fmt: skip
        manager.on_sanitized(order(name, **facts))
    manager.on_ack(ack("a"))
    manager.on_fill(fill("a", 500, 1000))
    assert (working.entry_lots(A, Side.BUY), working.entry_lots(A, Side.SELL), working.entry_lots(B, Side.SELL)) == (1010, 1500, 0)


@given(seed=st.integers(0, 2**32), order_latency_ms=st.sampled_from((0, 125, 70_000)))
def test_every_order_of_a_run_ends_once_and_fills_add_up(seed: int, order_latency_ms: int) -> None:
    rng = random.Random(seed)
    run = small_run(
        {A: random_bars(rng), B: random_bars(rng)},
        trader(seed),
        participation_bps=1000,
        order_latency_ms=order_latency_ms,
        response_latency_ms=order_latency_ms,
        cancel_latency_ms=rng.choice((0, 125)),
    )
    open_qty = {row.order_id: row.qty_lots for row in run.messages(SanitizedOrder)}
    ended: set[str] = set()
    for message in run.messages(Fill, OrderCanceled):
        assert message.order_id not in ended
        if isinstance(message, Fill):
            open_qty[message.order_id] -= message.qty_lots
            assert message.open_lots == open_qty[message.order_id] >= 0
        else:
            assert message.open_qty == Decimal(open_qty[message.order_id]) / 1000
        if isinstance(message, OrderCanceled) or not message.open_lots:
            ended.add(message.order_id)
    assert ended == set(open_qty)
    assert run.engine.orders.sent_count == len(open_qty)
