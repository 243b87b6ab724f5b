"""Marks that come from a series of their own instead of the last closes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from backtester.engine.clock import Clock


class CloseReader(Protocol):
    """Stored mark or index prices."""

    def close_at(self, symbol: str, time_ms: int) -> float | None:
        """The last price known at a time; None where none is stored."""


class SeriesMarks(Mapping[str, float]):
    """By symbol the price of the series known now; the last close (of `last`) where the series has none."""

    def __init__(self, *, reader: CloseReader, last: Mapping[str, float], clock: Clock) -> None:
        self._reader = reader
        self._last = last
        self._clock = clock

    def __getitem__(self, symbol: str) -> float:
        last = self._last[symbol]
        found = self._reader.close_at(symbol, self._clock.now_ms)
        return last if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)
