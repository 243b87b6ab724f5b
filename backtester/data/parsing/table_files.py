"""Parquet and feather files, read in parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backtester.data.parsing.opened_file import OpenedFile
from backtester.domain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 262_144
_PARQUET = b"PAR1"
_ARROW = b"ARROW1"
_FEATHER_OLD = b"FEA1"


def is_table_file(head: bytes) -> bool:
    """Whether a file that begins so is parquet or feather."""
    return head.startswith((_PARQUET, _ARROW, _FEATHER_OLD))


def read_tables(opened: OpenedFile) -> Iterator[tuple[pa.Table, int]]:
    """The rows in parts of bounded size, each with the number of its first row, from 1. Raises DataError where it is damaged."""
    import pyarrow as pa

    row = 1
    try:
        for batch in _batches(opened):
            if batch.num_rows:
                yield pa.Table.from_batches([batch]), row
            row += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        lines = str(error).splitlines()
        raise DataError(
            f"{opened.name} cannot be read ({lines[0] if lines else type(error).__name__}); get the file anew"
        ) from error


def _batches(opened: OpenedFile) -> Iterator[pa.RecordBatch]:
    if opened.head(4) == _PARQUET:
        import pyarrow.parquet as pq

        with pq.ParquetFile(opened.path, page_checksum_verification=True) as file:
            yield from file.iter_batches(PART_ROWS, use_threads=False)
        return
    import pyarrow.dataset as ds

    scanner = ds.dataset(opened.path, format="feather").scanner(batch_size=PART_ROWS, use_threads=False)
    yield from scanner.to_batches()
