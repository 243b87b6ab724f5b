"""The sha256 of rows: of their values alone, not of how a library packed them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from backtester.data.kinds import Kind

if TYPE_CHECKING:
    import pyarrow as pa


class ContentHash:
    """Fed with tables of one kind, in parts of any length: the same rows in the same order give the same digest.

    Of each column: which values there are (a byte a row), then the values (little-endian int64 or float64, a byte a bool,
    UTF-8 text) and for texts the length of each. The digest covers the kind, the columns' names and types, and these.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._hashes = [(hashlib.sha256(), hashlib.sha256(), hashlib.sha256()) for _ in kind.columns]

    def update(self, table: pa.Table) -> None:
        """The rows of `table`, in the kind's schema, follow those before."""
        import pyarrow.compute as pc

        for column, (known, values, lengths) in zip(self._kind.columns, self._hashes, strict=True):
            for chunk in table.column(column.name).chunks:
                known.update(_plain(chunk.is_valid(), "u1"))
                present: Any = chunk.drop_null() if chunk.null_count else chunk
                if column.type == "string":
                    lengths.update(_plain(pc.binary_length(present), "<i8"))
                    values.update(_text(present))
                else:
                    values.update(_plain(present, {"int64": "<i8", "float64": "<f8", "bool": "u1"}[column.type]))

    def hexdigest(self) -> str:
        """The sha256 of all rows so far."""
        lines = [
            " ".join((column.name, column.type, *(part.hexdigest() for part in parts)))
            for column, parts in zip(self._kind.columns, self._hashes, strict=True)
        ]
        return hashlib.sha256("\n".join((self._kind.name, *lines)).encode()).hexdigest()


def content_sha256(kind: Kind, table: pa.Table) -> str:
    """The digest of one table."""
    content = ContentHash(kind)
    content.update(table)
    return content.hexdigest()


def _plain(values: Any, dtype: str) -> memoryview:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype=dtype).data


def _text(values: Any) -> memoryview:
    """All texts, one behind the other."""
    _, offsets_buffer, data = values.buffers()
    if data is None:
        return memoryview(b"")
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    return memoryview(data)[int(offsets[0]) : int(offsets[-1])] if len(offsets) > 1 else memoryview(b"")
