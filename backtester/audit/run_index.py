"""All runs of a directory, one row each, read from what each run says of itself.

The truth is in the run directories alone. `.index.json` beside them remembers the rows of runs whose files have not changed since;
it may be deleted at any time, and is written again where that is possible.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from backtester.audit.journal import JOURNAL_NAME
from backtester.audit.run_store import MANIFEST_NAME, METRICS_NAME
from backtester.domain.errors import StorageError

CACHE_NAME = ".index.json"
PINS_NAME = "pinned.txt"
"""Beside the runs: the ids of those that are never pruned, one a line."""
PRUNED_NAME = "pruned.jsonl"
"""Beside the runs: what is kept of those that were removed, one line each, because they were attempts on their data."""
DAMAGED = "damaged"
"""Status of a directory that holds a run which does not say what it was."""
SYNTHETIC = "synthetic sample"
"""Data source of runs on the sample market."""
_CACHE_VERSION = 1
_WITH_METRICS = frozenset({"complete", "interrupted"})

_Stamp = tuple[int, int, int]
"""Inode, size and time of the last change (ns) of a file; zeros where there is none."""
_ABSENT: _Stamp = (0, 0, 0)


class RunRow(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One run. `run_id` is its directory's name now; figures are None where undefined or where the run did not come to them.

    `status` is that of the manifest (`running` also of a run that was killed), or `damaged`; `problem` says what is wrong, or what
    ended the run. `created` is an ISO time, `start` and `end` are as in the manifest. `trials` counts the runs against the same
    data fingerprint, this one included; 0 where it has none.
    """

    run_id: str
    status: str
    problem: str = ""
    created: str = ""
    strategy: str = ""
    symbols: tuple[str, ...] = ()
    exchange: str = ""
    market: str = ""
    start: str = ""
    end: str = ""
    timeframe: str = ""
    seed: int = 0
    data_source: str = ""
    data_fingerprint: str = ""
    config_sha256: str = ""
    digest: str = ""
    total_return: float | None = None
    sharpe: float | None = None
    max_drawdown: float | None = None
    trades: int | None = None
    daily_returns: int | None = None
    pinned: bool = False
    trials: int = 0

    @property
    def synthetic(self) -> bool:
        """It ran on the sample market."""
        return self.data_source == SYNTHETIC


class Trial(msgspec.Struct, frozen=True, gc=False):
    """One attempt on a set of data, whether its run is still there or was pruned."""

    run_id: str
    config_sha256: str
    sharpe: float | None = None
    daily_returns: int | None = None


class PrunedRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is kept of a run that was removed: a line of `pruned.jsonl`."""

    run_id: str
    created: str
    removed: str
    data_fingerprint: str
    trial: Trial


class _Said(msgspec.Struct, gc=False):
    """What is needed of a manifest."""

    run_id: str
    status: str
    error: str = ""
    created: str = ""
    strategy: str = ""
    symbols: tuple[str, ...] = ()
    exchange: str = ""
    market: str = ""
    start: str = ""
    end: str = ""
    timeframe: str = ""
    seed: int = 0
    data_source: str = ""
    data_fingerprint: str = ""
    config_sha256: str = ""
    digest: str = ""


class _Figures(msgspec.Struct, gc=False):
    """What is needed of metrics.json."""

    total_return: float | None
    sharpe: float | None
    max_drawdown: float | None
    trades: int
    daily_returns: int | None = None


class _Remembered(msgspec.Struct, frozen=True, gc=False):
    manifest: _Stamp
    metrics: _Stamp
    row: RunRow


class _Cache(msgspec.Struct):
    version: int
    runs: dict[str, _Remembered]


_decode_manifest = msgspec.json.Decoder(_Said).decode
_decode_metrics = msgspec.json.Decoder(_Figures).decode
_decode_cache = msgspec.json.Decoder(_Cache).decode
_decode_pruned = msgspec.json.Decoder(PrunedRun).decode


def runs_in(output: Path) -> list[RunRow]:
    """Every run of the directory `output`, by the time it was made, the newest first; what is no run is left out.

    A directory is a run when it holds a manifest or a journal. Raises StorageError when `output` cannot be read.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(output) if not entry.name.startswith(".") and entry.is_dir())
    except OSError as error:
        raise StorageError(f"cannot list the runs in {output}: {error.strerror}; name their directory with --output") from error
    before = _remembered(output)
    now: dict[str, _Remembered] = {}
    for name in names:
        path = os.path.join(output, name)  # noqa: PTH118 - strings: thousands of runs are looked at
        manifest, metrics = _stamp(f"{path}/{MANIFEST_NAME}"), _stamp(f"{path}/{METRICS_NAME}")
        known = before.get(name)
        if known is not None and known.manifest == manifest and known.metrics == metrics and manifest != _ABSENT:
            now[name] = known
        elif manifest != _ABSENT or _stamp(f"{path}/{JOURNAL_NAME}") != _ABSENT:
            now[name] = _Remembered(manifest, metrics, _read(name, path))
    if now != before:
        _remember(output, now)
    rows = [one.row for one in now.values()]
    rows.sort(key=lambda row: (row.created, row.run_id), reverse=True)
    counts = Counter(row.data_fingerprint for row in rows)
    counts.update(one.data_fingerprint for one in _gone(output, rows))
    del counts[""]
    pins = pinned_in(output)
    return [msgspec.structs.replace(row, pinned=row.run_id in pins, trials=counts.get(row.data_fingerprint, 0)) for row in rows]


def trials_against(output: Path, data_fingerprint: str) -> tuple[Trial, ...]:
    """Every run in `output` that was made on the data of this fingerprint, pruned ones included, the newest first.

    Their number is the honest count of attempts on a set of data. Raises as `runs_in`.
    """
    rows = [row for row in runs_in(output) if row.data_fingerprint == data_fingerprint]
    found = [Trial(row.run_id, row.config_sha256, row.sharpe, row.daily_returns) for row in rows]
    gone = [one for one in _gone(output, rows) if one.data_fingerprint == data_fingerprint]
    gone.sort(key=lambda one: (one.created, one.run_id), reverse=True)
    return (*found, *(one.trial for one in gone))


def _gone(output: Path, rows: Iterable[RunRow]) -> list[PrunedRun]:
    """What `pruned.jsonl` keeps of runs that are not among `rows`, each once; lines that are not whole are left out."""
    try:
        lines = (output / PRUNED_NAME).read_bytes().splitlines()
    except OSError:
        return []
    found: dict[tuple[str, str], PrunedRun] = {}
    for line in lines:
        with suppress(msgspec.DecodeError, ValueError):
            one = _decode_pruned(line)
            found[one.run_id, one.created] = one
    for row in rows:
        found.pop((row.run_id, row.created), None)
    return list(found.values())


def pinned_in(output: Path) -> frozenset[str]:
    """Ids of the runs in `output` that are never removed. Raises StorageError when the list is there and cannot be read."""
    path = output / PINS_NAME
    try:
        return frozenset(path.read_text(encoding="utf-8").split("\n")) - {""}
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read {path}: {error}; it names the runs that are pinned, one id a line") from error


def _read(name: str, path: str) -> RunRow:
    """The row of one run as its files say; what is wrong with them stands in it."""
    try:
        said = _decode_manifest(_content(f"{path}/{MANIFEST_NAME}"))
    except OSError as error:
        return RunRow(run_id=name, status=DAMAGED, problem=f"no {MANIFEST_NAME} ({error.strerror})")
    except (msgspec.DecodeError, ValueError) as error:
        return RunRow(run_id=name, status=DAMAGED, problem=f"{MANIFEST_NAME} is not a manifest: {error}")
    figures, problem = None, said.error
    if said.status in _WITH_METRICS:
        try:
            figures = _decode_metrics(_content(f"{path}/{METRICS_NAME}"))
        except OSError as error:
            problem = f"no {METRICS_NAME} ({error.strerror})"
        except (msgspec.DecodeError, ValueError) as error:
            problem = f"{METRICS_NAME} is not what a run writes: {error}"
    return RunRow(
        run_id=name,
        status=said.status if figures is not None or said.status not in _WITH_METRICS else DAMAGED,
        problem=problem,
        created=said.created,
        strategy=said.strategy,
        symbols=said.symbols,
        exchange=said.exchange,
        market=said.market,
        start=said.start,
        end=said.end,
        timeframe=said.timeframe,
        seed=said.seed,
        data_source=said.data_source,
        data_fingerprint=said.data_fingerprint,
        config_sha256=said.config_sha256,
        digest=said.digest,
        total_return=figures.total_return if figures is not None else None,
        sharpe=figures.sharpe if figures is not None else None,
        max_drawdown=figures.max_drawdown if figures is not None else None,
        trades=figures.trades if figures is not None else None,
        daily_returns=figures.daily_returns if figures is not None else None,
    )


def _content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - see `runs_in`
        return file.read()


def _stamp(path: str) -> _Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 - see `runs_in`
    except OSError:
        return _ABSENT
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _remembered(output: Path) -> dict[str, _Remembered]:
    """What the cache says; nothing where there is none, or another version's, or one that is not whole."""
    try:
        cache = _decode_cache((output / CACHE_NAME).read_bytes())
    except (OSError, msgspec.DecodeError, ValueError):
        return {}
    return cache.runs if cache.version == _CACHE_VERSION else {}


def _remember(output: Path, runs: dict[str, _Remembered]) -> None:
    """The cache holds these rows, where the directory can be written; it is replaced whole."""
    content = msgspec.json.encode(_Cache(_CACHE_VERSION, runs))
    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=output, prefix=CACHE_NAME, suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), 0o644)
            temporary.replace(output / CACHE_NAME)
        finally:
            temporary.unlink(missing_ok=True)


def nearest_run(output: Path, word: str) -> str:
    """The id of the run in `output` that is most like `word`; empty where none is like it."""
    from difflib import get_close_matches

    with suppress(StorageError):
        names = [row.run_id for row in runs_in(output)]
        begins = [name for name in names if word and (name.startswith(word) or name.endswith(word))]
        near: Iterable[str] = begins or get_close_matches(word, names, n=1, cutoff=0.5)
        return next(iter(near), "")
    return ""
