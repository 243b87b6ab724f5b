"""From a file of candles to the catalog: checked first, stored whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtester.data.candle_file import same_candles
from backtester.data.catalog import Catalog
from backtester.data.columns import EPOCH_NAMES, VALUE_NAMES, CandleColumns, take_rows, unordered_columns
from backtester.data.quality import check_times, check_values, gap_rows
from backtester.domain.errors import DataError, DataQualityError, DataUnavailableError, SchemaMismatchError
from backtester.domain.timeframe import iso_text, timeframe_ms, timeframe_text

if TYPE_CHECKING:
    import pyarrow as pa


class ImportReport(NamedTuple):
    """What an import found and stored. `first_ms` is the start of the first candle, `last_ms` the end of the last.

    `rows_out_of_order` counts rows that started before the row above them, `rows_duplicated` identical repetitions left out,
    `gaps` stretches of missing candles between `first_ms` and `last_ms`.
    """

    path: Path
    exchange: str
    market: str
    symbol: str
    timeframe: str
    rows_read: int
    rows_written: int
    rows_already_stored: int
    rows_out_of_order: int
    rows_duplicated: int
    first_ms: int
    last_ms: int
    gaps: int


def import_file(path: Path, *, catalog: Catalog, exchange: str, market: str, symbol: str, timeframe: str) -> ImportReport:
    """The candles of a parquet or csv file are in the catalog; a second import of the same file changes nothing.

    Args:   path - columns `open_time_ms` or `start_ms` (UTC epoch ms), `open high low close volume`; others are ignored; csv
            with a header. Rows may come in any order.
    Raises: DataUnavailableError - no such file. SchemaMismatchError - other columns. DataQualityError - a row that cannot be,
            two rows that contradict each other or what is stored, or another timeframe than stated. StorageError - the disk.
    """
    path = Path(path)
    length_ms = timeframe_ms(timeframe)
    read = _read(path)
    if not len(read.start_ms):
        raise DataUnavailableError(f"{path} has no rows")
    check_values(read, source=str(path))
    columns, out_of_order, duplicated = _in_order(read, path)
    _check_timeframe(columns, path=path, length_ms=length_ms)
    written, already = catalog.write(exchange, market, symbol, timeframe, columns)
    return ImportReport(
        path=path,
        exchange=exchange,
        market=market,
        symbol=symbol,
        timeframe=timeframe_text(length_ms),
        rows_read=len(read.start_ms),
        rows_written=written,
        rows_already_stored=already,
        rows_out_of_order=out_of_order,
        rows_duplicated=duplicated,
        first_ms=int(columns.start_ms[0]),
        last_ms=int(columns.start_ms[-1]) + length_ms,
        gaps=len(gap_rows(columns.start_ms, length_ms)),
    )


def _read(path: Path) -> CandleColumns:
    """The file's candles in its own order."""
    import pyarrow as pa

    readers = {".parquet": _read_parquet, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SchemaMismatchError(f"{path} is neither .parquet nor .csv; convert it to one of them")
    if not path.is_file():
        raise DataUnavailableError(f"there is no file {path}")
    try:
        table = reader(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        lines = str(error).splitlines()
        raise DataError(f"{path} cannot be read: {lines[0] if lines else type(error).__name__}; get the file anew") from error
    return unordered_columns(table, source=str(path))


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(use_threads=False)


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    types: dict[str, pa.DataType] = {name: pa.float64() for name in VALUE_NAMES}
    types |= {name: pa.int64() for name in EPOCH_NAMES}
    # One thread: only then does an error name the row.
    return csv.read_csv(
        path, read_options=csv.ReadOptions(use_threads=False), convert_options=csv.ConvertOptions(column_types=types)
    )


def _in_order(columns: CandleColumns, path: Path) -> tuple[CandleColumns, int, int]:
    """The candles in order of time, each once; how many stood out of order, how many were identical repetitions."""
    out_of_order = int((np.diff(columns.start_ms) < 0).sum())
    order = np.argsort(columns.start_ms, kind="stable")
    sorted_columns = take_rows(columns, order)
    start_ms = sorted_columns.start_ms
    rows = np.flatnonzero(start_ms[1:] == start_ms[:-1])
    if not len(rows):
        return (sorted_columns if out_of_order else columns), out_of_order, 0
    same = same_candles(take_rows(sorted_columns, rows), take_rows(sorted_columns, rows + 1))
    if not same.all():
        row = int(rows[np.argmin(same)])
        raise DataQualityError(
            f"{path}: rows {int(order[row]) + 1} and {int(order[row + 1]) + 1} both start at {iso_text(int(start_ms[row]))} UTC "
            "but differ; remove the wrong one"
        )
    keep = np.ones(len(start_ms), dtype=np.bool_)
    keep[rows + 1] = False
    return take_rows(sorted_columns, keep), out_of_order, len(rows)


def _check_timeframe(columns: CandleColumns, *, path: Path, length_ms: int) -> None:
    """Returns if the candles are `length_ms` apart where none is missing, on that grid. Raises DataQualityError."""
    start_ms = columns.start_ms
    if len(start_ms) > 1:
        steps = np.diff(start_ms)
        step_ms = int(steps.min())
        if step_ms != length_ms:
            row = int(np.argmin(steps))
            raise DataQualityError(
                f"{path}: the timeframe was stated as {timeframe_text(length_ms)}, but the smallest step between candles is "
                f"{step_ms / 1000:g} s (from {iso_text(int(start_ms[row]))} to {iso_text(int(start_ms[row + 1]))} UTC); "
                "state the timeframe that the data has"
            )
    check_times(start_ms, source=str(path), length_ms=length_ms)
