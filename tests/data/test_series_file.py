"""A month of any kind in one file: its rows, its facts, its row groups, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data.content_hash import content_sha256
from backtester.data.kinds import CANDLES, FUNDING, KINDS, METRICS, TRADES, VolumeUnit
from backtester.data.series_file import (
    ROW_GROUP_ROWS,
    SCHEMA_VERSION,
    FileFacts,
    facts_with_content,
    file_facts,
    read_series_files,
    write_series_file,
)
from backtester.domain.errors import DataError, SchemaMismatchError
from backtester.domain.timeframe import DAY_MS, MINUTE_MS
from tests.data.rows import START_MS, a_series, seeded_rows

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


def write(path: Path, series, *tables, unit=VolumeUnit.BASE) -> FileFacts:
    return write_series_file(path, series, tables, volume_unit=unit)


def read(path: Path, series, **bounds) -> pa.Table:
    return pa.concat_tables(read_series_files([path], series, **bounds)).combine_chunks()


def trades_at(times_us) -> pa.Table:
    rows = len(times_us)
    columns = [np.asarray(times_us), np.ones(rows), np.ones(rows), np.ones(rows, dtype=bool), pa.nulls(rows, pa.string())]
    return pa.table([pa.array(column) for column in columns], schema=TRADES.schema())


@EVERY_KIND
def test_rows_of_one_file_stay_what_they_are_while_others_are_read(kind, tmp_path):
    series, months = a_series(kind), [seeded_rows(kind, seed=seed, count=150 + 50 * seed, first=300 * seed) for seed in range(3)]
    for index, table in enumerate(months):
        write(tmp_path / f"{index}.parquet", series, table)
    read_all = list(read_series_files([tmp_path / f"{index}.parquet" for index in range(3)], series))
    assert [table.combine_chunks() for table in read_all] == months


@EVERY_KIND
def test_every_kind_is_read_as_it_was_written(kind, tmp_path):
    series, table = a_series(kind), seeded_rows(kind, seed=1, count=200)
    facts = write(tmp_path / "m.parquet", series, table, unit=VolumeUnit.CONTRACTS)
    assert read(tmp_path / "m.parquet", series).equals(table)
    assert file_facts(tmp_path / "m.parquet", series) == facts
    times = table.column(kind.time).to_pylist()
    assert facts == FileFacts(
        series=str(series),
        schema_version=SCHEMA_VERSION,
        volume_unit=VolumeUnit.CONTRACTS,
        rows=200,
        first=times[0],
        last=times[-1],
        gaps=0,
        content_sha256=content_sha256(kind, table),
    )


@EVERY_KIND
def test_a_range_is_cut_out_row_by_row(kind, tmp_path):
    series, table = a_series(kind), seeded_rows(kind, seed=1, count=60)
    write(tmp_path / "m.parquet", series, table)
    times = table.column(kind.time).to_pylist()
    cut = read(tmp_path / "m.parquet", series, start=times[10] + 1, end=times[20])
    assert cut.column(kind.time).to_pylist() == times[11:20]


def test_the_bytes_do_not_depend_on_how_rows_are_cut(tmp_path):
    series, table = a_series(TRADES), seeded_rows(TRADES, seed=2, count=3000)
    write(tmp_path / "a", series, table)
    write(tmp_path / "b", series, *(table.slice(first, 700) for first in range(0, 3000, 700)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_busy_day_is_split_and_quiet_days_share_a_row_group(tmp_path):
    day_us = DAY_MS * 1000
    start_us = START_MS * 1000
    busy = [start_us + index for index in range(ROW_GROUP_ROWS + 10)]
    second = [start_us + day_us + index for index in range(1500)]
    quiet = [start_us + (2 + index) * day_us for index in range(5)]
    write(tmp_path / "t", a_series(TRADES), trades_at(busy), trades_at(second + quiet))
    metadata = pq.ParquetFile(tmp_path / "t").metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [ROW_GROUP_ROWS, 10 + 1500, 5]


def test_only_row_groups_of_the_range_are_decoded(tmp_path):
    series = a_series(CANDLES)
    write(tmp_path / "m", series, seeded_rows(CANDLES, seed=1, count=3 * 1440))
    content = bytearray((tmp_path / "m").read_bytes())
    third_day = pq.ParquetFile(tmp_path / "m").metadata.row_group(2).column(1)
    content[third_day.data_page_offset + 400] ^= 0xFF
    (tmp_path / "m").write_bytes(content)
    assert read(tmp_path / "m", series, end=START_MS + 2 * DAY_MS).num_rows == 2 * 1440
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "m", series)


def test_gaps_are_counted_across_row_groups_and_late_stamps_are_none(tmp_path):
    candles = seeded_rows(CANDLES, seed=1, count=3000)
    kept = candles.take([index for index in range(3000) if index not in {0, 7, 8, 1440, 2000}])
    assert write(tmp_path / "m", a_series(CANDLES), kept).gaps == 3
    metrics = seeded_rows(METRICS, seed=1, count=100)
    late = [time + (20_000 if index % 3 else 0) for index, time in enumerate(metrics.column(0).to_pylist())]
    metrics = metrics.set_column(0, "time_ms", pa.array(late)).take([*range(50), *range(52, 100)])
    assert write(tmp_path / "n", a_series(METRICS), metrics).gaps == 1
    assert write(tmp_path / "f", a_series(FUNDING), seeded_rows(FUNDING, seed=1, count=9, step_ms=DAY_MS)).gaps == 0


def test_a_file_of_six_columns_is_read_with_empty_ones(tmp_path):
    series, table = a_series(CANDLES), seeded_rows(CANDLES, seed=1, count=5)
    short = table.select(list(CANDLES.names[:6]))
    pq.write_table(short.replace_schema_metadata({"candles.v1": f"5 {START_MS} {START_MS + 4 * MINUTE_MS} 0"}), tmp_path / "m")
    held = read(tmp_path / "m", series)
    assert held.schema.equals(CANDLES.schema())
    assert held.select(list(CANDLES.names[:6])).equals(short)
    assert held.column("quote_volume").null_count == 5
    facts = file_facts(tmp_path / "m", series)
    assert (facts.schema_version, facts.rows, facts.content_sha256) == (1, 5, None)
    assert facts_with_content(tmp_path / "m", series).content_sha256 == content_sha256(CANDLES, held)


def test_long_strings_of_another_program_are_read(tmp_path):
    series, table = a_series(TRADES), seeded_rows(TRADES, seed=1, count=5)
    pq.write_table(table.set_column(4, "trade_id", table.column(4).cast(pa.large_string())), tmp_path / "m")
    assert read(tmp_path / "m", series).equals(table)
    assert file_facts(tmp_path / "m", series).schema_version == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop_columns(["rate"]), "no file of funding: its columns are time_ms int64, interval_hours"),
        (lambda table: table.set_column(1, "rate", pa.array(["x"] * 4)), "rate string"),
        (lambda table: table.set_column(1, "rate", pa.array([1.0, None, 2.0, 3.0])), "column rate has 1 empty values"),
        (lambda table: table.take([1, 0, 2, 3]), "not in order of time"),
    ],
    ids=["column gone", "other type", "empty value", "order"],
)
def test_what_is_no_file_of_the_kind_is_named(tmp_path, change, says):
    pq.write_table(change(seeded_rows(FUNDING, seed=1, count=4)), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=says) as caught:
        read(tmp_path / "m.parquet", a_series(FUNDING))
    assert "m.parquet" in str(caught.value)


def test_prices_of_a_testnet_do_not_pass_as_real_ones(tmp_path):
    write(tmp_path / "m", a_series(CANDLES, network="testnet"), seeded_rows(CANDLES, seed=1, count=4))
    with pytest.raises(DataError, match=r"was written as binance\.testnet linear BTCUSDT candles 1m and lies where binance linear"):
        read(tmp_path / "m", a_series(CANDLES))


@pytest.mark.parametrize("facts", [b"{}", b"no json", b'{"rows": 4}'])
def test_a_damaged_footer_is_named(tmp_path, facts):
    pq.write_table(seeded_rows(FUNDING, seed=1, count=4).replace_schema_metadata({"backtester.series": facts}), tmp_path / "m")
    with pytest.raises(DataError, match="its footer is damaged"):
        file_facts(tmp_path / "m", a_series(FUNDING))


def test_another_number_of_rows_than_written_is_named(tmp_path):
    series = a_series(FUNDING)
    write(tmp_path / "m", series, seeded_rows(FUNDING, seed=1, count=4))
    file = pq.ParquetFile(tmp_path / "m")
    facts = file.metadata.metadata[b"backtester.series"]
    pq.write_table(file.read().slice(1).replace_schema_metadata({"backtester.series": facts}), tmp_path / "m")
    with pytest.raises(DataError, match="written with 4 rows and has 3"):
        read(tmp_path / "m", series)


def test_a_replaced_file_has_another_time_of_change_even_within_a_tick_of_the_clock(tmp_path):
    series, table = a_series(FUNDING), seeded_rows(FUNDING, seed=1, count=4)
    stamps = []
    for _ in range(20):
        write(tmp_path / "m", series, table)
        stamps.append((tmp_path / "m").stat().st_mtime_ns)
    assert len(dict.fromkeys(stamps)) == 20


def test_a_month_without_rows_is_not_written(tmp_path):
    with pytest.raises(DataError, match="without rows"):
        write(tmp_path / "m", a_series(FUNDING))
    with pytest.raises(SchemaMismatchError):
        pq.write_table(pa.table({"x": [1]}), tmp_path / "m")
        file_facts(tmp_path / "m", a_series(FUNDING))
