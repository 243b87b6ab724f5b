"""Clean batches that are not held: they are read again from their files whenever they are walked over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, overload

from backtester.data.batch import Batch


class ReadAgain(NamedTuple):
    """What reads the batches of one file, and how many there are."""

    read: Callable[[], Iterator[Batch]]
    batches: int


class ParsedBatches(Sequence[Batch]):
    """The batches of files, in order; memory holds one at a time, however many there are.

    A file that cannot be read any more raises its DataError when it is reached.
    """

    def __init__(self, files: Sequence[ReadAgain]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return sum(file.batches for file in self._files)

    def __iter__(self) -> Iterator[Batch]:
        for file in self._files:
            yield from file.read()

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return list(self)[index]
        at = index + len(self) if index < 0 else index
        for file in self._files if at >= 0 else ():
            if at < file.batches:
                return next(islice(file.read(), at, None))
            at -= file.batches
        raise IndexError(f"batch {index} of {len(self)}")
