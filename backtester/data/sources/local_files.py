"""Files on this machine: which there are, and what they hold, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from backtester.data.batch import Batch, RawBatch
from backtester.data.batch_joining import joined
from backtester.data.findings import Policies
from backtester.data.kinds import kind_named
from backtester.data.parsing.formats import parse_file
from backtester.data.parsing.hint import Hint
from backtester.data.sanitize import sanitize
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import DataUnavailableError

SUFFIXES = (".csv", ".gz", ".zip", ".parquet", ".feather", ".json", ".jsonl", ".data")
"""What is taken from a directory; a file that is named is taken whatever its name."""


def files_in(paths: Sequence[Path], *, apart_from: Path | None = None) -> tuple[Path, ...]:
    """The files named, and those in the directories named, at any depth, in order of their names; hidden ones are left out.

    What lies in the directory `apart_from` (the catalog) is taken only where it is named.

    Raises DataUnavailableError for a path that is not there, or a directory without such files.
    """
    found: dict[Path, None] = {}
    shut = None if apart_from is None else apart_from.resolve()
    for path in paths:
        if not path.exists():
            raise DataUnavailableError(f"there is no file {path}")
        if not path.is_dir():
            found[path] = None
            continue
        inside = [
            file for file in sorted(path.rglob("*")) if _is_taken(file, path) and not (shut and file.resolve().is_relative_to(shut))
        ]
        if not inside:
            raise DataUnavailableError(f"{path} holds no file to import ({' '.join(SUFFIXES)})")
        found.update(dict.fromkeys(inside))
    return tuple(found)


def _is_taken(file: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(directory).parts)
    return not hidden and file.suffix.lower() in SUFFIXES and file.is_file()


class LocalFiles:
    """A source of what files hold. `hint` tells what they do not say themselves; `policies` what happens to bad rows."""

    name = "local files"

    def __init__(self, paths: Sequence[Path], *, hint: Hint | None = None, policies: Policies | None = None) -> None:
        self.paths = tuple(paths)
        self._hint = hint or Hint()
        self._policies = policies or Policies()

    def read(self, path: Path, on_parsed: Callable[[RawBatch], None] | None = None) -> Iterator[Batch]:
        """What one file holds, checked, in few batches; `on_parsed` sees each part of it as it stands in the file.

        Raises: DataUnavailableError - no such file. SchemaMismatchError - not recognised, or something has to be stated.
        DataQualityError - a row that breaks a rule with the policy fail. DataError - damaged.
        """

        def checked() -> Iterator[Batch]:
            for raw in parse_file(path, hint=self._hint):
                if on_parsed is not None:
                    on_parsed(raw)
                yield sanitize(raw, self._policies)

        return joined(checked())

    def fetch(self, request: DataRequest) -> Iterator[Batch]:
        """The rows of one series in all files, those of a file in order of time. Raises as `read`.

        DataUnavailableError - none of the files has any in the range.
        """
        found = False
        for path in files_in(self.paths):
            for batch in self.read(path):
                if batch.series != request.series:
                    continue
                inside = _between(batch, request)
                if inside.table.num_rows:
                    found = True
                    yield inside
        if not found:
            raise DataUnavailableError(f"none of the files has {request.series} in the range that was asked for")


def _between(batch: Batch, request: DataRequest) -> Batch:
    """The rows in the range."""
    time = kind_named(batch.series.kind).time
    scale = 1_000 if time == "time_us" else 1
    times = batch.table.column(time).to_numpy()
    first, last = times.searchsorted((request.start_ms * scale, request.end_ms * scale)).tolist()
    return batch._replace(table=batch.table.slice(first, last - first))
