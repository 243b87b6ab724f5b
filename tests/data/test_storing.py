"""Storing batches of every kind: idempotent, independent of order, nothing overwritten, all or nothing, one at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.data.catalog import Catalog
from backtester.data.kinds import BOOK, CANDLES, FUNDING, KINDS, TRADES, VolumeUnit
from backtester.domain.errors import ConfigError, DataError, DataQualityError, DataUnavailableError, SchemaMismatchError
from tests.data.rows import START_MS, a_series, batch_of, rows_in, seeded_rows, some_kinds, table_of, tables

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(str(tmp_path / "data"))


def everything(catalog: Catalog, series) -> pa.Table:
    return pa.concat_tables(catalog.read_tables(series, 0, 10**14)).combine_chunks()


def content(catalog: Catalog) -> dict[str, bytes]:
    return {str(path.relative_to(catalog.base)): path.read_bytes() for path in sorted(catalog.base.rglob("*.parquet"))}


@EVERY_KIND
def test_every_kind_is_stored_read_and_listed(catalog, kind):
    series, table = a_series(kind), seeded_rows(kind, seed=1, count=400, first=-200)
    assert catalog.store(batch_of(table, series)) == (400, 0, 0, 2)
    assert everything(catalog, series).equals(table)
    start_ms, end_ms = START_MS - 60_000 * 3, START_MS + 60_000 * 3
    assert sum(part.num_rows for part in catalog.read_tables(series, start_ms, end_ms)) == 6
    (one,) = catalog.all_series()
    assert (one.series, one.rows, one.gaps, one.files) == (series, 400, 0, 2)
    assert one.first_ms == START_MS - 200 * 60_000
    assert one.last_ms == START_MS + 199 * 60_000 + (60_000 if kind.periodic else 1)
    directory = f"binance/linear/BTCUSDT/{kind.name}/{series.timeframe}"
    assert list(content(catalog)) == [
        f"{directory}/year=2024/BTCUSDT-{series.timeframe}-2024-12.parquet",
        f"{directory}/year=2025/BTCUSDT-{series.timeframe}-2025-01.parquet",
    ]


@EVERY_KIND
def test_storing_again_changes_nothing(catalog, kind):
    batch = batch_of(seeded_rows(kind, seed=1, count=100, first=-50), a_series(kind))
    catalog.store(batch)
    before, listed, partitions = content(catalog), catalog.all_series(), catalog.partitions()
    assert catalog.store(batch) == (0, 100, 0, 0)
    assert catalog.store(batch._replace(table=batch.table.slice(30, 40))) == (0, 40, 0, 0)
    assert (content(catalog), catalog.all_series(), catalog.partitions()) == (before, listed, partitions)


@settings(max_examples=max(25, settings().max_examples // 4))  # three stores of several files each
@given(st.data())
def test_the_order_of_batches_does_not_matter(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(some_kinds()))
    batches = [batch_of(data.draw(tables(kind)), a_series(kind)) for _ in range(3)]
    results = []
    for order in (batches, data.draw(st.permutations(batches))):
        catalog = Catalog(tmp_path_factory.mktemp("order"))
        for batch in order:
            catalog.store(batch)
        results.append(content(catalog))
    assert results[0] == results[1]


def test_a_contradiction_names_time_and_both_values_and_nothing_is_written(catalog):
    table = seeded_rows(FUNDING, seed=1, count=10, first=-5)
    catalog.store(batch_of(table.slice(5), a_series(FUNDING)))
    before = content(catalog)
    rates = table.column("rate").to_pylist()
    other = table.set_column(1, "rate", pa.array([*rates[:7], 0.5, 0.25, rates[9]]))
    with pytest.raises(DataQualityError) as caught:
        catalog.store(batch_of(other, a_series(FUNDING)))
    says = str(caught.value)
    assert f"the row of 2025-01-01 00:02:00 UTC is stored with rate {rates[7]}, but given with rate 0.5 (2 rows differ)" in says
    assert "nothing was written" in says
    assert content(catalog) == before
    assert [origin.name for origin in catalog.manifest.sources(before)] == ["a.csv"]


def test_a_value_that_was_unknown_is_filled_in(catalog):
    rows = [{"time_ms": START_MS, "rate": 0.1}, {"time_ms": START_MS + 1, "rate": 0.2}]
    catalog.store(batch_of(table_of(FUNDING, rows), a_series(FUNDING)))
    known = table_of(FUNDING, [{**rows[0], "mark_price": 7.0}])
    assert catalog.store(batch_of(known, a_series(FUNDING))) == (1, 0, 0, 1)
    assert everything(catalog, a_series(FUNDING)).column("mark_price").to_pylist() == [7.0, None]


def test_volumes_of_another_unit_are_refused_where_a_kind_has_volumes(catalog):
    for kind in (CANDLES, FUNDING):
        catalog.store(batch_of(seeded_rows(kind, seed=1, count=5), a_series(kind), unit=VolumeUnit.CONTRACTS))
    later = seeded_rows(CANDLES, seed=1, count=5, first=50_000)
    with pytest.raises(DataQualityError, match="stored volumes count contracts, those given count base"):
        catalog.store(batch_of(later, a_series(CANDLES)))
    more = seeded_rows(FUNDING, seed=1, count=5, first=50_000)
    assert catalog.store(batch_of(more, a_series(FUNDING))).rows_written == 5
    assert {one.kind: one.volume_unit for one in catalog.partitions()} == {"candles": "contracts", "funding": "base"}


def test_networks_never_mix(catalog):
    real, test = a_series(CANDLES), a_series(CANDLES, network="testnet")
    catalog.store(batch_of(seeded_rows(CANDLES, seed=1, count=5), test))
    assert catalog.is_empty()
    assert catalog.series() == catalog.find("BTCUSDT") == catalog.markets() == ()
    with pytest.raises(DataUnavailableError, match=r"stored of BTCUSDT: binance\.testnet linear 1m"):
        catalog.read("binance", "linear", "BTCUSDT", "1m", 0, 10**14)
    with pytest.raises(ConfigError, match=r"binance\.testnet"):
        catalog.read("binance.testnet", "linear", "BTCUSDT", "1m", 0, 10**14)
    catalog.store(batch_of(seeded_rows(CANDLES, seed=2, count=5), real))
    assert [one.network for one in catalog.all_series()] == ["live", "testnet"]
    assert everything(catalog, test).equals(seeded_rows(CANDLES, seed=1, count=5))


def test_what_is_not_stored_is_answered_with_the_command_that_imports_it(catalog):
    catalog.store(batch_of(seeded_rows(CANDLES, seed=1, count=5), a_series(CANDLES)))
    with pytest.raises(DataUnavailableError) as caught:
        catalog.read_tables(a_series(TRADES, network="testnet"), 0, 1)
    assert "no trades of BTCUSDT on binance.testnet linear" in str(caught.value)
    assert "stored of BTCUSDT: binance linear 1m" in str(caught.value)
    assert "--kind trades --network testnet" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda table: table.drop_columns(["rate"]), SchemaMismatchError, "no columns of funding: time_ms int64"),
        (lambda table: table.set_column(1, "rate", pa.array([1.0, None, 2.0])), DataQualityError, "rate has empty values"),
        (lambda table: table.take([1, 0, 2]), DataQualityError, "not in order of time"),
        (lambda table: table.take([0, 1, 1]), DataQualityError, "two rows .* have the key time_ms"),
    ],
    ids=["columns", "empty value", "order", "key"],
)
def test_a_batch_that_is_not_clean_is_refused_by_its_origin(catalog, change, error, says):
    with pytest.raises(error, match=f"f.csv: .*{says}"):
        catalog.store(batch_of(change(seeded_rows(FUNDING, seed=1, count=3)), a_series(FUNDING), origin="f.csv"))
    assert not catalog.base.exists()


def test_nothing_stored_is_nothing_written(catalog):
    assert catalog.store(batch_of(seeded_rows(TRADES, seed=1, count=0), a_series(TRADES))) == (0, 0, 0, 0)
    assert catalog.all_series() == ()


def test_gaps_are_told_with_their_times(catalog):
    table = seeded_rows(CANDLES, seed=1, count=100, first=-50)
    catalog.store(batch_of(table.take([*range(20), *range(22, 49), *range(51, 100)]), a_series(CANDLES)))
    minute = 60_000
    expected = [(START_MS - 30 * minute, START_MS - 28 * minute), (START_MS - minute, START_MS + minute)]
    assert list(catalog.missing(a_series(CANDLES))) == expected
    assert catalog.all_series()[0].gaps == 2
    catalog.store(batch_of(seeded_rows(BOOK, seed=1, count=5, step_ms=10**9), a_series(BOOK)))
    assert list(catalog.missing(a_series(BOOK))) == []


# -- fingerprints --------------------------------------------------------------------------------------------------------


def test_a_fingerprint_depends_on_the_values_of_the_months_touched_and_on_nothing_else(tmp_path):
    series = a_series(CANDLES)
    whole = seeded_rows(CANDLES, seed=1, count=200, first=-100)
    one, other = Catalog(tmp_path / "one"), Catalog(tmp_path / "other")
    one.store(batch_of(whole, series))
    for first, length in ((150, 50), (0, 120), (100, 60)):
        other.store(batch_of(whole.slice(first, length), series, origin=f"{first}.csv"))
    both = (START_MS - 1, START_MS + 1)
    assert one.fingerprint(series, *both) == other.fingerprint(series, *both)
    january = (START_MS, START_MS + 1)
    before = one.fingerprint(series, *january)
    one.store(batch_of(seeded_rows(CANDLES, seed=1, count=10, first=-300), series))
    assert one.fingerprint(series, *january) == before
    assert one.fingerprint(series, *both) != other.fingerprint(series, *both)
    one.store(batch_of(seeded_rows(CANDLES, seed=1, count=10, first=500), series))
    assert one.fingerprint(series, *january) != before


def test_a_fingerprint_tells_series_and_units_apart(tmp_path):
    table = seeded_rows(CANDLES, seed=1, count=5)
    prints = []
    for index, (network, unit) in enumerate([("live", "base"), ("testnet", "base"), ("live", "quote")]):
        catalog = Catalog(tmp_path / str(index))
        series = a_series(CANDLES, network=network)
        catalog.store(batch_of(table, series, unit=VolumeUnit(unit)))
        prints.append(catalog.fingerprint(series, START_MS, START_MS + 1))
    assert len(dict.fromkeys(prints)) == 3
    with pytest.raises(DataUnavailableError):
        catalog.fingerprint(a_series(FUNDING), 0, 1)


def test_the_content_of_a_file_of_another_program_is_learnt_once(catalog):
    series, table = a_series(CANDLES), seeded_rows(CANDLES, seed=1, count=5)
    catalog.store(batch_of(table, series))
    own = catalog.fingerprint(series, 0, 10**14)
    (path,) = catalog.base.rglob("*.parquet")
    pa.parquet.write_table(table, path)
    assert catalog.partitions()[0].content_sha256 is None
    assert catalog.fingerprint(series, 0, 10**14) == own
    assert catalog.partitions()[0].content_sha256 is not None
    path.write_bytes(b"")
    with pytest.raises(DataError, match=path.name):
        catalog.fingerprint(series, 0, 10**14)


# -- several processes ---------------------------------------------------------------------------------------------------

STORE_SOME = """
import sys
from backtester.data.catalog import Catalog
from backtester.data.kinds import TRADES
from tests.data.rows import a_series, batch_of, seeded_rows
catalog, part = Catalog(sys.argv[1]), int(sys.argv[2])
for first in range(part * 10, 400, 20):
    catalog.store(batch_of(seeded_rows(TRADES, seed=1, count=10, first=first), a_series(TRADES), origin=f"{part}.csv"))
"""


def test_two_processes_that_store_the_same_month_lose_nothing(tmp_path):
    commands = [[sys.executable, "-c", STORE_SOME, str(tmp_path), str(part)] for part in (0, 1)]
    processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    catalog = Catalog(tmp_path)
    assert rows_in(everything(catalog, a_series(TRADES))) == rows_in(seeded_rows(TRADES, seed=1, count=400))
    recorded = catalog.manifest.partitions()
    assert tuple(recorded.values()) == catalog.partitions()
    assert [origin.name for origin in catalog.manifest.sources(recorded)] == ["0.csv", "1.csv"]
