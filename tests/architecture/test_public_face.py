"""`import backtester` offers what it lists, quickly, and says its version."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

import backtester
from tests.architecture.source_tree import ROOT

HEAVY = {"numpy", "pandas", "polars", "pyarrow", "rich"}


@pytest.mark.parametrize("name", backtester.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(backtester, name) is not None


def test_the_lists_of_public_names_are_one_list() -> None:
    assert sorted(backtester.__all__) == sorted(backtester._HOME)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Candel"):
        backtester.Candel  # noqa: B018 - asking for it is the test


def test_the_version_is_that_of_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert backtester.__version__ == settings["project"]["version"]


def test_a_strategy_can_be_written_without_loading_a_heavy_library() -> None:
    names = "Candle, Fill, MarketOrderIntent, Side, Strategy, StrategyParams"
    program = f"import sys; from backtester import {names}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
