"""Which code is the strategy's own: neither the program's, nor Python's, nor an installed library's."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import zoneinfo
from collections.abc import Iterable
from enum import Enum
from functools import cache
from pathlib import Path
from types import FrameType

import backtester

_CODE_SUFFIXES = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".pth", ".zip", ".egg")
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr/share/zoneinfo", "/usr/share/locale")
_IMPORTLIB = "<frozen importlib"
_PACKAGES = frozenset({"site-packages", "dist-packages"})


_LIBRARY_MODULES: set[str] = set()
"""Modules that were looked at and are no strategy's."""


class Kind(Enum):
    """Whose code a frame runs."""

    OWN = 1
    LIBRARY = 2
    IMPORT = 3
    UNKNOWN = 4
    """Code without a file, as from `exec`: whoever called it says whose it is."""


class OwnCode:
    """Tells code apart by its file. A file of the program itself is the strategy's when it was named as its source."""

    def __init__(self, sources: Iterable[Path] = ()) -> None:
        self._sources = frozenset(os.path.realpath(path) for path in sources)
        self._kinds: dict[str, Kind] = {}

    def kind(self, file_name: str) -> Kind:
        """Whose code stands in `file_name`, as code objects name it."""
        kind = self._kinds.get(file_name)
        if kind is None:
            kind = self._kinds[file_name] = self._judged(file_name)
        return kind

    def place(self, frame: FrameType | None, *, is_direct: bool, is_code: bool = False) -> tuple[str, int] | None:
        """File and line of the strategy's innermost frame from `frame` outwards; None where it has no part in it.

        What a library does while it is imported is not the strategy's doing, nor is the reading of code (`is_code`). With
        `is_direct` only what the strategy calls by itself counts, not what a library does on its behalf.
        """
        through_library = False
        while frame is not None:
            kind = self.kind(frame.f_code.co_filename)
            if kind is Kind.OWN:
                return frame.f_code.co_filename, frame.f_lineno
            if kind is Kind.LIBRARY:
                if is_direct:
                    return None
                through_library = True
            elif kind is Kind.IMPORT and (is_direct or is_code or through_library):
                return None
            frame = frame.f_back
        return None

    def _judged(self, file_name: str) -> Kind:
        if file_name.startswith(_IMPORTLIB):
            return Kind.IMPORT
        if file_name.startswith("<frozen"):
            return Kind.LIBRARY
        if file_name.startswith("<") or not file_name:
            return Kind.UNKNOWN
        if self._sources and os.path.realpath(file_name) in self._sources:
            return Kind.OWN
        return Kind.LIBRARY if _is_library_file(file_name) else Kind.OWN


@cache
def _is_library_file(file_name: str) -> bool:
    return is_installed(os.path.realpath(file_name))


def is_installed(path: str) -> bool:
    """Whether `path` (real) is part of Python, of an installed library or of the program."""
    return path.startswith(_ROOTS) or not _PACKAGES.isdisjoint(Path(path).parts)


def is_harmless(path: str) -> bool:
    """Whether reading `path` (real) can tell nothing of a market: code, libraries' own files, the system's."""
    return path.endswith(_CODE_SUFFIXES) or is_installed(path) or path.startswith((*_SYSTEM, *zoneinfo.TZPATH))


def own_modules(own: OwnCode) -> dict[str, Path]:
    """The loaded modules that are the strategy's own, by name, with their files."""
    found: dict[str, Path] = {}
    for name, module in sorted(sys.modules.items()):
        if name in _LIBRARY_MODULES:
            continue
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name != "__main__" and file.endswith(".py") and own.kind(file) is Kind.OWN:
            found[name] = Path(file)
        elif not name.startswith("backtester."):  # of which a strategy may be one
            _LIBRARY_MODULES.add(name)
    return found


def _roots() -> tuple[str, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages(), str(Path(backtester.__file__).parent)]
    return tuple(sorted({os.path.realpath(path) + os.sep for path in paths}))


_ROOTS = _roots()
