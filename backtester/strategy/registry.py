"""Finds the strategy that a name stands for: built in, `module:Class`, `file.py` or `file.py:Class`."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import re
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import msgspec

from backtester.domain.errors import ConfigError
from backtester.strategy.base import Strategy, StrategyParams
from backtester.strategy.importing import ImportGuard, SearchPath, run_file
from backtester.strategy.parameters import ParamRow, describe

__all__ = ["BUILTIN", "LoadedStrategy", "ParamRow", "describe", "load_strategy", "loaded_from_class", "snake_case"]

BUILTIN: dict[str, str] = {"sma_extended": "backtester.strategy.sma_extended:SMAExtendedStrategy"}
"""Shipped strategies: name -> `module:Class`, imported only when asked for."""

_FILE = re.compile(r"(?P<path>.*\.py)(?::(?P<cls>[^:/\\]+))?", re.DOTALL)


class LoadedStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy class and where it came from.

    name         as asked for
    reference    a name that finds it again from any directory
    source       its source file, None when there is none (a notebook)
    sha256       of the source as it was executed; empty when there is none
    siblings     (file name, sha256) of modules that a strategy file imported from its own directory
    strategy_id  what stands in orders and random streams: a function of the strategy's name only
    """

    strategy: type[Strategy]
    name: str
    reference: str
    source: Path | None
    sha256: str
    strategy_id: str
    siblings: tuple[tuple[str, str], ...] = ()


def load_strategy(name: str) -> LoadedStrategy:
    """The strategy that `name` stands for, its module imported.

    Raises ConfigError, which names file and line where the fault is in a file: unknown name, missing file, module or class,
    a file that cannot be imported, with no strategy, or with several.
    """
    if name in BUILTIN:
        module_name, _, class_name = BUILTIN[name].partition(":")
        return _loaded(_from_module(module_name, class_name), name=name, reference=name, strategy_id=name)
    file = _FILE.fullmatch(name)
    if file is not None:
        return _from_file(name, Path(file["path"]), file["cls"])
    module_name, colon, class_name = name.partition(":")
    if colon and module_name and class_name:
        return _loaded(_from_module(module_name, class_name), name=name, reference=name)
    raise _unknown(name)


def loaded_from_class(strategy: type[Strategy]) -> LoadedStrategy:
    """What is known of a class that was handed over in Python; for a class of a notebook cell, its own text is hashed."""
    spelled = f"{strategy.__module__}:{strategy.__qualname__}"
    for name, target in BUILTIN.items():
        if target == spelled:
            return _loaded(strategy, name=name, reference=name, strategy_id=name)
    source = _source_file(strategy)
    importable = strategy.__module__ != "__main__" and not strategy.__module__.startswith("_bt_strategy_")
    reference = spelled if importable or source is None else f"{source}:{strategy.__qualname__}"
    return _loaded(strategy, name=strategy.__qualname__, reference=reference)


def snake_case(class_name: str) -> str:
    """`SMAExtended` becomes `sma_extended`."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", class_name))
    return parts.lower()


def _from_file(name: str, path: Path, class_name: str | None) -> LoadedStrategy:
    path = path.expanduser().resolve()
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [entry.name for entry in _python_files(path.parent)], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"strategy file {path} does not exist{hint}")
    file = run_file(path)
    found = _strategies_of(file.module)
    if class_name is None:
        if len(found) != 1:
            listed = ", ".join(found) if found else "none"
            raise ConfigError(
                f"{path} must define one Strategy to go by its file name, it defines {listed}; name one: {path.name}:Class"
            )
        class_name = next(iter(found))
    strategy = _checked(getattr(file.module, class_name, None), class_name, where=str(path), known=found)
    return LoadedStrategy(
        strategy=strategy,
        name=name,
        reference=f"{path}:{class_name}",
        source=path,
        sha256=file.sha256,
        strategy_id=snake_case(class_name),
        siblings=file.siblings,
    )


def _from_module(module_name: str, class_name: str) -> type[Strategy]:
    # A console script has no current directory on its path, a user's package often stands there.
    with SearchPath(Path.cwd(), last=True), ImportGuard(f"module {module_name}", module_name=module_name):
        module = import_module(module_name)
    value: object = module
    for part in class_name.split("."):
        value = getattr(value, part, None)
    return _checked(value, class_name, where=f"module {module_name}", known=_strategies_of(module))


def _checked(value: object, class_name: str, *, where: str, known: Iterable[str]) -> type[Strategy]:
    known = list(known)
    if value is None:
        near = difflib.get_close_matches(class_name, known, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{where} has no class {class_name!r}{hint} (strategies there: {', '.join(known) or 'none'})")
    if not (isinstance(value, type) and issubclass(value, Strategy)):
        raise ConfigError(
            f"{class_name} of {where} is no Strategy: write `class {class_name}(Strategy)` with Strategy from backtester"
        )
    if not (isinstance(value.Params, type) and issubclass(value.Params, StrategyParams)):
        raise ConfigError(f"{class_name}.Params of {where} must be a class derived from StrategyParams")
    return value


def _loaded(strategy: type[Strategy], *, name: str, reference: str, strategy_id: str | None = None) -> LoadedStrategy:
    source = _source_file(strategy)
    if source is not None:
        text = source.read_bytes()
    else:
        try:
            text = inspect.getsource(strategy).encode()
        except (OSError, TypeError):
            text = b""
    return LoadedStrategy(
        strategy=strategy,
        name=name,
        reference=reference,
        source=source,
        sha256=hashlib.sha256(text).hexdigest() if text else "",
        strategy_id=strategy_id or snake_case(strategy.__name__),
    )


def _source_file(strategy: type[Strategy]) -> Path | None:
    module = sys.modules.get(strategy.__module__)
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file is not None and Path(file).is_file() else None


def _strategies_of(module: ModuleType) -> dict[str, type[Strategy]]:
    """The public strategies that the module itself defines, in the order of its text."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Strategy)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _python_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.py")) if directory.is_dir() else []


def _unknown(name: str) -> ConfigError:
    near = difflib.get_close_matches(name.lower(), list(BUILTIN), n=1, cutoff=0.4)
    hints = [repr(found) for found in near]
    file = Path(f"{name}.py")
    if name and file.is_file():
        hints.append(repr(str(file)))
    hint = f"; did you mean {' or '.join(hints)}?" if hints else ""
    return ConfigError(f"strategy {name!r} is not known{hint} (see `bt strategies`, or give module:Class or file.py:Class)")
