"""Where a month of a series lies under the catalog's base, and what lies there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtester.data.kinds import Kind
from backtester.data.object_store import Entry, Store, open_store
from backtester.data.series import Series, series_at
from backtester.domain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from backtester.data.columns import IntColumn

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\.parquet")


class MonthFile(NamedTuple):
    """A file that holds rows of one series whose time is in [first_ms, end_ms), and what the file system says of it."""

    first_ms: int
    end_ms: int
    path: Path
    size: int
    mtime_ns: int


Listing = Mapping[Series, Sequence[MonthFile]]
"""The files of series as they were when they were listed, in order of time; none of them is empty."""


def month_files(base: Path, series: Series) -> list[MonthFile]:
    """The stored months of a series in order of time. Raises DataError at a parquet file that is not where it belongs."""
    prefix = f"{series.symbol}-{series.timeframe}-"
    files: list[MonthFile] = []
    store = open_store(base)
    for year in _directories(store, f"{base}/{series.directory}"):
        for entry in store.entries(year):
            name = entry.name
            if entry.is_directory or not name.endswith(".parquet") or name.startswith("."):
                continue
            span = _span_of(name, prefix, year)
            if span is None:
                raise DataError(
                    f"{year}/{name} is not named as a month of {series.symbol} {series.timeframe}; move it away and import it"
                )
            files.append(MonthFile(*span, Path(year, name), entry.size, entry.mtime_ns))
    return sorted(files)


def list_months(base: Path, symbol: str) -> Listing:
    """The files of every series of a symbol that has any. Raises DataError as `month_files`."""
    return {series: files for series in stored_series(base, symbol) if (files := month_files(base, series))}


def month_of(path: Path, series: Series, entry: Entry) -> MonthFile | None:
    """The file as a month of the series in whose directory it lies; None where it is not named as one."""
    span = _span_of(path.name, f"{series.symbol}-{series.timeframe}-", str(path.parent))
    return None if span is None else MonthFile(*span, path, entry.size, entry.mtime_ns)


def _span_of(name: str, prefix: str, year: str) -> tuple[int, int] | None:
    """The first instant of the month that a file is named after, and that of the next; None of any other name."""
    match = _MONTH.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
    if match is None or not year.endswith(f"/year={match[1]}"):
        return None
    number, month = int(match[1]), int(match[2])
    return month_start_ms(number, month), month_start_ms(number + month // 12, month % 12 + 1)


def stored_series(base: Path, symbol: str | None = None) -> Iterator[Series]:
    """Every series that has a directory, of all symbols or of one; other directories are passed over."""
    store, root = open_store(base), str(base)
    for venue in _directories(store, root):
        for market in _directories(store, venue):
            named = _directories(store, market) if symbol is None else [f"{market}/{symbol}"]
            kinds = (kind for one in named for kind in _directories(store, one))
            for directory in (length for kind in kinds for length in _directories(store, kind)):
                series = series_at(PurePosixPath(directory[len(root) :].lstrip("/")))
                if series is not None:
                    yield series


def month_path(base: Path, series: Series, month_ms: int) -> Path:
    """Where the month that starts at `month_ms` belongs."""
    moment = datetime.fromtimestamp(month_ms // 1000, tz=UTC)
    name = f"{series.symbol}-{series.timeframe}-{moment:%Y-%m}.parquet"
    return base.joinpath(series.directory, f"year={moment:%Y}", name)


def month_start_ms(year: int, month: int) -> int:
    """The first instant of a month, UTC."""
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


def units_per_ms(kind: Kind) -> int:
    """How many units of the kind's time column are a millisecond: 1000 where it is in microseconds."""
    return 1000 if kind.time.endswith("_us") else 1


def times_of(table: pa.Table, kind: Kind) -> IntColumn:
    """The time column as an array, in its own unit."""
    return np.asarray(table.column(kind.time).to_numpy(), dtype=np.int64)


def split_by_month(table: pa.Table, kind: Kind) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each month that has any, with the month's start in milliseconds. The rows are in order of time."""
    unit = "us" if units_per_ms(kind) == 1000 else "ms"
    months = times_of(table, kind).astype(f"datetime64[{unit}]").astype("datetime64[M]")
    edges = [0, *(np.flatnonzero(months[1:] != months[:-1]) + 1).tolist(), len(months)]
    for first, last in zip(edges, edges[1:], strict=False):
        if last > first:
            yield int(months[first].astype("datetime64[ms]").astype(np.int64)), table.slice(first, last - first)


def _directories(store: Store, path: str) -> list[str]:
    """The directories in `path`, sorted, none hidden; none where there is no such directory."""
    return [f"{path}/{entry.name}" for entry in store.entries(path) if entry.is_directory and not entry.name.startswith(".")]
