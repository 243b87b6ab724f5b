from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.availability import available_us
from backtester.data.batch import Batch, Origin
from backtester.data.catalog import Catalog
from backtester.data.event_merge import ORDER_OF_KINDS, WINDOW_ROWS, EventMerge, Selection
from backtester.data.kinds import KINDS, VolumeUnit
from backtester.data.merging import in_canonical_order
from backtester.data.series import Series
from backtester.domain.errors import ConfigError, DataQualityError
from tests.data.candles import MINUTE, MONDAY
from tests.support.shared_data import SHARED, needs_shared

EVER = 10**17
PICKED = ("candles", "mark", "funding", "trades", "quotes", "book", "metrics")


def series(kind: str, symbol: str = "BTCUSDT", timeframe: str = "1m") -> Series:
    return Series("binance", "linear", symbol, kind, timeframe if KINDS[kind].periodic else "tick")


def table_of(kind: str, times, salt: int = 0) -> pa.Table:
    """Rows at these times whose values tell them apart; every third optional value is empty."""
    times = np.array(times, np.int64)
    columns: list[pa.Array] = []
    for number, column in enumerate(KINDS[kind].columns):
        ids = np.arange(len(times)) * 10 + number + salt * 100_000
        empty = (ids // 10 % 3 == 0) if not column.required else np.zeros(len(times), bool)
        values = {
            "int64": lambda ids=ids: ids,
            "float64": lambda ids=ids: ids / 8,
            "bool": lambda ids=ids: ids // 10 % 2 == 0,
            "string": lambda ids=ids: [f"t{one}" for one in ids.tolist()],
        }[column.type]()
        columns.append(pa.array(times if number == 0 else values, mask=None if number == 0 else empty))
    return pa.table(columns, schema=KINDS[kind].schema())


class Held:
    """Tables in memory, read in pieces as a catalog does."""

    def __init__(self, tables: dict[Series, pa.Table], sizes=(10_000,)) -> None:
        self.tables, self.sizes = tables, sizes
        self.rows_read = 0

    def read(self, one: Series, start_ms: int, end_ms: int):
        table = self.tables[one]
        unit = 1000 if KINDS[one.kind].time == "time_us" else 1
        first, last = table.column(0).to_numpy().searchsorted((start_ms * unit, end_ms * unit)).tolist()
        turn = 0
        while first < last:
            count = min(self.sizes[turn % len(self.sizes)], last - first)
            self.rows_read += count
            yield table.slice(first, count)
            first, turn = first + count, turn + 1


def merged(held: Held, *, start_us: int = 0, end_us: int = EVER, columns=()):
    selections = [Selection(one, columns) for one in held.tables]
    return list(EventMerge(selections, held.read, start_us=start_us, end_us=end_us).rows())


def naive(held: Held, *, start_us: int = 0, end_us: int = EVER):
    """All rows sorted as the order is written down, the slow way."""
    rows = []
    for index, (one, table) in enumerate(held.tables.items()):
        known = available_us(one, table).tolist()
        for number, (at, row) in enumerate(zip(known, table.to_pylist(), strict=True)):
            if start_us <= at < end_us:
                rows.append(((at, ORDER_OF_KINDS.index(one.kind), index, number), (at, index, tuple(row.values()))))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


@st.composite
def markets(draw):
    """One to four series of different kinds whose rows often have the same time."""
    tables = {}
    picks = draw(st.lists(st.tuples(st.sampled_from(PICKED), st.sampled_from("AB")), min_size=1, max_size=4, unique=True))
    for salt, (kind, symbol) in enumerate(picks):
        steps = sorted(draw(st.lists(st.integers(0, 12), max_size=30)))
        if KINDS[kind].key:
            steps = sorted(set(steps))
        unit = 1000 if KINDS[kind].time == "time_us" else 1
        tables[series(kind, symbol)] = table_of(kind, [(MONDAY + step * MINUTE // 2 * 2) * unit for step in steps], salt)
    return tables


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=3)
STEPS = st.integers(-1, 14).map(lambda step: (MONDAY + step * MINUTE) * 1000)


def test_every_kind_has_its_place_in_the_order():
    assert sorted(ORDER_OF_KINDS) == sorted(KINDS)


@given(tables=markets(), sizes=SIZES)
def test_the_order_is_the_one_written_down_however_the_tables_are_cut(tables, sizes):
    assert merged(Held(tables, sizes)) == naive(Held(tables))


@given(tables=markets(), sizes=SIZES, start_us=STEPS, end_us=STEPS)
def test_a_merge_that_starts_later_or_ends_earlier_has_exactly_the_rows_between(tables, sizes, start_us, end_us):
    expected = [row for row in naive(Held(tables)) if start_us <= row[0] < end_us]
    assert merged(Held(tables, sizes), start_us=start_us, end_us=end_us) == expected


@given(tables=markets())
def test_every_row_has_the_millisecond_from_which_it_could_be_known(tables):
    rows = merged(Held(tables))
    assert all((row.available_ms - 1) * 1000 < row.available_us <= row.available_ms * 1000 for row in rows)
    known_ms = [row.available_ms for row in rows]
    assert known_ms == sorted(known_ms)


def test_a_tick_is_known_in_the_millisecond_that_has_not_passed():
    trades = series("trades")
    held = Held({trades: table_of("trades", [MONDAY * 1000, MONDAY * 1000 + 1])})
    assert [row.available_ms for row in merged(held)] == [MONDAY, MONDAY + 1]


def test_within_one_microsecond_prices_come_before_funding_and_trades_before_quotes():
    at_ms = MONDAY + MINUTE
    kinds = ("quotes", "trades", "funding", "candles", "mark")
    times = {"quotes": at_ms * 1000, "trades": at_ms * 1000, "funding": at_ms, "candles": MONDAY, "mark": MONDAY}
    held = Held({series(kind): table_of(kind, [times[kind]]) for kind in kinds})
    assert [kinds[index] for _, index, _ in merged(held)] == ["mark", "candles", "funding", "trades", "quotes"]


def test_only_the_columns_asked_for_are_handed_over_in_their_order():
    table = table_of("trades", [MONDAY * 1000])
    held = Held({series("trades"): table})
    assert merged(held, columns=("qty", "price")) == [(MONDAY * 1000, 0, (table["qty"][0].as_py(), table["price"][0].as_py()))]


def test_values_are_plain_python_objects_and_empty_ones_none():
    held = Held({series("book"): table_of("book", [MONDAY * 1000, MONDAY * 1000 + 1])})
    first, second = (row for _, _, row in merged(held))
    assert [type(value) for value in second] == [int, int, bool, bool, float, float, int, int, int]
    assert first[3:] == (None,) * 6


def test_rows_come_in_windows_and_no_more_is_read_than_they_need():
    held = Held({series("trades"): table_of("trades", range(MONDAY * 1000, MONDAY * 1000 + 50_000))}, sizes=(8192,))
    windows = EventMerge([Selection(series("trades"))], held.read, start_us=0, end_us=EVER).windows()
    first = next(windows)
    assert 0 < len(first) <= WINDOW_ROWS
    assert held.rows_read == 8192
    assert len(first) + sum(map(len, windows)) == 50_000


def test_more_rows_in_one_microsecond_than_a_window_holds_stay_in_order():
    crowd = [MONDAY * 1000] * (2 * WINDOW_ROWS + 5)
    held = Held({series("quotes"): table_of("quotes", crowd), series("trades"): table_of("trades", crowd)}, sizes=(1000,))
    assert [index for _, index, _ in merged(held)] == [1] * len(crowd) + [0] * len(crowd)


def test_rows_that_go_back_in_time_are_refused():
    table = table_of("trades", [5_000_000, 4_000_000])
    for sizes in ((2,), (1,)):
        held = Held({series("trades"): table}, sizes)
        held.read = lambda one, start_ms, end_ms, sizes=sizes: (table.slice(row, sizes[0]) for row in range(0, 2, sizes[0]))
        with pytest.raises(DataQualityError, match="1970-01-01 00:00:04 UTC stands behind a later one"):
            merged(held)


def test_a_series_twice_and_an_unknown_column_are_refused():
    held = Held({series("trades"): table_of("trades", [])})
    with pytest.raises(ConfigError, match="selected twice"):
        EventMerge([Selection(series("trades"))] * 2, held.read, start_us=0, end_us=1)
    with pytest.raises(ConfigError, match="no column close; it has time_us"):
        EventMerge([Selection(series("trades"), ("close",))], held.read, start_us=0, end_us=1)


# -- real data -----------------------------------------------------------------------------------------------------------


def real(kind: str, path: str, names: dict[str, str]) -> pa.Table:
    """A shared file in the columns of its kind; `names` says what the file calls them."""
    table = pq.read_table(SHARED / "data" / path)
    columns = []
    for column in KINDS[kind].schema():
        values = (
            table.column(names.get(column.name, column.name)) if names.get(column.name, column.name) in table.column_names else None
        )
        if values is None:
            values = pa.nulls(table.num_rows, column.type)
        if column.name == "time_us":
            values = pa.array(values.to_numpy() * 1000)
        columns.append(values.cast(column.type))
    table = pa.table(columns, schema=KINDS[kind].schema())
    return table.sort_by(KINDS[kind].time)


def real_market() -> dict[Series, pa.Table]:
    """Candles, marks, funding and trades as they were published."""
    return {
        series("candles"): real("candles", "candles/binance_um/BTCUSDT_1m.parquet", {"start_ms": "open_time_ms"}).slice(0, 30_000),
        series("mark", timeframe="8h"): real("mark", "mark/binance_um/BTCUSDT_8h.parquet", {"start_ms": "open_time_ms"}),
        series("funding"): real("funding", "funding/binance_um/BTCUSDT.parquet", {"time_ms": "ts_ms"}),
        series("trades"): real("trades", "trades/binance_um/BTCUSDT_2024-08-08.parquet", {"time_us": "ts_ms"}),
    }


@needs_shared
def test_a_catalog_hands_over_the_same_rows_as_memory(tmp_path):
    tables = real_market()
    catalog = Catalog(tmp_path)
    tables = {one: in_canonical_order(KINDS[one.kind], [table]) for one, table in tables.items()}
    for one, table in tables.items():
        catalog.store(Batch(one, table, Origin("shared", "0" * 64), VolumeUnit.BASE, (), {}))
    start_us = (int(tables[series("candles")]["start_ms"][500].as_py()) + 17) * 1000
    for begin_us in (0, start_us):
        merge = EventMerge([Selection(one) for one in tables], catalog.read_tables, start_us=begin_us, end_us=EVER)
        assert list(merge.rows()) == merged(Held(tables), start_us=begin_us)


@needs_shared
def test_real_funding_marks_candles_and_trades_stand_in_one_order():
    held = Held(real_market(), sizes=(7000,))
    rows = merged(held)
    assert len(rows) == sum(table.num_rows for table in held.tables.values())
    times = [at for at, _, _ in rows]
    assert times == sorted(times)
    trades = [row for _, index, row in rows if index == 3]
    assert [row[1] for row in trades] == held.tables[series("trades")]["price"].to_pylist()
    marks = {at: row[4] for at, index, row in rows if index == 1}
    seen: set[int] = set()
    for at, index, row in rows:
        hour_us = at // 3_600_000_000 * 3_600_000_000
        if index == 1:
            seen.add(at)
        elif index == 2 and hour_us in marks:
            assert hour_us in seen, f"the mark of {hour_us} must be known when funding of {row[0]} is settled"
