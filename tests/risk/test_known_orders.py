"""An order that is known from before passes the gate as it would if it were looked at in full."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.intents import LimitOrderIntent, MarketOrderIntent
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.vocabulary import (
    MARKET_ORDER,
    ExitSize,
    PositionSide,
    RejectReason,
    SelfTrade,
    Side,
    TimeInForce,
)
from backtester.risk.order_validation import OrderRounding, Refusal, Rounded
from backtester.risk.sanitizing import bare_order, sanitized_order
from tests.sim.small_run import A, spec

D = Decimal
QUANTITIES: tuple[Any, ...] = (D("0.1"), D(1), 1, 1.0, "1", D("0.0001"), D("1.2345"), D("sNaN"), D("NaN"), 0, -1, "x", None, [1])
PLAIN: dict[str, Any] = {"symbol": A, "side": Side.BUY, "qty": D(1)}
MORE: dict[str, tuple[Any, ...]] = {
    "side": ("buy",),
    "quote_qty": (D(100),),
    "take_profit": (D(150), "rubbish"),
    "stop_loss": (D(50),),
    "exit_size": (ExitSize.WHOLE, "part"),
    "stp": (SelfTrade.CANCEL_TAKER, "none"),
    "tif": (TimeInForce.IOC, TimeInForce.FOK, "gtc"),
    "position_side": (PositionSide.LONG,),
}


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


@given(
    qty=st.sampled_from(QUANTITIES),
    side=st.sampled_from(Side),
    reduce_only=st.booleans(),
    more=st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in MORE.items() if name != "side"}),
)
def test_what_is_known_is_what_rounding_says(qty: Any, side: Side, reduce_only: bool, more: dict[str, Any]) -> None:
    rounding, rules = OrderRounding(), spec()
    for seen in QUANTITIES:
        rounding.round(MarketOrderIntent(symbol=A, side=Side.BUY, qty=seen), rules)
    intent = MarketOrderIntent(**(PLAIN | {"qty": qty, "side": side, "reduce_only": reduce_only} | more))
    known, told = rounding.known(intent, rules), OrderRounding().round(intent, rules)
    assert same(rounding.round(intent, rules), told)
    is_plain = more.get("exit_size", ExitSize.PART) is ExitSize.PART and not more.keys() - {"exit_size"}
    assert same(known, told if is_plain and isinstance(told, Rounded) else None)
    if known is not None:
        whole = sanitized_order(intent, known, now_ms=7, budget_e8=5)
        assert bare_order(intent, MARKET_ORDER, known, 7, 5) == whole


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MORE.items() for value in values])
def test_an_order_that_asks_for_more_is_looked_at_in_full(name: str, value: Any) -> None:
    rounding, rules = OrderRounding(), spec()
    rounding.round(MarketOrderIntent(**PLAIN), rules)
    assert isinstance(rounding.known(MarketOrderIntent(**PLAIN), rules), Rounded)
    assert rounding.known(MarketOrderIntent(**{**PLAIN, name: value}), rules) is None


def test_an_order_with_a_limit_is_looked_at_in_full() -> None:
    rounding, rules = OrderRounding(), spec()
    rounding.round(MarketOrderIntent(**PLAIN), rules)
    assert rounding.known(LimitOrderIntent(**PLAIN, price=D(100)), rules) is None


def test_new_rules_are_looked_at_anew() -> None:
    rounding, intent = OrderRounding(), MarketOrderIntent(**PLAIN)
    rounding.round(intent, spec())
    rounding.on_rules(RulesChanged(time_ms=1, symbol=A, before={}, after={}))
    after = spec(min_qty=D(2))
    assert rounding.known(intent, after) is None
    told = rounding.round(intent, after)
    assert isinstance(told, Refusal) and told.reason is RejectReason.MIN_QTY
    assert rounding.known(intent, after) is None
