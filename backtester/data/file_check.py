"""Whether one month file is what it should be: read whole, every rule applied, its content hashed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.data.content_hash import ContentHash
from backtester.data.file_parts import parts_of, read_parts, reading
from backtester.data.gaps import GapScan
from backtester.data.kinds import CANDLES, Kind, kind_named
from backtester.data.merging import first_repeated_key
from backtester.data.months import MonthFile, times_of, units_per_ms
from backtester.data.series import Series
from backtester.data.series_file import FileFacts, conform, gap_limit, open_series_file, written_facts
from backtester.domain.timeframe import bucket_offset_ms, iso_text

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]
_PRICES = ("open", "high", "low", "close", "price")
"""Columns that must be above 0, where the kind has no signs."""


class Fault(NamedTuple):
    """A rule that a file breaks: its name, in how many rows, and an example in words."""

    rule: str
    rows: int
    detail: str


class FileCheck(NamedTuple):
    """What was found in a readable file, and what it holds; `written` is what its footer says, None of another program's file."""

    faults: tuple[Fault, ...]
    rows: int
    first: int
    last: int
    content_sha256: str
    written: FileFacts | None


def check_file(file: MonthFile, series: Series, scan: GapScan | None) -> FileCheck:
    """The file was read whole, with its page checksums; `scan` has its bars added. Raises DataError where it cannot be read."""
    kind = kind_named(series.kind)
    with reading(file.path), open_series_file(file.path, kind) as opened:
        written = written_facts(opened, file.path, series)
        parts = parts_of(opened, file.path)
        present = [name for name in opened.schema_arrow.names if name in kind.names]
    tally = _Tally()
    content = ContentHash(kind)
    held: pa.Table | None = None
    rows = first = last = 0
    for part in read_parts(parts, present):
        table = conform(part.table, kind, file.path, kind.names)
        content.update(table)
        times = times_of(table, kind)
        if not rows:
            first = int(times[0])
        _check_times(tally, times, kind, series, file, after=last if rows else None)
        _check_values(tally, table, kind)
        held = _check_keys(tally, held, table, kind)
        if scan is not None:
            _add_to_scan(scan, table, times, kind, series)
        rows, last = rows + len(times), int(times[-1])
    found = FileCheck(tally.faults(), rows, first, last, content.hexdigest(), written)
    return found._replace(faults=(*found.faults, *_differences(found)))


def _differences(found: FileCheck) -> Iterator[Fault]:
    """What the footer says and the rows do not."""
    written = found.written
    if written is None:
        return
    if (written.rows, written.first, written.last) != (found.rows, found.first, found.last):
        yield Fault("footer", 1, f"it says {written.rows} rows from {written.first} to {written.last}, which is not what there is")
    if written.content_sha256 not in {None, found.content_sha256}:
        yield Fault("content", 1, f"its values have sha256 {found.content_sha256[:16]}, written were {written.content_sha256[:16]}")


class _Tally:
    """Faults by rule, with the first example of each."""

    def __init__(self) -> None:
        self._found: dict[str, Fault] = {}

    def add(self, rule: str, bad: Mask, times_ms: npt.NDArray[np.int64], detail: str) -> None:
        """`bad` says which rows break the rule."""
        count = int(bad.sum())
        if not count:
            return
        known = self._found.get(rule)
        first = known.detail if known else f"{detail}, first at {iso_text(int(times_ms[int(np.argmax(bad))]))} UTC"
        self._found[rule] = Fault(rule, count + (known.rows if known else 0), first)

    def faults(self) -> tuple[Fault, ...]:
        """One of each rule that was broken, in the order in which they were met."""
        return tuple(self._found.values())


def _check_times(
    tally: _Tally, times: npt.NDArray[np.int64], kind: Kind, series: Series, file: MonthFile, *, after: int | None
) -> None:
    scale = units_per_ms(kind)
    times_ms = times // scale
    back = np.diff(times, prepend=times[0] if after is None else after) < 0
    tally.add("order", back, times_ms, "a row stands behind a later one")
    tally.add("month", (times_ms < file.first_ms) | (times_ms >= file.end_ms), times_ms, "a row of another month")
    if kind.time == "start_ms":
        off = (times_ms - bucket_offset_ms(series.length_ms)) % series.length_ms != 0
        tally.add("grid", off, times_ms, f"no bar of {series.timeframe} starts there")


def _check_values(tally: _Tally, table: pa.Table, kind: Kind) -> None:
    times_ms = times_of(table, kind) // units_per_ms(kind)
    for column in kind.columns:
        if column.type != "float64":
            continue
        values = table.column(column.name)
        numbers = values.to_numpy()  # empty values are nan here
        known = values.is_valid().to_numpy() if values.null_count else np.ones(len(numbers), dtype=np.bool_)
        tally.add("finite", known & ~np.isfinite(numbers), times_ms, f"{column.name} is no number")
        if column.name not in kind.signed:
            least = numbers <= 0 if column.name in _PRICES else numbers < 0
            tally.add("sign", known & least, times_ms, f"{column.name} is {'not above' if column.name in _PRICES else 'below'} 0")
    if {"open", "high", "low", "close"} <= set(kind.names):
        open_, high, low, close = (table.column(name).to_numpy() for name in ("open", "high", "low", "close"))
        outside = (np.fmax(open_, close) > high) | (np.fmin(open_, close) < low) | (low > high)
        tally.add("high_low", outside, times_ms, "high or low does not hold open and close")


def _check_keys(tally: _Tally, held: pa.Table | None, table: pa.Table, kind: Kind) -> pa.Table | None:
    """Two rows with one key are a fault; the rows of the last time are kept, since more of them may follow."""
    import pyarrow as pa

    if not kind.key:
        return None
    times = times_of(table, kind)
    tail = table.slice(int(np.searchsorted(times, times[-1])))
    both = table if held is None else pa.concat_tables([held, table])
    repeated = first_repeated_key(kind, both)
    if repeated is not None:
        at = np.array([times_of(both, kind)[repeated] // units_per_ms(kind)])
        tally.add("key", np.ones(1, dtype=np.bool_), at, f"two rows with one {' and '.join(kind.key)}")
    return tail


def _add_to_scan(scan: GapScan, table: pa.Table, times: npt.NDArray[np.int64], kind: Kind, series: Series) -> None:
    """Bars by their start; periodic measurements by the step that their stamp is nearest to, since stamps may be late."""
    if not gap_limit(series):
        return
    if (np.diff(times) < 0).any():
        return  # told as a fault already
    if kind.name == CANDLES.name:
        high, low, volume = (table.column(name).to_numpy() for name in ("high", "low", "volume"))
        scan.add(times, (volume == 0) & (high == low))
    elif kind.time == "start_ms":
        scan.add(times)
    else:
        length = series.length_ms * units_per_ms(kind)
        steps = (times + length // 2) // length * length
        scan.add(np.unique(steps) // units_per_ms(kind))
