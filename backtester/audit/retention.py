"""Which runs may go, and their removal: whole directories, only of runs, never of one that is pinned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from backtester.audit.run_index import DAMAGED, PINS_NAME, PRUNED_NAME, PrunedRun, RunRow, Trial, pinned_in, runs_in
from backtester.domain.errors import ConfigError, StorageError
from backtester.domain.timeframe import DAY_MS, parse_time_ms

_REMOVED = ".removed-"
"""Prefix of a directory that is being removed: it is no run any more."""


class Leaving(NamedTuple):
    """A run that is to be removed, and the bytes of its files."""

    row: RunRow
    size: int


class Staying(NamedTuple):
    """A run that the rule would have removed, and why it stays."""

    row: RunRow
    why: str


class PrunePlan(NamedTuple):
    """What a rule removes, the oldest first, and what it would have removed but for a reason."""

    leaving: tuple[Leaving, ...]
    staying: tuple[Staying, ...]

    @property
    def size(self) -> int:
        """Bytes that would be freed."""
        return sum(one.size for one in self.leaving)


def prune_plan(output: Path, *, keep_last: int | None, older_than_ms: int | None, now_ms: int) -> PrunePlan:
    """The runs that are neither among the newest `keep_last` nor younger than `older_than_ms`; None leaves a rule out.

    What is pinned, damaged, a link to elsewhere, or says that it is running and was written to within a day, stays.
    Raises ConfigError without a rule, StorageError when the directory cannot be read.
    """
    if keep_last is None and older_than_ms is None:
        raise ConfigError("say what may go: --keep-last N, --older-than 30d, or both (then a run must be out by both)")
    rows = runs_in(output)
    whole = [row for row in rows if row.status != DAMAGED]
    out = whole[keep_last:] if keep_last is not None else whole
    if older_than_ms is not None:
        out = [row for row in out if now_ms - parse_time_ms(row.created, what=f"{row.run_id}: created") > older_than_ms]
    leaving, staying = [], [Staying(row, f"damaged: {row.problem}") for row in rows if row.status == DAMAGED]
    for row in reversed(out):
        why = _why_it_stays(output / row.run_id, row, now_ms)
        if why:
            staying.append(Staying(row, why))
        else:
            leaving.append(Leaving(row, _size(output / row.run_id)))
    return PrunePlan(tuple(leaving), tuple(staying))


def prune(output: Path, leaving: Iterable[Leaving], *, removed: str) -> list[str]:
    """These runs are gone, except those that were pinned since; the ids of what went.

    A line in `pruned.jsonl` keeps each as an attempt on its data; `removed` is the time that stands there. Raises StorageError
    where a directory cannot be removed; what was removed before is.
    """
    gone = []
    for left_over in sorted(output.glob(f"{_REMOVED}*")):
        _remove_tree(left_over)
    for row, _ in leaving:
        path = output / row.run_id
        if row.run_id in pinned_in(output) or path.is_symlink():
            continue
        _keep_trial(output, row, removed)
        aside = output / f"{_REMOVED}{row.run_id}"
        try:
            path.rename(aside)
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror}") from error
        _remove_tree(aside)
        gone.append(row.run_id)
    return gone


def pin(run: Path) -> bool:
    """The run is kept whatever a rule says; whether it was not before. Raises StorageError when that cannot be written."""
    path = Path(os.path.abspath(run))  # noqa: PTH100 - a link keeps its own name
    pins = pinned_in(path.parent)
    _write_pins(path.parent, pins | {path.name})
    return path.name not in pins


def unpin(run: Path) -> bool:
    """The run may be removed again; whether it was pinned before. Raises StorageError when that cannot be written."""
    path = Path(os.path.abspath(run))  # noqa: PTH100 - see `pin`
    pins = pinned_in(path.parent)
    _write_pins(path.parent, pins - {path.name})
    return path.name in pins


def _write_pins(output: Path, pins: frozenset[str]) -> None:
    """The list holds these ids; it is replaced whole."""
    path = output / PINS_NAME
    temporary = path.with_name(f".{PINS_NAME}.{os.getpid()}.part")
    try:
        temporary.write_text("".join(f"{name}\n" for name in sorted(pins)), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _why_it_stays(path: Path, row: RunRow, now_ms: int) -> str:
    if row.pinned:
        return "pinned"
    if path.is_symlink():
        return "a link: remove it by hand"
    if row.status == "running":
        newest_ms = max((file.stat().st_mtime_ns // 1_000_000 for file in path.iterdir()), default=0)
        if now_ms - newest_ms < DAY_MS:
            return "running: something was written within a day"
    return ""


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def _keep_trial(output: Path, row: RunRow, removed: str) -> None:
    """The run still counts as an attempt on its data; on disk before it is removed."""
    if not row.data_fingerprint:
        return
    trial = Trial(row.run_id, row.config_sha256, row.sharpe, row.daily_returns)
    line = PrunedRun(run_id=row.run_id, created=row.created, removed=removed, data_fingerprint=row.data_fingerprint, trial=trial)
    try:
        with (output / PRUNED_NAME).open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"cannot write {output / PRUNED_NAME}: {error.strerror}; nothing was removed") from error


def _remove_tree(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise StorageError(f"cannot remove all of {path}: {error.strerror}; the next `bt runs prune` goes on") from error
