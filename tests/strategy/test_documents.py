"""What the documents for strategy writers say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backtester.domain.vocabulary import RejectReason
from backtester.strategy import execution, indicators
from backtester.strategy.base import Strategy
from backtester.strategy.context import StrategyContext
from backtester.strategy.registry import load_strategy
from tests.sim.small_run import flat, small_run
from tests.support.fake_context import Driver

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "writing_a_strategy.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def section(title: str) -> str:
    return GUIDE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_example_runs_as_it_is_written(tmp_path):
    (tmp_path / "cross.py").write_text(BLOCKS[0])
    driver = Driver(load_strategy(str(tmp_path / "cross.py")).strategy({"fast": 2, "slow": 3}))
    sides = []
    for close in (100.0, 100.0, 100.0, 110.0, 120.0, 90.0, 80.0, 70.0, 100.0):
        sides += [intent.side.value for intent in driver.candle(close)]
        if driver.ctx.open_orders():
            driver.fill(close)
    assert sides == ["buy", "sell", "buy"]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_code_block_executes(block):
    names = {"__name__": "example"}
    exec(compile(block, "docs/writing_a_strategy.md", "exec"), names)
    assert {"Cross", "Patient", "BothWays", "average"} & set(names)


def test_the_example_of_executions_enters_patiently_and_leaves_by_its_rules(tmp_path):
    (tmp_path / "patient.py").write_text(next(block for block in BLOCKS if "class Patient" in block))
    rising = "\n".join(
        f"{n // 60:02d}:{n % 60:02d} {p} {p} {p} {p} 100" for n, p in enumerate([*range(100, 165), *[200] * 8, *[150] * 8])
    )
    run = small_run(rising, load_strategy(str(tmp_path / "patient.py")).strategy)
    assert [(fill.side.value, fill.qty, fill.reason) for fill in run.fills] == [("buy", 2, "SIGNAL"), ("sell", 2, "SL_HIT")]


def test_the_example_of_hedge_mode_holds_both_sides(tmp_path):
    (tmp_path / "both.py").write_text(next(block for block in BLOCKS if "class BothWays" in block))
    made = load_strategy(str(tmp_path / "both.py")).strategy
    run = small_run(flat("00:00", 5), made, account={"position_mode": "hedge"})
    assert {view.leg: float(view.qty) for view in run.snapshots[-1].positions} == {"AAAUSDT long": 0.01, "AAAUSDT short": -0.01}


def test_every_execution_is_in_its_table():
    listed = set(re.findall(r"^\| `([A-Z]\w+)\(", section("Large orders and exits"), re.MULTILINE))
    assert listed == {name for name in execution.__all__ if isinstance(vars(execution)[name], type)} - {
        "Executions", "ExitPlan", "ExitRules", "HeldPosition",
    }  # fmt: skip


def test_every_hook_is_in_the_table_and_no_other():
    listed = re.findall(r"^\| `(on_\w+)\(", section("Hooks"), re.MULTILINE)
    assert sorted(listed) == sorted(name for name in vars(Strategy) if name.startswith("on_"))


def test_what_the_table_of_the_context_names_is_there():
    names = {name for row in re.findall(r"^\| (`.*?) \|", section("Context"), re.MULTILINE) for name in re.findall(r"`(\w+)", row)}
    names -= {"self"}
    known = set(dir(StrategyContext))
    assert names <= known
    assert {name for name in known if not name.startswith("_")} - names == {"account", "outbox", "strategy_id"}


def test_every_indicator_is_in_the_table():
    listed = set(re.findall(r"`([A-Z]\w+)\(", section("Indicators")))
    assert listed == set(indicators.__all__) - {"Bands", "MACDValue"}


def test_every_reason_in_the_table_exists():
    listed = re.findall(r"^\| (`[A-Z].*?) \|", section("What is refused, and why"), re.MULTILINE)
    names = {name for row in listed for name in re.findall(r"`(\w+)`", row)}
    assert names <= {reason.value for reason in RejectReason}
