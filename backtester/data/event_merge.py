"""Rows of several series, of whatever kinds, in the one order in which they could have been known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtester.data.availability import US_PER_MS, available_us, delay_max_ms
from backtester.data.columns import IntColumn
from backtester.data.kinds import KINDS
from backtester.data.series import Series
from backtester.domain.errors import ConfigError, DataQualityError
from backtester.domain.timeframe import iso_text

if TYPE_CHECKING:
    import pyarrow as pa

ReadTables = Callable[[Series, int, int], Iterator["pa.Table"]]
"""Rows of a series whose time is in [start_ms, end_ms), in order, in tables of bounded size: `Catalog.read_tables`."""


class MarketRow(NamedTuple):
    """A row of one of several series: when it could be known, whose it is, and what it says."""

    available_us: int
    series_index: int
    """Of its series among the selections, as they were given."""
    values: tuple[Any, ...]
    """As plain Python objects, None where empty."""

    @property
    def available_ms(self) -> int:
        """The first millisecond at which it could be known, whole: never before `available_us`."""
        return -(-self.available_us // US_PER_MS)


WINDOW_ROWS = 4_096
"""Rows of one series held as Python objects at a time; small enough to stay in the processor's cache."""

ORDER_OF_KINDS = (
    "index",
    "mark",
    "premium",
    "candles",
    "quote_candles",
    "open_interest",
    "metrics",
    "volatility_index",
    "option_summary",
    "funding",
    "trades",
    "agg_trades",
    "liquidations",
    "book",
    "quotes",
    "book_depth",
)
"""Who goes first within one microsecond: what describes the time before, then funding, which is settled at the mark that is
known by then, then what happens, then quotes and books, which show what is left of it."""
_RANK = {name: rank for rank, name in enumerate(ORDER_OF_KINDS)}


class Selection(NamedTuple):
    """A series and the columns wanted of it, in this order; none named: all of its kind."""

    series: Series
    columns: tuple[str, ...] = ()


class EventMerge:
    """Rows that could first be known in [start_us, end_us), of all selected series, in one total order.

    The order is: time of availability; `ORDER_OF_KINDS`; order of the selections; order of the rows. It depends on neither how
    the tables are cut nor where it begins: a merge that starts later has exactly the last rows of one that starts earlier.
    Memory is bounded by a table and a window of rows a series, unless more rows than that have the same microsecond.

    Raises: ConfigError - a series twice, or a column that its kind does not have. DataQualityError - while iterating: rows that
    go back in time.
    """

    def __init__(self, selections: Sequence[Selection], read: ReadTables, *, start_us: int, end_us: int) -> None:
        for selection in selections:
            missing = [name for name in selection.columns if name not in KINDS[selection.series.kind].names]
            if missing:
                names = ", ".join(KINDS[selection.series.kind].names)
                raise ConfigError(f"{selection.series} has no column {', '.join(missing)}; it has {names}")
            if [other.series for other in selections].count(selection.series) > 1:
                raise ConfigError(f"{selection.series} is selected twice")
        ranked = sorted(enumerate(selections), key=lambda one: (_RANK[one[1].series.kind], one[0]))
        self._cursors = tuple(_Cursor(index, selection, read, start_us=start_us, end_us=end_us) for index, selection in ranked)

    def windows(self) -> Iterator[list[MarketRow]]:
        """The rows, some thousands at a time; no window is empty. To be walked over once."""
        cursors = [cursor for cursor in self._cursors if cursor.hold_more()]
        while cursors:
            ready = self._ready_until(cursors)
            taken = [(cursor, rows) for cursor in cursors if (rows := cursor.take_before(ready))[0].size]
            if taken:
                yield _in_order(taken)
            cursors = [cursor for cursor in cursors if cursor.waiting() or cursor.hold_more()]

    def rows(self) -> Iterator[MarketRow]:
        """The same, one by one."""
        for window in self.windows():
            yield from window

    @staticmethod
    def _ready_until(cursors: Sequence[_Cursor]) -> int | None:
        """All rows before this time are held; None: all rows there are."""
        while True:
            open_ends = [(cursor.last_us, cursor) for cursor in cursors if not cursor.ended]
            if not open_ends:
                return None
            ready, first = min(open_ends, key=lambda one: one[0])
            if any(cursor.first_us < ready for cursor in cursors):
                return ready
            # Nothing is before it: more of the series that holds the others up may have the same time.
            first.hold_more()


def _in_order(taken: Sequence[tuple[_Cursor, tuple[IntColumn, list[tuple[Any, ...]]]]]) -> list[MarketRow]:
    """The rows of one window; the cursors come in the order that decides between equal times."""
    if len(taken) == 1:
        cursor, (times, rows) = taken[0]
        return list(map(MarketRow._make, zip(times.tolist(), repeat(cursor.index, len(rows)), rows, strict=True)))
    times = np.concatenate([part[0] for _, part in taken])
    indices = np.repeat([cursor.index for cursor, _ in taken], [part[0].size for _, part in taken])
    rows = [row for _, part in taken for row in part[1]]
    order = np.argsort(times, kind="stable")
    ordered = map(rows.__getitem__, order.tolist())
    return list(map(MarketRow._make, zip(times[order].tolist(), indices[order].tolist(), ordered, strict=True)))


class _Cursor:
    """One series: rows that are held and not yet taken, as columns."""

    def __init__(self, index: int, selection: Selection, read: ReadTables, *, start_us: int, end_us: int) -> None:
        self.index = index
        self.ended = False
        self._series = selection.series
        self._names = selection.columns or KINDS[selection.series.kind].names
        self._tables = self._cut(read, start_us, end_us)
        self._held: list[tuple[IntColumn, pa.Table]] = []
        self._after_us: int | None = None

    @property
    def first_us(self) -> int:
        """When the first held row is known."""
        return int(self._held[0][0][0])

    @property
    def last_us(self) -> int:
        """When the last held row is known."""
        return int(self._held[-1][0][-1])

    def waiting(self) -> bool:
        """Whether rows are held."""
        return bool(self._held)

    def hold_more(self) -> bool:
        """One more piece is held behind the others; False when the series has ended."""
        piece = next(self._tables, None)
        if piece is None:
            self.ended = True
            return False
        self._held.append(piece)
        return True

    def take_before(self, until_us: int | None) -> tuple[IntColumn, list[tuple[Any, ...]]]:
        """Times and rows of what is known before `until_us` (None: of all that is held); they are held no more."""
        times: list[IntColumn] = []
        rows: list[tuple[Any, ...]] = []
        kept: list[tuple[IntColumn, pa.Table]] = []
        for known_us, table in self._held:
            count = len(known_us) if until_us is None else int(known_us.searchsorted(until_us))
            if count:
                times.append(known_us[:count])
                rows += _plain_rows(table.slice(0, count))
            if count < len(known_us):
                kept.append((known_us[count:], table.slice(count)))
        self._held = kept
        return (np.concatenate(times) if times else np.empty(0, np.int64)), rows

    def _cut(self, read: ReadTables, start_us: int, end_us: int) -> Iterator[tuple[IntColumn, pa.Table]]:
        """The rows known in [start_us, end_us), in pieces of at most a window, with the times from which they are known."""
        start_ms = start_us // US_PER_MS - delay_max_ms(self._series)
        for table in read(self._series, start_ms, -(-end_us // US_PER_MS)):
            known_us = available_us(self._series, table)
            self._check_order(known_us)
            first, last = known_us.searchsorted((start_us, end_us)).tolist()
            wanted = table.select(list(self._names))
            for row in range(first, last, WINDOW_ROWS):
                count = min(WINDOW_ROWS, last - row)
                yield known_us[row : row + count], wanted.slice(row, count)

    def _check_order(self, known_us: IntColumn) -> None:
        if not len(known_us):
            return
        before_us = self._after_us
        self._after_us = int(known_us[-1])
        back = np.flatnonzero(known_us[1:] < known_us[:-1])
        if len(back) or (before_us is not None and int(known_us[0]) < before_us):
            at_us = int(known_us[back[0] + 1] if len(back) else known_us[0])
            raise DataQualityError(
                f"{self._series}: the row of {iso_text(at_us // US_PER_MS)} UTC stands behind a later one; "
                "`bt data check` names the file"
            )


def _plain_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(_plain(column) for column in table.columns), strict=True))


def _plain(column: pa.ChunkedArray[Any]) -> list[Any]:
    """The values of a column as Python objects, None where empty: through NumPy where it can, which is three times as quick."""
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return column.to_pylist()
    values: list[Any]
    if not column.null_count:
        values = column.to_numpy().tolist()
        return values
    empty = np.flatnonzero(column.is_null().to_numpy())
    if len(empty) == len(column):
        return [None] * len(column)
    values = column.fill_null(pa.scalar(0, pa.int64()).cast(column.type)).to_numpy().tolist()
    for row in empty.tolist():
        values[row] = None
    return values
