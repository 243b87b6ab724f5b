"""The project's own files, parsed once: what the tests of its structure look at."""

from __future__ import annotations

import ast
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "backtester"
FOREIGN_DIRECTORIES = frozenset({".venv", ".git", "build", "dist", "runs", "data", "__pycache__"})


class Source(NamedTuple):
    """One Python file: its path below the repository, its text and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name under which it is imported."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def where(self, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
        """`path:line` of a node."""
        return f"{self.name}:{node.lineno}"


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below the named folders of the repository, in path order."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts]
    texts = [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    return tuple(Source(name, text, ast.parse(text, name)) for name, text in texts)


@cache
def documents() -> tuple[tuple[Path, str], ...]:
    """Every Markdown file of the project with its text."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "adr").rglob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "runs/README.md"]
    return tuple((path, path.read_text(encoding="utf-8")) for path in sorted(paths))


@cache
def tracked_files() -> tuple[str, ...] | None:
    """What git tracks; None where there is no repository."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return None
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return tuple(done.stdout.splitlines()) if done.returncode == 0 else None


def functions(source: Source) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, nested ones too."""
    return [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def called_names(node: ast.AST) -> list[str]:
    """Last part of the name of everything that is called below `node`: `pytest.raises(...)` gives `raises`."""
    calls = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return [
        func.attr if isinstance(func, ast.Attribute) else func.id for func in calls if isinstance(func, ast.Attribute | ast.Name)
    ]
