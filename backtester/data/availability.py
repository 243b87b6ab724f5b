"""When each row of market data could have been known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtester.data.columns import IntColumn
from backtester.data.kinds import KINDS, METRICS, OPTION_SUMMARY
from backtester.data.series import Series
from backtester.domain.timeframe import HOUR_MS, MINUTE_MS

if TYPE_CHECKING:
    import pyarrow as pa

US_PER_MS = 1_000
METRICS_AHEAD_FROM_MS = 1_709_510_400_000
"""2024-03-04 00:00 UTC: from here on a metrics row stamped T describes T + 5 min; before, T (Binance archive, notes 1.6)."""
METRICS_AHEAD_MS = 5 * MINUTE_MS


def available_us(series: Series, table: pa.Table) -> IntColumn:
    """For each row the UTC epoch microsecond from which on it could be known; it never decreases where the rows are in order.

    Bars (candles, mark, index, premium, quote candles) at their end: start + timeframe. Option summaries at the end of the hour
    that they close, whose start is their stamp (archive columns `date`, `hour`; notes 1.1, 1.4). Metrics at their stamp, from
    2024-03-04 on 5 minutes later (notes 1.6). Funding at its stamp, some ms past the hour as the exchange has it (notes 1.4);
    open interest, bands of depth, liquidations and the volatility index at theirs (notes 1.4, 2.3). Trades, quotes and books at
    the exchange's own time, in microseconds. What the way to us takes is for the reader to add.
    """
    times: IntColumn = table.column(KINDS[series.kind].time).to_numpy()
    if KINDS[series.kind].time == "time_us":
        return times
    if KINDS[series.kind].time == "start_ms":
        return (times + series.length_ms) * US_PER_MS
    if series.kind == METRICS.name:
        return (times + np.where(times >= METRICS_AHEAD_FROM_MS, METRICS_AHEAD_MS, 0)) * US_PER_MS
    if series.kind == OPTION_SUMMARY.name:
        return (times + HOUR_MS) * US_PER_MS
    return times * US_PER_MS


def delay_max_ms(series: Series) -> int:
    """The longest time between a row's stamp and when it could be known: how far back to read for what becomes known later."""
    if KINDS[series.kind].time == "start_ms":
        return series.length_ms
    return {METRICS.name: METRICS_AHEAD_MS, OPTION_SUMMARY.name: HOUR_MS}.get(series.kind, 0)
