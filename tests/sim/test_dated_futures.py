"""Dated futures: settled at the mean of the last half hour before their delivery, for a fee, and then gone (golden B06)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.errors import ConfigError
from backtester.domain.orders import OrderCanceled, OrderRefused
from backtester.domain.vocabulary import Market, RejectReason
from tests.sim.small_run import SmallRun, expect, flat, ms, small_run, spec

FUTURE = "BTCUSDT_250106"
INDEX = "BTCUSDT"
COIN_FUTURE = "BTCUSDF25"


def future_run(
    orders: str,
    *,
    name: str = FUTURE,
    settled: float = 110,
    index: bool = True,
    market: Market = Market.LINEAR,
    **facts: Any,
) -> SmallRun:
    """The future at 100 from 07:20 on, its index at 100 until 07:30 and at `settled` to the delivery at 08:00 and after it."""
    rules: dict[str, Any] = {}
    if market is Market.INVERSE:
        rules = {"lot_size": Decimal(1), "min_qty": Decimal(1), "settle": "BTC"}
    dated = replace(spec(name, market=market, **rules), base="BTC", expires_ms=ms("08:00"))
    bars = {name: flat("07:20", 45)}
    specs = [dated]
    if index:
        bars[INDEX] = flat("07:20", 10) + "\n" + flat("07:30", 35, price=settled)
        specs.append(replace(spec(INDEX), settle="BTC") if market is Market.INVERSE else spec(INDEX))
    lines = "\n".join(
        f"{when} {order_id}:{name} {rest}" for when, order_id, rest in (line.split(maxsplit=2) for line in orders.splitlines())
    )
    run = small_run(bars, lines, specs=specs, **({"cash": "1000", "snapshot_every": "1m"} | facts))
    run.engine.account.check()
    return run


def test_a_long_gets_the_mean_of_the_index_and_pays_the_delivery_fee() -> None:
    run = future_run("07:25 a buy 2")
    (settled,) = run.messages(ContractSettled)
    (delivery,) = run.messages(Delivery)
    assert (settled.time_ms, settled.settlement_price, settled.is_last) == (ms("08:00"), 110, False)
    assert (delivery.side.value, delivery.qty, delivery.price, delivery.fee) == ("sell", 2, 110, Decimal("0.11"))  # 5 bps of 220
    last = run.snapshots[-1]
    assert (last.cash, last.equity, last.positions) == (Decimal("1019.89"), Decimal("1019.89"), ())


def test_a_short_pays_what_the_long_gets() -> None:
    run = future_run("07:25 a sell 2")
    assert run.messages(Delivery)[0].side.value == "buy"
    assert run.snapshots[-1].cash == Decimal("979.89")


def test_the_mean_is_that_of_the_half_hour_before() -> None:
    run = future_run("07:25 a buy 1", settled=105)
    assert run.messages(Delivery)[0].settlement_price == 105


def test_without_an_index_its_own_closes_stand_in() -> None:
    run = future_run("07:25 a buy 2", index=False)
    assert run.messages(Delivery)[0].settlement_price == 100
    assert any("itself, no index" in note for note in run.engine.plan.futures.notes)


def test_an_inverse_future_is_settled_in_coins() -> None:
    """Golden B06: the fee of 10,000 at 10,600 is 0.00047169..., charged up at coin precision."""
    run = future_run("07:25 a buy 10000", name=COIN_FUTURE, settled=10600, market=Market.INVERSE, cash="1000")
    (delivery,) = run.messages(Delivery)
    assert (delivery.fee, delivery.fee_asset) == (Decimal("0.00047170"), "BTC")
    gained = Decimal(10000) / 100 - Decimal(10000) / 10600
    assert abs(run.snapshots[-1].cash - (1000 + gained - Decimal("0.00047170"))) < Decimal("1e-15")


def test_orders_end_with_it_and_new_ones_are_refused() -> None:
    run = future_run("07:25 a buy 2 \n07:26 b buy 1 at 90 \n08:01 c buy 1")
    (ended,) = run.messages(OrderCanceled)
    assert (ended.order_id, ended.reason) == ("b", RejectReason.DELIVERY)
    (refused,) = run.messages(OrderRefused)
    assert (refused.order_id, refused.reason) == ("c", RejectReason.NOT_TRADABLE)
    assert run.told()[0] == expect("07:25 a buy 2 @ 100 taker")[0]


def test_a_leveraged_position_is_delivered_like_any_other() -> None:
    run = future_run("07:25 a buy 20", account={"leverage": 5}, cash="1000")
    assert run.snapshots[-1].cash == 1000 + 200 - Decimal("1.1")


def test_a_future_of_before_the_run_is_refused_in_words() -> None:
    late = replace(spec(FUTURE), expires_ms=ms("00:00"))
    with pytest.raises(ConfigError, match=f"{FUTURE} was delivered at 2025-01-06 00:00:00 UTC, before the run's start"):
        small_run({FUTURE: flat("00:00", 3)}, specs=[late])


def test_a_future_that_ends_after_the_run_stays_open_and_a_note_says_so() -> None:
    late = replace(spec(FUTURE), expires_ms=ms("09:00"))
    run = small_run({FUTURE: flat("00:00", 3)}, f"00:01 a:{FUTURE} buy 1", specs=[late])
    assert run.snapshots[-1].positions[0].qty == 1
    assert "after the run's end" in run.engine.plan.futures.notes[0]


def test_in_hedge_mode_each_side_is_delivered_on_its_own() -> None:
    orders = "07:25 a buy 2 long\n07:25 b sell 3 short\n07:26 c buy 1 at 90 long\n08:01 d buy 1 long"
    run = future_run(orders, account={"position_mode": "hedge"}, cash="2000")
    long, short = run.messages(Delivery)
    assert (long.leg, long.side.value, long.qty, long.fee) == (f"{FUTURE} long", "sell", 2, Decimal("0.11"))
    assert (short.leg, short.side.value, short.qty, short.fee) == (f"{FUTURE} short", "buy", 3, Decimal("0.165"))
    assert run.snapshots[-1].cash == 2000 + 20 - 30 - Decimal("0.275")
    assert run.snapshots[-1].positions == ()
    assert [one.order_id for one in run.messages(OrderCanceled)] == ["c"]
    assert [one.reason for one in run.messages(OrderRefused)] == [RejectReason.NOT_TRADABLE]


@pytest.mark.parametrize("margin", ["cross", "isolated"])
def test_a_hedged_future_on_margin_is_delivered_and_leaves_no_margin_behind(margin: str) -> None:
    account = {"position_mode": "hedge", "leverage": 5, "margin": margin}
    run = future_run("07:25 a buy 20 long\n07:25 b sell 5 short", account=account, cash="1000")
    last = run.snapshots[-1]
    assert last.cash == 1000 + 200 - 50 - Decimal("1.1") - Decimal("0.275")
    assert (last.initial_margin, last.maintenance_margin, last.positions) == (0, 0, ())


def test_in_hedge_mode_a_stop_of_a_delivered_side_ends_with_it() -> None:
    run = future_run("07:25 a buy 2 long\n07:26 s sell 2 stop 50 long", account={"position_mode": "hedge"})
    (ended,) = run.messages(OrderCanceled)
    assert (ended.order_id, ended.reason) == ("s", RejectReason.DELIVERY)


@pytest.mark.parametrize("order", ["c sell 1 stop 90 reduce", "c sell all stop 90 close", "c sell 1 trail 5 reduce"])
def test_nor_does_anything_wait_for_a_price_of_it_afterwards(order: str) -> None:
    run = future_run(f"07:25 a buy 2\n08:01 {order}")
    (refused,) = run.messages(OrderRefused)
    assert (refused.order_id, refused.reason) == ("c", RejectReason.NOT_TRADABLE)
