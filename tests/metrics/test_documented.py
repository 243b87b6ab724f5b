"""docs/metrics.md names every figure, and only functions that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from backtester.metrics.figures import Figures

TEXT = (Path(__file__).resolve().parents[2] / "docs/metrics.md").read_text(encoding="utf-8")


def test_every_figure_is_explained() -> None:
    named = set(re.findall(r"`(\w+)`", TEXT))
    assert [name for name in Figures.__struct_fields__ if name not in named] == []


def test_every_function_that_is_named_exists() -> None:
    named = sorted(
        set(re.findall(r"`((?:\w+\.){1,2}\w+)`", TEXT)) - {"metrics.json", "equity.csv", "backtester.metrics", "RunResult.metrics"}
    )
    assert len(named) > 40
    for name in named:
        module, _, path = name.partition(".")
        found = importlib.import_module(f"backtester.metrics.{module}")
        for part in path.split("."):
            assert hasattr(found, part), name
            found = getattr(found, part)


def test_functions_of_the_same_name_exist() -> None:
    for module, names in (
        ("trades", ("average_win", "average_loss", "largest_win", "largest_loss", "average_holding_hours", "median_holding_hours")),
        ("streaks", ("longest_winning_streak", "longest_losing_streak")),
    ):
        for name in names:
            assert callable(getattr(importlib.import_module(f"backtester.metrics.{module}"), name)), name
