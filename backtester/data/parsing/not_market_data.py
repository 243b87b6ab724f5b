"""Files that stand beside market data and are none: recognised, so that they are refused with what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from backtester.data.batch import RawBatch
from backtester.data.parsing.csv_rows import first_fields
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.json_reading import INSTRUMENTS
from backtester.data.parsing.opened_file import OpenedFile
from backtester.domain.errors import SchemaMismatchError

_CHECKSUM = re.compile(rb"[0-9a-fA-F]{64} [ *][^\n]+\n?")
_BEGINS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\s*\[\s*\{[^{}\[\]]*\"sha256\""), "a list of files and their checksums, which is no market data"),
    (re.compile(rb"\s*\{\s*\"[^\"]+\"\s*:\s*\[\s*\{\s*\"tier\""), f"leverage tiers of Binance; {INSTRUMENTS}"),
    (re.compile(rb"\s*\[\s*\{\s*\"symbol\"\s*:\s*\"[^\"]+\"\s*,\s*\"brackets\""), f"leverage brackets of Binance; {INSTRUMENTS}"),
    (_CHECKSUM, "a checksum; it is verified by `bt data download`"),
    (re.compile(rb"SQLite format 3\x00"), "a database"),
    (re.compile(rb"(?:commit|tree) [0-9a-f]{40}|# pack-refs|DIRC"), "a part of a git repository"),
)
_HEADERS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"original file checksum", "new file checksum"}), "a list of archives that were replaced, which is no market data"),
    (frozenset({"minimum_price_variation", "lot_size"}), f"trading rules in Lean's form; {INSTRUMENTS} as the exchange answers"),
    (frozenset({"sha256", "bytes", "file"}), "a list of files and their checksums, which is no market data"),
)


def matches_not_market_data(name: str, head: bytes) -> bool:
    """Whether the file is one of these."""
    return _what(head) is not None


def refuse(opened: OpenedFile, hint: Hint) -> Iterator[RawBatch]:
    """Raises SchemaMismatchError that says what the file is."""
    raise SchemaMismatchError(f"{opened.name} holds {_what(opened.head(4_096))}; it is not imported")


def _what(head: bytes) -> str | None:
    for pattern, what in _BEGINS:
        if pattern.match(head):
            return what
    fields = frozenset(first_fields(head))
    return next((what for names, what in _HEADERS if names <= fields), None)
