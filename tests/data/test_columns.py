from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from backtester.data.columns import columns_from_frame
from backtester.data.file_parts import numbers_of
from backtester.domain.errors import DataError, DataQualityError, SchemaMismatchError
from tests.data.candles import MONDAY, minutes

ROWS = minutes(5)
MOMENTS = [datetime(2025, 1, 6, tzinfo=UTC) + timedelta(minutes=index) for index in range(5)]
VALUES = {name: getattr(ROWS, name) for name in ("open", "high", "low", "close", "volume")}


def same(columns):
    return all(
        mine.dtype == theirs.dtype and mine.tobytes() == theirs.tobytes() for mine, theirs in zip(columns, ROWS, strict=True)
    )


@pytest.mark.parametrize(
    "frame",
    [
        {"start_ms": ROWS.start_ms, **VALUES},
        {"open_time_ms": ROWS.start_ms.tolist(), **{name: values.tolist() for name, values in VALUES.items()}},
        pl.DataFrame({"start_ms": ROWS.start_ms, **VALUES, "quote_volume": ["a"] * 5}),
        pl.DataFrame({"timestamp": MOMENTS, **VALUES}),
        pl.DataFrame({"datetime": [moment.replace(tzinfo=None) for moment in MOMENTS], **VALUES}),
        pl.DataFrame({"Date": MOMENTS, **{name.title(): values for name, values in VALUES.items()}}),
        pa.table({"start_ms": ROWS.start_ms, **VALUES}),
        pa.table({"open_time": pa.array(MOMENTS, pa.timestamp("us", "Europe/Berlin")), **VALUES}),
        {"timestamp": ROWS.start_ms.astype("datetime64[ms]"), **VALUES},
    ],
    ids=["arrays", "lists", "polars", "polars utc", "polars naive", "polars titles", "arrow", "arrow berlin", "datetime64"],
)
def test_tables_of_every_kind_become_the_same_columns(frame):
    assert same(columns_from_frame(frame, source="frame"))


def test_pandas_frames_become_the_same_columns():
    pd = pytest.importorskip("pandas")
    index = pd.DatetimeIndex(MOMENTS)
    assert same(columns_from_frame(pd.DataFrame(VALUES, index=index), source="frame"))
    assert same(columns_from_frame(pd.DataFrame(VALUES, index=index.tz_convert("Asia/Tokyo")), source="frame"))
    assert same(columns_from_frame(pd.DataFrame(VALUES, index=index.tz_localize(None)), source="frame"))
    assert same(columns_from_frame(pd.DataFrame({"time": pd.Series(MOMENTS), **VALUES}), source="frame"))
    assert same(columns_from_frame(pd.DataFrame({"start_ms": ROWS.start_ms, **VALUES}), source="frame"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_ms": None}, "no column says when a bar starts"),
        ({"close": None}, "no column close"),
        ({"start_ms": ROWS.start_ms.astype(float)}, "must hold integers"),
        ({"start_ms": None, "timestamp": ROWS.start_ms}, "name it start_ms"),
        ({"open": np.array(["1"] * 5)}, "must hold numbers"),
        ({"open": np.ones(4)}, "4 rows"),
        ({"Open": np.ones(5)}, "more than one column open"),
    ],
)
def test_a_table_without_the_columns_is_refused_with_what_it_has(change, words):
    frame = {name: values for name, values in ({"start_ms": ROWS.start_ms, **VALUES} | change).items() if values is not None}
    with pytest.raises(SchemaMismatchError) as caught:
        columns_from_frame(frame, source="my frame")
    assert "my frame" in str(caught.value)
    assert words in str(caught.value)


def test_something_that_is_no_table_is_refused():
    with pytest.raises(SchemaMismatchError, match="a list is not a table"):
        columns_from_frame([1, 2], source="x")
    with pytest.raises(SchemaMismatchError, match="collect"):
        columns_from_frame(pl.LazyFrame({"start_ms": [1]}), source="x")


def test_empty_values_are_named_with_their_row():
    for frame in (pl.DataFrame, pa.table):
        with pytest.raises(DataQualityError, match="column open has empty values, the first in row 2"):
            columns_from_frame(frame({"start_ms": ROWS.start_ms, **VALUES, "open": [1.0, None, 1.0, 1.0, 1.0]}), source="x")


def test_rows_out_of_order_are_named():
    starts_ms = ROWS.start_ms.copy()
    starts_ms[3] = MONDAY
    with pytest.raises(DataQualityError, match=r"row 4 \(2025-01-06 00:00:00 UTC\)"):
        columns_from_frame({"start_ms": starts_ms, **VALUES}, source="x")


def test_parts_of_a_millisecond_are_refused():
    moments = ROWS.start_ms.astype("datetime64[ms]").astype("datetime64[us]") + np.array([0, 0, 1, 0, 0])
    with pytest.raises(DataQualityError, match="row 3"):
        columns_from_frame({"timestamp": moments, **VALUES}, source="x")


def test_numbers_of_a_column_are_its_own_however_it_is_cut() -> None:
    whole = pa.chunked_array([pa.array([1.5, -0.0, 2.5]), pa.array([], pa.float64()), pa.array([3.5])])
    for column in (whole, whole.slice(1, 2), whole.slice(2, 2), whole.slice(0, 0), pa.chunked_array([], pa.float64())):
        assert (
            numbers_of(pa.table({"n": column}), "n", where="here").tobytes()
            == np.array(column.to_pylist(), dtype=np.float64).tobytes()
        )
    times = pa.chunked_array([pa.array([5, 6, 2**62])]).slice(1)
    numbers = numbers_of(pa.table({"n": times}), "n", where="here")
    assert (numbers.tolist(), numbers.dtype) == ([6, 2**62], np.int64)
    with pytest.raises(DataError, match="here: column n has 1 empty values"):
        numbers_of(pa.table({"n": [1, None]}), "n", where="here")
