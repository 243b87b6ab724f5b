"""From the documents of a file to batches: what a publisher's messages say is gathered, what is no market data is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backtester.data.batch import RawBatch
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.json_messages import JsonMessage, read_messages
from backtester.data.parsing.opened_file import OpenedFile
from backtester.data.parsing.pieces import Piece, RowCollector
from backtester.domain.errors import DataError, SchemaMismatchError

INSTRUMENTS = "`bt data instruments --file` takes it"
"""Ends the refusal of trading rules."""

Taker = Callable[[JsonMessage], Sequence[Piece] | str]
"""The rows of a message, or what it is that is not stored."""


def read_json(opened: OpenedFile, hint: Hint, take: Taker) -> Iterator[RawBatch]:
    """Batches of what `take` finds. Messages that are not stored are passed over as long as others are.

    Raises: SchemaMismatchError - nothing in the file is stored: says what it is; or something has to be stated. DataError - a
    message is not as its publisher sends it.
    """
    file = opened.name
    collector = RowCollector(hint, file=file, sha256=opened.sha256)
    taken, refusal = False, ""
    with opened.stream() as stream:
        for message in read_messages(stream, file=file):
            try:
                found = take(message)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
                reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
                raise DataError(
                    f"{file}, line {message.line}: a message is not as it is published ({reason}); get the file anew"
                ) from error
            if isinstance(found, str):
                refusal = refusal or found
                continue
            taken = True
            for piece in found:
                count = len(piece.rows)
                numbers = range(1, count + 1) if piece.entries else [message.line] * count
                yield from collector.add(piece, numbers)
    if not taken:
        raise SchemaMismatchError(f"{file} holds {refusal or 'nothing'}; it is not imported")
    yield from collector.finish()
