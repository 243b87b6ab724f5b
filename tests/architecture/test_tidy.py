"""The source tree keeps its own rules: sizes, words, handlers, suppressions, tests that can fail."""

from __future__ import annotations

import ast
import re
import tokenize
import warnings
from io import StringIO

import pytest

from tests.architecture.source_tree import Source, called_names, documents, functions, sources, tracked_files

LINES_MAX = 500
LINES_AIM = 350
FUNCTION_LINES_MAX = 70
GRAB_BAGS = frozenset({"utils", "util", "helpers", "common", "types", "core", "misc", "other", "base_utils"})
UNFINISHED = re.compile(rf"\b({'|'.join(('TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK', 'W' + 'IP'))})\b")
BROAD_HANDLERS = {"backtester/engine/loop.py", "backtester/cli/main.py"}
CODE = ("backtester", "scripts", "tests")


class LongFileWarning(UserWarning):
    """A file is longer than we aim at, and not yet too long."""


def comments(source: Source) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(StringIO(source.text).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


@pytest.mark.filterwarnings("default::tests.architecture.test_tidy.LongFileWarning")
def test_no_file_is_too_long() -> None:
    lengths = {source.name: len(source.text.splitlines()) for source in sources(*CODE)}
    for name, length in lengths.items():
        if LINES_AIM < length <= LINES_MAX:
            warnings.warn(f"{name} has {length} lines; aim at {LINES_AIM}", LongFileWarning, stacklevel=1)
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{source.where(node)} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)
        for source in sources(*CODE)
        for node in functions(source)
    }
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX} == {}


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Explaining more does not make a function longer."""
    return len((ast.get_docstring(node, clean=False) or "").splitlines())


def test_every_file_is_named_after_one_thing() -> None:
    parts = {part for source in sources("backtester", "scripts") for part in source.name.removesuffix(".py").split("/")}
    assert parts & GRAB_BAGS == set()


def test_nothing_is_marked_as_unfinished() -> None:
    texts = [(source.name, source.text) for source in sources(*CODE)] + [(path.name, text) for path, text in documents()]
    assert [(name, found.group()) for name, text in texts for found in UNFINISHED.finditer(text)] == []


def test_nothing_is_left_to_be_implemented() -> None:
    names = [
        source.where(node)
        for source in sources("backtester", "scripts")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    assert names == []


def test_only_the_command_line_prints() -> None:
    printing = [
        source.where(node)
        for source in sources("backtester")
        if not source.name.startswith("backtester/cli/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert printing == []


def test_broad_handlers_stand_in_two_files_only() -> None:
    """Elsewhere a handler may catch everything only to clean up and raise it again."""
    found = []
    for source in sources("backtester", "scripts"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler) and source.name not in BROAD_HANDLERS and is_broad(node):
                last = node.body[-1]
                if not (isinstance(last, ast.Raise) and last.exc is None):
                    found.append(source.where(node))
    assert found == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in kinds)


def test_broad_handlers_say_why() -> None:
    silent = []
    for source in sources("backtester"):
        lines = source.text.splitlines()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler) and is_broad(node) and source.name in BROAD_HANDLERS:
                around = lines[node.lineno - 2 : node.lineno + 1]
                if not any("#" in line for line in around):
                    silent.append(source.where(node))
    assert silent == []


@pytest.mark.parametrize(
    ("marker", "form"),
    [
        ("noqa", r"# noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)* +[-#] *\w.+"),
        ("type: ignore", r"# type: ignore\[[a-z, -]+\] +[-#] *\w.+"),
        ("pragma:", r"# pragma: no (cover|branch) +[-#] *\w.+"),
    ],
)
def test_every_suppression_has_a_code_and_a_reason(marker: str, form: str) -> None:
    bare = [
        f"{source.name}:{line}"
        for source in sources(*CODE)
        for line, text in comments(source)
        if re.match(rf"# ?{marker}", text) and not re.match(form, text)
    ]
    assert bare == []


def test_nothing_reaches_a_result_by_address_or_hash_order() -> None:
    """`hash()` and `id()` differ between processes; so does the order of a set."""
    found = []
    for source in sources("backtester"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"hash", "id"}:
                found.append(source.where(node))
            iterated = node.iter if isinstance(node, ast.For | ast.comprehension) else None
            if iterated is not None and is_set(iterated):
                found.append(source.where(iterated))
    assert found == []


def is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}


def test_no_cache_is_committed() -> None:
    tracked = tracked_files()
    if tracked is None:
        pytest.skip("no repository to look at")
    caches = re.compile(r"\.py[co]$|(^|/)(__pycache__|\.(mypy|ruff|pytest)_cache|\.hypothesis|[^/]+\.egg-info)/|(^|/)\.coverage")
    assert [name for name in tracked if caches.search(name)] == []


def test_every_test_can_fail() -> None:
    """A test asserts, expects an error, or calls a function of the tests that does."""
    all_functions = [(source, node) for source in sources("tests") for node in functions(source)]
    checking = {"raises", "warns", "fail", "run_state_machine_as_test"}
    while True:
        more = {node.name for _, node in all_functions if can_fail(node, checking)} - checking
        if not more:
            break
        checking |= more
    tests = [(source, node) for source, node in all_functions if node.name.startswith("test_")]
    assert [f"{source.where(node)} {node.name}" for source, node in tests if not can_fail(node, checking)] == []


def can_fail(node: ast.FunctionDef | ast.AsyncFunctionDef, checking: set[str]) -> bool:
    return any(isinstance(part, ast.Assert) for part in ast.walk(node)) or not checking.isdisjoint(called_names(node))


def test_every_skip_says_why() -> None:
    silent = []
    for source in sources("tests"):
        for node in ast.walk(source.tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in {"skip", "skipif", "xfail"}
                and isinstance(node.value, ast.Attribute)
            ):
                line = ast.get_source_segment(source.text, node) or ""
                after = source.text.split(line, 1)[1][:400]
                if "reason" not in after:
                    silent.append(source.where(node))
    assert silent == []
