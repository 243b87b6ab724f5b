"""Rows of csv text that Arrow refuses: read one by one, so that each fault has a row and a reason."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from backtester.data.findings import Rule

if TYPE_CHECKING:
    import pyarrow as pa

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,3})0*)?)?Z?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 40
BLANKS = " \t\r\n"
"""What means nothing around a value. Python's own idea of blanks has control characters in it, which are damage here."""


class Fault(msgspec.Struct, frozen=True):
    """A row that cannot be read as it stands: its index in the block, the rule it breaks, and what it holds."""

    index: int
    rule: Rule
    detail: str


def read_tolerantly(
    data: bytes, columns: Sequence[str | None], types: Mapping[str, str], *, first_index: int, line_bytes_max: int
) -> tuple[pa.Table, list[Fault]]:
    """The lines of `data` that are not blank; a value that cannot be read is null, and its row has a fault.

    Args: columns - the name at each position, None for one that is not read; types - of the names, as `csv_rows.Field.type`.
    """
    import pyarrow as pa

    arrow = {"float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
    values: dict[str, list[Any]] = {name: [] for name in types}
    readers = [(position, name, _READERS[types[name]]) for position, name in enumerate(columns) if name is not None]
    faults: list[Fault] = []
    index = first_index
    for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if not line.strip(BLANKS.encode()):
            continue
        fields, problem = _split(line, len(columns), line_bytes_max)
        for position, name, reader in readers:
            text = fields[position].strip(BLANKS) if position < len(fields) else ""
            value = reader(text) if text else None
            values[name].append(value)
            if text and value is None and problem is None:
                problem = Rule.BAD_NUMBER, f"{name} is {_shown(text)}"
        if problem is not None:
            faults.append(Fault(index, *problem))
        index += 1
    table = pa.table({name: pa.array(column, arrow.get(types[name], pa.int64())) for name, column in values.items()})
    return table, faults


def _split(line: bytes, width: int, line_bytes_max: int) -> tuple[list[str], tuple[Rule, str] | None]:
    """The fields of a line, none where it cannot be a row, and what is wrong with their number."""
    if len(line) > line_bytes_max:
        return [], (Rule.BAD_NUMBER, f"a line of {len(line):,} bytes is no row")
    text = line.decode("utf-8", "replace")
    if '"' in text:
        try:
            fields = next(csv.reader([text]))
        except (csv.Error, StopIteration):
            return [], (Rule.BAD_NUMBER, f"{_shown(text)} is no row")
    else:
        fields = text.split(",")
    if len(fields) < width:
        return fields, (Rule.TRUNCATED_ROW, f"it has {len(fields)} fields where {width} belong")
    if len(fields) > width:
        return fields, (Rule.BAD_NUMBER, f"it has {len(fields)} fields where {width} belong")
    return fields, None


def _int(text: str) -> int | None:
    value = int(text) if _INT.fullmatch(text) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _float(text: str) -> float | None:
    return float(text) if _FLOAT.fullmatch(text) else None


def _bool(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _text(text: str) -> str | None:
    return None if "\ufffd" in text else text


def _moment(text: str) -> int | None:
    """Milliseconds of a UTC date, or date and time, as text."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]} {match[2] or '00:00:00'}+00:00")
    except ValueError:
        return None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + int((match[3] or "").ljust(3, "0"))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


_READERS: Mapping[str, Callable[[str], Any]] = {"int64": _int, "float64": _float, "bool": _bool, "string": _text, "moment": _moment}
