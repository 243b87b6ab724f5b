"""Leverage tiers that change within a run, with positions open (ADR 023)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester.domain.account import AccountSnapshot
from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import LiquidationOrder
from backtester.domain.tiers import LeverageTier
from backtester.domain.vocabulary import Market
from tests.sim.small_run import clock_text, flat, small_run, spec


def tiers(*rows: tuple[str, str, str]) -> tuple[LeverageTier, ...]:
    """Tiers of (floor, rate, most leverage)."""
    return tuple(
        LeverageTier(floor=Decimal(floor), maintenance_frac=Decimal(rate), leverage_max=Decimal(most)) for floor, rate, most in rows
    )


# -- one asset ---------------------------------------------------------------------------------------------------------------

LEVERAGED = {"leverage": Decimal(10)}
LOW = tiers(("0", "0.004", "125"))
HIGH = tiers(("0", "0.05", "20"))


def liquidation_prices(run: Any) -> list[Decimal | None]:
    return [view.liquidation_price for one in run.messages(AccountSnapshot) for view in one.positions]


def test_the_liquidation_price_of_an_open_position_is_that_of_the_tiers_in_force() -> None:
    """Isolated long of 1 at 100, 10 x: LP = (E - margin) / (1 - m), so 90 / 0.996 and 90 / 0.95 (golden D04's form)."""
    run = small_run(
        flat("00:00", 6),
        "00:01 a buy 1",
        specs=[spec(leverage_tiers=LOW)],
        changes={"00:03": {"leverage_tiers": HIGH}},
        account={**LEVERAGED, "margin": "isolated"},
        snapshot_every="1m",
    )
    found = liquidation_prices(run)
    assert found[0] == Decimal("90.4")
    assert set(found[1:]) == {Decimal("94.8")}


D03 = [("0", "0.02"), ("1000", "0.025"), ("2000", "0.03"), ("3000", "0.035"), ("4000", "0.04")]
D05 = [("0", "0.004"), ("50000", "0.005"), ("600000", "0.0065"), ("3000000", "0.01"), ("12000000", "0.02")]


@pytest.mark.parametrize(
    ("table", "qty", "price", "tick", "golden"),
    [
        (D03, "100", 35, "0.00001", "32.33160621761658031088082902"),
        (D05, "10.5", 60_000, "0.1", "54266.57094998803541517109356"),
    ],
    ids=["D04", "D08"],
)
def test_after_a_change_the_liquidation_price_is_the_golden_one(
    table: list[tuple[str, str]], qty: str, price: int, tick: str, golden: str
) -> None:
    """golden.json D04 and D08, where the position was opened under another table."""
    run = small_run(
        flat("00:00", 6, price=price),
        f"00:01 a buy {qty}",
        specs=[spec(leverage_tiers=LOW, tick_size=Decimal(tick))],
        changes={"00:03": {"leverage_tiers": tiers(*((floor, rate, "10") for floor, rate in table))}},
        account={**LEVERAGED, "margin": "isolated"},
        snapshot_every="1m",
    )
    found = liquidation_prices(run)
    assert found[-1] == Decimal(golden).quantize(Decimal(tick), "ROUND_CEILING")
    assert found[0] is not None and found[0] < found[-1]


@pytest.mark.parametrize("margin", ["isolated", "cross"])
def test_a_position_is_liquidated_by_the_tiers_in_force(margin: str) -> None:
    """At 94 the position has margin under the old table, and none under the new one."""
    bars = flat("00:00", 4) + "\n00:04 100 100 94 100 1000\n00:05 100 100 100 100 1000"
    known: dict[str, Any] = {"specs": [spec(leverage_tiers=LOW)], "account": {**LEVERAGED, "margin": margin}, "cash": "10"}
    orders = "00:01 a buy 0.9"
    assert not small_run(bars, orders, **known).messages(LiquidationOrder)
    run = small_run(bars, orders, changes={"00:03": {"leverage_tiers": tiers(("0", "0.06", "20"))}}, **known)
    assert [clock_text(one.time_ms) for one in run.messages(LiquidationOrder)] == ["00:05"]


def test_a_position_that_has_no_margin_under_the_new_tiers_is_gone_with_the_next_bar() -> None:
    run = small_run(
        flat("00:00", 6),
        "00:01 a buy 1",
        specs=[spec(leverage_tiers=LOW)],
        changes={"00:03": {"leverage_tiers": tiers(("0", "0.2", "5"))}},
        account={**LEVERAGED, "margin": "isolated"},
    )
    assert [clock_text(one.time_ms) for one in run.messages(LiquidationOrder)] == ["00:04"]


def test_leverage_that_the_new_tiers_do_not_allow_opens_nothing_more() -> None:
    run = small_run(
        flat("00:00", 6),
        "00:01 a buy 1\n00:03 b buy 1\n00:04 c sell 1",
        specs=[spec(leverage_tiers=LOW)],
        changes={"00:03": {"leverage_tiers": tiers(("0", "0.01", "5"))}},
        account=LEVERAGED,
    )
    assert run.told() == ["00:01 a buy 1 @ 100 taker", "00:03 b refused MAX_NOTIONAL", "00:04 c sell 1 @ 100 taker"]


def test_in_hedge_mode_both_legs_have_the_tiers_in_force() -> None:
    run = small_run(
        flat("00:00", 6),
        "00:01 a buy 1 long\n00:01 b sell 1 short",
        specs=[spec(leverage_tiers=LOW)],
        changes={"00:03": {"leverage_tiers": HIGH}},
        account={**LEVERAGED, "margin": "isolated", "position_mode": "hedge"},
        snapshot_every="1m",
    )
    assert set(liquidation_prices(run)[-2:]) == {Decimal("94.8"), Decimal("104.7")}


def test_a_liquidation_is_seen_where_last_prices_lie_between_ticks() -> None:
    """A short of 1 at 2.4 with 5 x: at 2.55 the tick of 0.5 that counts is 3.0, which leaves nothing of the margin of 0.48."""
    bars = flat("00:00", 4, price=2.4) + "\n00:04 2.4 2.55 2.4 2.4 1000\n00:05 2.4 2.4 2.4 2.4 1000"
    known: dict[str, Any] = {"account": {"leverage": Decimal(5), "margin": "isolated"}, "specs": [spec(leverage_tiers=LOW)]}
    for routing in ("interest", "broadcast"):
        run = small_run(bars, "00:01 a sell 1", changes={"00:02": {"tick_size": Decimal("0.5")}}, routing=routing, **known)
        assert [clock_text(one.time_ms) for one in run.messages(LiquidationOrder)] == ["00:05"]


# -- other markets -------------------------------------------------------------------------------------------------------


def inverse(**rules: Any) -> SymbolSpec:
    """Contracts of 1 USD, settled in BTC."""
    steps = {"tick_size": Decimal("0.1"), "lot_size": Decimal(1), "min_qty": Decimal(1)}
    return SymbolSpec(
        symbol="BTCUSD", exchange="test", market=Market.INVERSE, base="BTC", quote="USD", settle="BTC", **steps, **rules
    )


def test_an_inverse_position_has_the_tiers_in_force() -> None:
    """Long of 100 at 100 with 10 x: 1 coin, a margin of 0.1; it is lost at 100 (1 + m) / 1.1."""
    run = small_run(
        {"BTCUSD": flat("00:00", 6)},
        "00:01 a:BTCUSD buy 100",
        specs=[inverse(leverage_tiers=LOW)],
        changes={"00:03 BTCUSD": {"leverage_tiers": HIGH}},
        account={**LEVERAGED, "margin": "isolated"},
        snapshot_every="1m",
        cash="10",
    )
    found = liquidation_prices(run)
    assert found[0] == Decimal("91.3")
    assert found[-1] == Decimal("95.5")


def test_with_several_settlement_assets_each_has_the_tiers_in_force() -> None:
    bars = {"BTCUSDT": flat("00:00", 6), "BTCUSD": flat("00:00", 6)}
    linear = spec("BTCUSDT", leverage_tiers=LOW)
    account = {**LEVERAGED, "margin": "isolated", "currency": "USDT", "balances": {"BTC": Decimal(1)}}
    orders = "00:01 a:BTCUSDT buy 1\n00:01 b:BTCUSD buy 100"
    known: dict[str, Any] = {"specs": [linear, inverse(leverage_tiers=LOW)], "account": account, "snapshot_every": "1m"}
    before, after = (
        {view.symbol: view.liquidation_price for view in small_run(bars, orders, changes=changes, **known).snapshots[-1].positions}
        for changes in ({}, {"00:03 BTCUSD": {"leverage_tiers": HIGH}})
    )
    assert before == {"BTCUSDT": Decimal("90.4"), "BTCUSD": Decimal("91.3")}
    assert after == {"BTCUSDT": Decimal("90.4"), "BTCUSD": Decimal("95.5")}
