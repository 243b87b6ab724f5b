"""Runs side by side: settings that differ, figures, the first trade and event that differ; read from their files alone."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from backtester.audit.compare import Difference
from backtester.audit.journal import JournalLine, read_journal
from backtester.audit.run_store import CONFIG_NAME, METRICS_NAME, Manifest, RunDir
from backtester.domain.errors import StorageError
from backtester.report.csv_files import TRADES_NAME
from backtester.report.equity import EQUITY_NAME

_OF_THE_RUN_ALONE = frozenset({"run", "logs", "account.snapshot"})
"""Topics that differ as soon as a setting does: what was done is compared without them."""
_POINTS_MAX = 2_000


class Compared(NamedTuple):
    """One value of each run, in the order of the runs; None where a run has none."""

    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Not all runs have the same."""
        return any(value != self.values[0] for value in self.values[1:])


class TradeDifference(NamedTuple):
    """The first trade that is not the same in both runs; None where one has no more."""

    number: int
    left: Mapping[str, str] | None
    right: Mapping[str, str] | None

    def columns(self) -> list[str]:
        """The columns that differ; all where one side has ended."""
        left, right = self.left or {}, self.right or {}
        return [name for name in dict.fromkeys((*left, *right)) if left.get(name) != right.get(name)]


class Comparison(NamedTuple):
    """Runs against the first of them: settings that differ, all figures, and for every further run what differs first."""

    names: tuple[str, ...]
    settings: list[Compared]
    figures: list[Compared]
    first_trades: list[TradeDifference | None]
    first_events: list[Difference | None]
    curves: list[list[tuple[int, float]]]
    """(time_ms, equity as a percentage of the starting equity), a few thousand points with every high and low that shows."""


def compare_runs(runs: Sequence[Path]) -> Comparison:
    """The runs in these directories side by side. Raises StorageError when one has no results, JournalError when one is broken."""
    manifests = [RunDir(run).read_manifest() for run in runs]
    settings = [{**_flat(_toml(run)), **_identity(manifest)} for run, manifest in zip(runs, manifests, strict=True)]
    figures = [_figures(run, manifest) for run, manifest in zip(runs, manifests, strict=True)]
    trades = [_trades(run) for run in runs]
    return Comparison(
        names=_names(runs),
        settings=[row for row in _beside(settings) if row.differs],
        figures=_beside(figures),
        first_trades=[_first_trade(trades[0], other) for other in trades[1:]],
        first_events=[first_deed(RunDir(runs[0]).journal_path, RunDir(run).journal_path) for run in runs[1:]],
        curves=[_curve(run) for run in runs],
    )


def first_deed(left: Path, right: Path) -> Difference | None:
    """The first order, fill or payment in which two journals differ; None when all are equal. Numbers of events do not count."""
    pairs = zip_longest(_deeds(left), _deeds(right))
    for position, (one, other) in enumerate(pairs):
        if one is None or other is None or (one.topic, one.raw) != (other.topic, other.raw):
            return Difference(position=position, left=one, right=other)
    return None


def _deeds(path: Path) -> Iterator[JournalLine]:
    return (line for line in read_journal(path) if line.topic not in _OF_THE_RUN_ALONE)


def _names(runs: Sequence[Path]) -> tuple[str, ...]:
    """Directory names; paths where two have the same name."""
    short = [run.resolve().name for run in runs]
    return tuple(short) if len(set(short)) == len(short) else tuple(str(run) for run in runs)


def _beside(tables: Sequence[Mapping[str, Any]]) -> list[Compared]:
    names = dict.fromkeys(name for table in tables for name in table)
    return [Compared(name, tuple(table.get(name) for table in tables)) for name in names]


def _toml(run: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((run / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StorageError(f"cannot read {run / CONFIG_NAME}: {error}") from error


def _flat(table: object, prefix: str = "") -> dict[str, Any]:
    """`section.key` for every value; lists of tables by number."""
    if isinstance(table, dict):
        items: Iterable[tuple[str, object]] = table.items()
    elif isinstance(table, list) and table and all(isinstance(one, dict) for one in table):
        items = ((str(number), one) for number, one in enumerate(table))
    else:
        return {prefix: table}
    found: dict[str, Any] = {}
    for name, value in items:
        found.update(_flat(value, f"{prefix}.{name}" if prefix else name))
    return found


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What identifies code and data of a run, beside its settings."""
    return {
        "strategy source": manifest.strategy_sha256[:16],
        "data fingerprint": manifest.data_fingerprint[:16],
        "git commit": manifest.git_sha,
        "uncommitted changes": manifest.git_dirty,
        **{f"version of {name}": version for name, version in manifest.versions.items()},
        "status": manifest.status,
        "digest": manifest.digest[:16],
    }


def _figures(run: Path, manifest: Manifest) -> dict[str, Any]:
    """The single values of metrics.json."""
    path = run / METRICS_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}; the run is {manifest.status}") from error
    return {name: value for name, value in found.items() if not isinstance(value, dict | list)}


def _trades(run: Path) -> list[dict[str, str]]:
    return list(_rows(run / TRADES_NAME))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; only a run that came to its results has it") from error


def _first_trade(left: Sequence[Mapping[str, str]], right: Sequence[Mapping[str, str]]) -> TradeDifference | None:
    for number, (one, other) in enumerate(zip_longest(left, right), start=1):
        if one != other:
            return TradeDifference(number, one, other)
    return None


def _curve(run: Path) -> list[tuple[int, float]]:
    points = [(int(row["time_ms"]), float(row["equity"])) for row in _rows(run / EQUITY_NAME)]
    if not points:
        return []
    start = points[0][1]
    return [(time_ms, 100 * equity / start if start else 0.0) for time_ms, equity in thinned(points)]


def thinned(points: Sequence[tuple[int, float]], most: int = _POINTS_MAX) -> list[tuple[int, float]]:
    """At most `most` of the points in their order: the first, the last, and the lowest and the highest of equal stretches."""
    if len(points) <= most:
        return list(points)
    stretches = (most - 2) // 2
    inner = len(points) - 2
    kept = {0, len(points) - 1}
    for number in range(stretches):
        first, last = 1 + number * inner // stretches, 1 + (number + 1) * inner // stretches
        places = range(first, last)
        kept.add(min(places, key=lambda place: points[place][1]))
        kept.add(max(places, key=lambda place: points[place][1]))
    return [points[place] for place in sorted(kept)]
