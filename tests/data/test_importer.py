from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data import importer
from backtester.data.catalog import Catalog
from backtester.data.columns import join_columns
from backtester.data.findings import Policies, Policy, Rule
from backtester.data.importer import SeriesImport, import_file, import_files
from backtester.data.parsing.formats import Hint
from backtester.data.series import series_of
from backtester.domain.errors import (
    ConfigError,
    DataError,
    DataQualityError,
    DataUnavailableError,
    SchemaMismatchError,
    StorageError,
)
from tests.data.candles import MINUTE, MONDAY, candles_at, minutes, replace_value
from tests.support.shared_data import SHARED, needs_shared

NAMES = {"exchange": "binance", "market": "linear", "symbol": "BTCUSDT", "timeframe": "1m"}
HINT = Hint(**NAMES)
SERIES = series_of(**NAMES)
HEADER = "open_time_ms,open,high,low,close,volume\n"
CANDLES = SHARED / "data/candles"
FILES = sorted(CANDLES.glob("*/*.parquet")) if CANDLES.is_dir() else []


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(tmp_path / "data")


def import_one(path: Path, catalog: Catalog, **more) -> SeriesImport:
    (one,) = import_file(path, catalog=catalog, hint=HINT, **more).series
    return one


def write_parquet(path: Path, columns, **more) -> Path:
    table = {"open_time_ms": columns.start_ms, **dict(zip(columns._fields[1:], columns[1:], strict=True)), **more}
    pq.write_table(pa.table(table), path)
    return path


def write_csv(path: Path, columns) -> Path:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    path.write_text(HEADER + "".join(",".join(map(repr, row)) + "\n" for row in rows))
    return path


def everything(catalog: Catalog):
    pieces = [piece for one in catalog.series() for piece in catalog.read(*one[:4], 0, 10**14)]
    return [column.tobytes() for column in join_columns(*pieces)]


@pytest.mark.parametrize(("name", "write"), [("a.parquet", write_parquet), ("a.csv", write_csv), ("a.CSV", write_csv)])
def test_a_file_is_stored_bit_for_bit_and_a_second_import_changes_nothing(catalog, tmp_path, name, write):
    columns = candles_at([MONDAY + index * MINUTE for index in range(500) if index % 100 != 7])
    path = write(tmp_path / name, columns)
    first = import_one(path, catalog)
    assert first == SeriesImport(SERIES, 495, 495, 0, 0, 0, MONDAY, MONDAY + 500 * MINUTE, 5, ())
    described, files = catalog.series(), {file: file.read_bytes() for file in catalog.base.rglob("*.parquet")}
    second = import_one(path, catalog)
    assert second == first._replace(rows_written=0, rows_already_stored=495)
    assert (catalog.series(), {file: file.read_bytes() for file in catalog.base.rglob("*.parquet")}) == (described, files)
    assert everything(catalog) == [column.tobytes() for column in columns]


def test_rows_out_of_order_and_identical_repetitions_are_counted(catalog, tmp_path):
    text = HEADER + "120000,1,2,1,1,1\n60000,1,2,1,1,1\n120000,1,2,1,1,1\n180000,1,2,1,1,1\n"
    (tmp_path / "a.csv").write_text(text)
    report = import_one(tmp_path / "a.csv", catalog)
    assert (report.rows_read, report.rows_written, report.rows_out_of_order, report.rows_duplicated) == (4, 3, 1, 1)
    assert (report.first_ms, report.last_ms) == (60_000, 240_000)


def test_other_columns_are_ignored_and_the_start_may_be_called_start_ms(catalog, tmp_path):
    path = write_parquet(tmp_path / "a.parquet", minutes(3), trades=[1, 2, 3], note=["a", "b", None])
    assert import_one(path, catalog).rows_written == 3
    (tmp_path / "b.csv").write_text(HEADER.replace("open_time_ms", "start_ms") + "60000,1,2,1,1,1\n")
    assert import_one(tmp_path / "b.csv", catalog).rows_written == 1


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (HEADER + "60000,1,2,1,1,1\n120000,1,nan,1,1,1\n", DataQualityError, "row 2 (1970-01-01 00:02:00 UTC) breaks the rule 'prices and volume are finite'"),
        (HEADER + "60000,1,2,1,1,1\n120000,1,inf,1,1,1\n", DataQualityError, "row 2 (1970-01-01 00:02:00 UTC) breaks the rule 'prices and volume are finite'"),
        (HEADER + "60000,1,2,1,1,1\n120000,1,,1,1,1\n", DataQualityError, "column high has empty values, the first in row 2"),
        (HEADER + "60000,1,2,1,1,1\n120000,1,2,-1,1,1\n", DataQualityError, "row 2 (1970-01-01 00:02:00 UTC) breaks the rule 'prices > 0'"),
        (HEADER + "60000,1,0.5,0.75,1,1\n", DataQualityError, "row 1 (1970-01-01 00:01:00 UTC) breaks the rule 'high >= low'"),
        (HEADER + "60000,1,2,1,1,-1\n", DataQualityError, "'volume >= 0'"),
        (HEADER + "60000,1,2,1,1,1\n60000,1,3,1,1,1\n", DataQualityError, "rows 1 and 2 both start at 1970-01-01 00:01:00 UTC"),
        (HEADER + "0,1,2,1,1,1\n300000,1,2,1,1,1\n", DataQualityError, "stated as 1m, but the smallest step between bars is 300 s"),
        (HEADER + "0,1,2,1,1,1\n1000,1,2,1,1,1\n", DataQualityError, "the smallest step between bars is 1 s"),
        (HEADER + "30000,1,2,1,1,1\n90000,1,2,1,1,1\n", DataQualityError, "row 1 starts at 1970-01-01 00:00:30 UTC, where no bar of 1m starts"),
        (HEADER + "60000,1,2,1,1,1\n120000,abc,2,1,1,1\n", DataError, "row 2 cannot be read: open is 'abc'"),
        (HEADER + "60000,1,2,1,1\n", DataError, "row 1 cannot be read: it has 5 fields where 6 belong"),
        (HEADER, DataUnavailableError, "has no rows"),
        ("", DataError, "is empty"),
        ("time,open\n1,2\n", SchemaMismatchError, "no column high, low, close, volume"),
        ("\x00\x01\x02", SchemaMismatchError, "is not recognised"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_file_and_row_and_nothing_is_stored(catalog, tmp_path, text, error, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(error) as caught:
        import_one(path, catalog)
    assert "bad.csv" in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.exit_code == 3
    assert catalog.is_empty()


def test_a_bad_parquet_is_refused_with_file_and_row(catalog, tmp_path):
    path = write_parquet(tmp_path / "bad.parquet", replace_value(minutes(100), "close", 41, float("nan")))
    with pytest.raises(DataQualityError, match=r"bad.parquet: row 42 \(2025-01-06 00:41:00 UTC\)"):
        import_one(path, catalog)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="bad.parquet cannot be read"):
        import_one(path, catalog)
    assert catalog.is_empty()


def test_what_contradicts_the_catalog_is_refused(catalog, tmp_path):
    import_one(write_parquet(tmp_path / "a.parquet", minutes(100)), catalog)
    before = everything(catalog)
    other = write_parquet(tmp_path / "b.parquet", replace_value(minutes(200), "volume", 30, 99.0))
    with pytest.raises(DataQualityError, match="the candle of 2025-01-06 00:30:00 UTC is stored with"):
        import_one(other, catalog)
    assert everything(catalog) == before


def test_wrong_names_and_missing_files_are_refused(catalog, tmp_path):
    with pytest.raises(DataUnavailableError, match="no file"):
        import_one(tmp_path / "none.csv", catalog)
    shutil.copy(__file__, tmp_path / "a.txt")
    with pytest.raises(SchemaMismatchError, match="is not recognised"):
        import_one(tmp_path / "a.txt", catalog)
    path = write_csv(tmp_path / "a.csv", minutes(2))
    for wrong in ({"exchange": "A B"}, {"market": "futures"}, {"symbol": "../X"}, {"timeframe": "1 minute"}):
        with pytest.raises(ConfigError):
            import_file(path, catalog=catalog, hint=Hint(**NAMES | wrong))
    assert catalog.is_empty()


def test_rules_that_are_broken_are_told_with_file_and_row_and_policies_decide(catalog, tmp_path):
    path = write_csv(tmp_path / "a.csv", replace_value(minutes(50), "high", 7, 0.5))
    with pytest.raises(DataQualityError, match="a.csv: row 8"):
        import_one(path, catalog)
    assert catalog.is_empty()
    one = import_one(path, catalog, policies=Policies({Rule.HIGH_LOW: Policy.DROP}))
    assert (one.rows_read, one.rows_written, one.gaps) == (50, 49, 1)
    assert [(found.rule, found.policy, found.file, found.row, found.count) for found in one.findings] == [
        (Rule.HIGH_LOW, Policy.DROP, str(path), 8, 1)
    ]


def test_several_files_are_imported_as_far_as_they_can_be(catalog, tmp_path):
    good = [write_csv(tmp_path / f"{index}.csv", minutes(10, first_ms=MONDAY + index * 10 * MINUTE)) for index in range(3)]
    bad = tmp_path / "bad.csv"
    bad.write_text("nothing here")
    seen: list[object] = []

    class Watching:
        def file(self, path):
            seen.append(path.name)

        def rows(self, count):
            seen.append(count)

    report = import_files([good[0], bad, *good[1:]], catalog=catalog, hint=HINT, progress=Watching())
    assert [file.path for file in report.files] == good
    assert [(one.path, type(one.error)) for one in report.refused] == [(bad, SchemaMismatchError)]
    assert seen == ["0.csv", 10, "bad.csv", "1.csv", 10, "2.csv", 10]
    assert catalog.series()[0].rows == 30


class FullDisk:
    """Takes a number of batches, then no more."""

    def __init__(self, catalog: Catalog, takes: int) -> None:
        self.catalog = catalog
        self.takes = takes

    def store(self, batch):
        if not self.takes:
            raise StorageError("cannot write: the disk is full")
        self.takes -= 1
        return self.catalog.store(batch)


RECORDED = """{"e":"trade","s":"BTCUSDT","t":5,"p":"1","q":"2","T":1700000000000,"m":true}
{"e":"trade","s":"ETHUSDT","t":5,"p":"1","q":"2","T":1700000000000,"m":true}
"""


def test_a_file_that_was_stored_in_part_says_so(catalog, tmp_path):
    path = tmp_path / "ws.json"
    path.write_text(RECORDED)
    hint = Hint(market="linear")
    with pytest.raises(StorageError) as caught:
        import_files([path], catalog=FullDisk(catalog, 1), hint=hint)
    assert caught.value.__notes__ == [f"of {path}, 1 rows of binance linear BTCUSDT trades tick were stored before that; they stay"]
    other = write_csv(tmp_path / "a.csv", minutes(3))
    with pytest.raises(StorageError) as caught:
        import_files([other, other], catalog=FullDisk(catalog, 1), hint=HINT)
    assert caught.value.__notes__ == [f"1 of 2 files were imported before that, the last {other}"]
    assert len(import_file(path, catalog=catalog, hint=hint).series) == 2


def test_a_file_is_checked_to_its_end_before_anything_is_stored(catalog, tmp_path, monkeypatch):
    path = tmp_path / "ws.json"
    path.write_text(RECORDED + "{")
    with pytest.raises(DataError, match="line 3: no JSON"):
        import_file(path, catalog=catalog, hint=Hint(market="linear"))
    monkeypatch.setattr(importer, "CHECKED_ROWS", 1)
    path.write_text(RECORDED)
    assert [one.rows_written for one in import_file(path, catalog=catalog, hint=Hint(market="linear")).series] == [1, 1]
    assert not list(catalog.base.rglob("*candles*"))


@needs_shared
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_real_candles_are_stored_bit_for_bit_and_once(catalog, path):
    exchange, _, market = path.parent.name.partition("_")
    symbol, timeframe = path.stem.split("_")[:2]
    (one,) = import_file(path, catalog=catalog).series
    assert one.series == series_of(
        exchange=exchange, market="spot" if market == "spot" else "linear", symbol=symbol, timeframe=timeframe
    )
    table = pq.ParquetFile(path).read()
    assert one.rows_written == one.rows_read == table.num_rows
    assert (one.rows_out_of_order, one.rows_duplicated, one.rows_already_stored) == (0, 0, 0)
    assert one.gaps == (1 if path.parent.name == "binance_spot" and timeframe == "1h" else 0)
    source = [table.column(name).to_numpy().tobytes() for name in ("open_time_ms", "open", "high", "low", "close", "volume")]
    assert everything(catalog) == source
    described = catalog.series()
    assert described[0][4:8] == (one.first_ms, one.last_ms, one.rows_read, one.gaps)
    (again,) = import_file(path, catalog=catalog).series
    assert (again.rows_written, again.rows_already_stored) == (0, table.num_rows)
    assert catalog.series() == described


def test_the_real_candles_are_there_where_shared_data_is():
    assert not CANDLES.is_dir() or len(FILES) >= 19
