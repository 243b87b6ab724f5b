"""Stored best bids and asks, asked for beside a run's candles as time goes on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from backtester.data.columns import CandleColumns
from backtester.engine.ports import Quote


class QuoteSource(NamedTuple):
    """Quotes of one symbol as rows whose low is the bid and whose high is the ask, known `length_ms` after their start.

    `read` gives the rows that start in [start_ms, end_ms), in order, in chunks.
    """

    length_ms: int
    read: Callable[[int, int], Iterator[CandleColumns]]


class QuoteSeries:
    """Implements `engine.ports.QuoteReader` on [start_ms, end_ms). Of several sources the latest quote counts.

    Times asked of a symbol may not go back: of what was read, the last chunk stays.
    """

    def __init__(self, sources: Mapping[str, Sequence[QuoteSource]], *, start_ms: int, end_ms: int) -> None:
        self._cursors = {
            symbol: [_Cursor(one, start_ms=start_ms, end_ms=end_ms) for one in held] for symbol, held in sources.items()
        }
        self._hash = sha256()
        self._asked = 0

    def quote_at(self, symbol: str, time_ms: int) -> Quote | None:
        """See `engine.ports.QuoteReader`."""
        found = [quote for cursor in self._cursors.get(symbol, ()) if (quote := cursor.at(time_ms)) is not None]
        latest = max(found, key=lambda quote: quote.time_ms, default=None)
        self._asked += 1
        self._hash.update(f"{symbol} {time_ms} {latest}\n".encode())
        return latest

    def fingerprint(self) -> str:
        """sha256 over everything asked and answered; empty where nothing was asked."""
        return self._hash.hexdigest() if self._asked else ""


class _Cursor:
    def __init__(self, source: QuoteSource, *, start_ms: int, end_ms: int) -> None:
        self._length_ms = source.length_ms
        self._pieces = source.read(start_ms, end_ms)
        self._ends: list[int] = []
        self._rows: list[tuple[float, float]] = []
        self._last: Quote | None = None

    def at(self, time_ms: int) -> Quote | None:
        """The last quote known at `time_ms`."""
        while not self._ends or self._ends[-1] <= time_ms:
            piece = next(self._pieces, None)
            if piece is None:
                break
            if self._ends:
                self._last = Quote(self._ends[-1], *self._rows[-1])
            self._ends = (piece.start_ms + self._length_ms).tolist()
            self._rows = list(zip(piece.low.tolist(), piece.high.tolist(), strict=True))
        index = bisect_right(self._ends, time_ms)
        return Quote(self._ends[index - 1], *self._rows[index - 1]) if index else self._last
