"""Whole columns of a file to raw batches: every column in its kind's type, times from whatever unit they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtester.data.batch import Origin, RawBatch
from backtester.data.findings import Finding
from backtester.data.kinds import kind_named
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, series_for, unit_for
from backtester.data.parsing.opened_file import OpenedFile
from backtester.domain.errors import SchemaMismatchError

Column = Any
"""An Arrow array, whole or in chunks."""

_FIRST_US = 10**15


def raw_batch(
    opened: OpenedFile,
    hint: Hint,
    about: About,
    columns: Mapping[str, Column],
    *,
    first_row: int,
    rows: Column | None = None,
    end_ms: Column | None = None,
    faults: Column | None = None,
    findings: Sequence[Finding] = (),
) -> RawBatch:
    """A batch of the columns that the kind has; optional ones that are not among them are empty.

    Args:   first_row - the number in the file of the first row, the others following; rows - their numbers where they do not.
            faults - the rule that each row breaks as it stands, null where none.
    Raises: SchemaMismatchError - a required column is missing, or something has to be stated.
    """
    import pyarrow as pa

    series = series_for(about, hint, file=opened.name)
    kind = kind_named(series.kind)
    missing = [column.name for column in kind.columns if column.required and column.name not in columns]
    if missing:
        raise SchemaMismatchError(f"{opened.name}: no column {', '.join(missing)}; {series.kind} need it")
    count = len(columns[kind.time])
    schema = kind.schema()
    arrays = [columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type) for field in schema]
    extra: dict[str, Column] = {"row": pa.array(np.arange(first_row, first_row + count)) if rows is None else rows}
    if end_ms is not None:
        extra["end_ms"] = end_ms
    if faults is not None:
        extra["fault"] = faults
    table = pa.Table.from_arrays(arrays, schema=schema)
    unit = unit_for(about, hint, file=opened.name)
    return RawBatch(series, table, Origin(opened.name, opened.sha256), unit, pa.table(extra), tuple(findings))


def epoch_us(values: Column, *, name: str, file: str) -> Column:
    """Whole epoch numbers as microseconds, each by its own digits: 10 are seconds, 13 ms, 16 us, 19 ns.

    Raises SchemaMismatchError for a number that is no time between 2001 and 2100 in any of them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    result = pc.divide(values, pa.scalar(1_000, pa.int64()))
    for below, scale in ((10**18, 1), (10**15, 1_000), (10**12, 1_000_000)):
        small = pc.less(values, pa.scalar(below, pa.int64()))
        scaled = pc.multiply(pc.if_else(small, values, pa.scalar(0, pa.int64())), pa.scalar(scale, pa.int64()))
        result = pc.if_else(small, scaled, result)
    lowest = pc.min(result).as_py()
    if lowest is not None and lowest < _FIRST_US:
        raise SchemaMismatchError(
            f"{file}: column {name} holds {pc.min(values).as_py()}, which is no time in seconds, ms or us; if it is one, "
            "name the column start_ms and give it in milliseconds"
        )
    return result
