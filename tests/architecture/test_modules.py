"""No module is forgotten, the error tree is as drawn, and configurations are what they say."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from backtester.domain import errors
from tests.architecture.source_tree import PACKAGE, ROOT, sources

ENTRY_POINTS = {
    "backtester",  # the public face
    "backtester.cli.main",  # the console script `bt`
    "backtester.__main__",  # `python -m backtester`
    "backtester.config.configs",  # a fixed import path of users' scripts
    "backtester.data.downloader",  # another
}


PUBLIC_FORMULAS = tuple(re.findall(r"`(backtester\.domain(?:\.\w+)+)`", (ROOT / "docs/simulation.md").read_text(encoding="utf-8")))
"""Functions that the documentation offers to users: their modules need no importer of ours."""


@pytest.mark.parametrize("name", sorted(set(PUBLIC_FORMULAS)))
def test_every_function_that_the_documentation_offers_exists(name: str) -> None:
    module, _, function = name.rpartition(".")
    assert hasattr(importlib.import_module(module), function), f"{module} has no {function}"


def test_every_module_is_imported_or_named_by_another() -> None:
    known = {source.module for source in sources("backtester")}
    used = ENTRY_POINTS | {name.rpartition(".")[0] for name in PUBLIC_FORMULAS}
    for source in sources("backtester"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = re.findall(r"backtester(?:\.\w+)+", node.value)  # registries name what they import late
            else:
                continue
            used.update(name for name in names if name != source.module)
    packages = {source.module for source in sources("backtester") if source.name.endswith("__init__.py")}
    assert sorted(known - used - packages) == []


def test_the_error_tree_drawn_in_its_module_is_the_tree_of_its_classes() -> None:
    drawing = re.search(r"^BacktesterError\n(?:  .*\n)+", errors.__doc__ or "", re.MULTILINE)
    assert drawing is not None
    assert drawing.group().splitlines() == drawn(errors.BacktesterError)


def drawn(error: type[BaseException], depth: int = 0) -> list[str]:
    ours = [sub for sub in error.__subclasses__() if sub.__module__ == errors.__name__]
    order = list(vars(errors))
    lines = [drawn(sub, depth + 1) for sub in sorted(ours, key=lambda sub: order.index(sub.__name__))]
    return ["  " * depth + error.__name__, *(line for branch in lines for line in branch)]


def test_every_error_raised_on_purpose_stands_in_the_tree() -> None:
    """Other exception classes are private to a module, or Python's own."""
    strays = [
        f"{source.where(node)} {node.name}"
        for source in sources("backtester")
        for node in ast.walk(source.tree)
        if source.module != errors.__name__
        and isinstance(node, ast.ClassDef)
        and re.search(r"(Error|Exception)$", node.name)
        and not node.name.startswith("_")
    ]
    assert strays == []


def test_every_shipped_configuration_has_an_identical_packaged_copy() -> None:
    shipped = sorted(path for path in (ROOT / "configs").iterdir() if path.is_file())
    assert [path.name for path in shipped if path.name in {"backtest.toml", "sma_extended.toml"}] == [
        "backtest.toml",
        "sma_extended.toml",
    ]
    for path in shipped:
        copy = PACKAGE / "config/defaults" / path.name
        if copy.exists():
            assert copy.read_bytes() == path.read_bytes(), f"{path.name}: copy configs/{path.name} to {copy.relative_to(ROOT)}"


@pytest.mark.parametrize("name", ["backtest.toml", "sma_extended.toml"])
def test_the_packaged_copy_of_a_configuration_exists(name: str) -> None:
    assert (PACKAGE / "config/defaults" / name).is_file()
