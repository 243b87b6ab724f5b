"""Each rail: what passes, what is refused, and why."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from backtester.domain.intents import CancelAllIntent, CancelOrderIntent
from tests.risk.desk import Desk, spot
from tests.sim.small_run import A, spec

D = Decimal
STEP = {"tick_size": D("0.1"), "lot_size": D("0.01")}


@pytest.mark.parametrize(
    ("desk", "order", "outcome"),
    [
        # size in lots, against minimum and maximum
        ({"rules": spec(**STEP, min_qty=D("0.05"))}, "buy 0.05", "ok"),
        ({"rules": spec(**STEP, min_qty=D("0.05"))}, "buy 0.059", "ok"),
        ({"rules": spec(**STEP, min_qty=D("0.05"))}, "buy 0.04999", "MIN_QTY"),
        ({"rules": spec(**STEP, min_qty=D("0.05"))}, "buy 0.009", "MIN_QTY"),
        ({"rules": spec(**STEP, min_qty=D(0))}, "buy 0.009", "LOT_STEP"),
        ({"rules": spec(**STEP, min_qty=D("0.05")), "held": "1"}, "sell 0.04 reduce", "MIN_QTY"),
        ({"rules": spec(max_qty=D(5))}, "buy 5", "ok"),
        ({"rules": spec(max_qty=D(5))}, "buy 5.001", "MAX_QTY"),
        ({"rules": spec(max_qty=D(5)), "held": "8"}, "sell 8 reduce", "ok"),
        ({"rules": spec(max_qty=D(5)), "held": "8"}, "sell 8", "ok"),
        # a price of at least one tick
        ({}, "buy 1 at 0.1", "ok"),
        ({}, "buy 1 at 0.09", "TICK"),
        ({"held": "1"}, "buy 1 at 0.09", "TICK"),
        # notional, of opening orders only
        ({"rules": spec(min_notional=D(100))}, "buy 1", "ok"),
        ({"rules": spec(min_notional=D(100))}, "buy 0.999", "MIN_NOTIONAL"),
        ({"rules": spec(min_notional=D(100))}, "buy 1 at 99.9", "MIN_NOTIONAL"),
        ({"rules": spec(min_notional=D(100)), "held": "1"}, "sell 0.5", "ok"),
        ({"rules": spec(min_notional=D(100)), "held": "1"}, "sell 0.5 reduce", "ok"),
        ({"rules": spec(max_notional=D(200))}, "buy 2", "ok"),
        ({"rules": spec(max_notional=D(200))}, "buy 2.001", "MAX_NOTIONAL"),
        ({"rules": spec(max_notional=D(200)), "held": "5"}, "sell 5", "ok"),
        # the collar, on the aggressive side only
        ({"collar_bps": D(500)}, "buy 1 at 105", "ok"),
        ({"collar_bps": D(500)}, "buy 1 at 105.1", "PRICE_BAND"),
        ({"collar_bps": D(500)}, "buy 1 at 10", "ok"),
        ({"collar_bps": D(500)}, "sell 1 at 95", "ok"),
        ({"collar_bps": D(500)}, "sell 1 at 94.9", "PRICE_BAND"),
        ({"collar_bps": D(500)}, "sell 1 at 1000", "ok"),
        ({"collar_bps": D(500), "held": "1"}, "sell 1 at 50", "ok"),
        ({}, "buy 1 at 1000", "ok"),
        # a price to judge by, a symbol that is traded
        ({"mark": None}, "buy 1", "NO_PRICE"),
        ({"mark": None}, "buy 1 at 100", "NO_PRICE"),
        ({"mark": None, "held": "1"}, "sell 1", "ok"),
        ({"rules": spec(tradable=False)}, "buy 1", "NOT_TRADABLE"),
        ({"rules": spec(tradable=False), "held": "1"}, "sell 1", "ok"),
        # reduce-only
        ({}, "sell 1 reduce", "REDUCE_ONLY"),
        ({"held": "1"}, "buy 1 reduce", "REDUCE_ONLY"),
        ({"held": "1"}, "sell 5 reduce", "ok"),
        ({"held": "-1"}, "buy 5 reduce", "ok"),
        # spot cannot go short
        ({"rules": spot(), "held": "1"}, "sell 1", "ok"),
        ({"rules": spot(), "held": "1"}, "sell 1.001", "SHORT_SPOT"),
        ({"rules": spot()}, "sell 1", "SHORT_SPOT"),
        # position limit
        ({"max_position_notional": D(500)}, "buy 5", "ok"),
        ({"max_position_notional": D(500)}, "buy 5.001", "MAX_POSITION"),
        ({"max_position_notional": D(500), "held": "4"}, "buy 2", "MAX_POSITION"),
        ({"max_position_notional": D(500), "held": "9"}, "sell 4", "ok"),
        ({"max_position_notional": D(500), "held": "9"}, "sell 14", "ok"),
        ({"max_position_notional": D(500), "held": "9"}, "sell 14.1", "MAX_POSITION"),
        # cash
        ({"cash": "100"}, "buy 1", "ok"),
        ({"cash": "99.99"}, "buy 1", "INSUFFICIENT"),
        ({"cash": "99.99"}, "sell 1", "INSUFFICIENT"),
        ({"cash": "100", "fee_bps": "10"}, "buy 1", "INSUFFICIENT"),
        ({"cash": "100.1", "fee_bps": "10"}, "buy 1", "ok"),
        ({"cash": "100", "market_bps": D(10)}, "buy 1", "INSUFFICIENT"),
        ({"cash": "100.1", "market_bps": D(10)}, "buy 1", "ok"),
        ({"cash": "50"}, "buy 1 at 50", "ok"),
        ({"cash": "50"}, "buy 1 at 50.1", "INSUFFICIENT"),
        ({"cash": "200", "held": "1"}, "buy 1", "ok"),
        ({"cash": "199.99", "held": "1"}, "buy 1", "INSUFFICIENT"),
        ({"cash": "300", "held": "1", "entry": "150"}, "buy 1", "ok"),
        ({"cash": "299", "held": "1", "entry": "150"}, "buy 1", "INSUFFICIENT"),
        ({"cash": "100", "held": "1", "entry": "50"}, "buy 1", "INSUFFICIENT"),
        ({"cash": "1", "held": "5"}, "sell 5", "ok"),
        ({"cash": "300", "held": "1"}, "sell 3", "ok"),
        ({"cash": "299", "held": "1"}, "sell 3", "INSUFFICIENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_rail(desk: dict[str, Any], order: str, outcome: str) -> None:
    assert Desk(**desk).send(order) == outcome


@pytest.mark.parametrize(
    "price", [0, -1, "0", "nan", "inf", "-inf", "1e400", "ten", "", True, D("NaN"), D("sNaN"), float("nan"), 1e300, 1e-300]
)
def test_what_is_no_number_is_refused_as_invalid(price: Any) -> None:
    desk = Desk()
    assert desk.send("buy 1", qty=price) == "INVALID"
    assert desk.send("buy 1 at 100", price=price) == "INVALID"


@pytest.mark.parametrize("facts", [{"side": "buy"}, {"side": None}, {"tif": "gtc"}, {"side": 1}])
def test_words_outside_the_vocabulary_are_refused_as_invalid(facts: dict[str, Any]) -> None:
    assert Desk().send("buy 1", **facts) == "INVALID"


def test_a_symbol_outside_the_run_is_refused() -> None:
    assert Desk().send("buy 1", symbol="NONE") == "UNKNOWN_SYMBOL"


def test_an_id_is_used_once() -> None:
    desk = Desk()
    assert desk.send("buy 1", order_id="x") == "ok"
    assert desk.send("buy 1", order_id="x") == "DUPLICATE_ID"


def test_golden_g18_the_smallest_opening_order_and_the_smallest_closing_one() -> None:
    rules = spec(min_notional=D(100))
    assert Desk(rules=rules, mark=60_000.0).send("buy 0.002") == "ok"
    assert Desk(rules=rules, mark=60_000.0).send("buy 0.001") == "MIN_NOTIONAL"
    assert Desk(rules=rules, mark=60_000.0, held="1").send("sell 0.001 reduce") == "ok"
    assert Desk(rules=rules, mark=60_000.0, held="1").send("sell 0.0005 reduce") == "MIN_QTY"


def test_golden_g09_rounding_is_against_the_trader_and_checked_afterwards() -> None:
    desk = Desk(rules=spec(min_notional=D(5)))
    assert desk.send("buy 1 at 100.07") == "ok"
    assert desk.order.price_ticks == 1000
    assert desk.send("sell 1 at 100.03") == "ok"
    assert desk.order.price_ticks == 1001
    assert desk.send("buy 0.0519 at 100.07") == "ok"
    assert desk.order.qty_lots == 51
    assert desk.send("buy 0.0199 at 100.07") == "MIN_NOTIONAL"


def test_open_orders_are_counted_and_ways_out_are_not() -> None:
    desk = Desk(max_open_orders=2, held="1")
    assert [desk.send("buy 1 at 90") for _ in range(3)] == ["ok", "ok", "MAX_OPEN_ORDERS"]
    assert desk.send("sell 1 at 110 reduce") == "ok"
    assert desk.send("sell 1") == "ok"


def test_the_order_rate_is_that_of_a_bucket() -> None:
    desk = Desk(orders_per_second=D("0.5"), order_burst=2, held="1")
    assert [desk.send("buy 1 at 90") for _ in range(3)] == ["ok", "ok", "ORDER_RATE"]
    assert desk.send("sell 1") == "ok"
    desk.clock.advance(1_000 + 1_999)
    assert desk.send("buy 1 at 90") == "ORDER_RATE"
    desk.clock.advance(1_000 + 2_000)
    assert [desk.send("buy 1 at 90") for _ in range(2)] == ["ok", "ORDER_RATE"]


def test_a_refused_order_uses_no_token() -> None:
    desk = Desk(orders_per_second=D(1), order_burst=1, max_position_notional=D(150))
    assert [desk.send("buy 2"), desk.send("buy 1 at 90"), desk.send("buy 0.1 at 90")] == ["MAX_POSITION", "ok", "ORDER_RATE"]


def test_working_orders_count_toward_the_position_limit() -> None:
    desk = Desk(max_position_notional=D(500))
    assert [desk.send("buy 3 at 100"), desk.send("buy 2 at 100"), desk.send("buy 0.001 at 100")] == ["ok", "ok", "MAX_POSITION"]
    assert desk.send("sell 5") == "ok"
    assert desk.send("sell 0.001") == "MAX_POSITION"


def test_cash_is_reserved_by_what_works() -> None:
    desk = Desk(cash="250")
    assert [desk.send("buy 1 at 100"), desk.send("sell 1"), desk.send("buy 1 at 50.1"), desk.send("buy 1 at 50")] == [
        "ok",
        "ok",
        "INSUFFICIENT",
        "ok",
    ]


def test_equal_sizes_written_differently_are_rounded_each_for_itself() -> None:
    desk = Desk(rules=spec(lot_size=D("0.1"), min_qty=D("0.1")))
    assert desk.send("buy 1", qty=0.3) == "ok"
    assert desk.order.qty_lots == 3
    assert desk.send("buy 1", qty=D(0.3)) == "ok"  # 0.299999...
    assert desk.order.qty_lots == 2


def test_a_cancel_is_for_ones_own_working_orders() -> None:
    desk = Desk()
    desk.send("buy 1 at 90", order_id="x")
    assert desk.send_intent(CancelOrderIntent(symbol=A, order_id="x")) == "ok"
    assert (desk.canceled.order_id, desk.canceled.symbol) == ("x", A)
    assert desk.send_intent(CancelOrderIntent(symbol=A, order_id="y")) == "UNKNOWN_ORDER"
    desk.orders.records["x"].order = msgspec.structs.replace(desk.orders.records["x"].order, strategy_id="other")
    assert desk.send_intent(CancelOrderIntent(symbol=A, order_id="x")) == "UNKNOWN_ORDER"


def test_cancel_all_is_one_cancel_for_each_working_order() -> None:
    desk = Desk()
    assert desk.send_intent(CancelAllIntent()) == ""
    for _ in range(3):
        desk.send("buy 1 at 90")
    assert desk.send_intent(CancelAllIntent()) == "ok ok ok"
    assert desk.send_intent(CancelAllIntent(symbol=A)) == "ok ok ok"
    assert desk.send_intent(CancelAllIntent(symbol="NONE")) == ""
