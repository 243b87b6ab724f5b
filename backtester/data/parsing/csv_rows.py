"""Rows of a csv file in blocks of bounded memory: fast where all is well, tolerant where Arrow refuses a stretch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, cast

from backtester.data.parsing.csv_tolerant import BLANKS, Fault, read_tolerantly
from backtester.domain.errors import DataError, SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 8 * 2**20
"""How much text is held at a time: some 80,000 rows. Four times as much reads no faster, and holds 180 MB more."""
PIECE_BYTES = 256 * 2**10
"""A block that Arrow refuses is tried again in pieces of this size, and only those it refuses again are read tolerantly."""
LINE_BYTES_MAX = 64 * 2**10
FAULTS_MAX = 1_000
"""Where more rows than this are faulty, and more than half of all so far, the file is of another format."""
_BOM = b"\xef\xbb\xbf"


class Field(NamedTuple):
    """One column to be read. `type`: int64, float64, bool, string, or `moment` (UTC date and time as text, read as int64 ms).

    `headings` are its names in a header, lower case; `position` is its place in a file without one. A column that is not
    `required` may be absent.
    """

    name: str
    type: str
    position: int
    headings: tuple[str, ...]
    required: bool = True


class CsvLayout(NamedTuple):
    """The columns of a format; `widths` are the numbers of fields that its files without a header have."""

    what: str
    fields: tuple[Field, ...]
    widths: tuple[int, ...]


class Block(NamedTuple):
    """Rows one after the other: the layout's fields that the file has, under their names; unreadable values are null.

    `first_row` is the number of the first row in the file, where 1 is the first row of data and blank lines do not count.
    """

    table: pa.Table
    first_row: int
    faults: tuple[Fault, ...]


def read_blocks(stream: BinaryIO, layout: CsvLayout, *, file: str, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The rows of the stream, in order; values are the nearest float64 of their text.

    Raises: SchemaMismatchError - the first line is neither a header with the needed columns nor a row of this format, or most
    rows cannot be read as such. DataError - the stream is damaged, or a line is no row at all.
    """
    data = stream.read(block_bytes).removeprefix(_BOM)
    columns, data = _columns(data, layout, file)
    rows = _Rows(layout, columns, file)
    while data:
        following = stream.read(block_bytes)
        if following:
            end = data.rfind(b"\n") + 1
            if len(data) - end > LINE_BYTES_MAX:
                raise DataError(f"{file}: a line of more than {LINE_BYTES_MAX:,} bytes after row {rows.count}; it is no row")
            data, following = data[:end], data[end:] + following
        block = rows.block(data)
        if block.table.num_rows:
            yield block
        data = following


def first_fields(head: bytes) -> list[str]:
    """The fields of the first line that is not blank, stripped and lower case; empty where there is none."""
    lines = (line for line in head.removeprefix(_BOM).splitlines() if line.strip(BLANKS.encode()))
    return [field.lower() for field in _fields(next(lines, b""))]


def is_data(field: str) -> bool:
    """Whether a first field belongs to a row: a whole number or a date. Anything else begins a header."""
    digits = field.removeprefix("-").removeprefix("+")
    return digits[:4].isdecimal() and len(digits) >= 10 if "-" in digits else digits.isdecimal()


def _fields(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace").strip(BLANKS)
    try:
        return [field.strip(BLANKS) for field in next(csv.reader([text]), [])]
    except csv.Error:  # a lone carriage return, say
        return [field.strip(BLANKS) for field in text.split(",")]


def _columns(data: bytes, layout: CsvLayout, file: str) -> tuple[list[str | None], bytes]:
    """Which field of the layout stands at each position (None: one that is not read), and the data behind a header."""
    start = len(data) - len(data.lstrip(BLANKS.encode()))
    end = data.find(b"\n", start) + 1 or len(data)
    if end - start > LINE_BYTES_MAX:
        raise SchemaMismatchError(f"{file}: its first line has more than {LINE_BYTES_MAX:,} bytes; it holds no {layout.what}")
    names = [name.lower() for name in _fields(data[start:end])]
    if not names:
        return [], b""
    if is_data(names[0]):
        width = _width(data)
        if width not in layout.widths:
            raise SchemaMismatchError(
                f"{file}: its rows have {width} fields and no header; those of {layout.what} have "
                f"{' or '.join(map(str, layout.widths))}"
            )
        at = {field.position: field.name for field in layout.fields}
        return [at.get(position) for position in range(width)], data
    found: dict[int, str] = {}
    for field in layout.fields:
        place = next((names.index(heading) for heading in field.headings if heading in names), None)
        if place is not None:
            found[place] = field.name
        elif field.required:
            raise SchemaMismatchError(
                f"{file}: its first line is no header of {layout.what}: {field.headings[0]} is missing among "
                f"{', '.join(names)[:300]}"
            )
    return [found.get(position) for position in range(len(names))], data[end:]


def _width(data: bytes) -> int:
    """The number of fields that most of the first rows have."""
    lines = [line for line in data[:LINE_BYTES_MAX].split(b"\n")[:50] if line.strip(BLANKS.encode())]
    if len(lines) > 1 and not data[:LINE_BYTES_MAX].endswith(b"\n"):
        lines.pop()  # cut, here or by the file's end
    counts = [len(_fields(line)) for line in lines]
    return max(counts, key=counts.count)


class _Rows:
    """Turns stretches of text into blocks, counting rows and faults over the file."""

    def __init__(self, layout: CsvLayout, columns: list[str | None], file: str) -> None:
        self._layout = layout
        self._file = file
        self._columns = columns
        self._types = {field.name: field.type for field in layout.fields if field.name in columns}
        self.count = 0
        self._faults = 0

    def block(self, data: bytes) -> Block:
        """The rows of whole lines."""
        import pyarrow as pa

        first_row = self.count + 1
        faults: list[Fault] = []
        table = self._fast(data)
        if table is not None:
            self.count += table.num_rows
            return Block(table, first_row, ())
        pieces = []
        for piece in _pieces(data):
            part = self._fast(piece)
            if part is None:
                index = self.count + 1 - first_row
                part, found = read_tolerantly(piece, self._columns, self._types, first_index=index, line_bytes_max=LINE_BYTES_MAX)
                faults += found
                self._faults += len(found)
            self.count += part.num_rows
            pieces.append(part)
            if self._faults > FAULTS_MAX and self._faults * 2 > self.count:
                raise SchemaMismatchError(
                    f"{self._file}: {self._faults:,} of its first {self.count:,} rows cannot be read as {self._layout.what} "
                    f"(row {first_row + faults[0].index}: {faults[0].detail}); it is of another format or damaged"
                )
        return Block(pa.concat_tables(pieces), first_row, tuple(faults))

    def _fast(self, data: bytes) -> pa.Table | None:
        """All rows of `data` by Arrow; None where one of them is not as it should be."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        # Arrow would read 0x10 as a number; the search for one byte is quick, and most data has no such byte.
        if (b"x" in data and b"0x" in data) or (b"X" in data and b"0X" in data):
            return None
        arrow = {
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "string": pa.string(),
            "moment": pa.timestamp("ms"),
        }
        try:
            table = arrow_csv.read_csv(
                cast("IO[bytes]", pa.BufferReader(data)),
                read_options=arrow_csv.ReadOptions(
                    column_names=[name or f"_{index}" for index, name in enumerate(self._columns)], block_size=2**20
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: arrow[kind] for name, kind in self._types.items()},
                    include_columns=list(self._types),
                    null_values=[""],
                    strings_can_be_null=True,
                    true_values=["true", "True", "TRUE"],
                    false_values=["false", "False", "FALSE"],
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                return pa.table({name: pa.array([], arrow[kind]) for name, kind in self._types.items()}).cast(_schema(self._types))
            return None
        return table.cast(_schema(self._types)) if "moment" in self._types.values() else table


def _schema(types: dict[str, str]) -> pa.Schema:
    """Of a block's table: moments are whole milliseconds."""
    import pyarrow as pa

    arrow = {"float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
    return pa.schema([pa.field(name, arrow.get(kind, pa.int64())) for name, kind in types.items()])


def _pieces(data: bytes) -> Iterator[bytes]:
    """The same lines in stretches of about `PIECE_BYTES`."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + PIECE_BYTES) + 1 or len(data)
        yield data[start:end]
        start = end
