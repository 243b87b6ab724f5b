"""Chunks of one file are stored as one, and never cut inside an instant."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.batch_joining import joined
from backtester.data.findings import Finding, Policy, Rule
from backtester.data.kinds import FUNDING, TRADES, VolumeUnit
from backtester.domain.errors import DataQualityError
from tests.data.rows import a_series, batch_of, rows_in, seeded_rows, table_of, tables


def trades(*times):
    return table_of(TRADES, [{"time_us": time, "price": 1.0, "qty": 1.0, "is_buyer_maker": True} for time in times])


def times_of(batch):
    return batch.table.column("time_us").to_pylist()


@given(table=tables(TRADES), chunk=st.integers(1, 4), rows_max=st.integers(1, 6), newest_first=st.booleans())
def test_no_row_is_lost_and_no_instant_is_cut(table, chunk, rows_max, newest_first):
    chunks = [table.slice(first, chunk) for first in range(0, table.num_rows, chunk)]
    batches = [batch_of(one, a_series(TRADES)) for one in (chunks[::-1] if newest_first else chunks)]
    parts = list(joined(batches, rows_max=rows_max))
    rows = sorted((row for part in parts for row in rows_in(part.table)), key=repr)
    assert rows == sorted(rows_in(table), key=repr)
    instants = [time for part in parts for time in dict.fromkeys(times_of(part))]
    assert len(instants) == len(dict.fromkeys(instants))


def test_batches_of_another_series_origin_or_unit_stay_apart():
    one = batch_of(trades(1), a_series(TRADES))
    others = [
        batch_of(trades(2), a_series(TRADES, symbol="ETHUSDT")),
        batch_of(trades(3), a_series(TRADES), origin="other.csv"),
        batch_of(trades(4), a_series(TRADES), unit=VolumeUnit.QUOTE),
    ]
    assert [times_of(part) for part in joined([one, one, *others])] == [[1, 1], [2], [3], [4]]


def test_findings_of_all_parts_are_kept_once():
    found = [Finding(Rule.OUTLIER, Policy.KEEP, "a.csv", row, 1, "far") for row in (1, 2, 3)]
    batches = [batch_of(trades(row), a_series(TRADES), findings=(one,)) for row, one in enumerate(found)]
    parts = list(joined(batches, rows_max=2))
    assert len(parts) == 3
    assert [one for part in parts for one in part.findings] == found


def test_a_row_that_stands_in_two_chunks_counts_once_where_there_is_a_key():
    rows = seeded_rows(FUNDING, seed=1, count=5)
    (part,) = joined([batch_of(one, a_series(FUNDING)) for one in (rows.slice(0, 3), rows.slice(2))])
    assert part.table.equals(rows)
    other = rows.slice(2).set_column(1, "rate", pa.array([9.0, 9.0, 9.0]))
    with pytest.raises(DataQualityError, match=r"a\.csv: binance linear BTCUSDT funding .*given with rate 9\.0"):
        list(joined([batch_of(one, a_series(FUNDING)) for one in (rows.slice(0, 3), other)]))
