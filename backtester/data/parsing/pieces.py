"""Rows taken from messages, gathered by series until there are enough for a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from backtester.data.batch import Origin, RawBatch
from backtester.data.findings import DEFAULT_POLICIES, Finding, Rule
from backtester.data.kinds import kind_named
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, series_for, unit_for
from backtester.domain.errors import DataError, SchemaMismatchError

BATCH_ROWS = 65_536
"""Rows of a series that are gathered before they are handed on."""
Row = tuple[Any, ...]
"""Values in the order of the kind's columns."""
_INT64_END = 2**63


class Piece(NamedTuple):
    """Rows of one series out of one message, in the columns of the kind (which `about` names).

    `end_ms` are stated closes, `seen_ms` is when the venue said so; `faults` name, row by row, the rule that a row breaks by
    what the message itself says (None for a good one). `entries`: the rows are entries of one body, and numbered as such; else
    they all stand in the message's line.
    """

    about: About
    rows: Sequence[Row]
    end_ms: Sequence[int] = ()
    faults: Sequence[str | None] = ()
    seen_ms: int | None = None
    entries: bool = False


class RowCollector:
    """Gathers pieces and makes batches of them; every row keeps the number of the line or entry it came from."""

    def __init__(self, hint: Hint, *, file: str, sha256: str) -> None:
        self._hint = hint
        self._file = file
        self._origin = Origin(file, sha256)
        self._gathered: dict[About, _Gathered] = {}

    def add(self, piece: Piece, numbers: Sequence[int]) -> Iterator[RawBatch]:
        """The piece's rows are gathered; a batch comes out where a series has enough. Raises SchemaMismatchError, ConfigError.

        Args: numbers - where in the file each row stands, from 1.
        """
        gathered = self._gathered.get(piece.about)
        if gathered is None:
            series_for(piece.about, self._hint, file=self._file)  # what is not said is told before anything is read
            gathered = self._gathered[piece.about] = _Gathered()
        if not piece.rows:
            return
        gathered.rows.extend(piece.rows)
        gathered.numbers.extend(numbers)
        gathered.end_ms.extend(piece.end_ms)
        gathered.seen_ms.extend([piece.seen_ms] * len(piece.rows))
        gathered.faults.extend(piece.faults or [None] * len(piece.rows))
        if len(gathered.rows) >= BATCH_ROWS:
            yield self._batch(piece.about, gathered)

    def finish(self) -> Iterator[RawBatch]:
        """The batches of what is left, a series after the other in the order in which the file begins them."""
        for about, gathered in self._gathered.items():
            if gathered.rows:
                yield self._batch(about, gathered)

    def _batch(self, about: About, gathered: _Gathered) -> RawBatch:
        import pyarrow as pa

        series = series_for(about, self._hint, file=self._file)
        schema = kind_named(series.kind).schema()
        columns = zip(*gathered.rows, strict=True)
        odd = [index for index, row in enumerate(gathered.rows) if len(row) != len(schema)]
        if 0 < len(odd) < len(gathered.rows):
            row = gathered.numbers[odd[0]]
            raise DataError(f"{self._file}: row {row} has another number of values than the others; get the file anew")
        if odd:
            raise SchemaMismatchError(f"{self._file}: what it holds is no {series.kind}; state --kind as it is, or leave it away")
        try:
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
        except (pa.ArrowException, OverflowError) as error:
            raise DataError(f"{self._file}: a value cannot be held in its column ({error}); get the file anew") from error
        extra: dict[str, Any] = {"row": pa.array(gathered.numbers, type=pa.int64())}
        if gathered.end_ms:
            extra["end_ms"] = pa.array(gathered.end_ms, type=pa.int64())
        if gathered.seen_ms.count(None) < len(gathered.seen_ms):
            extra["seen_ms"] = pa.array(gathered.seen_ms, type=pa.int64())
        if any(gathered.faults):
            extra["fault"] = pa.array(gathered.faults, type=pa.string())
        batch = RawBatch(
            series,
            pa.Table.from_arrays(arrays, schema=schema),
            self._origin,
            unit_for(about, self._hint, file=self._file),
            pa.table(extra),
            gathered.findings(self._file),
        )
        gathered.clear()
        return batch


class _Gathered:
    """Rows of one series on their way into a batch."""

    def __init__(self) -> None:
        self.clear()

    def findings(self, file: str) -> tuple[Finding, ...]:
        """One for each rule that messages say is broken; the policy is the default until the rows are judged."""
        broken: dict[str, list[int]] = {}
        for number_, fault in zip(self.numbers, self.faults, strict=True):
            if fault is not None:
                broken.setdefault(fault, []).append(number_)
        return tuple(
            Finding(Rule(fault), DEFAULT_POLICIES[Rule(fault)], file, rows[0], len(rows), "the exchange says so itself")
            for fault, rows in broken.items()
        )

    def clear(self) -> None:
        """Nothing is gathered."""
        self.rows: list[Row] = []
        self.numbers: list[int] = []
        self.end_ms: list[int] = []
        self.seen_ms: list[int | None] = []
        self.faults: list[str | None] = []


def number(value: Any) -> float | None:
    """A number that stands as a text or as a number; an empty text is no value. Raises ValueError, TypeError."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise TypeError(f"{value} stands where a number should")
    return float(value)


def whole(value: Any) -> int:
    """A whole number that fits a column. Raises ValueError, TypeError."""
    if isinstance(value, (bool, float)):
        raise TypeError(f"{value} stands where a whole number should")
    result = int(value)
    if not -_INT64_END <= result < _INT64_END:
        raise ValueError(f"{value} is too large")
    return result


def truth(value: Any) -> bool:
    """Yes or no. Raises TypeError for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} stands where true or false should")
    return value


def sold(side: Any) -> bool:
    """Whether the taker sold, that is, whether the buyer was the maker. Raises ValueError for a side that is none."""
    word = str(side).lower()
    if word not in {"buy", "sell"}:
        raise ValueError(f"{side!r} is no side")
    return word == "sell"


def book_rows(
    time_us: int,
    message: int,
    *,
    snapshot: bool,
    bids: Sequence[Sequence[Any]],
    asks: Sequence[Sequence[Any]],
    ids: tuple[int | None, int | None, int | None],
) -> list[Row]:
    """The levels of a message as rows of the kind `book`, bids first; `ids` are first, last and previous."""
    rows: list[Row] = [
        (time_us, message, snapshot, is_bid, number(level[0]), number(level[1]), *ids)
        for is_bid, levels in ((True, bids), (False, asks))
        for level in levels
    ]
    return rows or [(time_us, message, snapshot, None, None, None, *ids)]
