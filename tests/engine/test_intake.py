"""What hooks may return, and what it becomes."""

from __future__ import annotations

from decimal import Decimal
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import pytest

from backtester.domain.errors import StrategyError, StrategySettleError
from backtester.domain.intents import CancelAllIntent, CancelOrderIntent, LimitOrderIntent, MarketOrderIntent
from backtester.domain.vocabulary import Side
from backtester.engine.bus import DEPTH_LIMIT
from backtester.engine.clock import Clock
from backtester.engine.intake import INTENTS_PER_HOOK_MAX, Intake


def buy(**facts: Any) -> MarketOrderIntent:
    return MarketOrderIntent(**({"symbol": "AAAUSDT", "side": Side.BUY, "qty": 1} | facts))


def limit(**facts: Any) -> LimitOrderIntent:
    return LimitOrderIntent(**({"symbol": "AAAUSDT", "side": Side.BUY, "qty": 1, "price": 100} | facts))


def stamped(returned: Any, *, intake: Intake | None = None, strategy_id: str = "s") -> list[Any]:
    return list((intake or Intake(clock=Clock(77))).intents(strategy_id, returned, hook="on_candle"))


def test_ids_count_the_orders_of_each_strategy() -> None:
    intake = Intake(clock=Clock(77))
    assert [row.order_id for row in stamped([buy(), limit()], intake=intake)] == ["s-1", "s-2"]
    assert [row.order_id for row in stamped(buy(), intake=intake, strategy_id="t")] == ["t-1"]
    assert [row.order_id for row in stamped(buy(), intake=intake)] == ["s-3"]


def test_an_id_of_ones_own_is_kept_and_uses_no_number() -> None:
    assert [row.order_id for row in stamped([buy(order_id="mine"), buy()])] == ["mine", "s-1"]


def test_time_and_strategy_are_stamped_whatever_was_written_there() -> None:
    for intent in (buy(), limit(), CancelAllIntent(), CancelOrderIntent(symbol="AAAUSDT", order_id="x")):
        (row,) = stamped(msgspec.structs.replace(intent, time_ms=5, strategy_id="other"))
        assert (row.time_ms, row.strategy_id) == (77, "s")


@pytest.mark.parametrize("returned", [(), [], (row for row in ()), {}], ids=["tuple", "list", "generator", "dict"])
def test_nothing_is_no_intent(returned: Any) -> None:
    assert stamped(returned) == []


@pytest.mark.parametrize("returned", [[buy(), buy()], (buy(), buy()), (buy() for _ in range(2)), {buy(): 1, limit(): 2}])
def test_any_iterable_of_intents_will_do(returned: Any) -> None:
    assert len(stamped(returned)) == 2


@pytest.mark.parametrize(
    "rubbish",
    [1, 0, True, "buy", b"x", object(), [None], [buy(), "sell"], [[buy()]], {"side": "buy"}, buy, MarketOrderIntent, float("nan")],
    ids=lambda value: type(value).__name__,
)
def test_rubbish_is_named_with_strategy_and_hook(rubbish: Any) -> None:
    with pytest.raises(StrategyError, match=r"s\.on_candle returned .* which is no intent; return a list of MarketOrderIntent"):
        stamped(rubbish)


def test_a_subclass_of_an_intent_is_no_intent() -> None:
    class Sneaky(MarketOrderIntent, frozen=True, kw_only=True):
        pass

    with pytest.raises(StrategyError, match="Sneaky"):
        stamped(Sneaky(symbol="AAAUSDT", side=Side.BUY, qty=1))


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.int32(3), 3),
        (np.uint8(3), 3),
        ("0.1", "0.1"),
        (Decimal("0.10"), Decimal("0.10")),
    ],
)
def test_scalars_of_numpy_become_plain_numbers(given: Any, plain: Any) -> None:
    (row,) = stamped(limit(qty=given, price=given))
    assert (row.qty, row.price) == (plain, plain)
    assert type(row.qty) is type(row.price) is type(plain)


@pytest.mark.parametrize(
    "value",
    [None, True, np.bool_(True), [1], 1j, np.array([1.0]), np.float32(0.1), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(StrategyError, match=r"s\.on_candle: qty must be a Decimal, int, float or text, was \w+"):
        stamped(buy(qty=value))
    with pytest.raises(StrategyError, match=r"price must be"):
        stamped(limit(price=value))


@pytest.mark.parametrize("facts", [{"symbol": 5}, {"symbol": None}, {"order_id": 7}, {"order_id": None}])
def test_names_must_be_text(facts: dict[str, Any]) -> None:
    for intent in (buy(), limit(), CancelOrderIntent(symbol="AAAUSDT")):
        with pytest.raises(StrategyError, match="symbol and order_id of an intent must be text"):
            stamped(msgspec.structs.replace(intent, **facts))


def test_a_reason_must_be_text() -> None:
    with pytest.raises(StrategyError, match="reason of an intent must be text"):
        stamped(buy(reason=["mutable"]))


@pytest.mark.parametrize("order_id", ["s-1", "s-99", "risk-1", "end-7"])
def test_ids_of_the_engines_form_are_refused(order_id: str) -> None:
    with pytest.raises(StrategyError, match="order ids of the form .* are the engine's"):
        stamped(buy(order_id=order_id))


@pytest.mark.parametrize("order_id", ["t-1", "s-x", "s1", "-", "risk-", "entry-1"])
def test_other_ids_are_free(order_id: str) -> None:
    assert stamped(buy(order_id=order_id))[0].order_id == order_id


def test_a_hook_out_of_control_is_stopped() -> None:
    endless = repeat(CancelAllIntent())
    with pytest.raises(StrategyError, match=rf"s\.on_candle returned more than {INTENTS_PER_HOOK_MAX:,} intents at once"):
        stamped(endless)


def test_what_is_discarded_uses_no_id() -> None:
    intake = Intake(clock=Clock(77))
    assert list(intake.intents("s", [buy(), buy()], hook="on_candle", discard=True)) == [buy(), buy()]
    assert stamped(buy(), intake=intake)[0].order_id == "s-1"


def test_a_chain_of_refusals_is_stopped_past_the_limit() -> None:
    intake = Intake(clock=Clock(77))
    retries, order_id = 0, "first"
    for _ in range(DEPTH_LIMIT):
        retries = intake.retries_of(order_id, reason="MIN_QTY")
        (row,) = intake.intents("s", buy(), hook="on_reject", retries=retries)
        order_id = row.order_id
    with pytest.raises(
        StrategySettleError, match=rf"{order_id} was refused \(MIN_QTY\) and so were the {DEPTH_LIMIT} orders before it"
    ):
        intake.retries_of(order_id, reason="MIN_QTY")


def test_an_accepted_order_breaks_the_chain() -> None:
    intake = Intake(clock=Clock(77))
    (row,) = intake.intents("s", buy(), hook="on_reject", retries=DEPTH_LIMIT)
    intake.settled(row.order_id)
    assert intake.retries_of(row.order_id, reason="MIN_QTY") == 1
