"""A run's fills, trades, equity and figures in other formats, together or by symbol; exact in every one of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from backtester.audit.run_store import METRICS_NAME
from backtester.domain.errors import StorageError
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME
from backtester.report.equity import EQUITY_NAME
from backtester.report.frames import frame_of_text

FORMATS = ("csv", "json", "parquet")
_WHOLE_NUMBERS = frozenset({"time_ms", "entry_time_ms", "exit_time_ms"})
_FLAGS = {"true": True, "false": False}


def export_run(run: Path, to: Path, *, form: str, per_symbol: bool = False) -> list[Path]:
    """The files of a run stand in `to` in that format, and are named in order; what stood there under their names is replaced.

    With `per_symbol` fills and trades stand in a directory for each symbol. csv holds the rows as they are; json a list of objects
    with amounts as decimal text; parquet amounts as decimals of 16 places. Raises StorageError when the run came to no results, or
    when a file cannot be written.
    """
    write = _WRITERS[form]
    written = []
    for name in (FILLS_NAME, TRADES_NAME, EQUITY_NAME):
        text = _text(run / name)
        stem = Path(name).stem
        if per_symbol and name != EQUITY_NAME:
            for symbol, part in _by_symbol(text):
                written.append(_stored(to / _directory_name(symbol) / f"{stem}.{form}", write(part)))
        else:
            written.append(_stored(to / f"{stem}.{form}", write(text)))
    written.append(_stored(to / METRICS_NAME, _text(run / METRICS_NAME).encode()))
    return written


def _as_csv(text: str) -> bytes:
    return text.encode()


def _as_json(text: str) -> bytes:
    rows = [{name: _value(name, value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]
    return (json.dumps(rows, indent=1) + "\n").encode()


def _as_parquet(text: str) -> bytes:
    file = io.BytesIO()
    frame_of_text(text).write_parquet(file)
    return file.getvalue()


_WRITERS: dict[str, Callable[[str], bytes]] = {"csv": _as_csv, "json": _as_json, "parquet": _as_parquet}


def _value(name: str, text: str) -> str | int | bool | None:
    if name in _WHOLE_NUMBERS:
        return int(text) if text else None
    return _FLAGS.get(text, text)


def _by_symbol(text: str) -> Iterator[tuple[str, str]]:
    """(symbol, its rows under the heading) in the order in which symbols first appear."""
    heading, *lines = text.splitlines(keepends=True)
    place = heading.rstrip("\n").split(",").index("symbol")
    parts: dict[str, list[str]] = {}
    for line, row in zip(lines, csv.reader(lines), strict=True):
        parts.setdefault(row[place], [heading]).append(line)
    for symbol, rows in parts.items():
        yield symbol, "".join(rows)


def _directory_name(symbol: str) -> str:
    """A qualified symbol (`binance.linear:BTCUSDT`) without what no directory may hold everywhere."""
    return symbol.replace(":", "_").replace("/", "_")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; only a run that came to its results has it") from error


def _stored(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError(f"cannot write {path}: {error.strerror}; choose another --output") from error
    return path
