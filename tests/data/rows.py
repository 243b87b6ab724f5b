"""Small tables of any kind: made from a seed, or searched for by hypothesis."""

from __future__ import annotations

from random import Random

import pyarrow as pa
from hypothesis import strategies as st

from backtester.data.batch import Batch, Origin
from backtester.data.findings import Finding, Policies
from backtester.data.kinds import Kind, VolumeUnit, kind_named
from backtester.data.merging import in_canonical_order
from backtester.data.months import units_per_ms
from backtester.data.series import Series, series_of

START_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC
STEP_MS = 60_000


def a_series(kind: Kind, **changed: str) -> Series:
    names = {"exchange": "binance", "market": "linear", "symbol": "BTCUSDT", "kind": kind.name} | changed
    return series_of(timeframe="1m" if kind.periodic else None, **names)


def table_of(kind: Kind, rows: list[dict[str, object]]) -> pa.Table:
    """The rows in canonical order; a column that a row does not name is empty."""
    columns = {column.name: [row.get(column.name) for row in rows] for column in kind.columns}
    return in_canonical_order(kind, [pa.table(columns, schema=kind.schema())])


def seeded_rows(kind: Kind, *, seed: int, count: int, first: int = 0, step_ms: int = STEP_MS) -> pa.Table:
    """`count` rows a step apart, the first `first` steps from the start; the same seed gives the same value at the same step."""
    rows = []
    for index in range(first, first + count):
        random = Random(f"{seed} {index}")
        rows.append({column.name: _value(kind, column, index, random, step_ms) for column in kind.columns})
    return table_of(kind, rows)


def _value(kind, column, index, random, step_ms):
    if column.name == kind.time:
        return (START_MS + index * step_ms) * units_per_ms(kind)
    if not column.required and random.random() < 0.3:
        return None
    if column.name in kind.key:
        return {"string": f"K{index}", "int64": index, "float64": float(index)}[column.type]
    return {"string": str(random.randrange(50)), "int64": random.randrange(5), "bool": random.random() < 0.5}.get(
        column.type, random.randrange(1, 10**6) / 64
    )


def batch_of(
    table: pa.Table,
    series: Series,
    *,
    origin: str = "a.csv",
    unit: VolumeUnit = VolumeUnit.BASE,
    findings: tuple[Finding, ...] = (),
) -> Batch:
    return Batch(series, table, Origin(origin, f"{len(origin):064x}"), unit, findings, Policies().texts())


@st.composite
def tables(draw: st.DrawFn, kind: Kind, *, consistent: bool = True) -> pa.Table:
    """Few rows close together, so that keys meet and rows are equal; `consistent`: a key has one value, or an empty one."""
    count = draw(st.integers(0, 8))
    rows: dict[object, dict[str, object]] = {}
    for place in range(count):
        index = draw(st.integers(0, 4))
        row = {column.name: draw(_cells(kind, column, index, consistent)) for column in kind.columns}
        rows[tuple(row[name] for name in kind.key) if kind.key else place] = row
    return table_of(kind, list(rows.values()))


def _cells(kind, column, index, consistent):
    if column.name == kind.time:
        return st.just(START_MS * units_per_ms(kind) + index)
    if column.name in kind.key:
        return st.just({"string": f"K{index}", "int64": index, "float64": float(index)}[column.type])
    by_type = {
        "string": st.sampled_from(["9", "10"]),
        "int64": st.integers(0, 1),
        "float64": st.sampled_from([-1.5, 0.0, -0.0, 2.0]),
        "bool": st.booleans(),
    }
    values = st.just({"string": "9", "int64": 1, "float64": 0.5 + index, "bool": True}[column.type])
    if not (consistent and kind.key):
        values = by_type[column.type]
    return values if column.required else st.none() | values


def rows_in(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def some_kinds() -> list[Kind]:
    return [kind_named(name) for name in ("candles", "funding", "trades", "agg_trades", "book", "book_depth", "option_summary")]
