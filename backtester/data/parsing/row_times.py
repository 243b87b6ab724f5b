"""When each row of a table was: from columns of dates and times, or of epoch numbers in any unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backtester.data.parsing.raw_tables import Column, epoch_us
from backtester.domain.errors import SchemaMismatchError

START_NAMES = (
    "start_ms",
    "open_time_ms",
    "time_ms",
    "ts_ms",
    "open_time",
    "opentime",
    "start",
    "start_at",
    "timestamp",
    "datetime",
    "date",
    "time",
    "ts",
)
"""Columns that may hold the start of a bar, in the order in which they are looked for."""
END_NAMES = ("end_ms", "close_time_ms", "close_time", "closetime", "end")
"""Columns that hold the end of a bar."""
TIME_NAMES = (
    "time_us",
    "ts_us",
    "ts_ms",
    "time_ms",
    "transact_ms",
    "event_ms",
    "recv_ns",
    "timestamp",
    "datetime",
    "date",
    "time",
    "ts",
)
"""Columns that may hold the time of what is no bar; row by row, the first that has a value counts."""


class RowTimes:
    """Reads the times of one file, part after part."""

    def __init__(self, kind: str, *, file: str) -> None:
        self._kind = kind
        self._file = file
        self._last_us: int | None = None

    def bars_ms(self, columns: Mapping[str, Column], names: Sequence[str]) -> Column | None:
        """The first of these columns, in milliseconds; None where there is none. Raises SchemaMismatchError."""
        import pyarrow as pa
        import pyarrow.compute as pc

        name = next((name for name in names if name in columns), None)
        if name is None:
            return None
        values = columns[name]
        if name.endswith("_ms") and pa.types.is_integer(values.type):
            return values.cast(pa.int64())
        us = self._epoch_us(values, name)
        ms = _floored(us)
        parts = pc.not_equal(us, pc.multiply(ms, pa.scalar(1_000, pa.int64())))
        if name in START_NAMES and pc.any(pc.and_not(parts, _ends_in_nines(us))).as_py():
            raise SchemaMismatchError(f"{self._file}: column {name} has parts of a millisecond; no bar starts there")
        return ms

    def ticks(self, columns: Mapping[str, Column], *, in_us: bool) -> Column:
        """By the first of the time columns that has a value in a row, in microseconds or milliseconds. Raises SchemaMismatchError.

        A snapshot of a book that was asked for in the middle of a recording may have no time of its own: it gets that of the
        message before it, or at the beginning of the one behind.
        """
        import pyarrow.compute as pc

        names = [name for name in TIME_NAMES if name in columns]
        if self._kind == "book":
            names = [name for name in names if name != "recv_ns"] or names
        if not names:
            raise SchemaMismatchError(
                f"{self._file}: no column says when; name it ts_ms (integers, UTC epoch ms) or timestamp (dates and times); found "
                f"{', '.join(columns)}"
            )
        us = pc.coalesce(*(self._epoch_us(columns[name], name) for name in names))
        if self._kind == "book":
            us = self._following(us)
        return us if in_us else _floored(us)

    def _following(self, us: Column) -> Column:
        import pyarrow.compute as pc

        filled = pc.fill_null_forward(us)
        if self._last_us is not None:
            filled = pc.fill_null(filled, self._last_us)
        filled = pc.fill_null_backward(filled)
        if len(filled):
            self._last_us = filled[len(filled) - 1].as_py()
        return filled

    def _epoch_us(self, values: Column, name: str) -> Column:
        """Times in microseconds; where a column's name says its unit, that holds."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_timestamp(values.type):
            return values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64())
        if pa.types.is_date(values.type):
            return values.cast(pa.timestamp("us")).cast(pa.int64())
        if not pa.types.is_integer(values.type):
            raise SchemaMismatchError(
                f"{self._file}: column {name} is {values.type}, not dates and times; if it holds UTC epoch milliseconds, name it "
                "start_ms, as integers"
            )
        values = values.cast(pa.int64())
        if name.endswith("_us"):
            return values
        if name.endswith("_ms"):
            return pc.multiply(values, pa.scalar(1_000, pa.int64()))
        if name.endswith("_ns"):
            return _floored(values)
        return epoch_us(values, name=name, file=self._file)


def _floored(values: Column) -> Column:
    """A thousandth, rounded down."""
    import pyarrow as pa
    import pyarrow.compute as pc

    thousand = pa.scalar(1_000, pa.int64())
    quotient: Column = pc.divide(values, thousand)
    too_high = pc.greater(pc.multiply(quotient, thousand), values)
    return pc.subtract(quotient, too_high.cast(pa.int64()))


def _ends_in_nines(us: Column) -> Column:
    """Whether each time is a microsecond before a whole millisecond, as closes in microseconds are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    later = pc.add(us, pa.scalar(1, pa.int64()))
    return pc.equal(pc.multiply(_floored(later), pa.scalar(1_000, pa.int64())), later)
