from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.cli.main import main
from backtester.data.batch import Batch, Origin
from backtester.data.catalog import Catalog
from backtester.data.checking import check_catalog
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.event_merge import EventMerge, Selection
from backtester.data.instrument_store import InstrumentStore, _locked
from backtester.data.kinds import KINDS, VolumeUnit
from backtester.data.object_store import index_directory, is_remote, open_store, shown
from backtester.data.series import Series
from backtester.domain.errors import ConfigError, DataError, StorageError
from tests.data.candles import MINUTE, MONDAY, minutes
from tests.support.s3_server import s3_server

BASE = "s3://market/my/data"
FILE = "market/my/data/binance/linear/BTCUSDT/candles/1m/year=2025/BTCUSDT-1m-2025-01.parquet"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("BT_DATA", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    with s3_server() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


def candles(rows: int = 2000) -> CandleColumns:
    columns = minutes(rows)
    return columns._replace(volume=columns.volume + 1)


def read_all(catalog: Catalog, start_ms: int = 0, end_ms: int = 10**14) -> CandleColumns:
    return join_columns(*catalog.read("binance", "linear", "BTCUSDT", "1m", start_ms, end_ms))


def equal(one: CandleColumns, other: CandleColumns) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


# -- stores --------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["local", "s3"])
def place(request, server, tmp_path) -> str:
    """A directory that a store may use."""
    return str(tmp_path / "place") if request.param == "local" else str(Path("s3://market/place"))


def put(place: str, name: str, content: bytes, tmp_path: Path) -> None:
    path = f"{place}/{name}"
    if not is_remote(place):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(path).with_suffix(".part")
    else:
        temporary = tmp_path / "content"
    temporary.write_bytes(content)
    open_store(place).write_whole(path, temporary)


def test_every_store_lists_reads_replaces_and_deletes_alike(place, tmp_path):
    store = open_store(place)
    assert store.entries(place) == []
    assert list(store.files(place)) == []
    for name, content in (("b/two", b"22"), ("a", b"1"), ("b/c/three", b"333"), (".hidden/four", b"4")):
        put(place, name, content, tmp_path)
    assert [(one.name, one.is_directory, one.size) for one in store.entries(place)] == [
        (".hidden", True, 0), ("a", False, 1), ("b", True, 0),
    ]  # fmt: skip
    assert [(path.removeprefix(f"{place}/"), one.size) for path, one in store.files(place)] == [
        ("a", 1),
        ("b/c/three", 3),
        ("b/two", 2),
    ]
    before = store.entries(place)[1]
    put(place, "a", b"other", tmp_path)
    after = store.entries(place)[1]
    assert after.size == 5
    assert after.mtime_ns != before.mtime_ns
    assert store.exists(f"{place}/a")
    assert not store.exists(f"{place}/b") or not is_remote(place)
    store.delete(f"{place}/a")
    store.delete(f"{place}/a")
    assert not store.exists(f"{place}/a")


def test_a_long_listing_comes_in_pages(server, tmp_path):
    server.page = 7
    for number in range(30):
        server.objects[f"market/many/{number:02d}/x"] = (b"x", 1)
    place = str(Path("s3://market/many"))
    assert len(open_store(place).entries(place)) == 30
    assert len(list(open_store(place).files(place))) == 30


def test_a_large_file_is_uploaded_in_parts_and_whole(server, tmp_path):
    content = np.random.default_rng(1).bytes(12_000_000)
    put("s3:/market", "big", content, tmp_path)
    assert server.objects["market/big"][0] == content
    assert server.uploads == {}


def test_a_path_is_shown_as_it_is_written():
    assert shown(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert shown(Path("/data")) == "/data"
    assert is_remote("s3://bucket") and is_remote(Path("s3://bucket")) and not is_remote(Path("data/s3"))


# -- a catalog in a bucket -----------------------------------------------------------------------------------------------


def test_candles_stored_in_a_bucket_are_read_back_bit_for_bit(server):
    catalog = Catalog(BASE)
    assert catalog.is_empty()
    assert catalog.write("binance", "linear", "BTCUSDT", "1m", candles()) == (2000, 0)
    assert list(server.objects) == [FILE]
    assert equal(read_all(Catalog(BASE)), candles())
    assert catalog.write("binance", "linear", "BTCUSDT", "1m", candles(2500)) == (500, 2000)
    assert equal(read_all(catalog), candles(2500))
    (series,) = catalog.all_series()
    assert (series.rows, series.gaps, series.files) == (2500, 0, 1)


def test_the_file_in_a_bucket_is_the_file_of_a_directory(server, tmp_path):
    Catalog(BASE).write("binance", "linear", "BTCUSDT", "1m", candles())
    Catalog(tmp_path / "local").write("binance", "linear", "BTCUSDT", "1m", candles())
    assert server.objects[FILE][0] == (tmp_path / "local" / FILE.removeprefix("market/my/data/")).read_bytes()


def test_a_day_is_read_without_its_month(server):
    catalog = Catalog(BASE)
    columns = candles(20 * 1440)
    wild = np.random.default_rng(1).random((2, len(columns.start_ms)))  # does not shrink when it is packed
    columns = columns._replace(high=columns.high + wild[0], volume=columns.volume + wild[1])
    catalog.write("binance", "linear", "BTCUSDT", "1m", columns)
    size = len(server.objects[FILE][0])
    server.bytes_sent = 0
    day = read_all(catalog, MONDAY + 5 * 1440 * MINUTE, MONDAY + 6 * 1440 * MINUTE)
    assert len(day.start_ms) == 1440
    assert server.bytes_sent < size / 2


def test_an_index_of_an_old_listing_is_not_believed(server):
    catalog = Catalog(BASE)
    catalog.write("binance", "linear", "BTCUSDT", "1m", candles())
    Catalog("s3://market/other").write("binance", "linear", "BTCUSDT", "1m", candles(10))
    server.objects[FILE] = (server.objects[FILE.replace("my/data", "other")][0], 99)
    assert catalog.all_series()[0].rows == 10


def test_other_kinds_are_merged_from_a_bucket_as_from_a_directory(server, tmp_path):
    funding = Series("binance", "linear", "BTCUSDT", "funding", "tick")
    kind = KINDS["funding"]
    table = pa.table([[MONDAY, MONDAY + 480 * MINUTE], [0.1, -0.1], [8.0, None], [None, None]], schema=kind.schema())
    rows = {}
    for base in (BASE, tmp_path / "local"):
        catalog = Catalog(base)
        catalog.store(Batch(funding, table, Origin("f", "0" * 64), VolumeUnit.BASE, (), {}))
        catalog.write("binance", "linear", "BTCUSDT", "1m", candles(1000))
        bars = Series("binance", "linear", "BTCUSDT", "candles", "1m")
        merge = EventMerge([Selection(bars), Selection(funding)], catalog.read_tables, start_us=0, end_us=10**17)
        rows[base] = list(merge.rows())
    assert rows[BASE] == rows[tmp_path / "local"]
    assert len(rows[BASE]) == 1002


def test_checking_a_bucket_finds_damage_and_fix_removes_leftovers(server):
    catalog = Catalog(BASE)
    catalog.write("binance", "linear", "BTCUSDT", "1m", candles())
    assert check_catalog(catalog).exit_code == 0
    server.objects[FILE.replace("BTCUSDT-1m", ".BTCUSDT-1m").replace(".parquet", "-x.tmp")] = (b"half", 1)
    assert [one.rule for one in check_catalog(catalog).problems] == ["leftover"]
    assert check_catalog(catalog, fix=True).exit_code == 0
    assert [name for name in server.objects if name.endswith(".tmp")] == []
    content, version = server.objects[FILE]
    server.objects[FILE] = (content[:-9], version)
    assert check_catalog(catalog).exit_code == 3


def test_a_run_on_a_bucket_is_that_on_a_directory_and_can_be_verified(server, tmp_path, capsys):
    for base in (BASE, "local"):
        Catalog(base).write("binance", "linear", "BTCUSDT", "1m", candles())
        asked = ("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--timeframe", "5m", "--data", base)
        assert main([*asked, "--run-id", base[:2]]) == 0
    out = capsys.readouterr().out
    fingerprints = [word for line in out.splitlines() if "fingerprint" in line for word in line.split()[-1:]]
    assert len(fingerprints) == 2 and len(set(fingerprints)) == 1
    assert f'data_path = "{BASE}"' in Path("runs/s3/config.toml").read_text()
    assert main(["verify", "runs/s3"]) == 0
    assert main(["data", "list", "--data", BASE]) == 0
    assert "BTCUSDT" in capsys.readouterr().out
    assert not Path("s3:").exists()


# -- what goes wrong -----------------------------------------------------------------------------------------------------


def test_a_busy_store_is_asked_again(server):
    Catalog(BASE).write("binance", "linear", "BTCUSDT", "1m", candles())
    server.refuse = 1
    assert len(read_all(Catalog(BASE)).start_ms) == 2000


def test_a_store_that_refuses_is_named_with_what_to_look_at(server):
    server.denied = True
    with pytest.raises(DataError, match=r"s3://market/my/data cannot be listed at http://127.0.0.1:\d+ .*AWS_ACCESS_KEY_ID"):
        Catalog(BASE).all_series()


def test_a_failed_upload_leaves_what_was_there(server):
    catalog = Catalog(BASE)
    catalog.write("binance", "linear", "BTCUSDT", "1m", candles())
    before = server.objects[FILE]
    server.read_only = True
    with pytest.raises(StorageError, match=r"s3://market/my/data/binance.* cannot be written"):
        catalog.write("binance", "linear", "BTCUSDT", "1m", candles(2100))
    server.read_only = False
    assert server.objects[FILE] == before
    assert equal(read_all(Catalog(BASE)), candles())


def test_a_damaged_file_in_a_bucket_is_named(server):
    catalog = Catalog(BASE)
    catalog.write("binance", "linear", "BTCUSDT", "1m", candles())
    server.objects[FILE] = (server.objects[FILE][0][:500], 5)
    with pytest.raises(DataError, match=r"BTCUSDT-1m-2025-01\.parquet cannot be read"):
        read_all(catalog)


def test_addresses_that_cannot_be_are_refused(server, monkeypatch):
    with pytest.raises(ConfigError, match="names no bucket"):
        Catalog("s3://").all_series()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL must be an address"):
        Catalog(BASE).all_series()


def test_there_are_no_instruments_in_a_bucket_and_storing_some_is_refused(server):
    path = InstrumentStore(Path(BASE)).path("binance", "linear")
    with (
        pytest.raises(ConfigError, match="s3://market/my/data/binance/linear: instruments are stored in a local catalog"),
        _locked(path.parent),
    ):
        pass
    assert InstrumentStore(Path(BASE)).specs("binance", "linear", "BTCUSDT") == ()


def test_catalogs_of_two_endpoints_have_two_indexes(server, monkeypatch):
    here = index_directory(Path(BASE))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert index_directory(Path(BASE)) != here
    assert index_directory(Path("data")) == Path("data")


def test_a_parquet_file_of_another_program_is_read_from_a_bucket(server):
    table = pa.table(dict(zip(CandleColumns._fields, candles(100), strict=True)))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    server.objects[FILE] = (sink.getvalue().to_pybytes(), 1)
    assert len(read_all(Catalog(BASE)).start_ms) == 100
