"""Batches of one file put together: a month is written once, not once for each chunk that a parser hands over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from backtester.data.batch import Batch
from backtester.data.kinds import kind_named
from backtester.data.merging import first_repeated_key, in_canonical_order, is_in_order, merge
from backtester.data.months import times_of
from backtester.domain.errors import DataQualityError

ROWS_MAX = 2_000_000
"""Rows held: about 100 MB of trades."""


def joined(batches: Iterable[Batch], *, rows_max: int = ROWS_MAX) -> Iterator[Batch]:
    """The same rows in fewer batches: those that follow each other, of one series and origin, as one of up to `rows_max` rows.

    Cut between two instants. That matters for kinds without a key: of equal rows, storing keeps as many as the fuller side has,
    so equal trades of one instant must not be split. Raises DataQualityError where two batches contradict each other.
    """
    held: list[Batch] = []
    for batch in batches:
        if held and not _belong_together(held[0], batch):
            yield _joined(held)
            held = []
        held.append(batch)
        if sum(one.table.num_rows for one in held) >= rows_max:
            ready, rest = _split(held)
            if ready.table.num_rows:
                yield ready
                held = [rest]
    if held:
        yield _joined(held)


def _belong_together(first: Batch, other: Batch) -> bool:
    return (first.series, first.origin, first.volume_unit, first.policies) == (
        other.series,
        other.origin,
        other.volume_unit,
        other.policies,
    )


def _joined(held: list[Batch]) -> Batch:
    import pyarrow as pa

    if len(held) == 1:
        return held[0]
    first = held[0]
    kind = kind_named(first.series.kind)
    table = pa.concat_tables([one.table for one in held]).combine_chunks()
    if not is_in_order(kind, table):
        table = in_canonical_order(kind, [table])
    if first_repeated_key(kind, table) is not None:
        table = held[0].table
        for one in held[1:]:
            merged = merge(kind, table, one.table)
            if merged.first is not None:
                raise DataQualityError(f"{first.origin.name}: {first.series}: {kind.time} {merged.first.time} {merged.first}")
            table = merged.table
    return first._replace(table=table, findings=tuple(finding for one in held for finding in one.findings))


def _split(held: list[Batch]) -> tuple[Batch, Batch]:
    """All rows but those of the last instant that was read, and these: more of them may come."""
    whole = _joined(held)
    kind = kind_named(whole.series.kind)
    times = times_of(whole.table, kind)
    newest_first = int(times_of(held[-1].table, kind)[0]) < int(times_of(held[0].table, kind)[0])
    if newest_first:
        edge = int(times.searchsorted(times[0], side="right"))
        ready, rest = whole.table.slice(edge), whole.table.slice(0, edge)
    else:
        edge = int(times.searchsorted(times[-1]))
        ready, rest = whole.table.slice(0, edge), whole.table.slice(edge)
    return whole._replace(table=ready), whole._replace(table=rest, findings=())
