"""Sees what a strategy does outside the engine while it runs: files, network, processes, clocks, chance, threads.

Three means: Python's audit hook (open, directories, sockets, processes, threads, looks into the engine), the reading functions of
libraries that open files without telling Python, and functions that ask the clock or draw numbers. Only what the strategy's own
code does counts. A hook cannot be taken away again: a process that watches is there for nothing else.
"""

from __future__ import annotations

import functools
import os
import random
import secrets  # noqa: TID251 - watched, not used
import sys
import threading
import time
import uuid  # noqa: TID251 - watched, not used
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import FrameType, ModuleType
from typing import Any, Literal

import msgspec

from backtester.trust.own_code import OwnCode, is_harmless

What = Literal["read", "list", "write", "network", "process", "thread", "engine", "clock", "timer", "random", "entropy"]
CLOCK_SKEW_S = 1_000_003
"""By how much a second run's clock is moved, so that decisions which hang on it change: 11 days, 13 h 46 min 43 s."""


class Sighting(msgspec.Struct, frozen=True):
    """Something that the strategy did in `file` at `line`: a path, an address or a function's name."""

    what: What
    subject: str
    file: str
    line: int


_EVENTS: dict[str, What] = {
    "open": "read",
    "sqlite3.connect": "read",
    "os.listdir": "list",
    "os.scandir": "list",
    "socket.connect": "network",
    "socket.bind": "network",
    "socket.sendto": "network",
    "socket.getaddrinfo": "network",
    "socket.gethostbyname": "network",
    "subprocess.Popen": "process",
    "os.system": "process",
    "os.exec": "process",
    "os.fork": "process",
    "os.posix_spawn": "process",
    "sys._getframe": "engine",
    "sys._current_frames": "engine",
    "gc.get_objects": "engine",
    "gc.get_referrers": "engine",
    "gc.get_referents": "engine",
}
_DIRECT = frozenset({"engine"})
"""What libraries do all the time for their own ends: it counts only where the strategy itself asks for it."""

_READERS: dict[str, tuple[str, ...]] = {
    "numpy": ("load", "fromfile", "loadtxt", "genfromtxt", "fromregex"),
    "pandas": ("read_*", "HDFStore", "ExcelFile"),
    "polars": ("read_*", "scan_*"),
    "pyarrow": ("memory_map", "input_stream"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.dataset": ("dataset", "parquet_dataset"),
    "pyarrow.feather": ("read_table", "read_feather"),
    "pyarrow.ipc": ("open_file", "open_stream"),
    "pyarrow.json": ("read_json",),
    "pyarrow.orc": ("read_table", "ORCFile"),
    "pyarrow.parquet": ("read_*", "ParquetFile", "ParquetDataset"),
    "duckdb": ("connect", "read_*", "sql", "query", "execute"),
}
_PATH_NAMES = ("source", "path", "file", "filename", "fname", "filepath_or_buffer", "path_or_buf", "where", "io", "input_file")
_CLOCKS = {"time": 0, "time_ns": 0, "localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
"""Functions of `time` with the number of arguments up to which they read the clock; with more they convert what they are given."""
_TIMERS = ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "process_time_ns")
_ENTROPY: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (os, ("urandom", "getrandom")),
    (uuid, ("uuid1", "uuid4")),
    (secrets, ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice")),
)


class Watch:
    """Once installed, everything that the strategy does outside the engine is in `taken()`."""

    def __init__(self) -> None:
        self._own = OwnCode()
        self._seen: dict[Sighting, None] = {}
        self._busy = False
        self._skew_s = 0

    def begin(self, own: OwnCode) -> None:
        """From now on `own` says which code is the strategy's; what was seen before is forgotten."""
        self._own = own
        self._seen = {}

    def taken(self) -> list[Sighting]:
        """What was seen since `begin`, each once, in order."""
        return list(self._seen)

    def install(self, *, skew_s: int = 0) -> None:
        """The process is watched to its end; the strategy's clock is `skew_s` ahead. Call it before a strategy is loaded."""
        self._skew_s = skew_s
        scales = {"time": 1, "time_ns": 10**9}
        for name, args_max in _CLOCKS.items():
            self._watch_call(time, name, "clock", scale=scales.get(name, 0), args_max=args_max)
        for name in _TIMERS:
            self._watch_call(time, name, "timer")
        for name in random.__all__:
            if getattr(getattr(random, name), "__self__", None) is getattr(random, "_inst"):  # noqa: B009 - a private name, read once
                self._watch_call(random, name, "random")
        for module, names in _ENTROPY:
            for name in names:
                self._watch_call(module, name, "entropy")
        self._watch_thread_start()
        for name in _READERS:
            if name in sys.modules:
                self.watch_readers(sys.modules[name])
        sys.meta_path.insert(0, _LibraryFinder(self))
        sys.addaudithook(self._on_audit)

    def watch_readers(self, module: ModuleType) -> None:
        """The reading functions of a library that has just been imported tell what they are asked to read."""
        for pattern in _READERS[module.__name__]:
            names = [name for name in vars(module) if name.startswith(pattern[:-1])] if pattern.endswith("*") else [pattern]
            for name in names:
                target = getattr(module, name, None)
                if isinstance(target, type):
                    self._watch_reader(target, "__init__", module.__name__)
                elif callable(target):
                    self._watch_reader(module, name, module.__name__)
        if module.__name__ == "numpy":
            self._watch_numpy_random(module)

    # -- what is seen ------------------------------------------------------------------------------------------------

    def _on_audit(self, event: str, args: tuple[Any, ...]) -> None:
        what = _EVENTS.get(event)
        if what is None or self._busy:
            return
        self._busy = True
        try:
            if what in {"read", "list"}:
                self._see_file(what, event, args)
            elif what in _DIRECT:
                self._see(what, event, is_direct=True)
            else:
                self._see(what, " ".join([event, *_texts(args)]))
        finally:
            self._busy = False

    def _see_file(self, what: What, event: str, args: tuple[Any, ...]) -> None:
        path = args[0] if args else None
        if isinstance(path, int) or path == ":memory:":
            return
        if event == "open" and _only_writes(args):
            what = "write"
        self._see_path(what, "." if path is None else path)

    def _see_path(self, what: What, path: object) -> None:
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if not text:
            return
        if "://" not in text:
            text = os.path.realpath(text.removeprefix("file:"))
            if is_harmless(text + os.sep if what == "list" else text):
                return
        place = self._own.place(_caller(), is_direct=False)
        if place is not None:
            self._seen[Sighting(what, text, *place)] = None

    def _see(self, what: What, subject: str, *, is_direct: bool = False) -> bool:
        place = self._own.place(_caller(), is_direct=is_direct)
        if place is None:
            return False
        self._seen[Sighting(what, subject, *place)] = None
        return True

    # -- what is wrapped ---------------------------------------------------------------------------------------------

    def _watch_call(self, module: ModuleType, name: str, what: What, *, scale: int = 0, args_max: int = 99) -> None:
        original: Callable[..., Any] | None = getattr(module, name, None)
        if original is None:
            return
        subject = f"{module.__name__}.{name}"

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            reads = len(args) <= args_max and not self._busy
            own = reads and self._quietly(lambda: self._see(what, subject, is_direct=True))
            value = original(*args, **kwargs)
            return value + self._skew_s * scale if own and scale else value

        setattr(module, name, watched)

    def _watch_thread_start(self) -> None:
        original = threading.Thread.start

        @functools.wraps(original)
        def watched(thread: threading.Thread) -> None:
            if not self._busy:
                self._quietly(lambda: self._see("thread", "threading.Thread.start"))
            original(thread)

        threading.Thread.start = watched  # type: ignore[method-assign, assignment] # Python 3.11 tells no audit hook of a thread's start

    def _watch_reader(self, holder: Any, name: str, library: str) -> None:
        original = getattr(holder, name)
        skipped = 1 if isinstance(holder, type) else 0

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not self._busy:
                given = [*args[skipped : skipped + 1], *(kwargs[key] for key in _PATH_NAMES if key in kwargs)]
                self._quietly(lambda: self._see_sources(given))
            return original(*args, **kwargs)

        try:
            setattr(holder, name, watched)
        except TypeError:
            return  # a class of a library written in C keeps its own: what it opens is seen by the shifted feed alone

    def _see_sources(self, given: Sequence[object]) -> bool:
        for one in given:
            for path in one if isinstance(one, (list, tuple)) else (one,):
                self._see_path("read", path)
        return True

    def _quietly(self, look: Callable[[], bool]) -> bool:
        """`look` without being seen itself."""
        self._busy = True
        try:
            return look()
        finally:
            self._busy = False

    def _watch_numpy_random(self, module: ModuleType) -> None:
        shared = module.random.mtrand._rand  # noqa: SLF001 - the state behind numpy.random.rand and its like
        for name, value in list(vars(module.random).items()):
            if getattr(value, "__self__", None) is shared:
                self._watch_call(module.random, name, "random")


class _LibraryFinder(MetaPathFinder):
    """Finds the libraries with reading functions as Python does, and has them watched once they are imported."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _READERS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None
        execute = spec.loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            self._watch.watch_readers(module)

        spec.loader.exec_module = executed  # type: ignore[method-assign] # this one loader object, of this one module
        return spec


def _caller() -> FrameType | None:
    """The frame that called what is watched."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the only way to the caller's frame
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _only_writes(args: tuple[Any, ...]) -> bool:
    mode, flags = (*args[1:3], None, None)[:2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax") and "+" not in mode
    return isinstance(flags, int) and bool(flags & os.O_WRONLY)


def _texts(args: Iterable[Any]) -> Iterator[str]:
    """What of an audit event's arguments says something to people."""
    for arg in args:
        if isinstance(arg, (str, bytes)):
            yield os.fsdecode(arg)
        elif isinstance(arg, (list, tuple)) and arg and all(isinstance(part, (str, int)) for part in arg):
            yield " ".join(str(part) for part in arg)
