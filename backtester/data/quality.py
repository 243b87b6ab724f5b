"""Rules that every candle keeps, checked over whole columns; the first row that breaks one is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtester.data.columns import VALUE_NAMES, CandleColumns, IntColumn
from backtester.domain.errors import DataQualityError
from backtester.domain.timeframe import bucket_offset_ms, bucket_start_ms, iso_text, timeframe_text

REPAIR = "correct or remove that row at its source and import the file again"


def check_candles(columns: CandleColumns, *, source: str, length_ms: int, after_ms: int | None = None, first_row: int = 1) -> None:
    """Returns if all rows keep all rules and the first starts after `after_ms`; else raises DataQualityError.

    Args: length_ms - the timeframe; first_row - the number of the first row here, for the message.
    """
    check_values(columns, source=source, first_row=first_row)
    check_times(columns.start_ms, source=source, length_ms=length_ms, after_ms=after_ms, first_row=first_row)


def check_values(columns: CandleColumns, *, source: str, first_row: int = 1) -> None:
    """Returns if prices and volumes of all rows are possible; else raises DataQualityError naming the first that is not."""
    start_ms, open_, high, low, close, volume = columns
    # Comparisons with NaN are false, and 0 < low <= open, close <= high < inf leaves no price unchecked.
    fine = (high >= open_) & (high >= close) & (low <= open_) & (low <= close) & (low > 0)
    fine &= (high < np.inf) & (volume >= 0) & (volume < np.inf)
    if fine.all():
        return
    row = int(np.argmin(fine))
    values = {name: float(column[row]) for name, column in zip(VALUE_NAMES, columns[1:], strict=True)}
    shown = ", ".join(f"{name} {value!r}" for name, value in values.items())
    raise DataQualityError(
        f"{source}: row {first_row + row} ({iso_text(int(start_ms[row]))} UTC) breaks the rule '{_broken_rule(values)}': {shown}; "
        f"{REPAIR}"
    )


def _broken_rule(values: dict[str, float]) -> str:
    prices = [values[name] for name in VALUE_NAMES[:4]]
    if not all(np.isfinite(list(values.values()))):
        return "prices and volume are finite"
    if min(prices) <= 0:
        return "prices > 0"
    if values["volume"] < 0:
        return "volume >= 0"
    if values["high"] < values["low"]:
        return "high >= low"
    if values["high"] < max(values["open"], values["close"]):
        return "high >= open and close"
    return "low <= open and close"


def check_times(start_ms: IntColumn, *, source: str, length_ms: int, after_ms: int | None = None, first_row: int = 1) -> None:
    """Returns if the starts rise strictly on the timeframe's grid, from after `after_ms` on; else raises DataQualityError."""
    if not len(start_ms):
        return
    first_ms = int(start_ms[0])
    if after_ms is not None and first_ms <= after_ms:
        raise DataQualityError(
            f"{source}: row {first_row} ({iso_text(first_ms)} UTC) does not start after the row before it "
            f"({iso_text(after_ms)} UTC); {REPAIR}"
        )
    steps = np.diff(start_ms)
    on_grid = bucket_start_ms(first_ms, length_ms) == first_ms
    if on_grid and bool((steps == length_ms).all()):
        return
    not_rising = steps <= 0
    if not_rising.any():
        row = int(np.argmax(not_rising)) + 1
        raise DataQualityError(
            f"{source}: row {first_row + row} ({iso_text(int(start_ms[row]))} UTC) does not start after the row before it "
            f"({iso_text(int(start_ms[row - 1]))} UTC); {REPAIR}"
        )
    off_grid = (start_ms - bucket_offset_ms(length_ms)) % length_ms != 0
    if off_grid.any():
        row = int(np.argmax(off_grid))
        raise DataQualityError(
            f"{source}: row {first_row + row} starts at {iso_text(int(start_ms[row]))} UTC, where no bar of "
            f"{timeframe_text(length_ms)} starts; state the timeframe that the data has, or {REPAIR}"
        )


def gap_rows(start_ms: IntColumn, length_ms: int) -> npt.NDArray[np.intp]:
    """Indices of the rows after which at least one bar is missing before the next row."""
    rows: npt.NDArray[Any] = np.flatnonzero(np.diff(start_ms) > length_ms)
    return rows
