"""What every source of market data is: asked for a stretch of one series, it hands over batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from backtester.data.batch import Batch
from backtester.data.series import Series


class DataRequest(NamedTuple):
    """Rows of `series` whose time is in [start_ms, end_ms)."""

    series: Series
    start_ms: int
    end_ms: int


class Source(Protocol):
    """An archive, an interface or a directory of files."""

    @property
    def name(self) -> str:
        """As in messages: `binance archive`, `bybit v5`, `ccxt okx`."""

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """The rows there are, in order of time, each batch of bounded size; still-open bars left out.

        Raises: DataUnavailableError - the source has nothing of the series in the range. NetworkForbiddenError - the network
        may not be used and something is not cached. VenueError - the venue refuses or does not answer.
        """
