"""The hash of content: the values alone decide, not how they are packed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.content_hash import ContentHash, content_sha256
from backtester.data.kinds import FUNDING, KINDS, TRADES
from tests.data.rows import seeded_rows, tables

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@EVERY_KIND
def test_packing_and_cutting_change_nothing(kind, tmp_path):
    table = seeded_rows(kind, seed=1, count=50)
    expected = content_sha256(kind, table)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7, compression="gzip")
    assert content_sha256(kind, pq.ParquetFile(tmp_path / "a.parquet").read()) == expected
    content = ContentHash(kind)
    for first in range(0, 50, 9):
        content.update(table.slice(first, 9))
    assert content.hexdigest() == expected


@EVERY_KIND
def test_any_other_value_gives_another_hash(kind):
    table = seeded_rows(kind, seed=1, count=6)
    known = {content_sha256(kind, table), content_sha256(kind, table.slice(0, 5)), content_sha256(kind, table.slice(1, 5))}
    for index, column in enumerate(kind.columns):
        values = table.column(index).to_pylist()
        other = {"int64": 77, "float64": 0.125, "bool": not values[2], "string": "other"}[column.type]
        changed = table.set_column(index, column.name, pa.array([*values[:2], other, *values[3:]], table.column(index).type))
        known.add(content_sha256(kind, changed))
    assert len(known) == 3 + len(kind.columns)


@given(st.data())
def test_tables_have_one_hash_only_where_they_are_equal(data):
    kind = data.draw(st.sampled_from([FUNDING, TRADES]))
    one, other = (data.draw(tables(kind, consistent=False)) for _ in range(2))
    same = [repr(column.to_pylist()) for column in one.columns] == [repr(column.to_pylist()) for column in other.columns]
    assert (content_sha256(kind, one) == content_sha256(kind, other)) == same


def test_texts_are_told_apart_by_where_they_end():
    base = seeded_rows(TRADES, seed=1, count=2)
    hashes = {
        content_sha256(TRADES, base.set_column(4, "trade_id", pa.array(ids, pa.string())))
        for ids in (["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None], [None, "abc"])
    }
    assert len(hashes) == 5


def test_the_hash_is_the_same_on_every_machine_and_in_every_version():
    assert content_sha256(FUNDING, seeded_rows(FUNDING, seed=1, count=3)) == (
        "2a7f53f74927335ff62e606a326726aa8b205f9069ee021c6b4c818d24f381f0"
    )
