"""Executes a user's strategy file in a module of its own and turns every failure of it into a ConfigError."""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType

import msgspec

from backtester.domain.errors import BacktesterError, ConfigError, StrategyError

_SIBLINGS: set[str] = set()
"""Names of modules that came from the directory of a strategy file: forgotten before the next file is executed, so that
two strategies may each have a `signals.py` and an edited one is read again."""

_AT_WORK: list[Path] = []
"""Strategy files that are being executed right now, the innermost last."""


class ImportedFile(msgspec.Struct, frozen=True):
    """A file executed as a module, with hashes of exactly the text that ran."""

    module: ModuleType
    sha256: str
    siblings: tuple[tuple[str, str], ...]


class SearchPath:
    """While inside, modules are looked for in `directory` too: first, or after everything else (`last`)."""

    def __init__(self, directory: Path, *, last: bool = False) -> None:
        self._entry = str(directory)
        self._last = last

    def __enter__(self) -> None:
        sys.path.insert(len(sys.path) if self._last else 0, self._entry)

    def __exit__(self, *_: object) -> None:
        # Removed from the end it was put at: the same directory may stand on the user's own path.
        if self._last:
            sys.path.reverse()
        if self._entry in sys.path:
            sys.path.remove(self._entry)
        if self._last:
            sys.path.reverse()


class ImportGuard:
    """Whatever importing a user's code raises leaves as a ConfigError with file and line; nothing is swallowed."""

    def __init__(self, what: str, *, directory: Path | None = None, module_name: str = "") -> None:
        self._what = what
        self._directory = directory
        self._module_name = module_name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, BacktesterError) or not isinstance(error, (Exception, SystemExit)):
            return
        if isinstance(error, ModuleNotFoundError) and error.name and _leads_to(error.name, self._module_name):
            raise ConfigError(
                f"no {self._what}: neither the Python environment nor the current directory has {error.name!r}"
            ) from error
        raise ConfigError(f"{self._what} cannot be imported: {self._place(error, trace)}{_fault(error)}") from error

    def _place(self, error: BaseException, trace: TracebackType | None) -> str:
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            return f"{error.filename}:{error.lineno}: "
        frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith("<frozen")]
        if self._directory is not None:
            # The user's line says more than the line of a library that it called.
            own = str(self._directory)
            frames = [frame for frame in frames if frame.filename.startswith(own)]
        else:
            frames = [frame for frame in frames if frame.filename != __file__][1:]
        return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


class CreationGuard:
    """Whatever making a user's strategy raises leaves as a StrategyError with file and line; nothing is swallowed."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, BacktesterError) or not isinstance(error, (Exception, SystemExit)):
            return
        frames = traceback.extract_tb(trace)
        place = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
        raise StrategyError(f"{self._what} cannot be made: {place}{_fault(error)}") from error


def file_at_work() -> Path | None:
    """The strategy file that is being executed right now; None outside an import."""
    return _AT_WORK[-1] if _AT_WORK else None


def run_file(path: Path) -> ImportedFile:
    """The module of the file at `path` (absolute), executed now from its text; modules beside it can be imported by it.

    The search path is as before afterwards, and no compiled file is written or read: what ran is what was hashed.
    Raises ConfigError with file and line when the file cannot be read, compiled or executed.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"strategy file {path} cannot be read: {error.strerror}") from None
    for name in sorted(_SIBLINGS):
        sys.modules.pop(name, None)
    _SIBLINGS.clear()
    place = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    module = ModuleType(f"_bt_strategy_{path.stem}_{place}")
    module.__file__ = str(path)
    before = sys.modules.copy()
    sys.modules[module.__name__] = module  # typed parameters look up their annotations here
    _AT_WORK.append(path)
    try:
        with SearchPath(path.parent), ImportGuard(f"strategy file {path}", directory=path.parent):
            exec(compile(text, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - running the user's file is the task
    except ConfigError:
        del sys.modules[module.__name__]
        raise
    finally:
        _AT_WORK.pop()
        siblings = _new_siblings(before, path)
    return ImportedFile(module, hashlib.sha256(text).hexdigest(), siblings)


def _new_siblings(before: dict[str, ModuleType], path: Path) -> tuple[tuple[str, str], ...]:
    """(file, sha256) of the modules imported since `before` from the directory of `path`, remembered to be forgotten."""
    rows: list[tuple[str, str]] = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in before or not file or Path(file) == path or path.parent not in Path(file).parents:
            continue
        _SIBLINGS.add(name)
        rows.append((Path(file).relative_to(path.parent).as_posix(), hashlib.sha256(Path(file).read_bytes()).hexdigest()))
    return tuple(rows)


def _leads_to(missing: str, module_name: str) -> bool:
    return bool(module_name) and (module_name == missing or module_name.startswith(f"{missing}."))


def _fault(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it ends the program (SystemExit); put what runs as a script under `if __name__ == '__main__':`"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}"
