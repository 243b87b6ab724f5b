"""Candles as columns, and how tables of other libraries become them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.domain.errors import DataQualityError, SchemaMismatchError
from backtester.domain.timeframe import iso_text

IntColumn = npt.NDArray[np.int64]
FloatColumn = npt.NDArray[np.float64]

VALUE_NAMES = ("open", "high", "low", "close", "volume")
EPOCH_NAMES = ("start_ms", "open_time_ms")
"""Integer columns with the start of each bar in UTC epoch milliseconds."""
MOMENT_NAMES = ("timestamp", "datetime", "date", "time", "open_time")
"""Columns that count as the start of each bar if they hold dates and times (no zone means UTC)."""


class CandleColumns(NamedTuple):
    """Candles of one symbol and timeframe: arrays of equal length, `start_ms` int64 and strictly rising, values float64."""

    start_ms: IntColumn
    open: FloatColumn
    high: FloatColumn
    low: FloatColumn
    close: FloatColumn
    volume: FloatColumn


NO_CANDLES = CandleColumns(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))


def slice_columns(columns: CandleColumns, first: int, last: int) -> CandleColumns:
    """Views of rows [first, last)."""
    start_ms, open_, high, low, close, volume = columns
    return CandleColumns(
        start_ms[first:last], open_[first:last], high[first:last], low[first:last], close[first:last], volume[first:last]
    )


def join_columns(*parts: CandleColumns) -> CandleColumns:
    """The rows of all parts, one after the other."""
    if len(parts) < 2:
        return parts[0] if parts else NO_CANDLES
    start_ms = np.concatenate([part.start_ms for part in parts])
    return CandleColumns(start_ms, *(np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True)))


def take_rows(columns: CandleColumns, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> CandleColumns:
    """The rows an index array or a mask selects."""
    start_ms, open_, high, low, close, volume = columns
    return CandleColumns(start_ms[rows], open_[rows], high[rows], low[rows], close[rows], volume[rows])


def columns_from_frame(frame: object, *, source: str) -> CandleColumns:
    """Candles of a pandas or polars frame, a pyarrow table or a mapping of arrays, bit for bit.

    The start of a bar stands in `start_ms` or `open_time_ms` (integers, UTC epoch ms), in a column `timestamp`, `datetime`,
    `date`, `time` or `open_time` of dates and times, or in a pandas DatetimeIndex. Other columns are ignored.

    Raises: SchemaMismatchError - a column is missing or of another type. DataQualityError - the rows are not in order of time.
    """
    columns = unordered_columns(frame, source=source)
    steps = np.diff(columns.start_ms)
    if len(steps) and int(steps.min()) <= 0:
        row = int(np.argmax(steps <= 0)) + 1
        raise DataQualityError(
            f"{source}: row {row + 1} ({iso_text(int(columns.start_ms[row]))} UTC) does not start after the row before it; "
            "sort the rows by time and drop duplicates"
        )
    return columns


def unordered_columns(frame: object, *, source: str) -> CandleColumns:
    """As `columns_from_frame`, with rows in whatever order they came."""
    arrays = _arrays_by_name(frame, source)
    found = ", ".join(arrays) or "none"
    missing = [name for name in VALUE_NAMES if name not in arrays]
    if missing:
        raise SchemaMismatchError(
            f"{source}: no column {', '.join(missing)}; candles need start_ms, {', '.join(VALUE_NAMES)}; found {found}"
        )
    start_ms = _start_column(arrays, source=source, found=found)
    values = [_value_column(arrays[name], name=name, source=source) for name in VALUE_NAMES]
    for name, values_of_name in zip(VALUE_NAMES, values, strict=True):
        if len(values_of_name) != len(start_ms):
            raise SchemaMismatchError(f"{source}: column {name} has {len(values_of_name)} rows, the times have {len(start_ms)}")
    return CandleColumns(start_ms, *values)


def _arrays_by_name(frame: Any, source: str) -> dict[str, npt.NDArray[Any]]:
    """The candle columns of `frame` under their lower-case names, as NumPy arrays; the rest only by name, empty."""
    wanted = {*VALUE_NAMES, *EPOCH_NAMES, *MOMENT_NAMES}
    library = type(frame).__module__.partition(".")[0]
    arrays: dict[str, npt.NDArray[Any]] = {}
    if library == "polars" and hasattr(frame, "collect"):
        raise SchemaMismatchError(f"{source}: a lazy frame has no rows yet; hand over `.collect()`")
    named: Iterable[tuple[str, Any]]
    if library == "pandas":
        if getattr(frame.index, "dtype", None) is not None and frame.index.dtype.kind == "M":
            arrays["timestamp"] = _pandas_array(frame.index)
        named = ((str(name), frame.iloc[:, index]) for index, name in enumerate(frame.columns))
    elif library in {"polars", "pyarrow"}:
        names = frame.columns if library == "polars" else frame.column_names
        columns = frame.get_columns() if library == "polars" else frame.columns
        named = zip(names, columns, strict=True)
    elif isinstance(frame, Mapping):
        named = ((str(name), values) for name, values in frame.items())
    else:
        raise SchemaMismatchError(
            f"{source}: a {type(frame).__name__} is not a table; hand over a pandas or polars DataFrame, a pyarrow Table "
            "or a mapping of column names to arrays"
        )
    for name, values in named:
        key = name.strip().lower()
        if key in wanted and key in arrays:
            raise SchemaMismatchError(f"{source}: there is more than one column {key}; keep one")
        if key not in wanted:
            arrays.setdefault(key, np.empty(0))
            continue
        if _null_count(values):
            raise DataQualityError(f"{source}: column {name} has empty values, the first in row {_first_null(values) + 1}")
        arrays[key] = _pandas_array(values) if library == "pandas" else np.asarray(values)
    return arrays


def _pandas_array(values: Any) -> npt.NDArray[Any]:
    """Values of a pandas column or index; instants with a zone as naive UTC."""
    if getattr(values.dtype, "tz", None) is not None:
        values = (values if hasattr(values, "tz_convert") and not hasattr(values, "dt") else values.dt).tz_convert(None)
    return np.asarray(values)


def _null_count(values: Any) -> int:
    count = getattr(values, "null_count", 0)
    return int(count() if callable(count) else count)


def _first_null(values: Any) -> int:
    return next(index for index, missing in enumerate(values.is_null().to_numpy()) if missing)


def _start_column(arrays: Mapping[str, npt.NDArray[Any]], *, source: str, found: str) -> IntColumn:
    for name in EPOCH_NAMES:
        if name in arrays:
            values = arrays[name]
            if values.dtype.kind not in "iu":
                raise SchemaMismatchError(f"{source}: column {name} is {values.dtype}; it must hold integers, UTC epoch ms")
            return np.ascontiguousarray(values, dtype=np.int64)
    for name in MOMENT_NAMES:
        if name in arrays:
            return _epoch_ms(arrays[name], name=name, source=source)
    raise SchemaMismatchError(
        f"{source}: no column says when a bar starts; name it start_ms (integers, UTC epoch ms) or timestamp (dates and times); "
        f"found {found}"
    )


def _epoch_ms(values: npt.NDArray[Any], *, name: str, source: str) -> IntColumn:
    if values.dtype.kind != "M":
        raise SchemaMismatchError(
            f"{source}: column {name} is {values.dtype}, not dates and times; if it holds UTC epoch milliseconds, name it start_ms"
        )
    in_ms = values.astype("datetime64[ms]")
    if np.isnat(in_ms).any():
        raise DataQualityError(f"{source}: column {name} has no time in row {int(np.argmax(np.isnat(in_ms))) + 1}")
    if (in_ms != values).any():
        raise DataQualityError(f"{source}: column {name} has parts of a millisecond in row {int(np.argmax(in_ms != values)) + 1}")
    return np.ascontiguousarray(in_ms.astype(np.int64))


def _value_column(values: npt.NDArray[Any], *, name: str, source: str) -> FloatColumn:
    if values.dtype.kind not in "iuf":
        raise SchemaMismatchError(f"{source}: column {name} is {values.dtype}; it must hold numbers")
    return np.ascontiguousarray(values, dtype=np.float64)
