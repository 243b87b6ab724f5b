"""Long tables for people: aligned, in colour on a terminal, cut to its width there; plain and whole elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple, TextIO

_COLOURS = {"good": "\x1b[32m", "bad": "\x1b[31m", "warn": "\x1b[33m", "dim": "\x1b[2m", "bold": "\x1b[1m"}
_RESET = "\x1b[0m"
_BETWEEN = "  "


class Column(NamedTuple):
    """A column's heading, with its unit; numbers stand right. `least` above 0: on a narrow terminal it is cut down to so many."""

    title: str
    right: bool = False
    least: int = 0


class Cell(NamedTuple):
    """A text; `tone` is good, bad, warn, dim or empty."""

    text: str
    tone: str = ""


def print_listing(columns: Sequence[Column], rows: Sequence[Sequence[Cell | str]], stream: TextIO) -> None:
    """The rows under their headings; a column that is empty in every row is left out."""
    cells = [[Cell(one) if isinstance(one, str) else one for one in row] for row in rows]
    kept = [index for index in range(len(columns)) if any(row[index].text for row in cells)]
    shown = [columns[index] for index in kept]
    widths = [max(len(columns[index].title), *(len(row[index].text) for row in cells)) for index in kept]
    if stream.isatty():
        widths = _fitted(shown, widths, shutil.get_terminal_size().columns)
    coloured = in_colour(stream)
    heading = [Cell(column.title, "bold") for column in shown]
    lines = [heading, *([row[index] for index in kept] for row in cells)]
    stream.writelines(_line(line, shown, widths, coloured=coloured) for line in lines)


def in_colour(stream: TextIO) -> bool:
    """Colours may be used there: a terminal that can show them, whose user has not said no."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _line(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], *, coloured: bool) -> str:
    parts = []
    last = len(cells) - 1
    for index, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        text = cell.text if len(cell.text) <= width else cell.text[: width - 1] + "…"
        if column.right:
            text = text.rjust(width)
        elif index < last:
            text = text.ljust(width)
        parts.append(f"{_COLOURS[cell.tone]}{text}{_RESET}" if coloured and cell.tone else text)
    return _BETWEEN.join(parts).rstrip() + "\n"


def _fitted(columns: Sequence[Column], widths: Sequence[int], terminal: int) -> list[int]:
    """The widths, those that may be cut made smaller from the last to the first until a line fits."""
    fitted = list(widths)
    over = sum(fitted) + len(_BETWEEN) * (len(fitted) - 1) - (terminal - 1)
    for index in reversed(range(len(columns))):
        if over <= 0:
            break
        if columns[index].least:
            cut = min(over, max(fitted[index] - max(columns[index].least, len(columns[index].title)), 0))
            fitted[index] -= cut
            over -= cut
    return fitted
