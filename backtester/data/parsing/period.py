"""The day, month or year that a file's name says it holds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

_DATE = re.compile(r"(?<![0-9])(20[0-9]{2})(?:-?(0[1-9]|1[0-2])(?:-?(0[1-9]|[12][0-9]|3[01]))?)?(?![0-9])")


class Period(NamedTuple):
    """From `start_ms` to the exclusive `end_ms`, UTC."""

    start_ms: int
    end_ms: int


def named_period_ms(name: str) -> Period | None:
    """The period in a file's name (its folders do not count): `...-2024-01-05`, `..._2024-01`, `20240105...`; None without one."""
    file_name = name.rpartition("/")[2]
    dates = list(_DATE.finditer(file_name))
    if len(dates) != 1:
        return None
    year, month, day = dates[0].groups()
    try:
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    except ValueError:
        return None
    if day:
        end_s = start.timestamp() + 86_400
    elif month:
        end_s = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC).timestamp()
    else:
        end_s = datetime(start.year + 1, 1, 1, tzinfo=UTC).timestamp()
    return Period(int(start.timestamp()) * 1_000, int(end_s) * 1_000)
