"""Reads a strategy's source without running it: calls that a watched run may not reach, or cannot see."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

import msgspec

Suspicion = Literal["read", "network", "process", "thread", "engine", "clock", "timer", "random", "entropy", "order", "chance"]


class Suspect(msgspec.Struct, frozen=True):
    """A place in the source: what it could do, and the words that say so."""

    what: Suspicion
    subject: str
    file: str
    line: int
    last_line: int


_EXACT: dict[str, Suspicion] = {
    "open": "read",
    "io.open": "read",
    "os.open": "read",
    "os.listdir": "read",
    "os.scandir": "read",
    "os.walk": "read",
    "glob.glob": "read",
    "glob.iglob": "read",
    "sqlite3.connect": "read",
    "duckdb.connect": "read",
    "numpy.load": "read",
    "numpy.fromfile": "read",
    "numpy.loadtxt": "read",
    "numpy.genfromtxt": "read",
    "numpy.memmap": "read",
    "pyarrow.OSFile": "read",
    "pyarrow.memory_map": "read",
    "pyarrow.input_stream": "read",
    "os.system": "process",
    "os.popen": "process",
    "os.fork": "process",
    "threading.Thread": "thread",
    "threading.Timer": "thread",
    "time.time": "clock",
    "time.time_ns": "clock",
    "datetime.datetime.now": "clock",
    "datetime.datetime.utcnow": "clock",
    "datetime.datetime.today": "clock",
    "datetime.date.today": "clock",
    "pandas.Timestamp.now": "clock",
    "pandas.Timestamp.utcnow": "clock",
    "pandas.Timestamp.today": "clock",
    "time.perf_counter": "timer",
    "time.monotonic": "timer",
    "os.urandom": "entropy",
    "uuid.uuid1": "entropy",
    "uuid.uuid4": "entropy",
    "random.SystemRandom": "entropy",
    "inspect.currentframe": "engine",
    "inspect.stack": "engine",
    "sys._getframe": "engine",
    "hash": "order",
    "id": "order",
}
_BEGINNINGS: tuple[tuple[str, Suspicion], ...] = (
    ("polars.read_", "read"),
    ("polars.scan_", "read"),
    ("pandas.read_", "read"),
    ("pyarrow.parquet.", "read"),
    ("pyarrow.dataset.", "read"),
    ("pyarrow.csv.", "read"),
    ("pyarrow.feather.", "read"),
    ("pyarrow.fs.", "read"),
    ("backtester.data.", "read"),
    ("backtester.app.", "read"),
    ("requests.", "network"),
    ("httpx.", "network"),
    ("aiohttp.", "network"),
    ("urllib.request.", "network"),
    ("socket.", "network"),
    ("ccxt.", "network"),
    ("subprocess.", "process"),
    ("multiprocessing.", "process"),
    ("concurrent.futures.", "thread"),
    ("secrets.", "entropy"),
    ("gc.get_", "engine"),
)
_SHARED_RANDOM = frozenset(
    (
        *("random", "uniform", "randint", "randrange", "choice", "choices", "sample", "shuffle", "gauss", "normalvariate"),
        *("getrandbits", "randbytes", "seed", "rand", "randn", "normal", "permutation", "standard_normal", "random_sample"),
    )
)
_SEEDED = frozenset({"random.Random", "numpy.random.default_rng", "numpy.random.RandomState"})
"""Generators that are repeatable only if they are given a seed."""
_TAKE_IN_ORDER = frozenset({"iter", "list", "tuple", "enumerate", "zip", "map", "filter", "sum"})
"""Functions that take what they are given in its order."""
_READING_METHODS = frozenset({"read_text", "read_bytes", "iterdir", "rglob"})


def scan_source(path: Path, *, without: Collection[str] = ()) -> list[Suspect]:
    """The suspects of a source file in the order of its lines; none where it cannot be read or parsed.

    `without` names classes that have no part in the run; what stands under `if __name__ == "__main__":` or `if TYPE_CHECKING:` has
    none either.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    names, sets = _imported_names(tree), _names_of_sets(tree)
    found = [
        Suspect(what, subject, str(path), place.lineno, place.end_lineno or place.lineno)
        for node in _runnable(tree, without)
        for what, subject, place in (*_judged(node, names), *_in_order_of_a_set(node, sets))
    ]
    return sorted(dict.fromkeys(found), key=lambda one: (one.line, one.what, one.subject))


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What each name of an import stands for, dotted."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
    return names


def _runnable(node: ast.AST, without: Collection[str]) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and child.name in without:
            continue
        if isinstance(child, ast.If) and _is_no_part_of_a_run(child.test):
            for other in child.orelse:
                yield from _runnable(other, without)
        else:
            yield from _runnable(child, without)


def _is_no_part_of_a_run(test: ast.expr) -> bool:
    words = {part.id for part in ast.walk(test) if isinstance(part, ast.Name)}
    return "__name__" in words or "TYPE_CHECKING" in words


def _judged(node: ast.AST, names: dict[str, str]) -> Iterator[tuple[Suspicion, str, ast.expr]]:
    if isinstance(node, ast.Call):
        dotted = _dotted(node.func, names)
        what = _what_of(dotted)
        if dotted in _SEEDED and not node.args and not node.keywords:
            what = "entropy"
        if what is None and isinstance(node.func, ast.Attribute) and node.func.attr in _READING_METHODS:
            what, dotted = "read", f".{node.func.attr}"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "rng":
            what, dotted = "chance", "ctx.rng"
        if what is not None:
            yield what, f"{dotted}()", node
    elif isinstance(node, ast.Attribute) and _reaches_into_context(node):
        yield "engine", f"ctx.{node.attr}", node


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """`pl.read_csv` as `polars.read_csv`; empty for what is no chain of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    root = names.get(node.id)
    if root is None and (parts or node.id not in {"open", "hash", "id"}):
        return ""
    return ".".join([root or node.id, *reversed(parts)])


def _what_of(dotted: str) -> Suspicion | None:
    if dotted in _EXACT:
        return _EXACT[dotted]
    module, _, name = dotted.rpartition(".")
    if module in {"random", "numpy.random"} and name in _SHARED_RANDOM:
        return "random"
    return next((what for beginning, what in _BEGINNINGS if dotted.startswith(beginning)), None)


def _reaches_into_context(node: ast.Attribute) -> bool:
    of = node.value
    is_context = (isinstance(of, ast.Attribute) and of.attr == "ctx") or (isinstance(of, ast.Name) and of.id == "ctx")
    return is_context and node.attr.startswith("_")


def _names_of_sets(tree: ast.Module) -> frozenset[str]:
    """Variables and attributes to which a set is given somewhere."""
    found = set()
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if targets and isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _is_set(node.value):
            found |= {_last_name(target) for target in targets}
    return frozenset(found - {""})


def _in_order_of_a_set(node: ast.AST, sets: Collection[str]) -> Iterator[tuple[Suspicion, str, ast.expr]]:
    taken: list[ast.expr] = []
    if isinstance(node, (ast.For, ast.comprehension)):
        taken = [node.iter]
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in _TAKE_IN_ORDER:
            taken = node.args
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
            taken = [node.func.value]
    for one in taken:
        if _is_set(one) or _last_name(one) in sets:
            yield "order", "the order of a set", one


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
