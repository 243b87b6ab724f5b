"""Random worlds keep every rule (scripts/simulate.py); seeds that once broke one are kept in a list."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/simulate.py"
BROKE_ONCE = {
    5: "a good-till date passed while the order was on its way",
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


def test_worlds_have_fills_of_every_kind_of_order(simulate: ModuleType) -> None:
    kinds: set[str] = set()
    for seed in range(60):
        world = simulate.world_of(seed)
        kinds |= {message.order_type.value for message in simulate.run(world).messages if type(message).__name__ == "Fill"}
    assert kinds == {"market", "limit", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop"}


def test_a_broken_rule_is_noticed(simulate: ModuleType) -> None:
    world = simulate.world_of(0)
    happened = simulate.run(world)
    fills = [message for message in happened.messages if type(message).__name__ == "Fill"]
    with pytest.raises(
        simulate.Broken, match="never more than ordered|nothing happens to an order after its end|times never decrease"
    ):
        simulate.check(world, happened._replace(messages=[*happened.messages, fills[-1]]))
