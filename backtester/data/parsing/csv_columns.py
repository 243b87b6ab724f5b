"""Csv files of publishers whose columns are named in a header, or known where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from backtester.data.batch import RawBatch
from backtester.data.parsing.csv_rows import CsvLayout, Field, read_blocks
from backtester.data.parsing.epochs import END_US, FIRST_US
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.raw_tables import Column, raw_batch
from backtester.data.parsing.row_faults import RowFaults
from backtester.domain.errors import SchemaMismatchError


class CsvPart(NamedTuple):
    """Consecutive rows: the columns that were asked for, the number of the first row, and what cannot be read."""

    columns: dict[str, Column]
    first_row: int
    faults: RowFaults

    def batch(
        self,
        opened: OpenedFile,
        hint: Hint,
        about: About,
        columns: Mapping[str, Column],
        *,
        newest_first: bool = False,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> RawBatch:
        """A raw batch of `columns`, which have the part's rows, or `rows` of them, by index and as often as they are named."""
        import pyarrow as pa

        findings, faults = self.faults.told(opened.name)
        count = len(next(iter(self.columns.values())))
        if newest_first:
            rows = np.arange(count - 1, -1, -1)
            columns = {name: column.take(pa.array(rows)) for name, column in columns.items()}
        numbers = None if rows is None else pa.array(rows + self.first_row)
        if faults is not None and rows is not None:
            faults = faults.take(pa.array(rows))
        return raw_batch(opened, hint, about, columns, first_row=self.first_row, rows=numbers, faults=faults, findings=findings)

    def only_value(self, name: str, *, file: str, before: str | None = None) -> str:
        """The one value that all rows of a column have, and had `before`; rows that cannot be read do not count.

        Raises SchemaMismatchError where there are several, or none.
        """
        import pyarrow.compute as pc

        values = [value for value in pc.unique(self.faults.sound(self.columns[name])).to_pylist() if value is not None]
        if before is not None and before not in values:
            values.insert(0, before)
        if len(values) != 1:
            shown = ", ".join(map(str, values[:5])) or "nothing"
            raise SchemaMismatchError(f"{file}: column {name} holds {shown}; a file must be of one {name}: split it")
        return str(values[0])


def layout_of(what: str, columns: str) -> CsvLayout:
    """A layout from words `name:type`, or `name:type?` for a column that may be missing; types as `csv_rows.Field` has them."""
    fields = []
    for position, word in enumerate(columns.split()):
        name, _, type_name = word.partition(":")
        fields.append(Field(name, type_name.removesuffix("?"), position, (name,), not type_name.endswith("?")))
    return CsvLayout(what, tuple(fields), (len(fields),))


def read_columns(opened: OpenedFile, layout: CsvLayout, *, header: bytes = b"") -> Iterator[CsvPart]:
    """The rows in parts of bounded size. `header` names the columns of a file that has no header of its own.

    Raises: SchemaMismatchError - a column is missing. DataError - the file is damaged.
    """
    with opened.stream() as stream:
        headed = cast("BinaryIO", _Headed(header, stream)) if header else stream
        for block in read_blocks(headed, layout, file=opened.name):
            columns = {name: block.table.column(name).combine_chunks() for name in block.table.column_names}
            yield CsvPart(columns, block.first_row, RowFaults(block))


class _Headed:
    """A stream with a line before its first."""

    def __init__(self, header: bytes, stream: BinaryIO) -> None:
        self._header = header
        self._stream = stream

    def read(self, length: int) -> bytes:
        """The next bytes."""
        if self._header:
            first, self._header = self._header, b""
            return first + self._stream.read(max(length - len(first), 1)).removeprefix(b"\xef\xbb\xbf")
        return self._stream.read(length)


def taker_sold(part: CsvPart, name: str) -> Column:
    """Whether the taker sold, from a column of sides in any case; a side that is none is a fault."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = part.columns[name]
    lower = pc.utf8_lower(texts)
    null = pa.scalar(None, pa.bool_())
    sold = pc.if_else(pc.equal(lower, pa.scalar("sell")), True, pc.if_else(pc.equal(lower, pa.scalar("buy")), False, null))
    part.faults.add_unread(texts, sold, name)
    return sold


def times_us(part: CsvPart, name: str, *, scale: int) -> Column:
    """A column of whole epoch numbers, each `scale` microseconds; a number outside of 2000 to 2100 is a fault."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = part.columns[name]
    low, high = (pa.scalar(edge_us // scale, pa.int64()) for edge_us in (FIRST_US, END_US))
    possible = pc.and_(pc.greater_equal(values, low), pc.less(values, high))
    kept = pc.if_else(possible, values, pa.scalar(None, pa.int64()))
    part.faults.add_unread(values, kept, name)
    return pc.multiply(kept, pa.scalar(scale, pa.int64()))


class MessageNumbers:
    """Numbers the messages of a book file: consecutive rows with the same key are one message."""

    def __init__(self) -> None:
        self._count = 0
        self._last: tuple[object, ...] | None = None

    def of(self, *keys: Column) -> Column:
        """The number of each row's message, going on where the part before ended."""
        import pyarrow as pa

        arrays = [np.asarray(key.to_numpy(zero_copy_only=False)) for key in keys]
        if not len(arrays[0]):
            return pa.array([], pa.int64())
        new = np.ones(len(arrays[0]), dtype=np.int64)
        new[1:] = np.logical_or.reduce([array[1:] != array[:-1] for array in arrays])
        new[0] = tuple(array[0] for array in arrays) != self._last
        numbers = self._count + np.cumsum(new)
        self._count, self._last = int(numbers[-1]), tuple(array[-1] for array in arrays)
        return pa.array(numbers)
