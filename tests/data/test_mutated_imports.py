"""Damaged files under good names: what is stored stays as it is, and nothing is written outside the catalog."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backtester.data.catalog import Catalog
from backtester.data.checking import check_catalog
from backtester.data.findings import Policies, Policy, Rule
from backtester.data.importer import import_file
from backtester.data.kinds import KINDS
from backtester.data.series import Series
from backtester.domain.errors import EXIT_DATA, DataError
from tests.data.parsing.archives import zipped
from tests.data.parsing.test_mutated_files import FILES, MUTATIONS, NAMES

ROUNDS = 1_000 if os.environ.get("BT_NIGHTLY") else 25
DROPPING = Policies(dict.fromkeys(Rule, Policy.DROP))

Rows = dict[Series, dict[object, tuple[object, ...]]]


def stored_rows(catalog: Catalog) -> Rows:
    """Every row of every series by its time and key, or by all its values where its kind has no key."""
    found: Rows = {}
    for series in (one.series for one in catalog.all_series()):
        kind = KINDS[series.kind]
        rows = found.setdefault(series, {})
        for table in catalog.read_tables(series, 0, 10**14):
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                key = (row[0], *(row[kind.names.index(name)] for name in kind.key)) if kind.key else row
                rows[key] = row
    return found


def files_below(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_damaged_file_changes_no_stored_row_and_writes_nowhere_else(tmp_path, mutation):
    rng = random.Random(f"import {mutation.__name__}")
    catalog = Catalog(tmp_path / "catalog")
    received = tmp_path / "received"
    for name in NAMES:
        path = received / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zipped(FILES[name]))
        import_file(path, catalog=catalog)
    before = stored_rows(catalog)
    assert len(before) == len(NAMES)
    outside = sorted(files_below(received))
    refused = 0
    for _ in range(ROUNDS):
        name = rng.choice(NAMES)
        path = received / name
        as_text = rng.random() < 0.7
        path.write_bytes(zipped(mutation(FILES[name].encode(), rng)) if as_text else mutation(zipped(FILES[name]), rng))
        try:
            import_file(path, catalog=catalog, policies=rng.choice((Policies(), DROPPING)))
        except DataError:
            refused += 1
    assert 0 < refused < ROUNDS
    after = stored_rows(catalog)
    for series, rows in before.items():
        for key, row in rows.items():
            assert all(old in {None, new} for old, new in zip(row, after[series][key], strict=True)), (series, key)
    assert sorted(files_below(received)) == outside
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "received"]
    assert check_catalog(catalog).exit_code != EXIT_DATA
