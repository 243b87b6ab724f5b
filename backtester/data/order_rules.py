"""Rules between rows: order, repetitions, contradictions, and prices that jump and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.data.findings import Policy, Rule
from backtester.data.judged_rows import BoolColumn, IntColumn, JudgedRows

if TYPE_CHECKING:
    import pyarrow as pa

OUTLIER_FRAC = 0.05
"""No close less than this away from its neighbours is an outlier, however quiet the rest of the file is."""
OUTLIER_TIMES = 20.0
"""How many times the usual distance from its neighbours a close must lie away to be one."""
_OUTLIER_ROWS_MIN = 5
_OUTLIER_KINDS = frozenset({"candles", "mark", "index"})
_Order = npt.NDArray[np.intp]


def judge_order(rows: JudgedRows) -> None:
    """Rows are in order of time, then of the kind's `order`; rows of one time keep the order they had."""
    times = rows.times()
    backwards = np.diff(times) < 0
    if backwards.any():
        newest_first = bool((np.diff(times) <= 0).all())
        policy = rows.policies.of(Rule.OUT_OF_ORDER)
        latest = np.maximum.accumulate(times)
        behind = times < latest if policy is Policy.DROP else np.concatenate(([False], backwards))

        def tell(index: int) -> str:
            if newest_first:
                return f"{rows.when(index)}and all others stand newest first"
            return f"{rows.when(index)}stands behind a row of {rows.moment(int(latest[index]))} UTC"

        rows.judge(Rule.OUT_OF_ORDER, behind, tell, may_stay=False)
        if newest_first and policy is Policy.FIX:
            rows.arrange(np.arange(len(rows))[::-1])
    order = _canonical_order(rows)
    if order is not None:
        rows.arrange(order)


def _canonical_order(rows: JudgedRows) -> _Order | None:
    """The stable order by time and the kind's `order`; None where the rows stand in it."""
    times = rows.times()
    names = rows.kind.order
    if not names:
        return None if (np.diff(times) >= 0).all() else np.argsort(times, kind="stable")
    order = np.lexsort([*(_ranks(rows.table.column(name)) for name in reversed(names)), times])
    return None if bool((np.diff(order) > 0).all()) else order


def judge_repetitions(rows: JudgedRows) -> None:
    """Every key stands once: identical repetitions are left out, rows of one key that differ are a contradiction.

    Trades have no key, but two with the same id, time, price and size are one trade.
    """
    groups = _same_keys(rows)
    if groups is None:
        return
    order, group_of, equals_previous = groups
    repeated = np.zeros(len(rows), np.bool_)
    if rows.kind.key:
        differs = np.zeros(int(group_of[-1]) + 1, np.bool_)
        differs[group_of[1:][~equals_previous & (group_of[1:] == group_of[:-1])]] = True
        contradicting = np.zeros(len(rows), np.bool_)
        contradicting[order[differs[group_of]]] = True
        repeated[order[1:][equals_previous & ~differs[group_of[1:]]]] = True
        if contradicting.any():
            _judge_contradictions(rows, contradicting)  # they are dropped, or the import has ended
            repeated = repeated[~contradicting]
    else:
        repeated[order[1:][equals_previous]] = True
    policy = rows.judge(
        Rule.DUPLICATE,
        repeated,
        lambda index: f"{rows.when(index)}repeats a row before it, value for value",
        may_stay=not rows.kind.key,
    )
    if policy is Policy.FIX:
        rows.keep_only(~repeated)


class _Groups(NamedTuple):
    """Rows arranged so that those of one key are neighbours: their order, the number of each one's group, and whether each
    but the first equals the one before it in key and values.
    """

    order: _Order
    group_of: IntColumn
    equals_previous: BoolColumn


def _same_keys(rows: JudgedRows) -> _Groups | None:
    """None where no two rows have one key."""
    kind = rows.kind
    if len(rows) < 2:
        return None
    names = kind.key or (("trade_id",) if kind.name == "trades" and not rows.table.column("trade_id").null_count else ())
    if not names:
        return None
    if names == (kind.time,):
        order = np.arange(len(rows))
        same_key: BoolColumn = np.diff(rows.times()) == 0
    else:
        codes = [_codes(rows.table.column(name)) for name in names]
        order = np.lexsort(codes[::-1])
        same_key = np.logical_and.reduce([np.diff(column[order]) == 0 for column in codes])
    if not same_key.any():
        return None
    equal = same_key.copy()
    for column in rows.table.columns:
        values = _codes(column)[order]
        equal &= values[1:] == values[:-1]
    return _Groups(order, np.concatenate(([0], np.cumsum(~same_key))), equal)


def _judge_contradictions(rows: JudgedRows, contradicting: BoolColumn) -> None:
    numbers, kind = rows.numbers, rows.kind

    def other(index: int) -> int:
        """The first row of the same key that differs."""
        same = np.ones(len(rows), np.bool_)
        for name in kind.key:
            codes = _codes(rows.table.column(name))
            same &= codes == codes[index]
        differs = np.zeros(len(rows), np.bool_)
        for column in rows.table.columns:
            codes = _codes(column)
            differs |= codes != codes[index]
        return int(np.flatnonzero(same & differs)[0])

    def values(index: int, second: int) -> str:
        pairs = ((name, rows.table.column(name)[index].as_py(), rows.table.column(name)[second].as_py()) for name in kind.names)
        return ", ".join(f"{name} {one!r} and {two!r}" for name, one, two in pairs if one != two)

    def detail(index: int) -> str:
        second = other(index)
        same = " and ".join(kind.key)
        return f"{rows.when(index)}and row {int(numbers[second])} have one {same} but differ: {values(index, second)}"

    def error(index: int) -> str:
        second = other(index)
        low, high = sorted((int(numbers[index]), int(numbers[second])))
        both = "both start at" if kind.time == "start_ms" else "are both of"
        key = "".join(f", {name} {rows.table.column(name)[index].as_py()}" for name in kind.key if name != kind.time)
        moment = rows.moment(int(rows.times()[index]))
        return f"{rows.file}: rows {low} and {high} {both} {moment} UTC{key} but differ: {values(index, second)}"

    rows.judge(Rule.CONTRADICTION, contradicting, detail, may_stay=False, error=error)


def judge_outliers(rows: JudgedRows) -> None:
    """A close is an outlier where it lies far from the median of the two before and the two after it, and the price is back
    at once: at least 5 % away and 20 times the file's usual distance, with the neighbours on both sides closer to each other
    than half of that. The first and the last row have no neighbours on both sides.
    """
    if rows.kind.name not in _OUTLIER_KINDS or len(rows) < _OUTLIER_ROWS_MIN:
        return
    close = rows.floats("close")
    if not (close > 0).all():  # kept by policy: nothing can be said in ratios
        return
    logs = np.log(close)
    indices = np.arange(1, len(rows) - 1)
    around = np.stack([logs[np.clip(indices + step, 0, len(rows) - 1)] for step in (-2, -1, 1, 2)])
    distance = np.abs(logs[1:-1] - np.median(around, axis=0))
    limit = max(float(np.log1p(OUTLIER_FRAC)), OUTLIER_TIMES * float(np.median(distance)))
    back = np.abs(logs[2:] - logs[:-2]) < distance / 2
    far = np.concatenate(([False], (distance > limit) & back, [False]))
    rows.judge(
        Rule.OUTLIER,
        far,
        lambda index: (
            f"{rows.when(index)}closes at {float(close[index])!r} between {float(close[index - 1])!r} and "
            f"{float(close[index + 1])!r}"
        ),
    )


def _codes(column: pa.ChunkedArray[Any]) -> IntColumn:
    """Integers that are equal where values are equal bit for bit."""
    import pyarrow as pa

    if not pa.types.is_string(column.type):
        return _ranks(column)
    codes: IntColumn = column.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes


def _ranks(column: Any) -> IntColumn:
    """Integers that are equal where values are equal bit for bit, and ordered as the values are; empty ones come first."""
    import pyarrow as pa

    if pa.types.is_float64(column.type):
        bits = column.fill_null(float("-inf")).to_numpy().view(np.int64)
        ranks: IntColumn = np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)
    elif pa.types.is_string(column.type):
        encoded = column.combine_chunks().dictionary_encode()
        places = np.argsort(np.argsort(encoded.dictionary.to_numpy(zero_copy_only=False)))
        ranks = np.where(encoded.is_valid().to_numpy(zero_copy_only=False), places[encoded.indices.fill_null(0).to_numpy()], -1)
    else:
        ranks = column.cast(pa.int64()).fill_null(-(2**63)).to_numpy()
    return ranks
