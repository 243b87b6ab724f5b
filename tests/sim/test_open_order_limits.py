"""How many orders a venue lets stand: its numbers, its codes, and what they do not stop."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backtester.config.venue_rules import venue_rules, venue_table
from backtester.domain.orders import OrderRefused, OrderRejected
from tests.sim.small_run import A, B, flat, small_run

CALM = flat("00:00", 4)
FEW = replace(venue_rules("binance", "linear"), open_orders_max=3, waiting_orders_max=1)


def test_the_numbers_are_those_of_the_venues() -> None:
    """exchange_semantics.md, sections 1.4 and 2."""
    numbers = {rules.name: (rules.open_orders_max, rules.waiting_orders_max) for rules in venue_table().values() if rules.triggers}
    assert numbers == {
        "binance_spot": (200, 5), "binance_um": (200, 10), "bybit_spot": (500, 30), "bybit_linear": (500, 10), "bybit_inverse": (500, 10),
    }  # fmt: skip
    option = venue_rules("bybit", "option")
    assert (option.open_orders_max, option.open_orders_of) == (50, "coin")


@pytest.mark.parametrize(
    ("orders", "told"),
    [
        pytest.param("00:01 a buy 1 at 90\n00:01 b buy 1 at 91\n00:01 c buy 1 at 92\n00:01 d buy 1 at 93", "d", id="limits that rest"),
        pytest.param("00:01 a buy 1 stop 110\n00:01 b buy 1 stop 111\n00:01 c buy 1 at 90", "b", id="orders that wait are fewer"),
        pytest.param("00:01 a buy 1 stop 110\n00:01 b buy 1 oco 90 110 -", "b", id="of an OCO one waits"),
        pytest.param("00:01 a buy 1 at 90\n00:01 b buy 1 at 91\n00:01 c buy 1 oco 90 110 -", "c", id="and it is two orders"),
        pytest.param("00:01 a buy 1 tp 110 sl 90\n00:02 b sell 1 stop 95 reduce", "b", id="exits of a fill count"),
        pytest.param("00:01 z buy 5\n00:02 a sell 1 at 110 reduce\n00:02 b sell 1 at 111 reduce\n00:02 c sell 1 at 112\n00:02 d sell 1 at 113 reduce", "d", id="so do orders that only reduce"),
        pytest.param("00:01 z buy 5\n00:01 a buy 1 stop 110\n00:02 b sell 5 stop 95 reduce", "b", id="and a stop-loss, as at the venue"),
    ],
)  # fmt: skip
def test_one_more_is_rejected_with_the_code_of_the_venue(orders: str, told: str) -> None:
    """By the venue: risk refuses no way out."""
    run = small_run(CALM, orders, venue=FEW)
    (rejected,) = run.messages(OrderRejected)
    assert (rejected.order_id, rejected.reason.value) == (told, "MAX_OPEN_ORDERS")
    assert rejected.code == ("-4045" if "wait for a trigger" in rejected.detail else "-2025")
    assert not run.messages(OrderRefused)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("00:02 x buy 1", id="a market order"),
        pytest.param("00:02 x buy 1 at 101 ioc", id="one that takes or ends"),
        pytest.param("00:02 x buy 1 at 101 fok", id="all of it or nothing"),
        pytest.param("00:02 cancel a\n00:03 x buy 1 at 101", id="one after another has ended"),
    ],
)
def test_what_does_not_stand_passes(more: str) -> None:
    run = small_run(CALM, f"00:01 a buy 1 at 90\n00:01 b buy 1 at 91\n00:01 c buy 1 at 92\n{more}", venue=FEW)
    assert not run.messages(OrderRejected)
    assert [fill.order_id for fill in run.fills] == ["x"]


def test_each_symbol_has_its_own_number() -> None:
    orders = "".join(f"00:01 {name.format(n)} buy 1 at 9{n}\n" for n in range(3) for name in ("a{}", "b{}:" + B))
    assert not small_run({A: CALM, B: CALM}, orders, venue=FEW).messages(OrderRejected)
