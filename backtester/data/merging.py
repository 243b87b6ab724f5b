"""The union of what is stored and what comes: the same whatever came first, and however often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.data.file_parts import PART_ROWS
from backtester.data.kinds import Kind
from backtester.data.months import times_of

if TYPE_CHECKING:
    import pyarrow as pa

    from backtester.data.columns import IntColumn

_BoolColumn = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.intp]


class Contradiction(NamedTuple):
    """A key with two values: its time in the kind's unit, and both sides' values of the columns that differ."""

    time: int
    stored: dict[str, object]
    given: dict[str, object]

    def __str__(self) -> str:
        was, would_be = (", ".join(f"{name} {value!r}" for name, value in side.items()) for side in (self.stored, self.given))
        return f"is stored with {was}, but given with {would_be}"


class Merged(NamedTuple):
    """The union in canonical order. `added` rows are new, `filled` ones were stored with an empty value that is known now.

    `contradictions` counts the keys whose values differ (the union then holds the stored ones), `first` is the earliest.
    """

    table: pa.Table
    added: int = 0
    filled: int = 0
    contradictions: int = 0
    first: Contradiction | None = None


class _Column(NamedTuple):
    """A column as integers that are equal where its values are equal bit for bit, and ordered as they are. Empty: 0."""

    filled: _BoolColumn | None
    ranks: IntColumn

    def sort_keys(self) -> list[IntColumn]:
        """What rows are sorted by: empty values come first."""
        return [self.ranks] if self.filled is None else [self.filled.astype(np.int64), self.ranks]


def merge(kind: Kind, stored: pa.Table, given: pa.Table) -> Merged:
    """Both tables (in the kind's schema) as one, in canonical order.

    With a key: a row of both counts once, an empty optional value gives way to a known one, and of two that differ the stored
    one stays and is counted. Without a key: as often as the side has it that has it more often.
    """
    import pyarrow as pa

    both = pa.concat_tables([stored, given]).combine_chunks()
    columns = {name: _column(both.column(name)) for name in kind.names}
    if kind.key:
        return _merge_by_key(kind, both, columns, stored.num_rows)
    return _merge_as_multisets(kind, both, columns, stored.num_rows)


def merge_in_pieces(kind: Kind, stored: Iterable[pa.Table], given: pa.Table) -> Iterator[Merged]:
    """As `merge`, in pieces one after the other: `stored` in order of time, and only a part of it held at a time.

    Pieces end between two instants, so that all rows of one instant meet in one piece. Rows of one key have one time.
    """
    import pyarrow as pa

    held = given.slice(0, 0)
    times = times_of(given, kind)
    taken = 0
    for table in stored:
        held = pa.concat_tables([held, table]) if held.num_rows else table
        held_times = times_of(held, kind)
        until = int(held_times[-1])  # rows of this instant may go on in the next part
        ready, upto = int(held_times.searchsorted(until)), int(times.searchsorted(until))
        if ready or upto > taken:
            yield _merge_piece(kind, held.slice(0, ready), given.slice(taken, upto - taken))
        held, taken = held.slice(ready), upto
    rest_times = times[taken:]
    while len(rest_times) > PART_ROWS:  # nothing is stored from here on but, at most, the last instant held
        until = int(rest_times[PART_ROWS])
        ready, upto = int(times_of(held, kind).searchsorted(until)), taken + int(rest_times.searchsorted(until))
        if upto == taken:
            break  # a single instant has more rows than a part
        yield _merge_piece(kind, held.slice(0, ready), given.slice(taken, upto - taken))
        held, taken, rest_times = held.slice(ready), upto, times[upto:]
    if held.num_rows or taken < given.num_rows:
        yield _merge_piece(kind, held, given.slice(taken))


def _merge_piece(kind: Kind, stored: pa.Table, given: pa.Table) -> Merged:
    return merge(kind, stored, given) if given.num_rows else Merged(stored)


def sort_names(kind: Kind) -> tuple[str, ...]:
    """The columns of the canonical order: time, `order`, the key; without a key all others, identities before numbers."""
    rest = kind.key or (*(column.name for column in kind.columns if column.type == "string"), *kind.names)
    return tuple(dict.fromkeys((kind.time, *kind.order, *rest)))


def in_canonical_order(kind: Kind, tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables as one, in canonical order."""
    import pyarrow as pa

    table = pa.concat_tables(tables).combine_chunks()
    return table.take(_sorted_by([_column(table.column(name)) for name in sort_names(kind)])[0])


def first_repeated_key(kind: Kind, table: pa.Table) -> int | None:
    """The first row in canonical order whose key stands in the table before; None where keys are unique or the kind has none."""
    if not kind.key:
        return None
    order, same = _sorted_by([_column(table.column(name)) for name in kind.key])
    return int(order[1:][same].min()) if same.any() else None


def is_in_order(kind: Kind, table: pa.Table) -> bool:
    """Whether times never decrease."""
    times = times_of(table, kind)
    return bool((times[1:] >= times[:-1]).all())


# -- the two kinds of union ----------------------------------------------------------------------------------------------


def _merge_by_key(kind: Kind, both: pa.Table, columns: dict[str, _Column], stored_rows: int) -> Merged:
    order, same = _sorted_by([columns[name] for name in kind.key])
    earlier, later = order[:-1][same], order[1:][same]  # the sort is stable: of a pair, the stored row comes first
    kept = np.ones(both.num_rows, dtype=np.bool_)
    kept[later] = False
    rows: _Rows = np.flatnonzero(kept)
    rows = rows[_sorted_by([_taken(columns[name], rows) for name in sort_names(kind)])[0]]
    differs = np.zeros(len(earlier), dtype=np.bool_)
    differing: dict[str, _BoolColumn] = {}
    fills: dict[str, _BoolColumn] = {}
    for name in kind.names:
        known, ranks = columns[name]
        if name in kind.key:
            continue
        unequal: _BoolColumn = ranks[earlier] != ranks[later]
        if known is not None:
            unequal &= known[earlier] & known[later]
            fills[name] = ~known[earlier] & known[later]
        differing[name] = unequal
        differs |= unequal
    arrays: list[Any] = []
    any_filled = np.zeros(len(earlier), dtype=np.bool_)
    for name in kind.names:
        sources = rows
        wins = fills.get(name)
        if wins is not None and wins.any():
            wins &= ~differs
            any_filled |= wins
            moved = np.arange(both.num_rows)
            moved[earlier[wins]] = later[wins]
            sources = moved[rows]
        arrays.append(both.column(name).take(sources))
    return Merged(
        table=type(both).from_arrays(arrays, schema=both.schema),
        added=int((rows >= stored_rows).sum()),
        filled=int(any_filled.sum()),
        contradictions=int(differs.sum()),
        first=_first_contradiction(kind, both, earlier[differs], later[differs], differing, differs),
    )


def _first_contradiction(
    kind: Kind, both: pa.Table, earlier: _Rows, later: _Rows, differing: dict[str, _BoolColumn], differs: _BoolColumn
) -> Contradiction | None:
    if not len(earlier):
        return None
    at = int(np.argmin(times_of(both, kind)[earlier]))
    pair = int(np.flatnonzero(differs)[at])
    names = [name for name, unequal in differing.items() if unequal[pair]]
    was, would_be = ({name: both.column(name)[int(row)].as_py() for name in names} for row in (earlier[at], later[at]))
    return Contradiction(int(times_of(both, kind)[earlier[at]]), was, would_be)


def _merge_as_multisets(kind: Kind, both: pa.Table, columns: dict[str, _Column], stored_rows: int) -> Merged:
    order, same = _sorted_by([columns[name] for name in sort_names(kind)])
    if not len(order):
        return Merged(both)
    starts = np.flatnonzero(np.concatenate(([True], ~same)))  # of runs of equal rows
    lengths = np.diff(np.append(starts, len(order)))
    stored = np.add.reduceat((order < stored_rows).astype(np.int64), starts)
    wanted = np.maximum(stored, lengths - stored)
    place = np.arange(len(order)) - np.repeat(starts, lengths)
    return Merged(both.take(order[place < np.repeat(wanted, lengths)]), added=int((wanted - stored).sum()))


# -- columns as integers -------------------------------------------------------------------------------------------------


def _column(values: pa.ChunkedArray[Any]) -> _Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    filled: _BoolColumn | None = None
    if values.null_count:
        filled = np.asarray(values.is_valid().to_numpy(), dtype=np.bool_)
    if pa.types.is_string(values.type):
        ranks = _text_ranks(values)
    else:
        zero: Any = False if pa.types.is_boolean(values.type) else 0
        plain = np.asarray(pc.fill_null(values, zero).to_numpy() if filled is not None else values.to_numpy())
        ranks = _float_ranks(plain) if plain.dtype.kind == "f" else plain.astype(np.int64, copy=False)
    return _Column(filled, ranks)


def _float_ranks(values: npt.NDArray[Any]) -> IntColumn:
    """Integers in the order of the values: the bits of a positive float already are, those of a negative one run backwards."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return bits ^ ((bits >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF))


def _text_ranks(values: pa.ChunkedArray[Any]) -> IntColumn:
    """Places among the texts there are, shorter ones first: so numbers written as text are in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    untyped: Any = values
    encoded: Any = pc.fill_null(untyped, "").combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], pa.string())
    encoded = encoded.dictionary_encode()
    texts = encoded.dictionary
    table: Any = pa.table({"length": pc.binary_length(texts), "text": texts})
    order = pc.sort_indices(table, sort_keys=[("length", "ascending"), ("text", "ascending")]).to_numpy()
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[encoded.indices.to_numpy()] if len(order) else np.empty(0, dtype=np.int64)


def _taken(column: _Column, rows: _Rows) -> _Column:
    return _Column(None if column.filled is None else column.filled[rows], column.ranks[rows])


def _sorted_by(columns: Sequence[_Column]) -> tuple[_Rows, _BoolColumn]:
    """The order of the rows, stable, and for each but the first whether it equals the one before."""
    keys = [key for column in columns for key in column.sort_keys()]
    order: _Rows = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1])
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for key in keys:
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    return order, same
