from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.data import series_file
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, join_columns, slice_columns, take_rows
from backtester.data.kinds import CANDLES
from backtester.domain.errors import (
    ConfigError,
    DataError,
    DataQualityError,
    DataUnavailableError,
    SchemaMismatchError,
    StorageError,
)
from backtester.domain.timeframe import DAY_MS
from tests.data.candles import MINUTE, MONDAY, candles_at, minutes, replace_value

SERIES = ("binance", "linear", "BTCUSDT", "1m")
NEW_YEAR = 1_735_689_600_000  # 2025-01-01 00:00 UTC
FOREVER = (0, 10**14)


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(tmp_path / "data")


def stored(catalog: Catalog, start_ms: int = 0, end_ms: int = 10**14) -> CandleColumns:
    return join_columns(*catalog.read(*SERIES, start_ms, end_ms))


def content(base: Path) -> dict[str, bytes]:
    return {str(path.relative_to(base)): path.read_bytes() for path in sorted(base.rglob("*.parquet"))}


def bits(columns: CandleColumns) -> list[bytes]:
    return [column.tobytes() for column in columns]


def test_an_empty_catalog_says_so(catalog):
    assert catalog.is_empty()
    assert catalog.series() == catalog.find("BTCUSDT") == catalog.markets() == ()


def test_candles_are_read_as_they_were_written_bit_for_bit(catalog):
    columns = minutes(3000, first_ms=NEW_YEAR - 1000 * MINUTE)
    columns = columns._replace(volume=np.nextafter(columns.volume, 1e9), low=np.nextafter(columns.low, 0))
    assert catalog.write(*SERIES, columns) == (3000, 0)
    assert bits(stored(catalog)) == bits(columns)


def test_each_month_is_a_file_where_the_layout_says(catalog):
    catalog.write(*SERIES, minutes(20, first_ms=NEW_YEAR - 10 * MINUTE))
    base = "binance/linear/BTCUSDT/candles/1m"
    assert list(content(catalog.base)) == [
        f"{base}/year=2024/BTCUSDT-1m-2024-12.parquet",
        f"{base}/year=2025/BTCUSDT-1m-2025-01.parquet",
    ]
    file = pq.ParquetFile(catalog.base / base / "year=2025/BTCUSDT-1m-2025-01.parquet")
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("start_ms", "int64"),
        *((name, "double") for name in CANDLES.names[1:]),
    ]
    assert file.metadata.num_row_groups == 1
    assert {file.metadata.row_group(0).column(index).compression for index in range(len(CANDLES.names))} == {"ZSTD"}


def test_other_programs_read_the_files(catalog):
    columns = minutes(20, first_ms=NEW_YEAR - 10 * MINUTE)
    catalog.write(*SERIES, columns)
    frame = pl.scan_parquet(str(catalog.base / "**/*.parquet"), hive_partitioning=True).sort("start_ms").collect()
    assert frame["start_ms"].to_list() == columns.start_ms.tolist()
    assert frame["close"].to_list() == columns.close.tolist()


def test_a_series_is_described_with_its_gaps(catalog):
    kept = [index for index in range(100) if index not in {5, 6, 50, 60}]
    catalog.write(*SERIES, candles_at([NEW_YEAR + (index - 50) * MINUTE for index in kept]))
    catalog.write("bybit", "spot", "ETHUSDT", "1h", candles_at([NEW_YEAR]))
    first, second = catalog.series()
    assert first == (*SERIES, NEW_YEAR - 50 * MINUTE, NEW_YEAR + 50 * MINUTE, 96, 3, 2, "candles", "live")
    assert second == ("bybit", "spot", "ETHUSDT", "1h", NEW_YEAR, NEW_YEAR + 60 * MINUTE, 1, 0, 1, "candles", "live")
    assert catalog.find("ETHUSDT") == (second,)
    assert catalog.find("*") == catalog.find("../x") == ()
    assert catalog.markets() == (("binance", "linear"), ("bybit", "spot"))
    assert not catalog.is_empty()


def test_a_file_of_another_program_is_described_by_reading_it(catalog):
    catalog.write(*SERIES, candles_at([NEW_YEAR, NEW_YEAR + MINUTE, NEW_YEAR + 3 * MINUTE]))
    described = catalog.series()
    path = next(catalog.base.rglob("*.parquet"))
    pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata(None), path)
    assert catalog.series() == described


def test_timeframes_are_ordered_by_length_and_named_in_one_way(catalog):
    for timeframe, length_ms in (("1d", DAY_MS), ("240m", 240 * MINUTE), ("15m", 15 * MINUTE), ("60s", MINUTE)):
        catalog.write(*SERIES[:3], timeframe, candles_at([MONDAY, MONDAY + length_ms]))
    assert [one.timeframe for one in catalog.series()] == ["1m", "15m", "4h", "1d"]


def test_only_months_of_the_range_are_opened(catalog):
    catalog.write(*SERIES, candles_at([NEW_YEAR - MINUTE, NEW_YEAR, NEW_YEAR + 31 * DAY_MS]))
    for path in catalog.base.rglob("*.parquet"):
        if "2025-01" not in path.name:
            path.write_bytes(b"not parquet")
    assert stored(catalog, NEW_YEAR, NEW_YEAR + 31 * DAY_MS).start_ms.tolist() == [NEW_YEAR]
    with pytest.raises(DataError, match="2024-12"):
        stored(catalog, NEW_YEAR - 1, NEW_YEAR + 1)


@given(first=st.integers(-30, 130), length=st.integers(0, 130), shift_ms=st.integers(0, MINUTE - 1))
def test_the_range_is_half_open_in_starts(tmp_path_factory, first, length, shift_ms):
    base = tmp_path_factory.getbasetemp() / "ranges"
    catalog = Catalog(base)
    columns = minutes(100, first_ms=NEW_YEAR - 50 * MINUTE)
    if catalog.is_empty():
        catalog.write(*SERIES, columns)
    start_ms = NEW_YEAR + (first - 50) * MINUTE + shift_ms
    end_ms = start_ms + length * MINUTE
    read = [start for piece in catalog.read(*SERIES, start_ms, end_ms) for start in piece.start_ms.tolist()]
    assert read == [start for start in columns.start_ms.tolist() if start_ms <= start < end_ms]


def test_writing_again_changes_no_byte(catalog):
    columns = minutes(2000, first_ms=NEW_YEAR - 1000 * MINUTE)
    catalog.write(*SERIES, columns)
    before, stamps = content(catalog.base), [path.stat().st_mtime_ns for path in catalog.base.rglob("*.parquet")]
    assert catalog.write(*SERIES, columns) == (0, 2000)
    assert catalog.write(*SERIES, slice_columns(columns, 5, 1500)) == (0, 1495)
    assert content(catalog.base) == before
    assert [path.stat().st_mtime_ns for path in catalog.base.rglob("*.parquet")] == stamps


@settings(max_examples=max(25, settings().max_examples // 4))  # three stores of several files each
@given(st.lists(st.sets(st.integers(-40, 40), min_size=1), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_overlapping_writes_does_not_matter(tmp_path_factory, parts, random):
    contents = []
    for _ in range(2):
        catalog = Catalog(tmp_path_factory.mktemp("order"))
        written = 0
        for part in parts:
            written += catalog.write(*SERIES, candles_at([NEW_YEAR + index * MINUTE for index in sorted(part)])).rows_written
        assert written == len(set().union(*parts)) == catalog.series()[0].rows
        contents.append(content(catalog.base))
        random.shuffle(parts)
    assert contents[0] == contents[1]


def test_a_contradiction_is_named_and_nothing_is_written(catalog):
    columns = minutes(100, first_ms=NEW_YEAR - 50 * MINUTE)
    catalog.write(*SERIES, columns)
    before = content(catalog.base)
    longer = minutes(5000, first_ms=NEW_YEAR - 3000 * MINUTE)
    wrong = replace_value(longer, "volume", 3020, 0.125)
    with pytest.raises(DataQualityError) as caught:
        catalog.write(*SERIES, wrong)
    assert "2025-01-01 00:20:00 UTC" in str(caught.value)
    assert "volume 0.125" in str(caught.value)
    assert content(catalog.base) == before


def test_bad_candles_are_not_stored(catalog):
    with pytest.raises(DataQualityError, match="high >= low"):
        catalog.write(*SERIES, replace_value(minutes(10), "high", 3, 1.0))
    with pytest.raises(DataQualityError, match="does not start after"):
        catalog.write(*SERIES, take_rows(minutes(3), np.array([0, 2, 1])))
    assert catalog.is_empty()


@pytest.mark.parametrize("stage", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(catalog, monkeypatch, stage):
    catalog.write(*SERIES, minutes(10))
    before = content(catalog.base)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if stage == "write":
        monkeypatch.setattr(series_file.os, "fdopen", full)
    elif stage == "fsync":
        monkeypatch.setattr(series_file.os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="the disk is full"):
        catalog.write(*SERIES, minutes(20))
    assert content(catalog.base) == before


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match="cannot write .*data"):
        Catalog(tmp_path / "data").write(*SERIES, minutes(3))


def test_a_killed_writer_leaves_the_old_month(catalog):
    catalog.write(*SERIES, minutes(10))
    before = stored(catalog)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from backtester.data import series_file\n"
        "from backtester.data.catalog import Catalog\n"
        "from tests.data.candles import minutes\n"
        "series_file.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"Catalog(Path(sys.argv[1])).write(*{SERIES!r}, minutes(20))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(catalog.base)], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    assert bits(stored(catalog)) == bits(before)
    assert catalog.series()[0].rows == 10
    assert catalog.write(*SERIES, minutes(20)) == (10, 10)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PAR1 this is no parquet"),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes()[:200] + b"\xff" * 400 + path.read_bytes()[600:]),
    ],
    ids=["empty", "text", "tail cut", "half", "middle"],
)
def test_a_damaged_file_is_named(catalog, damage):
    catalog.write(*SERIES, minutes(2000))
    path = next(catalog.base.rglob("*.parquet"))
    damage(path)
    with pytest.raises(DataError) as caught:
        stored(catalog)
    assert path.name in str(caught.value)
    assert caught.value.exit_code == 3


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_or_changes_no_candle(tmp_path_factory, place, bit):
    catalog = Catalog(tmp_path_factory.mktemp("flip"))
    columns = minutes(300)
    catalog.write(*SERIES, columns)
    path = next(catalog.base.rglob("*.parquet"))
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        assert bits(stored(catalog)) == bits(columns)
    except DataError as error:
        assert path.name in str(error)


def test_a_file_with_other_columns_is_named(catalog):
    catalog.write(*SERIES, minutes(10))
    path = next(catalog.base.rglob("*.parquet"))
    pq.write_table(pa.table({"start_ms": [1], "price": [1.0]}), path)
    for use in (lambda: stored(catalog), catalog.series):
        with pytest.raises(SchemaMismatchError, match="its columns are start_ms int64, price double"):
            use()


def test_a_month_of_another_program_without_rows_is_named_and_can_be_filled(catalog):
    catalog.write(*SERIES, minutes(10))
    path = next(catalog.base.rglob("*.parquet"))
    pq.write_table(pq.ParquetFile(path).read().slice(0, 0).replace_schema_metadata(None), path)
    with pytest.raises(DataError, match="holds no candles"):
        catalog.series()
    assert catalog.write(*SERIES, minutes(10)) == (10, 0)


def test_a_file_with_empty_values_is_named(catalog):
    catalog.write(*SERIES, minutes(2))
    path = next(catalog.base.rglob("*.parquet"))
    table = pq.ParquetFile(path).read()
    pq.write_table(table.set_column(1, "open", pa.array([1.0, None])), path)
    with pytest.raises(DataError, match="column open has 1 empty values"):
        stored(catalog)


def test_a_file_that_is_not_named_as_a_month_is_refused(catalog):
    catalog.write(*SERIES, minutes(10))
    path = next(catalog.base.rglob("*.parquet"))
    path.rename(path.with_name("ETHUSDT-1m-2025-01.parquet"))
    with pytest.raises(DataError, match="ETHUSDT-1m-2025-01.parquet is not named as a month of BTCUSDT 1m"):
        stored(catalog)


def test_what_is_not_stored_is_answered_with_what_is(catalog):
    catalog.write("bybit", "spot", "BTCUSDT", "5m", candles_at([MONDAY]))
    with pytest.raises(DataUnavailableError) as caught:
        catalog.read(*SERIES, *FOREVER)
    assert "stored of BTCUSDT: bybit spot 5m" in str(caught.value)
    assert "bt data import" in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("Binance", "linear", "BTCUSDT", "1m"),
        ("../x", "linear", "BTCUSDT", "1m"),
        ("binance", "futures", "BTCUSDT", "1m"),
        ("binance", "linear", "../../BTCUSDT", "1m"),
        ("binance", "linear", "..", "1m"),
        ("binance", "linear", "BTC/USDT", "1m"),
        ("binance", "linear", "", "1m"),
        ("binance", "linear", "BTCUSDT", "7m"),
    ],
)
def test_names_that_are_no_plain_names_are_refused(catalog, names):
    with pytest.raises(ConfigError):
        catalog.write(*names, minutes(1))
    assert not os.path.lexists(catalog.base)
