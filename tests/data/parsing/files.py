"""Small files made by hand, parsed as `bt data import` does."""

from __future__ import annotations

from pathlib import Path

from backtester.data.batch import RawBatch
from backtester.data.parsing.formats import Hint, parse_file


def parse(folder: Path, name: str, content: str | bytes, **stated: str) -> list[RawBatch]:
    """The batches of a file of this name with this content; `stated` is the hint."""
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(parse_file(path, name=name, hint=Hint(**stated)))


def rows_of(batches: list[RawBatch]) -> list[tuple]:
    """All rows, in order, as tuples."""
    return [tuple(row.values()) for batch in batches for row in batch.table.to_pylist()]
