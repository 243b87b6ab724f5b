"""Bounds of a venue: what opens must keep them, what reduces need not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from backtester.domain.intents import AmendOrderIntent
from backtester.domain.order_bounds import PriceBand
from backtester.domain.vocabulary import Market
from tests.risk.desk import Desk
from tests.sim.small_run import spec

D = Decimal
MARKET_5 = {"rules": spec(max_qty=D(100), max_market_qty=D(5))}
RANGE = {"rules": spec(min_price=D(50), max_price=D(200))}
FUTURES = {"rules": spec(price_band=PriceBand(buy_min=D("0.95"), buy_max=D("1.05"), sell_min=D("0.95"), sell_max=D("1.05")))}
SPOT_BAND = PriceBand(buy_min=D("0.2"), buy_max=D(5), sell_min=D("0.2"), sell_max=D(5))
SPOT = {"rules": spec(market=Market.SPOT, price_band=SPOT_BAND)}
BYBIT = {"rules": spec(price_band=PriceBand(ratio_x=D("0.01"), ratio_y=D("0.02")))}


@pytest.mark.parametrize(
    ("desk", "order", "outcome"),
    [
        (MARKET_5, "buy 5", "ok"),
        (MARKET_5, "buy 5.001", "MAX_QTY"),
        (MARKET_5, "buy 6 at 100", "ok"),
        (MARKET_5, "buy 101 at 100", "MAX_QTY"),
        (MARKET_5, "buy 6 stop 110", "MAX_QTY"),
        ({**MARKET_5, "held": "8"}, "sell 8", "ok"),
        ({**MARKET_5, "held": "8"}, "sell 8 reduce", "ok"),
        ({**MARKET_5, "held": "8"}, "sell 9", "MAX_QTY"),
        (RANGE, "buy 1 at 50", "ok"),
        (RANGE, "buy 1 at 49.9", "PRICE_RANGE"),
        (RANGE, "sell 1 at 200", "ok"),
        (RANGE, "sell 1 at 200.1", "PRICE_RANGE"),
        (RANGE, "buy 1 stop 200.1", "PRICE_RANGE"),
        (RANGE, "buy 1", "ok"),
        ({**RANGE, "held": "1"}, "sell 1 at 300", "ok"),
        (FUTURES, "buy 1 at 105", "ok"),
        (FUTURES, "buy 1 at 105.1", "PRICE_BAND"),
        (FUTURES, "buy 1 at 1", "ok"),
        (FUTURES, "sell 1 at 95", "ok"),
        (FUTURES, "sell 1 at 94.9", "PRICE_BAND"),
        (FUTURES, "sell 1 at 1000", "ok"),
        (FUTURES, "buy 1 stop 150", "ok"),
        (FUTURES, "buy 1", "ok"),
        ({**FUTURES, "held": "1"}, "sell 1 at 50", "ok"),
        (SPOT, "buy 1 at 500", "ok"),
        (SPOT, "buy 1 at 500.1", "PRICE_BAND"),
        (SPOT, "buy 1 at 20", "ok"),
        (SPOT, "buy 1 at 19.9", "PRICE_BAND"),
        (BYBIT, "buy 1 at 101", "ok"),
        (BYBIT, "buy 1 at 101.1", "PRICE_BAND"),
        (BYBIT, "sell 1 at 98.9", "PRICE_BAND"),
        (BYBIT, "buy 1 at 50", "ok"),
    ],
)
def test_a_bound_of_the_venue(desk: dict[str, Any], order: str, outcome: str) -> None:
    assert Desk(**desk).send(order) == outcome


def test_the_refusal_names_the_bound() -> None:
    desk = Desk(**MARKET_5)
    desk.send("buy 5.001")
    assert desk.last.detail == "quantity above the maximum of 5 for market orders"
    desk = Desk(**RANGE)
    desk.send("buy 1 at 1")
    assert desk.last.detail == f"{desk.spec.symbol} takes prices from 50 to 200"


def test_an_amendment_that_opens_elsewhere_keeps_the_band_too() -> None:
    desk = Desk(**FUTURES)
    assert desk.send("buy 1 at 100") == "ok"
    amend = AmendOrderIntent(symbol=desk.spec.symbol, order_id=desk.order.order_id, price=D(106))
    assert desk.send_intent(amend) == "PRICE_BAND"
    assert desk.send_intent(msgspec.structs.replace(amend, price=D(104))) == "ok"
