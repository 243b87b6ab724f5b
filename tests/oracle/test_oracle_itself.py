"""The oracle stands alone and agrees with sums done by hand."""

from __future__ import annotations

import ast
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.oracle.naive import Oracle
from tests.oracle.scenario import Action, Bar, Rules, Script

HERE = Path(__file__).parent
SYMBOL = "AAAUSDT"


def bar(minute: int, opened: str, high: str, low: str, close: str, volume: str = "10") -> Bar:
    return Bar(minute * 60_000, (minute + 1) * 60_000, *(Fraction(text) for text in (opened, high, low, close, volume)))


@pytest.mark.parametrize("name", ["naive.py", "books.py", "scenario.py", "generate.py"])
def test_the_oracle_imports_nothing_of_the_engine(name: str) -> None:
    tree = ast.parse((HERE / name).read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [module for module in imported if module.split(".")[0] == "backtester"]


def test_a_market_order_pays_half_the_spread_and_slippage_and_rounds_up() -> None:
    bars = {SYMBOL: [bar(0, "100", "100", "100", "100"), bar(1, "200", "200", "200", "210")]}
    script = Script({(SYMBOL, 0): [Action("market", "a", True, 500)]}, {})
    result = Oracle(bars, script, Rules(tick=Decimal("0.01"))).run()
    (fill,) = result.fills
    # 200 x 1.00005 x 1.0001 = 200.030001 -> 200.04; fee 0.5 x 200.04 x 5 bps = 0.05001
    assert (fill.time_ms, fill.price, fill.fee) == (60_125, Fraction("200.04"), Fraction("0.05001"))
    assert result.equity[-1].equity == 10_000_000 - Fraction("0.05001") + Fraction("0.5") * (210 - Fraction("200.04"))


def test_a_resting_limit_fills_at_its_price_once_it_is_traded_through() -> None:
    touched = [bar(0, "100", "100", "100", "100"), bar(1, "100", "100", "99", "100"), bar(2, "100", "100", "98.9", "100")]
    script = Script({(SYMBOL, 0): [Action("limit", "a", True, 10, -10)]}, {})
    (fill,) = Oracle({SYMBOL: touched}, script, Rules()).run().fills
    assert (fill.time_ms, fill.price, fill.liquidity, fill.bar_fill) == (180_000, 99, "maker", True)


def test_the_rest_of_a_large_order_works_on_at_later_opens() -> None:
    bars = [bar(minute, "100", "100", "100", "100") for minute in range(4)]
    script = Script({(SYMBOL, 0): [Action("market", "a", True, 2_500)]}, {})
    fills = Oracle({SYMBOL: bars}, script, Rules()).run().fills
    assert [(fill.time_ms, fill.qty) for fill in fills] == [(60_125, 1), (120_000, 1), (180_000, Fraction(1, 2))]


def test_a_flip_closes_one_trade_and_opens_another() -> None:
    bars = [bar(minute, str(100 + minute), "110", "90", str(100 + minute)) for minute in range(4)]
    script = Script({(SYMBOL, 0): [Action("market", "a", True, 100)], (SYMBOL, 1): [Action("market", "b", False, 300)]}, {})
    zero = Decimal(0)
    rules = Rules(spread_bps=zero, slippage_bps=zero, maker_bps=zero, taker_bps=zero)
    result = Oracle({SYMBOL: bars}, script, rules).run()
    closed, opened = result.trades
    assert (closed.side, closed.exit_value - closed.entry_value, closed.is_open) == ("buy", Fraction("0.1"), False)
    assert (opened.side, opened.entry_qty, opened.is_open) == ("sell", Fraction("0.2"), True)
    assert result.equity[-1].equity == 10_000_000 + Fraction("0.1") - Fraction("0.2")
