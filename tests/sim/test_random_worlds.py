"""Random worlds keep every rule (scripts/simulate.py); seeds that once broke one are kept in a list."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from backtester.domain.account import AccountSnapshot
from backtester.domain.delivery import Delivery
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import Market

ENDS = (Delivery, FundingPaid)
SCRIPT = Path(__file__).resolve().parents[2] / "scripts/simulate.py"
BROKE_ONCE = {
    3: "an order that turned a position had exits for its whole fill",
    5: "a good-till date passed while the order was on its way",
    24: "two fills of one bar together borrowed more than the leverage allows",
    82: "a target of a whole position closed what its own bar had added",
    116: "a way out that a flattened position had left behind opened one that stayed",
    235: "a position opened beyond its liquidation price at the last close was not watched",
}
CHUNK = 20
SEEDS = 10_000 if os.environ.get("BT_NIGHTLY") else 200


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    """The script as a module, with what stands beside it."""
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("simulate", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_rule_holds_in_every_world(simulate: ModuleType, first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert simulate.check_seed(seed).digest, f"python scripts/simulate.py --seeds {seed}:{seed + 1} --tell"


@pytest.mark.parametrize("seed", sorted(BROKE_ONCE))
def test_a_world_that_broke_a_rule_once_keeps_it_now(simulate: ModuleType, seed: int) -> None:
    assert simulate.check_seed(seed).digest


def test_worlds_have_fills_of_every_kind_of_order_and_all_that_can_be_stored_or_end_in_them(simulate: ModuleType) -> None:
    kinds: set[str] = set()
    seen: set[str] = set()
    for seed in range(60):
        world = simulate.world_of(seed)
        happened = simulate.run(world)
        fills = [message for message in happened.messages if isinstance(message, Fill)]
        kinds |= {fill.order_type.value for fill in fills}
        seen |= {f"fills of {world.specs[fill.symbol].market.value}" for fill in fills}
        seen |= {
            f"{type(one).__name__} of {world.specs[one.symbol].market.value}" for one in happened.messages if type(one) in ENDS
        }
        seen |= {"several assets"} if len({world.specs[fill.symbol].money_asset for fill in fills}) > 1 else set()
        seen |= {f"told by {kind}" for kind in world.finer} if any(fill.note.value == "resolved" for fill in fills) else set()
        seen |= {"quotes"} if world.config.sim.spread == "quotes" else set()
    assert kinds == {"market", "limit", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop"}
    assert seen == {
        *(f"fills of {market.value}" for market in Market),
        *("Delivery of linear", "Delivery of option", "Delivery of inverse", "FundingPaid of linear", "FundingPaid of inverse"),
        *("several assets", "told by candles", "told by trades", "quotes"),
    }


def test_rules_change_in_some_worlds_and_orders_meet_them(simulate: ModuleType) -> None:
    changed: set[str] = set()
    steps: set[bool] = set()
    for seed in range(60):
        world = simulate.world_of(seed)
        for change in world.changes:
            changed |= change.after.keys()
            steps |= {change.spec.tick_step > 1, change.spec.lot_step > 1}
    assert changed >= {"tick_size", "lot_size", "min_notional", "tradable", "leverage_tiers", "taker_bps"}
    assert steps == {True, False}


def test_what_a_run_counts_in_changes_nothing_that_happens(simulate: ModuleType) -> None:
    """A fifth of the tick and a quarter of the lot as what is counted: the same fills, ends and equity (ADR 023)."""
    compared = 0
    for seed in range(60):
        world = simulate.world_of(seed)
        if world.changes:
            continue
        parts = {symbol: replace(spec, tick_step=5, lot_step=4) for symbol, spec in world.specs.items()}
        whole, counted = (told(simulate.run(one)) for one in (world, world._replace(specs=parts)))
        assert whole == counted, f"seed {seed}"
        compared += len(whole)
    assert compared > 1000


def told(happened: Any) -> list[tuple[object, ...]]:
    """Fills, ends and snapshots in prices, sizes and money."""
    facts: list[tuple[object, ...]] = []
    for one in happened.messages:
        if isinstance(one, Fill):
            facts.append((one.time_ms, one.fill_id, one.qty, one.price, one.fee, one.note))
        elif isinstance(one, (OrderCanceled, OrderRefused, OrderRejected)):
            facts.append((one.time_ms, one.order_id, one.reason))
        elif isinstance(one, AccountSnapshot):
            facts.append((one.time_ms, one.cash, one.equity, one.positions))
    return facts


def test_a_broken_rule_is_noticed(simulate: ModuleType) -> None:
    world = simulate.world_of(0)
    happened = simulate.run(world)
    fills = [message for message in happened.messages if type(message).__name__ == "Fill"]
    with pytest.raises(
        simulate.Broken, match="never more than ordered|nothing happens to an order after its end|times never decrease"
    ):
        simulate.check(world, happened._replace(messages=[*happened.messages, fills[-1]]))
