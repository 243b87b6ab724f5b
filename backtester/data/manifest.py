"""The catalog's index in SQLite: what each month file holds, where it came from, what was found in it.

The files are the truth. The table of partitions can be made from them at any time, and is: whatever differs from the files
in size or time of change is read anew. Sources, findings and policies stand here only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from backtester.data.batch import Origin
from backtester.data.findings import Finding, Policy, Rule
from backtester.data.months import MonthFile, month_files, stored_series
from backtester.data.object_store import index_directory
from backtester.data.series import Series
from backtester.data.series_file import FileFacts, file_facts
from backtester.domain.errors import StorageError

NAME = "manifest.sqlite"
_VERSION = 1
_WAIT_S = 30.0
"""How long one process waits for another's transaction, which takes milliseconds."""
_SCHEMA = """
CREATE TABLE partitions (
    file TEXT PRIMARY KEY, exchange TEXT NOT NULL, market TEXT NOT NULL, symbol TEXT NOT NULL, kind TEXT NOT NULL,
    timeframe TEXT NOT NULL, network TEXT NOT NULL, rows INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    gaps INTEGER NOT NULL, content_sha256 TEXT, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    schema_version INTEGER NOT NULL, volume_unit TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX partitions_by_symbol ON partitions (symbol);
CREATE TABLE sources (
    partition TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (partition, name, sha256)
) WITHOUT ROWID;
CREATE TABLE findings (
    partition TEXT NOT NULL, rule TEXT NOT NULL, policy TEXT NOT NULL, file TEXT NOT NULL, row INTEGER NOT NULL,
    count INTEGER NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (partition, file, rule, policy, row)
) WITHOUT ROWID;
CREATE TABLE policies (
    partition TEXT NOT NULL, source TEXT NOT NULL, rule TEXT NOT NULL, policy TEXT NOT NULL,
    PRIMARY KEY (partition, source, rule)
) WITHOUT ROWID;
"""


class Partition(NamedTuple):
    """A month file as it is recorded: `file` is relative to the base; `first` and `last` are in the kind's unit of time.

    `content_sha256` is None while nobody has read the content of a file that another program or version wrote.
    """

    file: str
    exchange: str
    market: str
    symbol: str
    kind: str
    timeframe: str
    network: str
    rows: int
    first: int
    last: int
    gaps: int
    content_sha256: str | None
    size: int
    mtime_ns: int
    schema_version: int
    volume_unit: str

    @property
    def series(self) -> Series:
        """Whose month it is."""
        return Series(self.exchange, self.market, self.symbol, self.kind, self.timeframe, self.network)


class Provenance(NamedTuple):
    """Where rows came from, what was found in them, and by which policies: of one batch."""

    origin: Origin
    findings: tuple[Finding, ...] = ()
    policies: dict[str, str] = {}  # noqa: RUF012 - a default of a NamedTuple that nobody changes


def relative_name(base: Path, path: Path) -> str:
    """The name by which a file is recorded."""
    return str(path)[len(str(base)) :].lstrip("/")


def is_fresh(recorded: Partition, file: MonthFile) -> bool:
    """Whether the file is still the one that was recorded."""
    return recorded.mtime_ns == file.mtime_ns and recorded.size == file.size


def partition_of(base: Path, file: MonthFile, series: Series, facts: FileFacts) -> Partition:
    """What is recorded of a file."""
    return Partition(
        file=relative_name(base, file.path),
        exchange=series.exchange,
        market=series.market,
        symbol=series.symbol,
        kind=series.kind,
        timeframe=series.timeframe,
        network=series.network,
        rows=facts.rows,
        first=facts.first,
        last=facts.last,
        gaps=facts.gaps,
        content_sha256=facts.content_sha256,
        size=file.size,
        mtime_ns=file.mtime_ns,
        schema_version=facts.schema_version,
        volume_unit=facts.volume_unit.value,
    )


class Manifest:
    """The index under `base`. `notes` tells what had to be done about it, in words for the user."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._path = index_directory(base) / NAME
        self.notes: list[str] = []

    # -- reading -----------------------------------------------------------------------------------------------------

    def current(self, symbol: str | None = None) -> tuple[Partition, ...]:
        """The partitions as the files are now, of all symbols or of one, by series and month; the manifest catches up.

        Only files whose size or time of change differs from what is recorded are opened. Raises DataError naming a file that
        cannot be read.
        """
        begun = self._path.exists()
        recorded = self.partitions(symbol)
        found: list[Partition] = []
        fresh: list[Partition] = []
        for series in stored_series(self._base, symbol):
            for file in month_files(self._base, series):
                row = recorded.pop(relative_name(self._base, file.path), None)
                if row is None or not is_fresh(row, file):
                    row = partition_of(self._base, file, series, file_facts(file.path, series))
                    fresh.append(row)
                found.append(row)
        if (fresh or recorded) and self.record_if_possible(fresh, gone=recorded) and not begun:
            self.notes.append(f"{self._path} was missing and has been made from {len(fresh):,} files")
        return tuple(found)

    def partitions(self, symbol: str | None = None) -> dict[str, Partition]:
        """The recorded partitions by file, of all symbols or of one. Nothing where there is no manifest, or none to be read."""
        if symbol is None:
            rows = self._select("SELECT * FROM partitions", ())
        else:
            rows = self._select("SELECT * FROM partitions WHERE symbol = ?", (symbol,))
        return {row[0]: Partition._make(row) for row in rows}

    def sources(self, files: Iterable[str]) -> tuple[Origin, ...]:
        """The origins of the rows of these partitions, each once, by name."""
        rows = self._of_files("SELECT name, sha256 FROM sources WHERE partition = ?", files)
        return tuple(Origin(*row) for row in sorted(dict.fromkeys(rows)))

    def findings(self, files: Iterable[str]) -> tuple[Finding, ...]:
        """What was found in the rows of these partitions, each once, by file and row."""
        rows = self._of_files("SELECT file, row, rule, policy, count, detail FROM findings WHERE partition = ?", files)
        return tuple(
            Finding(Rule(rule), Policy(policy), file, row, count, detail)
            for file, row, rule, policy, count, detail in sorted(dict.fromkeys(rows))
        )

    def policies(self, files: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """By which policies the rows of these partitions were accepted: by rule, more than one where imports differed."""
        found: dict[str, tuple[str, ...]] = {}
        for rule, policy in sorted(dict.fromkeys(self._of_files("SELECT rule, policy FROM policies WHERE partition = ?", files))):
            found[rule] = (*found.get(rule, ()), policy)
        return found

    def _of_files(self, select: str, files: Iterable[str]) -> list[tuple[Any, ...]]:
        return [row for file in files for row in self._select(select, (file,))]

    def _select(self, statement: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        for uri in (f"{self._path.absolute().as_uri()}?mode=ro", f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"):
            # Where the directory cannot be written, SQLite cannot share the file either: it is then read as it lies there.
            try:
                with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S)) as connection:
                    if connection.execute("PRAGMA user_version").fetchone() == (_VERSION,):
                        return connection.execute(statement, values).fetchall()
                    return []
            except sqlite3.Error:
                continue
        return []

    # -- writing -----------------------------------------------------------------------------------------------------

    def record(
        self,
        partitions: Iterable[Partition],
        *,
        gone: Iterable[str] = (),
        touched: Iterable[str] = (),
        by: Provenance | None = None,
    ) -> None:
        """The partitions are recorded, those `gone` are forgotten, and what `touched` says of files came `by` is remembered.

        All or nothing. Raises StorageError where the manifest cannot be written.
        """
        rows, keys, files = tuple(partitions), tuple(gone), tuple(touched)
        try:
            try:
                self._record(rows, keys, files, by)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # locked, full or forbidden; anything else is damage
                    raise
                self._begin_anew(str(error))
                self._record(rows, keys, files, by)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot write {self._path}: {error}; the data files are whole, and it catches up later") from error

    def record_if_possible(self, partitions: Iterable[Partition], *, gone: Iterable[str] = ()) -> bool:
        """As `record`, for what can be learnt again: whether it could be written; a note says why not."""
        try:
            self.record(partitions, gone=gone)
        except StorageError as error:
            self.notes.append(f"{error}; until then files are read where it is behind")
            return False
        return True

    def _record(self, rows: Sequence[Partition], gone: Sequence[str], touched: Sequence[str], by: Provenance | None) -> None:
        with closing(sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                _bring_to_version(connection)
                _forget(connection, gone)
                connection.executemany(_INSERT, rows)
                if by is not None:
                    _remember(connection, touched, by)

    def _begin_anew(self, reason: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self.notes.append(
            f"{self._path} was damaged ({reason}) and has been made anew from the files; sources and findings of earlier imports "
            "are lost: import those files again to record them"
        )


_INSERT = "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def _bring_to_version(connection: sqlite3.Connection) -> None:
    """The tables are those of this version; those of another are dropped, the files tell what they held."""
    if connection.execute("PRAGMA user_version").fetchone() == (_VERSION,):
        return
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _forget(connection: sqlite3.Connection, files: Iterable[str]) -> None:
    keys = [(file,) for file in files]
    connection.executemany("DELETE FROM partitions WHERE file = ?", keys)
    connection.executemany("DELETE FROM sources WHERE partition = ?", keys)
    connection.executemany("DELETE FROM findings WHERE partition = ?", keys)
    connection.executemany("DELETE FROM policies WHERE partition = ?", keys)


def _remember(connection: sqlite3.Connection, files: Sequence[str], by: Provenance) -> None:
    origin = by.origin
    connection.executemany(
        "INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", [(file, origin.name, origin.sha256) for file in files]
    )
    connection.executemany(
        "INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (file, one.rule.value, one.policy.value, one.file, one.row, one.count, one.detail)
            for file in files
            for one in by.findings
        ],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?)",
        [(file, origin.name, rule, policy) for file in files for rule, policy in by.policies.items()],
    )
