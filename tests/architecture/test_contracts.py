"""The import contracts hold, and each of them notices what it forbids.

import-linter skips an external module that is not in the import graph, so a misspelt name would forbid nothing: every
forbidden module is imported once, in a copy of the package, and must be reported there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source_tree import PACKAGE, ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {contract["id"]: contract for contract in SETTINGS["contracts"]}
SDKS = frozenset({"aiohttp", "ccxt", "numpy", "pandas", "polars", "pyarrow", "pybit", "requests"})
FORBIDDING = [name for name, contract in CONTRACTS.items() if contract["type"] == "forbidden"]


def lint(directory: Path, *options: str) -> tuple[int, str]:
    """Exit code and words of import-linter, run on the package that stands in `directory`."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache", *options]
    environment = {**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "400"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A directory with a copy of the package and of the settings, to be broken."""
    shutil.copytree(PACKAGE, tmp_path / "backtester", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def spoil(directory: Path, package: str, statement: str) -> str:
    """Add a module with `statement` to a package of the copy; its dotted name."""
    name = "spoiled_" + re.sub(r"\W+", "_", statement)
    path = directory / package.replace(".", "/") / f"{name}.py"
    path.write_text(statement + "\n", encoding="utf-8")
    return f"{package}.{name}"


def test_every_contract_holds() -> None:
    code, words = lint(ROOT)
    assert code == 0, words


def test_a_clean_copy_passes_so_that_the_breakages_below_are_what_is_found(copy: Path) -> None:
    code, words = lint(copy)
    assert code == 0, words


def test_every_layer_is_refused_what_stands_above_it(copy: Path) -> None:
    rows = [re.findall(r"\w+", row) for row in CONTRACTS["layers"]["layers"]]
    layers = [[name for name in row if (PACKAGE / name).is_dir()] for row in rows]
    layers = [row for row in layers if row]
    expected = []
    for above, below in zip(layers, layers[1:], strict=False):
        for low in below:
            module = spoil(copy, f"backtester.{low}", f"import backtester.{above[0]}")
            expected.append((module, f"backtester.{above[0]}"))
    for row in layers:
        for left, right in zip(row, row[1:], strict=False):
            expected.append((spoil(copy, f"backtester.{left}", f"import backtester.{right}"), f"backtester.{right}"))
            expected.append((spoil(copy, f"backtester.{right}", f"import backtester.{left}"), f"backtester.{left}"))
    code, words = lint(copy, "--contract", "layers")
    assert code == 1
    assert [pair for pair in expected if not re.search(rf"{pair[0]} -> {pair[1]}\b", words)] == []


def test_a_package_without_a_layer_is_refused(copy: Path) -> None:
    (copy / "backtester/newcomer").mkdir()
    (copy / "backtester/newcomer/__init__.py").write_text('"""A package that nobody placed."""\n', encoding="utf-8")
    code, words = lint(copy, "--contract", "layers")
    assert code == 1
    assert "newcomer" in words


@pytest.mark.parametrize("contract", FORBIDDING)
def test_every_forbidden_name_is_spelt_like_a_module_that_exists(contract: str) -> None:
    names = CONTRACTS[contract]["forbidden_modules"]
    ours = {name for name in names if name.startswith("backtester.")}
    paths = {name: ROOT / name.replace(".", "/") for name in ours}
    assert [name for name, path in paths.items() if not (path.is_dir() or path.with_suffix(".py").is_file())] == []
    assert set(names) - ours - SDKS - sys.stdlib_module_names == set()


@pytest.mark.parametrize("contract", FORBIDDING)
def test_every_forbidden_module_is_really_caught(contract: str, copy: Path) -> None:
    source = CONTRACTS[contract]["source_modules"][-1]
    expected = [(spoil(copy, source, f"import {forbidden}"), forbidden) for forbidden in CONTRACTS[contract]["forbidden_modules"]]
    code, words = lint(copy, "--contract", contract)
    assert code == 1
    assert [pair for pair in expected if not re.search(rf"{pair[0]} -> {pair[1]}\b", words)] == []


@pytest.mark.parametrize("contract", FORBIDDING)
def test_every_guarded_package_is_really_guarded(contract: str, copy: Path) -> None:
    forbidden = CONTRACTS[contract]["forbidden_modules"][0]
    expected = [spoil(copy, source, f"import {forbidden}") for source in CONTRACTS[contract]["source_modules"]]
    code, words = lint(copy, "--contract", contract)
    assert code == 1
    assert [module for module in expected if f"{module} -> {forbidden}" not in words] == []


def test_an_import_for_type_checking_only_counts_too(copy: Path) -> None:
    spoil(copy, "backtester.domain", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import backtester.engine.bus")
    code, words = lint(copy, "--contract", "layers")
    assert code == 1
    assert "backtester.engine.bus" in words


def test_a_cycle_between_siblings_is_refused(copy: Path) -> None:
    for name, other in (("ring_a", "ring_b"), ("ring_b", "ring_a")):
        path = copy / f"backtester/domain/{name}.py"
        path.write_text(f"import backtester.domain.{other}\n", encoding="utf-8")
    code, words = lint(copy, "--contract", "acyclic")
    assert code == 1
    assert "ring_a" in words
    assert "ring_b" in words
