"""Which days of a series were downloaded to their end, for kinds whose rows cannot be counted against a calendar."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from backtester.data.download_cache import DownloadCache
from backtester.data.partial_file import write_whole
from backtester.data.series import Series
from backtester.domain.errors import StorageError


class FinishedDays:
    """`finished/<series>.json` in the cache: starts of days (UTC epoch ms) of which all there was has been stored.

    It only saves asking again: a damaged or missing file counts as no day, and a day counts only while rows of it are stored.
    """

    def __init__(self, base: Path | str) -> None:
        self._root = DownloadCache(base).root / "finished"

    def of(self, series: Series) -> frozenset[int]:
        """The days that were finished."""
        try:
            return frozenset(json.loads(self._path(series).read_bytes()))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def add(self, series: Series, days: Iterable[int]) -> None:
        """These days are finished too. Raises StorageError."""
        known = self.of(series)
        more = known.union(days)
        if more == known:
            return
        try:
            write_whole(self._path(series), json.dumps(sorted(more)).encode())
        except OSError as error:
            raise StorageError(f"cannot write {self._path(series)}: {error.strerror or error}") from error

    def _path(self, series: Series) -> Path:
        return self._root / f"{series.directory}.json"
