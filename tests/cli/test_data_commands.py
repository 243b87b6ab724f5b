"""`bt data list` and `bt data info` on small catalogs of several kinds."""

from __future__ import annotations

import json
import sqlite3

import pytest

from backtester.cli.main import main
from backtester.data.catalog import Catalog
from backtester.data.findings import Finding, Policies, Policy, Rule
from backtester.data.kinds import CANDLES, FUNDING, TRADES, VolumeUnit
from tests.data.rows import a_series, batch_of, seeded_rows

FOUND = Finding(Rule.OUTLIER, Policy.KEEP, "a.csv", 17, 2, "close is far away")


@pytest.fixture
def bt(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)

    def run(*words):
        code = main([*words, "--data", "cat"])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    catalog = Catalog(tmp_path / "cat")
    candles = seeded_rows(CANDLES, seed=1, count=100, first=-50)
    kept = candles.take([index for index in range(100) if index not in {20, 21, 70}])
    policies = Policies({Rule.OUTLIER: Policy.DROP}).texts()
    catalog.store(batch_of(kept, a_series(CANDLES), findings=(FOUND,), unit=VolumeUnit.CONTRACTS)._replace(policies=policies))
    catalog.store(batch_of(seeded_rows(TRADES, seed=1, count=1500), a_series(TRADES, network="testnet"), origin="t.csv"))
    catalog.store(batch_of(seeded_rows(FUNDING, seed=1, count=3), a_series(FUNDING, symbol="ETHUSDT")))
    return catalog


def test_every_kind_and_network_is_listed_with_totals(bt, catalog):
    code, out, err = bt("data", "list")
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[0] == ["exchange", "market", "symbol", "kind", "timeframe", "first", "(UTC)", "end", "(UTC)", "rows", "gaps"]
    assert lines[1] == [
        "binance",
        "linear",
        "BTCUSDT",
        "candles",
        "1m",
        "2024-12-31",
        "23:10:00",
        "2025-01-01",
        "00:50:00",
        "97",
        "2",
    ]
    assert lines[2] == [
        "binance",
        "linear",
        "ETHUSDT",
        "funding",
        "-",
        "2025-01-01",
        "00:00:00",
        "2025-01-01",
        "00:02:00",
        "3",
        "0",
    ]
    assert lines[3] == [
        "binance.testnet",
        "linear",
        "BTCUSDT",
        "trades",
        "-",
        "2025-01-01",
        "00:00:00",
        "2025-01-02",
        "00:59:00",
        "1,500",
        "0",
    ]
    assert out.splitlines()[4] == "3 series, 4 files, 1,600 rows in cat"
    assert len(bt("data", "list", "--quiet")[1].splitlines()) == 4


def test_listing_as_json_has_all_and_the_totals(bt, catalog):
    listed = json.loads(bt("data", "list", "--json")[1])
    assert listed["totals"] == {"series": 3, "files": 4, "rows": 1600}
    assert [(one["kind"], one["network"], one["rows"]) for one in listed["series"]] == [
        ("candles", "live", 97),
        ("funding", "live", 3),
        ("trades", "testnet", 1500),
    ]


def test_storing_the_same_again_changes_nothing_that_is_printed(bt, catalog):
    before = bt("data", "list"), bt("data", "list", "--json"), bt("data", "info", "ETHUSDT")
    catalog.store(batch_of(seeded_rows(FUNDING, seed=1, count=3), a_series(FUNDING, symbol="ETHUSDT")))
    assert (bt("data", "list"), bt("data", "list", "--json"), bt("data", "info", "ETHUSDT")) == before


def test_a_symbol_is_shown_with_files_sources_findings_policies_and_gaps(bt, catalog):
    code, out, _ = bt("data", "info", "BTCUSDT")
    assert code == 0
    candles, trades = out.split("binance.testnet linear BTCUSDT trades")
    for text in (
        "binance linear BTCUSDT candles 1m",
        "97 in 2 files,",
        "2024-12-31 23:10:00 to 2025-01-01 00:50:00 UTC",
        "in contracts",
        "2024-12-31 23:30:00 to 2024-12-31 23:32:00 UTC",
        "2025-01-01 00:20:00 to 2025-01-01 00:21:00 UTC",
        "a.csv (sha256 000000000000)",
        "a.csv, row 17: outlier (2 rows, keep): close is far away",
        "outlier=drop, otherwise the default",
        "`bt data instruments` stores them",
    ):
        assert text in candles
    assert "t.csv (sha256" in trades
    assert "none" in trades
    assert "contracts" not in trades


def test_a_symbol_as_json_has_every_gap_source_and_hash(bt, catalog):
    shown = json.loads(bt("data", "info", "BTCUSDT", "--json")[1])
    candles, trades = shown["series"]
    assert shown["symbol"] == "BTCUSDT"
    assert [end - begin for begin, end in candles["gap_times_ms"]] == [120_000, 60_000]
    assert candles["sources"] == [{"name": "a.csv", "sha256": f"{5:064x}"}]
    assert candles["findings"][0]["rule"] == "outlier"
    assert candles["policies"]["outlier"] == ["drop"]
    assert candles["volume_unit"] == "contracts"
    start_ms, end_ms = candles["first_ms"], candles["last_ms"]
    assert candles["fingerprint"] == catalog.fingerprint(a_series(CANDLES), start_ms, end_ms)
    assert [one["sha256"] for one in trades["month_files"]] == [
        one.content_sha256 for one in catalog.partitions("BTCUSDT") if one.kind == "trades"
    ]


def test_long_lists_are_cut_with_a_count(bt, catalog):
    table = seeded_rows(FUNDING, seed=1, count=3)
    for index in range(8):
        catalog.store(batch_of(table, a_series(FUNDING, symbol="ETHUSDT"), origin=f"{index}.csv"))
    out = bt("data", "info", "ETHUSDT")[1]
    assert "3.csv" in out
    assert "5.csv" not in out
    assert "and 4 more (--json shows all)" in out


@pytest.mark.parametrize("word", ["BTCUSD", "btcusdt"])
def test_a_symbol_that_is_not_stored_is_answered_with_the_nearest(bt, catalog, word):
    code, _, err = bt("data", "info", word)
    assert code == 3
    assert f"nothing is stored of {word} in cat; did you mean BTCUSDT?" in err
    assert "see `bt data list`" in bt("data", "info", "../x")[2]


def test_a_manifest_that_had_to_be_made_anew_is_told_once(bt, catalog):
    before = bt("data", "list")[1]
    (catalog.base / "manifest.sqlite").unlink()
    code, out, err = bt("data", "list")
    assert (code, out) == (0, before)
    assert err.startswith("bt: note: ")
    assert "was missing and has been made from 4 files" in err
    assert bt("data", "list")[2] == ""


def test_listing_opens_no_data_file(bt, catalog, monkeypatch):
    bt("data", "list")
    opened = []
    monkeypatch.setattr("backtester.data.manifest.file_facts", lambda path, series: opened.append(path))
    assert bt("data", "list")[0] == 0
    assert opened == []


def test_a_locked_manifest_does_not_stop_a_reader(bt, catalog):
    connection = sqlite3.connect(catalog.base / "manifest.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    assert bt("data", "list")[0] == 0
    connection.close()
