"""Spot market orders by value: the lots that the value is worth at the price of the fill."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.domain.orders import OrderAmended, SanitizedOrder
from backtester.domain.vocabulary import Market, Side
from tests.sim.small_run import expect, flat, small_run

CALM = flat("00:00", 5, price=100, volume=10)
RISES = flat("00:00", 1, price=100) + "\n" + flat("00:01", 4, price=104)
FALLS = flat("00:00", 1, price=100) + "\n" + flat("00:01", 4, price=80)


@pytest.mark.parametrize(
    ("bars", "orders", "sim", "told"),
    [
        pytest.param(CALM, "00:01 a buy $150", {}, "00:01 a buy 1.5 @ 100 taker", id="a value is so many lots"),
        pytest.param(CALM, "00:01 a buy $150.09", {}, "00:01 a buy 1.5 @ 100 taker", id="rounded down, the rest is not spent"),
        pytest.param(RISES, "00:01 a buy $104", {}, "00:01 a amended 1 @ keeps\n00:01 a buy 1 @ 104 taker", id="at the price of the fill, not of the decision"),
        pytest.param(FALLS, "00:01 a buy $100", {}, "00:01 a amended 1.25 @ keeps\n00:01 a buy 1.25 @ 80 taker", id="cheaper it is more"),
        pytest.param(CALM, "00:01 in buy 3\n00:02 a sell $150", {}, "00:01 in buy 3 @ 100 taker\n00:02 a sell 1.5 @ 100 taker", id="a sale receives the value"),
        pytest.param(CALM, "00:01 a buy $150", {"participation_bps": 1000}, "00:01 a buy 1 @ 100 taker\n00:02 a buy 0.5 @ 100 taker carried", id="within the share of volume"),
        pytest.param(CALM, "00:01 a buy $150 ioc", {"participation_bps": 1000}, "00:01 a buy 1 @ 100 taker\n00:01 a ends NO_LIQUIDITY 0.5", id="at once or not"),
        pytest.param(CALM, "00:01 a buy $0.05", {}, "00:01 a refused MIN_QTY", id="less than a lot"),
        pytest.param(RISES, "00:01 a buy $0.1", {}, "00:01 a ends MIN_QTY 0.001", id="or less than one at the price of the fill"),
        pytest.param(CALM, "00:01 a buy $-5", {}, "00:01 a refused INVALID", id="no value"),
        pytest.param(CALM, "00:01 a buy $150 fok", {}, "00:01 a refused INVALID", id="not fill or kill"),
        pytest.param(CALM, "00:01 a buy $150", {"market": Market.LINEAR}, "00:01 a refused INVALID", id="spot only"),
        pytest.param(CALM, "00:01 a buy $1000.01", {"cash": "1000"}, "00:01 a refused INSUFFICIENT", id="not more than there is"),
    ],
)  # fmt: skip
def test_an_order_by_value(bars: str, orders: str, sim: dict[str, Any], told: str) -> None:
    run = small_run(bars, orders, **({"market": Market.SPOT} | sim))
    assert run.told() == expect(told)
    assert not run.engine.risk.reservations.total


def test_the_message_says_what_value_it_stands_for() -> None:
    run = small_run(RISES, "00:01 a buy $150.5", market=Market.SPOT)
    (order,) = run.messages(SanitizedOrder)
    assert (order.quote_e8, order.qty_lots) == (150_5000_0000, 1505)
    (amended,) = run.messages(OrderAmended)
    assert amended.qty_lots == amended.open_lots == 1447


@settings(max_examples=60, deadline=None)
@given(
    value=st.decimals("0.2", "999", places=2),
    price=st.integers(1, 900).map(lambda tenths: tenths / 10),
    fee=st.sampled_from(["0", "10"]),
    costs=st.sampled_from([0, 7, 200]),
    side=st.sampled_from(Side),
)
def test_a_buy_never_spends_more_than_its_value_and_fee(value: Decimal, price: float, fee: str, costs: int, side: Side) -> None:
    bars = flat("00:00", 2, price=50) + "\n" + flat("00:02", 3, price=price)
    orders = f"00:01 in buy 10\n00:02 a {side.value} ${value}"
    run = small_run(bars, orders, market=Market.SPOT, fee_bps=(fee, fee), spread_bps=costs, slippage_bps=costs)
    parts = [fill for fill in run.fills if fill.order_id == "a"]
    spent = sum((fill.qty * fill.price for fill in parts), Decimal(0))
    assert spent <= value
    if parts and parts[-1].open_lots == 0:
        assert value - spent < parts[0].price * Decimal("0.001") or side is Side.SELL
    assert not run.engine.risk.reservations.total
