"""From rows of an interface to clean batches of a bounded size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from backtester.data.batch import Batch, Origin, RawBatch
from backtester.data.findings import Finding, Policies, Policy, Rule
from backtester.data.kinds import VolumeUnit, kind_named
from backtester.data.series import Series
from backtester.data.sources.paging import Row

BATCH_ROWS = 50_000
"""A month of minutes is little more: so few rows are held, and so seldom a month is written again."""
_DROPPED_OPEN = "the last bar had not closed when the venue answered"


def collected(pages: Iterable[Sequence[Row]]) -> Iterator[list[Row]]:
    """The rows of all pages, in lists of at least BATCH_ROWS and hardly more; the last as long as it is."""
    held: list[Row] = []
    for page in pages:
        held.extend(page)
        if len(held) >= BATCH_ROWS:
            yield held
            held = []
    if held:
        yield held


def batch_of(
    series: Series,
    names: Sequence[str],
    rows: Sequence[Row],
    *,
    origin: str,
    policies: Policies,
    volume_unit: VolumeUnit = VolumeUnit.BASE,
    findings: Sequence[Finding] = (),
) -> Batch:
    """Clean rows of `series`; `names` are the columns of the kind that each row begins with, in this order.

    Numbers may be text. The sha256 of the origin is that of the rows as JSON, for the bytes of an answer are the SDK's.
    Raises DataQualityError where a policy says so.
    """
    import pyarrow as pa

    from backtester.data.sanitize import sanitize

    kind = kind_named(series.kind)
    given: Mapping[str, list[object]] = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    readers = {"float64": _float, "int64": _int, "bool": _same, "string": _same}
    arrays = []
    for column, field in zip(kind.columns, kind.schema(), strict=True):
        values = given.get(column.name)
        read = readers[column.type]
        arrays.append(
            pa.nulls(len(rows), field.type) if values is None else pa.array([read(value) for value in values], field.type)
        )
    digest = hashlib.sha256(json.dumps([list(row) for row in rows], separators=(",", ":")).encode()).hexdigest()
    table = pa.Table.from_arrays(arrays, schema=kind.schema())
    raw = RawBatch(series, table, Origin(origin, digest), volume_unit, None, tuple(findings))
    return sanitize(raw, policies)


def still_open(count: int, *, file: str, row: int) -> tuple[Finding, ...]:
    """The finding that `count` bars were left out because they had not closed; none for 0."""
    return (Finding(Rule.STILL_OPEN, Policy.DROP, file, row, count, _DROPPED_OPEN),) if count else ()


def _float(value: object) -> float | None:
    try:
        return None if value is None else float(str(value))
    except ValueError:
        return None


def _int(value: object) -> int | None:
    try:
        return None if value is None else int(str(value))
    except ValueError:
        return None


def _same(value: object) -> object:
    return value
