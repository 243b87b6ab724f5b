"""What the time of a bar means: its open unless closes were stated; looks like closes are told, never guessed."""

from __future__ import annotations

from typing import Any

from backtester.data.parsing.hint import Hint
from backtester.data.parsing.period import named_period_ms
from backtester.data.parsing.raw_tables import Column
from backtester.domain.errors import SchemaMismatchError
from backtester.domain.timeframe import bucket_offset_ms, iso_text


def opens_only(hint: Hint, *, file: str) -> None:
    """Returns unless closes were stated for a format whose stamps are opens by its publisher. Raises SchemaMismatchError."""
    if hint.stamp == "close":
        raise SchemaMismatchError(f"{file}: bars in this format are stamped with their open; leave --stamp close away")


class BarStamps:
    """Starts of the bars of one file, whatever it stamps them with."""

    def __init__(self, length_ms: int, hint: Hint, *, file: str) -> None:
        self._length_ms = length_ms
        self._stamp = hint.stamp
        self._file = file
        self._first_ms: int | None = None
        self._last_ms: int | None = None

    def starts_ms(self, starts: Column | None, ends: Column | None) -> tuple[Column, Column | None]:
        """The start of each bar, and the stated ends where the file has both.

        Args:   starts - what the file stamps bars with; ends - a column that says close; either may be missing, not both.
        Raises: SchemaMismatchError - no times, or times that look like closes while nothing says what they are.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        stamps = starts if starts is not None else ends
        if stamps is None:
            raise SchemaMismatchError(
                f"{self._file}: no column says when a bar starts; name it start_ms (integers, UTC epoch ms) "
                "or timestamp (dates and times)"
            )
        if starts is None and self._stamp != "close":
            raise self._evidence("the only column of times is one of closes")
        late = pc.equal(_modulo(pc.add(stamps, pa.scalar(1, pa.int64())), self._length_ms), pa.scalar(0, pa.int64()))
        all_late = self._length_ms > 1 and len(stamps) > 0 and bool(pc.all(late).as_py())
        if self._stamp is None and all_late:
            raise self._evidence(f"every stamp is a millisecond before a bar starts, such as {iso_text(stamps[0].as_py())}")
        if self._stamp == "close":
            rounded = pc.add(stamps, late.cast(pa.int64())) if all_late else stamps
            return pc.subtract(rounded, pa.scalar(self._length_ms, pa.int64())), None
        if self._stamp is None:
            self._seen(stamps)
        return stamps, ends if starts is not None else None

    def finish(self) -> None:
        """Raises SchemaMismatchError where the name says a day or month, and the stamps run from one bar into it to its end."""
        period = named_period_ms(self._file)
        if period is None or self._first_ms is None or self._last_ms is None:
            return
        if self._first_ms == period.start_ms + self._length_ms and self._last_ms == period.end_ms:
            raise self._evidence(
                f"by its name the file begins at {iso_text(period.start_ms)} and ends at {iso_text(period.end_ms)}, but its "
                f"stamps run from {iso_text(self._first_ms)} to {iso_text(self._last_ms)}"
            )

    def _seen(self, stamps: Column) -> None:
        import pyarrow.compute as pc

        ends: Any = pc.min_max(stamps).as_py()
        if ends["min"] is not None:
            self._first_ms = min(ends["min"], ends["min"] if self._first_ms is None else self._first_ms)
            self._last_ms = max(ends["max"], ends["max"] if self._last_ms is None else self._last_ms)

    def _evidence(self, seen: str) -> SchemaMismatchError:
        return SchemaMismatchError(
            f"{self._file}: its bars seem to be stamped with their close ({seen}); state --stamp close if they are, "
            "--stamp open if not"
        )


def _modulo(values: Column, length_ms: int) -> Column:
    """The distance from the grid of the timeframe."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shifted = pc.subtract(values, pa.scalar(bucket_offset_ms(length_ms), pa.int64()))
    length = pa.scalar(length_ms, pa.int64())
    return pc.subtract(shifted, pc.multiply(pc.divide(shifted, length), length))
