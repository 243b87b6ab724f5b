"""Stored mark or index prices, asked for beside a run's candles as time goes on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class MarkSource(NamedTuple):
    """The tables of one symbol's series in order of time, and the length of its bars."""

    tables: Iterator[pa.Table]
    length_ms: int


class MarkBars:
    """Bars of mark prices by symbol. Times asked for may not go back by more than a table: memory is constant.

    What is asked of a symbol that has no series, or of a time that is not stored, is None.
    """

    def __init__(self, sources: Mapping[str, MarkSource]) -> None:
        self._cursors = {symbol: _Cursor(source) for symbol, source in sources.items()}

    def over(self, symbol: str, start_ms: int, end_ms: int) -> tuple[float, float, float] | None:
        """(open, lowest, highest) of the bars that lie in [start_ms, end_ms); None unless the first of them is stored."""
        cursor = self._cursors.get(symbol)
        return cursor.over(start_ms, end_ms) if cursor is not None else None

    def close_at(self, symbol: str, time_ms: int) -> float | None:
        """The close of the last bar that has ended by `time_ms`."""
        cursor = self._cursors.get(symbol)
        return cursor.close_at(time_ms) if cursor is not None else None


class _Cursor:
    def __init__(self, source: MarkSource) -> None:
        self._tables = source.tables
        self._length_ms = source.length_ms
        self._starts: list[int] = []
        self._rows: list[tuple[float, float, float, float]] = []
        """(open, high, low, close) of each start."""
        self._recent = 0
        """Rows of the tables before the last one."""

    def over(self, start_ms: int, end_ms: int) -> tuple[float, float, float] | None:
        self._load(end_ms)
        first, last = bisect_left(self._starts, start_ms), bisect_left(self._starts, end_ms)
        if first == last or self._starts[first] != start_ms:
            return None
        rows = self._rows[first:last]
        return rows[0][0], min(row[2] for row in rows), max(row[1] for row in rows)

    def close_at(self, time_ms: int) -> float | None:
        self._load(time_ms)
        index = bisect_left(self._starts, time_ms - self._length_ms + 1)
        return self._rows[index - 1][3] if index else None

    def _load(self, time_ms: int) -> None:
        """Rows up to `time_ms` are there; of the tables before, the last one stays."""
        while not self._starts or self._starts[-1] < time_ms:
            table = next(self._tables, None)
            if table is None:
                return
            columns = [table.column(name).to_numpy().tolist() for name in ("start_ms", "open", "high", "low", "close")]
            del self._starts[: self._recent], self._rows[: self._recent]
            self._recent = len(self._starts)
            self._starts += columns[0]
            self._rows += zip(*columns[1:], strict=True)
