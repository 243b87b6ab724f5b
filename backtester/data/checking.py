"""`bt data check`: everything that is stored, read whole and compared with what should be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from backtester.data.catalog import Catalog
from backtester.data.file_check import FileCheck, check_file
from backtester.data.gaps import GapReport, GapScan
from backtester.data.instrument_store import FILE_NAME as INSTRUMENTS
from backtester.data.instrument_store import InstrumentStore
from backtester.data.manifest import NAME as MANIFEST
from backtester.data.manifest import Partition, is_fresh, partition_of, relative_name
from backtester.data.months import MonthFile, month_of
from backtester.data.object_store import open_store
from backtester.data.series import LIVE, Series, series_at
from backtester.data.series_file import file_facts, gap_limit
from backtester.domain.errors import EXIT_DATA, EXIT_DONE, EXIT_FOUND, DataError, DataUnavailableError

ROW_RULES = ("order", "month", "grid", "finite", "sign", "high_low", "key", "footer", "content")
MENDED_RULES = ("unrecorded", "outdated", "no_file", "leftover")
"""What `--fix` puts right: it makes the manifest say what the files hold, and removes what interrupted writes left."""


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    `file` is relative to the catalog, `rule` one of `ROW_RULES`, `MENDED_RULES`,
    `stray` (a parquet file where no reader looks), `misplaced` (named so that readers refuse its series) or `unreadable`.
    """

    rule: str
    file: str
    count: int
    detail: str


class SeriesGaps(NamedTuple):
    """What is not there of one series."""

    series: Series
    report: GapReport


class CheckReport(NamedTuple):
    """What was read and found; `fixed` says what was mended, which is not among the problems any more."""

    files: int
    rows: int
    series: int
    problems: tuple[Problem, ...]
    gaps: tuple[SeriesGaps, ...]
    fixed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 clean, 1 something was found, 3 something cannot be read."""
        if any(problem.rule in {"unreadable", "misplaced"} for problem in self.problems):
            return EXIT_DATA
        return EXIT_FOUND if self.problems or self.gaps else EXIT_DONE


class Step(NamedTuple):
    """How far a check has come."""

    files_done: int
    files_total: int
    rows: int


def check_catalog(
    catalog: Catalog, *, symbols: Sequence[str] = (), fix: bool = False, on_step: Callable[[Step], None] | None = None
) -> CheckReport:
    """Every stored file (of these symbols, else of all) was read whole and compared with its footer, the manifest and the rules.

    Nothing is changed; with `fix`, `MENDED_RULES` are put right and nothing else.
    Raises: DataUnavailableError - nothing is stored of a symbol. StorageError - `fix` cannot write.
    """
    return _Check(catalog, tuple(symbols), on_step).run(fix=fix)


class _Check:
    def __init__(self, catalog: Catalog, symbols: tuple[str, ...], on_step: Callable[[Step], None] | None) -> None:
        self._base = catalog.base
        self._catalog = catalog
        self._symbols = symbols
        self._on_step = on_step
        self._problems: list[Problem] = []
        self._gaps: list[SeriesGaps] = []
        self._rows = self._done = self._total = 0
        self._leftovers: list[Path] = []
        self._to_record: list[Partition] = []
        self._gone: list[str] = []

    def run(self, *, fix: bool) -> CheckReport:
        recorded = {
            file: row
            for file, row in self._catalog.manifest.partitions().items()
            if not self._symbols or row.symbol in self._symbols
        }
        months = self._months()
        self._total = sum(map(len, months.values()))
        missing = [symbol for symbol in self._symbols if not any(one.symbol == symbol for one in (*months, *_series_of(recorded)))]
        if missing:
            raise DataUnavailableError(f"nothing of {', '.join(missing)} is stored in {self._base}; `bt data list` shows what is")
        for series in sorted(months, key=lambda one: (str(one), one.network)):
            self._check_series(series, months[series], recorded)
        present = {relative_name(self._base, file.path) for files in months.values() for file in files}
        for file in sorted(set(recorded) - present):
            self._gone.append(file)
            self._add("no_file", file, "the manifest records it, and there is no such file")
        fixed = self._mend() if fix else ()
        return CheckReport(self._done, self._rows, len(months), tuple(self._problems), tuple(self._gaps), fixed)

    # -- what there is -----------------------------------------------------------------------------------------------

    def _months(self) -> dict[Series, list[MonthFile]]:
        """The month files of each series in order; everything else that claims to be data is a problem."""
        months: dict[Series, list[MonthFile]] = {}
        for text, entry in open_store(self._base).files(str(self._base)):
            path = Path(text)
            name = PurePosixPath(relative_name(self._base, path))
            if path.suffix == ".tmp":
                if not self._symbols or _symbol_of(name) in self._symbols:
                    self._leftovers.append(path)
                    self._add("leftover", str(name), "left by a write that was interrupted; nothing reads it")
            elif path.name == INSTRUMENTS and not self._symbols:
                self._check_instruments(name)
            elif path.suffix == ".parquet" and (not self._symbols or _symbol_of(name) in self._symbols):
                series = series_at(name.parent.parent)
                file = month_of(path, series, entry) if series is not None else None
                if series is None:
                    self._add("stray", str(name), "no series has this place, so nothing reads it; move it away and import it")
                elif file is None:
                    self._add("misplaced", str(name), f"it is not named as a month of {series}; move it away and import it")
                else:
                    months.setdefault(series, []).append(file)
        return {series: sorted(files) for series, files in months.items()}

    def _check_instruments(self, name: PurePosixPath) -> None:
        if len(name.parts) != 3:
            return
        exchange, _, network = name.parts[0].partition(".")
        try:
            InstrumentStore(self._base).read(exchange, name.parts[1], network or LIVE)
        except DataError as error:
            self._add("unreadable", str(name), str(error))

    # -- one series --------------------------------------------------------------------------------------------------

    def _check_series(self, series: Series, files: list[MonthFile], recorded: dict[str, Partition]) -> None:
        scan = GapScan(series.length_ms) if gap_limit(series) else None
        for file in files:
            name = relative_name(self._base, file.path)
            try:
                found = check_file(file, series, scan)
            except DataError as error:
                self._add("unreadable", name, str(error))
            else:
                self._rows += found.rows
                for fault in found.faults:
                    self._problems.append(Problem(fault.rule, name, fault.rows, fault.detail))
                self._compare(name, file, series, found, recorded.get(name))
            self._done += 1
            if self._on_step is not None:
                self._on_step(Step(self._done, self._total, self._rows))
        if scan is not None:
            report = scan.report()
            if report.earliest is not None:
                self._gaps.append(SeriesGaps(series, report))

    def _compare(self, name: str, file: MonthFile, series: Series, found: FileCheck, row: Partition | None) -> None:
        """The file against what the manifest says of it."""
        if any(fault.rule in {"content", "footer"} for fault in found.faults):
            return  # what the manifest would learn from such a file is not true
        written = found.written
        facts = written or file_facts(file.path, series)
        now = partition_of(self._base, file, series, msgspec.structs.replace(facts, content_sha256=found.content_sha256))
        if row is None:
            self._add("unrecorded", name, "the manifest has no row for it")
        elif not is_fresh(row, file):
            self._add("outdated", name, "it was changed after the manifest recorded it")
        elif row.content_sha256 not in {None, found.content_sha256}:
            where = "" if written is None or written.content_sha256 is None else ", and its own footer agrees with the file"
            self._add("content", name, f"its values are not those that the manifest recorded{where}")
            return
        elif row != now and row != now._replace(content_sha256=None):
            self._add("outdated", name, "the manifest says other things of it than it holds")
        else:
            return
        self._to_record.append(now)

    def _add(self, rule: str, file: str, detail: str) -> None:
        self._problems.append(Problem(rule, file, 1, detail))

    # -- mending -----------------------------------------------------------------------------------------------------

    def _mend(self) -> tuple[str, ...]:
        """What can be mended without inventing data is, while nobody else writes; what was done, in words."""
        if not (self._leftovers or self._to_record or self._gone):
            return ()
        fixed: list[str] = []
        store = open_store(self._base)
        with self._catalog.locked():
            for path in self._leftovers:
                store.delete(str(path))
                fixed.append(f"removed {relative_name(self._base, path)}")
            gone = [file for file in self._gone if not store.exists(str(self._base / file))]
            self._catalog.manifest.record(self._to_record, gone=gone)
        fixed += [f"forgot {file} in {MANIFEST}" for file in gone]
        fixed += [f"recorded {row.file} in {MANIFEST}" for row in self._to_record]
        self._problems = [problem for problem in self._problems if problem.rule not in MENDED_RULES]
        return tuple(fixed)


def _series_of(recorded: dict[str, Partition]) -> Iterator[Series]:
    for row in recorded.values():
        yield row.series


def _symbol_of(name: PurePosixPath) -> str:
    return name.parts[2] if len(name.parts) > 3 else ""
