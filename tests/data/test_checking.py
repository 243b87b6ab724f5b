from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data.batch import Batch, Origin
from backtester.data.catalog import Catalog
from backtester.data.checking import Step, check_catalog
from backtester.data.columns import take_rows
from backtester.data.kinds import KINDS, VolumeUnit
from backtester.data.series import Series, series_of
from backtester.domain.errors import DataUnavailableError
from backtester.domain.timeframe import HOUR_MS
from tests.data.candles import MINUTE, MONDAY, minutes
from tests.support.shared_data import SHARED, needs_shared

CANDLES = Series("binance", "linear", "BTCUSDT", "candles", "1m")
FILE = "binance/linear/BTCUSDT/candles/1m/year=2025/BTCUSDT-1m-2025-01.parquet"


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    """Two days of minutes without a flaw."""
    stored = Catalog(tmp_path / "cat")
    columns = minutes(2880)
    stored.write("binance", "linear", "BTCUSDT", "1m", columns._replace(volume=columns.volume + 1))
    return stored


def store(catalog: Catalog, series: Series, rows: dict[str, object]) -> None:
    kind = KINDS[series.kind]
    count = len(next(iter(rows.values())))
    table = pa.table([rows.get(name, pa.nulls(count)) for name in kind.names], names=list(kind.names)).cast(kind.schema())
    catalog.store(Batch(series, table, Origin("a.csv", "0" * 64), VolumeUnit.BASE, (), {}))


def rules(report) -> list[str]:
    return [problem.rule for problem in report.problems]


def rewritten(path: Path, change, *, metadata: bool = True) -> None:
    """The file again, with other values in it and the footer it had."""
    table = pq.read_table(path)
    facts = pq.read_metadata(path).metadata[b"backtester.series"]
    changed = change(table)
    with pq.ParquetWriter(path, changed.schema, write_page_checksum=True) as writer:
        writer.write_table(changed)
        if metadata:
            writer.add_key_value_metadata({b"backtester.series": facts})


def with_values(table: pa.Table, name: str, change) -> pa.Table:
    values = table.column(name).to_numpy().copy()
    change(values)
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def tree(base: Path) -> dict[str, bytes]:
    return {str(path.relative_to(base)): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}


def test_a_sound_catalog_is_clean_and_was_read_whole(catalog):
    steps: list[Step] = []
    report = check_catalog(catalog, on_step=steps.append)
    assert (report.exit_code, report.files, report.rows, report.series, report.problems) == (0, 1, 2880, 1, ())
    assert steps == [Step(1, 1, 2880)]


def test_an_empty_catalog_and_a_missing_directory_are_clean(tmp_path):
    assert check_catalog(Catalog(tmp_path)).exit_code == 0
    assert check_catalog(Catalog(tmp_path / "none")).exit_code == 0


def test_checking_changes_nothing(catalog):
    (catalog.base / "binance/linear/BTCUSDT/candles/1m/year=2025/.x-1.tmp").write_bytes(b"half")
    before = {name: content for name, content in tree(catalog.base).items() if "sqlite" not in name}
    check_catalog(catalog)
    assert {name: content for name, content in tree(catalog.base).items() if "sqlite" not in name} == before


def test_a_flipped_bit_is_noticed_or_changes_no_value(catalog):
    path = catalog.base / FILE
    whole, values = path.read_bytes(), pq.read_table(path)
    unreadable = 0
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for at in np.linspace(4, footer - 1, 25).astype(int).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(bytes(damaged))
        report = check_catalog(catalog)
        if report.exit_code == 3:
            unreadable += 1
        else:  # in a part of a page's header that means nothing: the file is another one, its values are the same
            assert rules(report) == ["outdated"], f"byte {at} of {len(whole)}"
            assert pq.read_table(path).equals(values)
    assert unreadable >= 15


@pytest.mark.parametrize("keep", [0, 4, 100, -9, -1])
def test_a_cut_file_is_unreadable(catalog, keep):
    path = catalog.base / FILE
    path.write_bytes(path.read_bytes()[:keep])
    report = check_catalog(catalog)
    assert (report.exit_code, rules(report)) == (3, ["unreadable"])
    assert FILE in report.problems[0].file


def test_values_that_are_not_those_written_are_noticed_by_their_hash(catalog):
    rewritten(catalog.base / FILE, lambda table: with_values(table, "close", lambda values: values.__setitem__(7, values[8])))
    report = check_catalog(catalog)
    assert "content" in rules(report)
    assert report.exit_code == 1


def test_a_file_exchanged_for_another_sound_one_is_not_what_the_manifest_recorded(catalog, tmp_path):
    other = Catalog(tmp_path / "other")
    columns = minutes(2880, salt=5)
    other.write("binance", "linear", "BTCUSDT", "1m", columns._replace(volume=columns.volume + 1))
    path = catalog.base / FILE
    path.write_bytes((other.base / FILE).read_bytes())
    assert rules(check_catalog(catalog)) == ["outdated"]
    with sqlite3.connect(catalog.base / "manifest.sqlite") as connection:
        now = path.stat()
        connection.execute("UPDATE partitions SET size = ?, mtime_ns = ?", (now.st_size, now.st_mtime_ns))
    connection.close()
    report = check_catalog(catalog)
    assert rules(report) == ["content"]
    assert "manifest recorded" in report.problems[0].detail
    assert check_catalog(catalog, fix=True).fixed == ()


ROWS = {
    "order": lambda table: table.take([1, 0, *range(2, table.num_rows)]),
    "key": lambda table: table.take([0, 0, *range(1, table.num_rows)]),
    "grid": lambda table: with_values(table, "start_ms", lambda values: values.__setitem__(5, values[5] + 1)),
    "month": lambda table: with_values(table, "start_ms", lambda values: values.__iadd__(40 * 24 * HOUR_MS)),
    "finite": lambda table: with_values(table, "close", lambda values: values.__setitem__(5, np.nan)),
    "sign": lambda table: with_values(table, "volume", lambda values: values.__setitem__(5, -1.0)),
    "high_low": lambda table: with_values(table, "high", lambda values: values.__setitem__(5, 1.0)),
}


@pytest.mark.parametrize("rule", ROWS)
def test_rows_that_break_a_rule_are_named(catalog, rule):
    rewritten(catalog.base / FILE, ROWS[rule], metadata=False)
    report = check_catalog(catalog)
    assert rule in rules(report)
    assert report.exit_code == 1


def test_a_column_of_another_type_and_an_empty_required_value_are_unreadable(catalog):
    for change in (
        lambda table: table.set_column(4, "close", table.column("close").cast(pa.float32())),
        lambda table: table.set_column(4, "close", pa.nulls(table.num_rows, pa.float64())),
        lambda table: table.drop_columns(["close"]),
    ):
        original = (catalog.base / FILE).read_bytes()
        rewritten(catalog.base / FILE, change)
        report = check_catalog(catalog)
        assert (report.exit_code, rules(report)) == (3, ["unreadable"])
        (catalog.base / FILE).write_bytes(original)


def test_a_file_of_another_network_or_symbol_never_passes_for_what_it_is_not(catalog):
    path = catalog.base / FILE
    for other in ("binance.testnet/linear/BTCUSDT", "binance/linear/ETHUSDT"):
        target = catalog.base / FILE.replace("binance/linear/BTCUSDT", other).replace("/BTCUSDT-1m", f"/{other[-7:]}-1m")
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
        report = check_catalog(catalog)
        assert [(problem.rule, "was written as" in problem.detail) for problem in report.problems] == [("unreadable", True)]
        assert report.exit_code == 3
        target.unlink()


def test_files_where_no_reader_looks_and_files_with_another_name_are_found(catalog):
    path = catalog.base / FILE
    (catalog.base / "mine.parquet").write_bytes(b"")
    report = check_catalog(catalog)
    assert ([(problem.rule, problem.file) for problem in report.problems], report.exit_code) == ([("stray", "mine.parquet")], 1)
    path.rename(path.with_name("BTCUSDT-1m-2025-1.parquet"))
    report = check_catalog(catalog, symbols=["BTCUSDT"])
    assert rules(report) == ["misplaced", "no_file"]
    assert report.exit_code == 3


def test_fix_makes_the_manifest_say_what_the_files_hold_and_removes_leftovers(catalog, tmp_path):
    columns = minutes(100, first_ms=MONDAY + 40 * 24 * HOUR_MS)
    catalog.write("binance", "linear", "BTCUSDT", "1m", columns._replace(volume=columns.volume + 1))
    february = catalog.base / FILE.replace("-01.parquet", "-02.parquet")
    february.unlink()
    other = catalog.base / FILE.replace("BTCUSDT", "ETHUSDT")
    leftover = (catalog.base / FILE).with_name(".BTCUSDT-1m-2025-01-abc.tmp")
    leftover.write_bytes(b"half")
    eth = Catalog(tmp_path / "eth")
    eth.write("binance", "linear", "ETHUSDT", "1m", columns._replace(volume=columns.volume + 1))
    other = other.with_name("ETHUSDT-1m-2025-02.parquet")
    other.parent.mkdir(parents=True)
    other.write_bytes((eth.base / other.relative_to(catalog.base)).read_bytes())
    before = check_catalog(catalog)
    assert sorted(rules(before)) == ["leftover", "no_file", "unrecorded"]
    assert before.exit_code == 1
    fixed = check_catalog(catalog, fix=True)
    assert (fixed.problems, fixed.exit_code) == ((), 0)
    assert [text.split()[0] for text in fixed.fixed] == ["removed", "forgot", "recorded"]
    assert not leftover.exists()
    after = check_catalog(catalog)
    assert (after.problems, after.files) == ((), 2)


def test_a_manifest_that_is_gone_or_damaged_is_made_from_the_files(catalog):
    manifest = catalog.base / "manifest.sqlite"
    for damage in (manifest.unlink, lambda: manifest.write_bytes(b"no database" * 100)):
        damage()
        for suffix in ("-wal", "-shm"):
            manifest.with_name(manifest.name + suffix).unlink(missing_ok=True)
        assert rules(check_catalog(catalog)) == ["unrecorded"]
        assert check_catalog(catalog, fix=True).exit_code == 0
        assert check_catalog(catalog).exit_code == 0


def test_files_that_another_program_wrote_are_checked_too(catalog):
    rewritten(catalog.base / FILE, lambda table: table.replace_schema_metadata(None), metadata=False)
    assert rules(check_catalog(catalog)) == ["outdated"]
    assert check_catalog(catalog, fix=True).exit_code == 0
    assert check_catalog(catalog).exit_code == 0


def test_missing_bars_and_outages_are_found_across_months_with_their_times(tmp_path):
    catalog = Catalog(tmp_path)
    columns = minutes(3 * 24 * 60, first_ms=MONDAY + 24 * 24 * HOUR_MS)  # 30 January to 2 February
    columns = columns._replace(volume=columns.volume + 1)
    rows = len(columns.start_ms)
    flat = np.isin(np.arange(rows), range(2870, 2890))  # over the end of January
    values = [np.where(flat, 1000.0, column) for column in columns[1:5]]
    columns = type(columns)(columns.start_ms, *values, np.where(flat, 0.0, columns.volume))
    catalog.write("binance", "spot", "BTCUSDT", "1m", take_rows(columns, ~np.isin(np.arange(rows), range(100, 130))))
    report = check_catalog(catalog)
    assert (report.exit_code, report.problems) == (1, ())
    ((series, found),) = report.gaps
    assert series == Series("binance", "spot", "BTCUSDT", "candles", "1m")
    first_ms = int(columns.start_ms[0])
    assert found.missing.first == ((first_ms + 100 * MINUTE, first_ms + 130 * MINUTE, 30),)
    assert found.outages.first == ((first_ms + 2870 * MINUTE, first_ms + 2890 * MINUTE, 20),)


def test_measurements_with_late_stamps_have_gaps_only_where_one_is_missing(tmp_path):
    catalog = Catalog(tmp_path)
    series = Series("binance", "linear", "BTCUSDT", "open_interest", "1h")
    times = np.array([MONDAY + step * HOUR_MS + late for step, late in ((0, 0), (1, 9000), (2, 17), (4, 3))])
    store(catalog, series, {"time_ms": times, "open_interest": np.ones(4)})
    ((_, found),) = check_catalog(catalog).gaps
    assert found.missing.first == ((MONDAY + 3 * HOUR_MS, MONDAY + 4 * HOUR_MS, 1),)


def test_kinds_without_a_timeframe_have_no_gaps_and_equal_trades_are_no_fault(tmp_path):
    catalog = Catalog(tmp_path)
    trades = Series("binance", "linear", "BTCUSDT", "trades", "tick")
    store(
        catalog, trades,
        {"time_us": np.array([MONDAY * 1000] * 2 + [(MONDAY + 10 * HOUR_MS) * 1000]), "price": np.ones(3), "qty": np.ones(3),
         "is_buyer_maker": np.array([True] * 3)},
    )  # fmt: skip
    funding = Series("binance", "linear", "BTCUSDT", "funding", "tick")
    store(catalog, funding, {"time_ms": np.array([MONDAY, MONDAY + 80 * HOUR_MS]), "rate": np.array([-0.1, 0.1])})
    report = check_catalog(catalog)
    assert (report.exit_code, report.series, report.rows) == (0, 2, 5)


def test_only_the_symbols_asked_for_are_read_and_an_unknown_one_is_refused(catalog):
    catalog.write("binance", "spot", "ETHUSDT", "1m", minutes(10)._replace(volume=np.ones(10)))
    assert check_catalog(catalog, symbols=["ETHUSDT"]).rows == 10
    with pytest.raises(DataUnavailableError, match="nothing of ADAUSDT is stored"):
        check_catalog(catalog, symbols=["ADAUSDT", "ETHUSDT"])


def test_instruments_that_cannot_be_read_are_found(catalog):
    path = catalog.base / "binance/linear/instruments.json"
    path.write_text("{")
    report = check_catalog(catalog)
    assert (report.exit_code, rules(report)) == (3, ["unreadable"])


def test_what_downloads_keep_is_not_looked_at(catalog):
    kept = catalog.base / ".cache/host/a.tmp"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert check_catalog(catalog, fix=True).exit_code == 0
    assert kept.exists()


@needs_shared
def test_the_real_outages_are_listed_for_what_was_stored(tmp_path):
    catalog = Catalog(tmp_path)
    for path, market, timeframe in (("binance_um/BTCUSDT_5m", "linear", "5m"), ("binance_spot/BTCUSDT_1h", "spot", "1h")):
        table = pq.read_table(SHARED / f"data/candles/{path}.parquet")
        series = series_of(exchange="binance", market=market, symbol="BTCUSDT", timeframe=timeframe)
        rows = {name: table.column(name) for name in ("open", "high", "low", "close", "volume")}
        store(catalog, series, {"start_ms": table.column("open_time_ms"), **rows})
    report = check_catalog(catalog)
    assert (report.exit_code, report.problems) == (1, ())
    found = {one.series.market: one.report for one in report.gaps}
    assert (found["linear"].missing.total, found["spot"].missing.total) == (0, 1)
    assert found["linear"].outages.total >= 3
