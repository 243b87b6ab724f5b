"""The manifest: an index that agrees with the files, or is made to."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from backtester.data.catalog import Catalog
from backtester.data.content_hash import content_sha256
from backtester.data.findings import Finding, Policies, Policy, Rule
from backtester.data.kinds import CANDLES, FUNDING
from backtester.data.manifest import NAME, Manifest
from backtester.data.series_file import write_series_file
from backtester.domain.errors import DataError, StorageError
from tests.data.rows import START_MS, a_series, batch_of, seeded_rows

FILE = "binance/linear/BTCUSDT/candles/1m/year=2025/BTCUSDT-1m-2025-01.parquet"
FOUND = Finding(Rule.OUTLIER, Policy.KEEP, "a.csv", 17, 2, "close is far away")


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    catalog = Catalog(tmp_path)
    table = seeded_rows(CANDLES, seed=1, count=20)
    policies = Policies({Rule.OUTLIER: Policy.DROP}).texts()
    catalog.store(batch_of(table, a_series(CANDLES), findings=(FOUND,))._replace(policies=policies))
    return catalog


def test_a_partition_is_recorded_with_all_its_facts(catalog):
    (one,) = catalog.manifest.partitions().values()
    stat = (catalog.base / FILE).stat()
    assert one == (
        FILE,
        *("binance", "linear", "BTCUSDT", "candles", "1m", "live"),
        *(20, START_MS, START_MS + 19 * 60_000, 0),
        content_sha256(CANDLES, seeded_rows(CANDLES, seed=1, count=20)),
        *(stat.st_size, stat.st_mtime_ns, 2, "base"),
    )
    assert catalog.manifest.partitions("ETHUSDT") == {}
    assert catalog.manifest.partitions("BTCUSDT") == {FILE: one}


def test_sources_findings_and_policies_are_remembered_once_each(catalog):
    batch = batch_of(seeded_rows(CANDLES, seed=1, count=10), a_series(CANDLES), findings=(FOUND,))
    catalog.store(batch)
    manifest = catalog.manifest
    assert [(origin.name, len(origin.sha256)) for origin in manifest.sources([FILE])] == [("a.csv", 64)]
    assert manifest.findings([FILE]) == (FOUND,)
    assert manifest.policies([FILE])["high_low"] == ("fail",)
    other = batch_of(seeded_rows(CANDLES, seed=1, count=10), a_series(CANDLES), origin="b.csv")
    catalog.store(other._replace(policies={"outlier": "drop"}))
    assert [origin.name for origin in manifest.sources([FILE])] == ["a.csv", "b.csv"]
    assert manifest.policies([FILE])["outlier"] == ("drop", "keep")


def test_a_file_that_was_replaced_without_a_record_is_read_anew(catalog):
    more = seeded_rows(CANDLES, seed=1, count=30)
    before = catalog.partitions()[0]
    write_series_file(catalog.base / FILE, a_series(CANDLES), [more], volume_unit=batch_of(more, a_series(CANDLES)).volume_unit)
    assert catalog.manifest.partitions()[FILE] == before
    assert catalog.all_series()[0].rows == 30
    assert catalog.manifest.partitions()[FILE].content_sha256 == content_sha256(CANDLES, more)
    assert catalog.manifest.sources([FILE])[0].name == "a.csv"


def test_a_file_that_is_gone_is_forgotten_with_its_sources(catalog):
    (catalog.base / FILE).unlink()
    assert catalog.all_series() == ()
    assert catalog.manifest.partitions() == {}
    assert catalog.manifest.sources([FILE]) == ()


def test_files_that_are_recorded_stay_closed(catalog):
    path = catalog.base / FILE
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert catalog.all_series()[0].rows == 20
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(DataError, match="BTCUSDT-1m-2025-01"):
        catalog.all_series()


def test_a_missing_manifest_is_made_from_the_footers_with_a_note(catalog):
    recorded = catalog.manifest.partitions()
    (catalog.base / NAME).unlink()
    again = Catalog(catalog.base)
    assert again.partitions() == tuple(recorded.values())
    assert again.manifest.partitions() == recorded
    assert [note for note in again.manifest.notes if "was missing and has been made from 1 files" in note] == again.manifest.notes
    assert Catalog(catalog.base).all_series()[0].rows == 20


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database, whatever its name says" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)),
        lambda path: path.write_bytes(b""),
    ],
    ids=["text", "cut", "pages", "empty"],
)
@pytest.mark.parametrize("use", ["list", "store"])
def test_a_damaged_manifest_is_made_anew(catalog, damage, use):
    recorded = catalog.manifest.partitions()
    damage(catalog.base / NAME)
    again = Catalog(catalog.base)
    if use == "store":
        assert again.store(batch_of(seeded_rows(CANDLES, seed=1, count=20), a_series(CANDLES))).rows_already_stored == 20
    assert again.partitions() == tuple(recorded.values())
    assert Manifest(catalog.base).partitions() == recorded
    assert Catalog(catalog.base).all_series()[0].rows == 20


def test_a_manifest_of_another_version_is_made_anew(catalog):
    recorded = catalog.manifest.partitions()
    with closing(sqlite3.connect(catalog.base / NAME)) as connection:
        connection.execute("DROP TABLE partitions")
        connection.execute("CREATE TABLE partitions (other TEXT)")
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
    assert catalog.manifest.partitions() == {}
    assert catalog.partitions() == tuple(recorded.values())
    assert catalog.manifest.partitions() == recorded


def test_a_catalog_that_may_not_be_written_is_read(catalog, monkeypatch):
    real = sqlite3.connect

    def read_only(path, **options):
        if not options.get("uri") or "immutable" not in path:
            raise sqlite3.OperationalError("unable to open database file")
        return real(path, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert Catalog(catalog.base).all_series()[0].rows == 20
    assert catalog.manifest.sources([FILE])[0].name == "a.csv"
    pq.write_table(seeded_rows(CANDLES, seed=1, count=25), catalog.base / FILE)
    behind = Catalog(catalog.base)
    assert behind.all_series()[0].rows == 25
    assert "unable to open database file" in behind.manifest.notes[0]
    (catalog.base / NAME).unlink()
    assert Catalog(catalog.base).all_series()[0].rows == 25
    with pytest.raises(StorageError, match=r"cannot write .*manifest\.sqlite"):
        catalog.store(batch_of(seeded_rows(FUNDING, seed=1, count=2), a_series(FUNDING)))
    assert [one.kind for one in Catalog(catalog.base).all_series()] == ["candles", "funding"]


def test_looking_at_an_empty_place_creates_nothing(tmp_path):
    assert Catalog(tmp_path / "none").all_series() == ()
    assert list(tmp_path.iterdir()) == []
