"""Candles of a run's symbols as one sequence of ticks, from columns to objects a window at a time."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter

import numpy as np

from backtester.data.gaps import GapReport
from backtester.data.resample import BucketStream
from backtester.data.symbol_cursor import SymbolCursor, SymbolStream
from backtester.domain.candle import Candle
from backtester.domain.errors import ConfigError
from backtester.engine.ports import Tick

__all__ = ["CandleFeed", "SymbolStream"]

WINDOW_BARS = 512
"""Longest window: large enough that its fixed cost vanishes, small enough that the loop is asked often whether to stop."""
WINDOW_CANDLES = 6_144
"""Candle objects made at a time over all symbols."""
_Bars = tuple[Candle, ...]


class CandleFeed:
    """A `MarketDataSource` over streams of execution bars, in the order of the streams.

    Windows are cut in time, so that no result depends on how the streams are cut into pieces. A candle of a coarser
    timeframe stands in the tick of its bucket's end, decided by bars that ended by then; bars and buckets that end after
    `end_ms` are not delivered. So a run that ends earlier has exactly the first ticks of the longer one.

    Args:   execution_ms - timeframe of all streams. signal_ms - timeframes of the candles to decide on. fill - where a symbol
            has no bar, after its first one, it gets one that is flat at its last close, with volume 0 and n 0.
    Raises: ConfigError - a signal timeframe cannot be built from the bars. DataQualityError - while iterating.
    """

    def __init__(
        self,
        streams: Sequence[SymbolStream],
        *,
        execution_ms: int,
        signal_ms: Sequence[int],
        start_ms: int,
        end_ms: int,
        fill: bool = False,
    ) -> None:
        coarser_ms = sorted({length_ms for length_ms in signal_ms if length_ms != execution_ms})
        self._cursors = tuple(
            SymbolCursor(
                stream,
                execution_ms=execution_ms,
                start_ms=start_ms,
                end_ms=end_ms,
                buckets=tuple(
                    BucketStream(stream.symbol, length_ms=length_ms, execution_ms=execution_ms) for length_ms in coarser_ms
                ),
                fill=fill,
            )
            for stream in streams
        )
        self._index_by_symbol = {cursor.symbol: index for index, cursor in enumerate(self._cursors)}
        if len(self._index_by_symbol) != len(self._cursors):
            raise ConfigError(f"symbols must differ, were {', '.join(cursor.symbol for cursor in self._cursors)}")
        self._bar_from_by_symbol = {cursor.symbol: cursor.bar_from for cursor in self._cursors}
        self._execution_ms = execution_ms
        self._end_ms = end_ms
        self._bars_are_signals = execution_ms in signal_ms
        self._has_buckets = bool(coarser_ms)
        bars = min(WINDOW_BARS, max(1, WINDOW_CANDLES // max(1, len(self._cursors))))
        self._window_ms = bars * execution_ms
        self._candle_count = 0
        self._is_even = False

    def batches(self) -> Iterator[Iterable[Tick]]:
        """The ticks of one window after another, to be walked over once."""
        while True:
            starts_ms = [start_ms for cursor in self._cursors if (start_ms := cursor.next_start_ms()) is not None]
            if not starts_ms:
                break
            until_ms = min(starts_ms) + self._window_ms
            yield self._window(until_ms)
        self._is_even = False
        last = self._with_buckets([], [], self._end_ms) if self._has_buckets else []
        if last:
            yield last

    def is_even(self) -> bool:
        """See `MarketDataSource.is_even`."""
        return self._is_even

    def bar_from(self, symbol: str, time_ms: int) -> Candle | None:
        """See `MarketDataSource.bar_from`."""
        return self._bar_from_by_symbol[symbol](time_ms)

    def fingerprint(self) -> str:
        """sha256 over symbols and delivered bars of the streams, in their order; the same however these were cut or filled."""
        lines = (" ".join((cursor.symbol, *cursor.column_digests())) for cursor in self._cursors)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def gaps(self) -> dict[str, GapReport]:
        """By symbol: gaps between the bars delivered, and outages in them; the same whether gaps are filled or not."""
        return {cursor.symbol: cursor.gap_report() for cursor in self._cursors}

    def gap_count(self) -> int:
        """Stretches of missing bars between delivered bars of one symbol."""
        return sum(report.missing.total for report in self.gaps().values())

    def filled_count(self) -> int:
        """Bars delivered that were put in where there was none."""
        for cursor in self._cursors:
            cursor.remember()
        return sum(cursor.filled_count for cursor in self._cursors)

    def candle_count(self) -> int:
        """Execution bars delivered, with those that were put in."""
        return self._candle_count

    # -- one window --------------------------------------------------------------------------------------------------

    def _window(self, until_ms: int) -> Iterable[Tick]:
        """The ticks after the window before, up to and including `until_ms`."""
        active: list[SymbolCursor] = []
        for cursor in self._cursors:
            cursor.move_window(until_ms)
            if len(cursor.window_ms):
                active.append(cursor)
                self._candle_count += len(cursor.window_ms)
        first_ms = active[0].window_ms
        self._is_even = all(np.array_equal(first_ms, cursor.window_ms) for cursor in active[1:])
        if self._is_even:
            ends_ms, bars = self._zip_bars(active)
        else:
            ends_ms, bars = self._merge_bars(active)
        if self._has_buckets:
            return self._with_buckets(ends_ms, list(bars), min(until_ms, self._end_ms))
        signals = None if self._bars_are_signals else ()
        return zip(ends_ms, bars, repeat(signals), strict=False)

    def _zip_bars(self, active: Sequence[SymbolCursor]) -> tuple[list[int], Iterable[_Bars]]:
        """End times and bars of cursors whose windows have the same times."""
        first, *others = active
        columns = [first.bars(), *(cursor.bars(shared=first) for cursor in others)]
        return first.times_ms[1], zip(*columns, strict=True)

    def _merge_bars(self, active: Sequence[SymbolCursor]) -> tuple[list[int], Iterable[_Bars]]:
        """End times and bars of cursors in general: by time, then in the order of the symbols."""
        starts_ms = np.concatenate([cursor.window_ms for cursor in active])
        candles = [candle for cursor in active for candle in cursor.bars()]
        order = np.argsort(starts_ms, kind="stable")  # stable: symbols stay in order within one time
        starts_ms = starts_ms[order]
        ordered = [candles[index] for index in order.tolist()]
        edges = [0, *(np.flatnonzero(np.diff(starts_ms)) + 1).tolist()]
        ends_ms = (starts_ms[edges] + self._execution_ms).tolist()
        return ends_ms, [tuple(ordered[first:last]) for first, last in zip(edges, [*edges[1:], len(ordered)], strict=True)]

    def _with_buckets(self, ends_ms: list[int], bars: list[_Bars], until_ms: int) -> list[Tick]:
        """Ticks of the bars, with the coarser candles that end by `until_ms`; where no bar ends with one, a tick of its own."""
        signals = bars if self._bars_are_signals else repeat(())
        ticks: list[Tick] = list(zip(ends_ms, bars, signals, strict=False))
        coarser: dict[int, list[Candle]] = {}
        for cursor in self._cursors:
            for bucket in cursor.buckets:
                for candle in bucket.take_until(until_ms):
                    coarser.setdefault(candle.end_ms, []).append(candle)
        alone: list[Tick] = []
        for time_ms, candles in coarser.items():
            row = bisect_left(ends_ms, time_ms)
            if row == len(ends_ms) or ends_ms[row] != time_ms:
                alone.append((time_ms, (), tuple(candles)))
            elif self._bars_are_signals:
                both = sorted((*bars[row], *candles), key=self._symbol_index)
                ticks[row] = (time_ms, bars[row], tuple(both))
            else:
                ticks[row] = (time_ms, bars[row], tuple(candles))
        if alone:
            self._is_even = False
            ticks += alone
            ticks.sort(key=itemgetter(0))
        return ticks

    def _symbol_index(self, candle: Candle) -> int:
        return self._index_by_symbol[candle.symbol]
