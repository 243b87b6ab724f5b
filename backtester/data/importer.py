"""From files to the catalog: each checked first, then stored; what was not stored is never passed over in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from backtester.data.batch import Batch, RawBatch
from backtester.data.findings import Finding, Policies, Policy, Rule
from backtester.data.kinds import kind_named
from backtester.data.parsing.hint import Hint
from backtester.data.quality import gap_rows
from backtester.data.series import Series
from backtester.data.sources.local_files import LocalFiles
from backtester.domain.errors import DataError, DataQualityError, DataUnavailableError
from backtester.domain.timeframe import iso_text, timeframe_ms, timeframe_text

if TYPE_CHECKING:
    from backtester.data.catalog import StoreReport
    from backtester.data.columns import IntColumn

CHECKED_ROWS = 2_000_000
"""A file of up to so many rows is checked to its end before anything of it is stored; a longer one is stored as it is read."""


class BatchStore(Protocol):
    """Where batches go: the catalog."""

    def store(self, batch: Batch) -> StoreReport:
        """The rows are stored."""


class SeriesImport(NamedTuple):
    """What of one series was found in a file and stored. `first_ms` is the first row's time, `last_ms` the end of the last.

    `rows_out_of_order` counts rows that stood before their time, `rows_duplicated` identical repetitions left out, `gaps`
    stretches of missing bars between `first_ms` and `last_ms`; `findings` are all that was found and what was done.
    """

    series: Series
    rows_read: int
    rows_written: int
    rows_already_stored: int
    rows_out_of_order: int
    rows_duplicated: int
    first_ms: int
    last_ms: int
    gaps: int
    findings: tuple[Finding, ...]


class FileImport(NamedTuple):
    """What a file held, series by series."""

    path: Path
    series: tuple[SeriesImport, ...]


class Refused(NamedTuple):
    """A file that was not imported, or not to its end, and why."""

    path: Path
    error: DataError


class ImportReport(NamedTuple):
    """The files that were imported and those that were not."""

    files: tuple[FileImport, ...]
    refused: tuple[Refused, ...]


class ImportProgress(Protocol):
    """Who wants to know how far it is."""

    def file(self, path: Path) -> None:
        """A file is begun."""

    def rows(self, count: int) -> None:
        """So many more rows were read."""


def import_files(
    paths: Sequence[Path],
    *,
    catalog: BatchStore,
    hint: Hint | None = None,
    policies: Policies | None = None,
    progress: ImportProgress | None = None,
) -> ImportReport:
    """Every file is imported that can be; the others are in the report, with the reason.

    Raises: ConfigError - a name that no series can have. StorageError - the disk; notes on both say what was stored before.
    """
    imported: list[FileImport] = []
    refused: list[Refused] = []
    for path in paths:
        if progress is not None:
            progress.file(path)
        try:
            on_rows = progress.rows if progress is not None else None
            imported.append(import_file(path, catalog=catalog, hint=hint, policies=policies, on_rows=on_rows))
        except DataError as error:
            refused.append(Refused(path, error))
        except BaseException as error:
            if imported:
                error.add_note(f"{len(imported):,} of {len(paths):,} files were imported before that, the last {imported[-1].path}")
            raise
    return ImportReport(tuple(imported), tuple(refused))


def import_file(
    path: Path,
    *,
    catalog: BatchStore,
    hint: Hint | None = None,
    policies: Policies | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> FileImport:
    """What the file holds is in the catalog; a second import of the same file changes nothing.

    Raises: DataUnavailableError - no such file, or no rows. SchemaMismatchError - not recognised, or something has to be stated.
            DataQualityError - a row that cannot be, rows that contradict each other or what is stored, or another timeframe than
            stated. DataError - damaged. StorageError - the disk. A note says what of the file was stored before the error.
    """
    path = Path(path)
    hint = hint or Hint()
    tallies: dict[Series, _Tally] = {}

    def parsed(raw: RawBatch) -> None:
        if hint.timeframe is not None:
            _check_not_finer(raw, path=path, length_ms=timeframe_ms(hint.timeframe))
        tallies.setdefault(raw.series, _Tally(raw.series)).rows_read += raw.table.num_rows
        if on_rows is not None:
            on_rows(raw.table.num_rows)

    batches = LocalFiles([path], hint=hint, policies=policies).read(path, parsed)
    try:
        for batch in _checked_ahead(batches):
            if hint.timeframe is not None:
                _check_timeframe(batch, path=path, length_ms=timeframe_ms(hint.timeframe))
            tallies[batch.series].add(batch, catalog.store(batch))
    except BaseException as error:
        for tally in tallies.values():
            if tally.stored:
                error.add_note(f"of {path}, {tally.rows_stored:,} rows of {tally.series} were stored before that; they stay")
        raise
    if not any(tally.rows_read for tally in tallies.values()):
        raise DataUnavailableError(f"{path} has no rows")
    return FileImport(path, tuple(tally.told() for tally in tallies.values()))


def _checked_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, the first of them only when the whole file has been checked, or as much of it as may be held."""
    held: list[Batch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.table.num_rows
        if rows >= CHECKED_ROWS:
            yield from held
            held.clear()
    yield from held


class _Tally:
    """Adds up what one file says of one series."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.rows_read = self.rows_written = self.rows_already_stored = self.gaps = 0
        self.stored = False
        self._first_ms: int | None = None
        self._last_start_ms: int | None = None
        self._findings: list[Finding] = []

    @property
    def rows_stored(self) -> int:
        """Rows that are in the catalog now."""
        return self.rows_written + self.rows_already_stored

    def add(self, batch: Batch, report: StoreReport) -> None:
        """A batch was stored."""
        self.stored = True
        self.rows_written += report.rows_written
        self.rows_already_stored += report.rows_already_stored
        self._findings += batch.findings
        times_ms = _times_ms(batch)
        if not len(times_ms):
            return
        length_ms = self.series.length_ms
        if length_ms:
            self.gaps += len(gap_rows(times_ms, length_ms))
            if self._last_start_ms is not None and int(times_ms[0]) - self._last_start_ms > length_ms:
                self.gaps += 1
        self._first_ms = int(times_ms[0]) if self._first_ms is None else min(self._first_ms, int(times_ms[0]))
        self._last_start_ms = max(int(times_ms[-1]), self._last_start_ms or 0)

    def told(self) -> SeriesImport:
        """The sums."""
        fixed = {rule: self._count(rule) for rule in (Rule.OUT_OF_ORDER, Rule.DUPLICATE)}
        first_ms = self._first_ms or 0
        last_ms = first_ms if self._last_start_ms is None else self._last_start_ms + max(self.series.length_ms, 1)
        return SeriesImport(
            series=self.series,
            rows_read=self.rows_read,
            rows_written=self.rows_written,
            rows_already_stored=self.rows_already_stored,
            rows_out_of_order=fixed[Rule.OUT_OF_ORDER],
            rows_duplicated=fixed[Rule.DUPLICATE],
            first_ms=first_ms,
            last_ms=last_ms,
            gaps=self.gaps,
            findings=tuple(self._findings),
        )

    def _count(self, rule: Rule) -> int:
        return sum(finding.count for finding in self._findings if finding.rule is rule and finding.policy is Policy.FIX)


def _times_ms(batch: Batch) -> IntColumn:
    """When the rows were, in milliseconds, rounded down."""
    name = kind_named(batch.series.kind).time
    times: IntColumn = batch.table.column(name).to_numpy()
    return times // 1_000 if name == "time_us" else times


def _check_not_finer(raw: RawBatch, *, path: Path, length_ms: int) -> None:
    """Returns unless most bars of a file are closer to each other than was stated. Raises DataQualityError."""
    if not _is_evenly_spaced(raw.series):
        return
    start_ms = np.unique(raw.table.column(kind_named(raw.series.kind).time).drop_null().to_numpy())
    steps = np.diff(start_ms)
    if len(steps) and float(np.median(steps)) < length_ms:
        raise _other_timeframe(start_ms, path=path, length_ms=length_ms)


def _check_timeframe(batch: Batch, *, path: Path, length_ms: int) -> None:
    """Returns if bars are `length_ms` apart where none is missing. Raises DataQualityError."""
    start_ms = _times_ms(batch)
    if _is_evenly_spaced(batch.series) and len(start_ms) > 1 and int(np.diff(start_ms).min()) != length_ms:
        raise _other_timeframe(start_ms, path=path, length_ms=length_ms)


def _is_evenly_spaced(series: Series) -> bool:
    """Whether there is one row for each period."""
    kind = kind_named(series.kind)
    return kind.periodic and len(kind.key) == 1


def _other_timeframe(start_ms: IntColumn, *, path: Path, length_ms: int) -> DataQualityError:
    steps = np.diff(start_ms)
    row = int(np.argmin(steps))
    return DataQualityError(
        f"{path}: the timeframe was stated as {timeframe_text(length_ms)}, but the smallest step between bars is "
        f"{int(steps[row]) / 1000:g} s (from {iso_text(int(start_ms[row]))} to {iso_text(int(start_ms[row + 1]))} UTC); "
        "state the timeframe that the data has"
    )
