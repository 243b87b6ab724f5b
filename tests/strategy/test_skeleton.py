"""The file that `bt new` writes runs as it is and is never written over another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import backtester
from backtester.domain.errors import ConfigError, StorageError
from backtester.domain.intents import CancelOrderIntent, LimitOrderIntent, MarketOrderIntent
from backtester.strategy.registry import describe, load_strategy
from backtester.strategy.skeleton import SKELETON, class_name_of, write_skeleton
from tests.support.fake_context import Driver


def test_the_written_file_is_a_strategy_named_after_the_file(tmp_path):
    path = write_skeleton(tmp_path / "buy_the_dip.py")
    loaded = load_strategy(str(path))
    assert loaded.strategy.__name__ == "BuyTheDip"
    assert all(row.doc for row in describe(loaded.strategy))
    assert "bt --strategy buy_the_dip.py" in path.read_text()


def test_the_skeleton_buys_cancels_and_sells(tmp_path):
    strategy = load_strategy(str(write_skeleton(tmp_path / "mine.py"))).strategy
    driver = Driver(strategy({"length": 3, "patience": 2}))
    for _ in range(3):
        driver.candle(100.0)
    assert isinstance(driver.sent[0], LimitOrderIntent)
    assert driver.sent[0].price == 99.0
    driver.candle(100.0)
    assert isinstance(driver.candle(100.0)[0], CancelOrderIntent)
    driver.cancel()
    assert isinstance(driver.candle(100.0)[0], LimitOrderIntent)
    driver.fill(99.0)
    assert driver.candle(98.0) == []
    assert isinstance(driver.candle(110.0)[0], MarketOrderIntent)
    driver.fill(110.0)
    assert driver.ctx.position("BTCUSDT") == 0
    assert driver.ctx.notes == ["filled", "filled"]


def test_the_skeleton_uses_the_public_face_only():
    imports = [node for node in ast.walk(ast.parse(SKELETON)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert modules == {"collections", "backtester"}
    names = [alias.name for node in imports if getattr(node, "module", "") == "backtester" for alias in node.names]
    assert set(names) <= set(backtester.__all__)


def test_an_existing_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_skeleton(path)
    assert path.read_text() == "mine"


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        write_skeleton(tmp_path / "nowhere" / "mine.py")


def test_a_file_that_cannot_be_written_says_why(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        write_skeleton(tmp_path / ("long" * 100 + ".py"))


def test_the_ending_is_added_where_it_is_missing(tmp_path):
    assert write_skeleton(tmp_path / "mine") == tmp_path / "mine.py"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my_strategy.py", "MyStrategy"),
        ("strategy.py", "MyStrategy"),
        ("fill.py", "MyFill"),
        ("2fast.py", "Strategy2fast"),
        ("rsi-2 (copy).py", "Rsi2Copy"),
        ("...py", "MyStrategy"),
    ],
)
def test_any_file_name_gives_a_class_name(file, name):
    assert class_name_of(Path(file).stem) == name
    assert name.isidentifier()
