"""Reading in parts: the same rows, in order, bounded, with the file named that cannot be read."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data import file_parts
from backtester.data.candle_file import read_candle_files
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.file_parts import PART_ROWS, parts_of
from backtester.data.kinds import CANDLES, VolumeUnit
from backtester.data.series import Series, series_of
from backtester.data.series_file import write_series_file
from backtester.data.sources.sample import sample_columns
from backtester.domain.errors import DataError
from backtester.domain.timeframe import DAY_MS

START_MS = 1_704_067_200_000
MINUTES = series_of(exchange="binance", market="linear", symbol="BTCUSDT", timeframe="1m")


def minutes(days: int) -> CandleColumns:
    """Sample minutes of so many days."""
    return join_columns(*sample_columns("BTCUSDT", seed=1, start_ms=START_MS, end_ms=START_MS + days * DAY_MS))


def write(path: Path, columns: CandleColumns, series: Series = MINUTES) -> None:
    """A candle file of these columns."""
    arrays = [*columns, *[pa.nulls(len(columns.start_ms), pa.float64())] * 4]
    write_series_file(path, series, [pa.table(dict(zip(CANDLES.names, arrays, strict=True)))], volume_unit=VolumeUnit.BASE)


def test_a_month_of_minutes_has_one_row_group_for_each_utc_day(tmp_path: Path) -> None:
    candles = minutes(31)
    kept = np.ones(len(candles.start_ms), dtype=np.bool_)
    kept[500:900] = False
    write(tmp_path / "m.parquet", CandleColumns(*(column[kept] for column in candles)))
    metadata = pq.ParquetFile(tmp_path / "m.parquet").metadata
    days = []
    for index in range(metadata.num_row_groups):
        statistics = metadata.row_group(index).column(0).statistics
        days.append({statistics.min // DAY_MS, statistics.max // DAY_MS})
    assert days == [{START_MS // DAY_MS + day} for day in range(31)]


@pytest.mark.parametrize(
    ("timeframe", "minutes_long", "groups"), [("5m", 5, 31), ("1h", 60, 31), ("12h", 720, 31), ("1d", 1440, 1)]
)
def test_bars_shorter_than_a_day_have_one_row_group_for_each(
    tmp_path: Path, timeframe: str, minutes_long: int, groups: int
) -> None:
    candles = CandleColumns(*(column[::minutes_long] for column in minutes(31)))
    write(tmp_path / "m.parquet", candles, MINUTES._replace(timeframe=timeframe))
    assert pq.ParquetFile(tmp_path / "m.parquet").metadata.num_row_groups == groups


@pytest.mark.parametrize("remote", [False, True])
def test_files_read_hold_the_same_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: bool) -> None:
    monkeypatch.setattr(file_parts, "is_remote", lambda path: remote)
    candles = minutes(90)
    paths = []
    for index, edges in enumerate(((0, 50_000), (50_000, 50_001), (50_001, len(candles.start_ms)))):
        paths.append(tmp_path / f"{index}.parquet")
        write(paths[-1], CandleColumns(*(column[slice(*edges)] for column in candles)))
    pieces = list(read_candle_files(paths, MINUTES))
    for read, written in zip(join_columns(*pieces), candles, strict=True):
        assert read.tobytes() == written.tobytes()


def test_a_part_is_bounded_by_rows_and_never_less_than_a_row_group(tmp_path: Path) -> None:
    write(tmp_path / "m.parquet", minutes(60))
    with pq.ParquetFile(tmp_path / "m.parquet") as file:
        parts = parts_of(file, tmp_path / "m.parquet")
    assert [part.rows for part in parts] == [45 * 1440, 15 * 1440]
    assert all(part.rows <= PART_ROWS for part in parts)
    assert [group for part in parts for group in part.row_groups] == list(range(60))


def test_the_file_that_is_damaged_is_named_and_those_before_it_are_read(tmp_path: Path) -> None:
    candles = minutes(2)
    paths = [tmp_path / "whole.parquet", tmp_path / "damaged.parquet"]
    for path in paths:
        write(path, candles)
    damaged = bytearray(paths[1].read_bytes())
    damaged[2_000] ^= 0xFF
    paths[1].write_bytes(damaged)
    reading = read_candle_files(paths, MINUTES)
    assert len(next(reading).start_ms) == 2 * 1440
    with pytest.raises(DataError, match=r"damaged\.parquet cannot be read"):
        next(reading)


def test_a_local_file_is_read_without_a_thread(tmp_path: Path) -> None:
    write(tmp_path / "m.parquet", minutes(60))
    before = set(threading.enumerate())
    reading = read_candle_files([tmp_path / "m.parquet"], MINUTES)
    next(reading)
    assert not any(thread.name.startswith("read-ahead") for thread in set(threading.enumerate()) - before)


def test_remote_reading_that_is_given_up_leaves_no_thread_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_parts, "is_remote", lambda path: True)
    write(tmp_path / "m.parquet", minutes(60))
    before = set(threading.enumerate())
    reading = read_candle_files([tmp_path / "m.parquet"], MINUTES)
    next(reading)
    assert any(thread.name.startswith("read-ahead") for thread in set(threading.enumerate()) - before)
    reading.close()
    assert not set(threading.enumerate()) - before
