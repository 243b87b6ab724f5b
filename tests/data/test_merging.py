"""Unions of stored and new rows: order, repetition and cuts do not matter; contradictions are never overwritten."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.kinds import CANDLES, FUNDING, OPTION_SUMMARY, TRADES
from backtester.data.merging import first_repeated_key, in_canonical_order, is_in_order, merge, merge_in_pieces
from tests.data.rows import START_MS, rows_in, seeded_rows, some_kinds, table_of, tables

KINDS = st.sampled_from(some_kinds())


def funding(*rows):
    return table_of(FUNDING, [{"time_ms": START_MS + at, "rate": rate, "mark_price": mark} for at, rate, mark in rows])


def trades(*rows):
    return table_of(TRADES, [{"time_us": at, "price": price, "qty": 1.0, "is_buyer_maker": True} for at, price in rows])


@given(st.data())
def test_the_order_of_two_tables_does_not_matter(data):
    kind = data.draw(KINDS)
    one, other = data.draw(tables(kind)), data.draw(tables(kind))
    assert merge(kind, one, other).table.equals(merge(kind, other, one).table)


@given(st.data())
def test_three_tables_may_be_joined_in_any_grouping(data):
    kind = data.draw(KINDS)
    first, second, third = (data.draw(tables(kind)) for _ in range(3))
    left = merge(kind, merge(kind, first, second).table, third).table
    right = merge(kind, first, merge(kind, second, third).table).table
    assert left.equals(right)


@given(st.data())
def test_what_is_there_already_changes_nothing(data):
    kind = data.draw(KINDS)
    one, other = data.draw(tables(kind)), data.draw(tables(kind))
    union = merge(kind, one, other)
    for again in (one, other, union.table):
        repeated = merge(kind, union.table, again)
        assert repeated.table.equals(union.table)
        assert (repeated.added, repeated.filled, repeated.contradictions) == (0, 0, 0)
    assert union.table.num_rows == one.num_rows + union.added


@given(st.data())
def test_a_kind_without_a_key_keeps_the_larger_count_of_each_row(data):
    one, other = data.draw(tables(TRADES)), data.draw(tables(TRADES))
    counts = Counter(map(repr, rows_in(merge(TRADES, one, other).table)))
    assert counts == Counter(map(repr, rows_in(one))) | Counter(map(repr, rows_in(other)))


@given(st.data())
def test_what_was_stored_is_never_overwritten(data):
    kind = data.draw(st.sampled_from([kind for kind in some_kinds() if kind.key]))
    stored, given_rows = data.draw(tables(kind, consistent=False)), data.draw(tables(kind, consistent=False))
    merged = merge(kind, stored, given_rows)
    by_key = {tuple(row[name] for name in kind.key): row for row in merged.table.to_pylist()}
    for row in stored.to_pylist():
        now = by_key[tuple(row[name] for name in kind.key)]
        assert all(repr(now[name]) == repr(value) for name, value in row.items() if value is not None)
    assert (merged.first is None) == (merged.contradictions == 0)


@given(st.data())
def test_pieces_make_the_same_union_however_the_stored_rows_are_cut(data):
    kind = data.draw(KINDS)
    stored, given_rows = data.draw(tables(kind)), data.draw(tables(kind))
    edges = sorted(data.draw(st.lists(st.integers(0, stored.num_rows), max_size=3)))
    cuts = zip([0, *edges], [*edges, stored.num_rows], strict=True)
    parts = [stored.slice(first, last - first) for first, last in cuts if last > first]
    pieces = list(merge_in_pieces(kind, parts, given_rows))
    whole = merge(kind, stored, given_rows)
    assert pa.concat_tables([piece.table for piece in pieces] or [stored.slice(0, 0)]).combine_chunks().equals(whole.table)
    assert sum(piece.added for piece in pieces) == whole.added


def test_a_value_wins_over_an_empty_one_and_is_counted_as_filled():
    merged = merge(FUNDING, funding((0, 0.1, None), (1, 0.2, 5.0)), funding((0, 0.1, 7.0), (1, 0.2, None)))
    assert merged.table.column("mark_price").to_pylist() == [7.0, 5.0]
    assert (merged.added, merged.filled, merged.contradictions) == (0, 1, 0)


def test_the_earliest_contradiction_is_named_with_the_values_that_differ():
    merged = merge(FUNDING, funding((0, 0.1, 1.0), (1, 0.2, 1.0), (2, 0.3, None)), funding((2, 0.4, 1.0), (1, 0.2, 2.0)))
    assert merged.contradictions == 2
    assert merged.first is not None
    assert str(merged.first) == "is stored with mark_price 1.0, but given with mark_price 2.0"
    assert merged.first.time == START_MS + 1
    assert merged.table.column("mark_price").to_pylist() == [1.0, 1.0, None]


def test_values_are_compared_bit_for_bit():
    merged = merge(FUNDING, funding((0, 0.0, None)), funding((0, -0.0, None)))
    assert merged.contradictions == 1


def test_equal_trades_of_one_side_all_stay():
    merged = merge(TRADES, trades((1, 5.0), (1, 5.0), (2, 6.0)), trades((1, 5.0), (2, 6.0), (2, 6.0)))
    assert merged.table.column("time_us").to_pylist() == [1, 1, 2, 2]
    assert merged.added == 1


def test_numbers_written_as_text_are_in_order_of_the_numbers():
    rows = [{"time_us": 1, "price": 1.0, "qty": 1.0, "is_buyer_maker": True, "trade_id": name} for name in ("10", "9", None, "100")]
    assert table_of(TRADES, rows).column("trade_id").to_pylist() == [None, "9", "10", "100"]


def test_rows_of_a_key_of_two_columns_are_told_apart_by_both():
    rows = [{"time_ms": START_MS, "contract": name, "option_type": "C", "strike": "1"} for name in ("B", "A")]
    merged = merge(OPTION_SUMMARY, table_of(OPTION_SUMMARY, rows[:1]), table_of(OPTION_SUMMARY, rows))
    assert merged.table.column("contract").to_pylist() == ["A", "B"]
    assert merged.added == 1


def test_a_repeated_key_is_found_and_a_kind_without_one_has_none():
    twice = pa.concat_tables([seeded_rows(CANDLES, seed=1, count=3), seeded_rows(CANDLES, seed=2, count=1, first=2)])
    assert first_repeated_key(CANDLES, twice) == 3
    assert first_repeated_key(CANDLES, twice.slice(0, 3)) is None
    assert first_repeated_key(TRADES, trades((1, 1.0), (1, 1.0))) is None


def test_order_is_by_time_and_equal_times_are_in_order():
    assert is_in_order(TRADES, trades((1, 2.0), (1, 1.0), (3, 1.0)))
    assert not is_in_order(TRADES, pa.concat_tables([trades((2, 1.0)), trades((1, 1.0))]))


@pytest.mark.parametrize("kind", some_kinds(), ids=lambda kind: kind.name)
def test_canonical_order_does_not_depend_on_the_order_before(kind):
    table = seeded_rows(kind, seed=3, count=20)
    parts = [table.slice(15), table.slice(3, 12), table.slice(0, 3)]
    assert in_canonical_order(kind, parts).equals(in_canonical_order(kind, [table]))


@given(st.data())
def test_a_long_table_is_merged_in_pieces_of_bounded_length(data):
    stored, given_rows = data.draw(tables(TRADES)), data.draw(tables(TRADES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backtester.data.merging.PART_ROWS", 2)
        pieces = list(merge_in_pieces(TRADES, [stored] if stored.num_rows else [], given_rows))
    whole = merge(TRADES, stored, given_rows)
    assert pa.concat_tables([piece.table for piece in pieces] or [stored]).combine_chunks().equals(whole.table)
    assert sum(piece.added for piece in pieces) == whole.added
