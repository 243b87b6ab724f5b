"""When a dated future is delivered, by its name: `BTCUSDT_230630` (Binance), `BTCUSDZ22`, `BTCUSDT-26DEC25` (Bybit)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from backtester.domain.timeframe import HOUR_MS

DELIVERY_HOUR = 8
"""Dated futures of both venues are delivered at 08:00 UTC (exchange_semantics.md, section 4.4)."""

_NUMBERED = re.compile(r"[A-Z0-9]+_(?P<year>\d{2})(?P<month>\d{2})(?P<day>\d{2})")
_WORDED = re.compile(r"[A-Z0-9]+-(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d{2})")
_LETTERED = re.compile(r"[A-Z0-9]+USD(?P<month>[FGHJKMNQUVXZ])(?P<year>\d{2})")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LETTERS = "FGHJKMNQUVXZ"
_FRIDAY = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def delivers_ms(name: str) -> int | None:
    """When the future of this name is delivered, UTC milliseconds; None for the name of anything else.

    Where the name has a month only (`BTCUSDZ22`), that is the last Friday of it.
    """
    try:
        date = _date(name)
    except ValueError:
        return None
    return None if date is None else (date - _EPOCH) // timedelta(milliseconds=1) + DELIVERY_HOUR * HOUR_MS


def _date(name: str) -> datetime | None:
    if found := _NUMBERED.fullmatch(name):
        return datetime(2000 + int(found["year"]), int(found["month"]), int(found["day"]), tzinfo=UTC)
    if found := _WORDED.fullmatch(name):
        return datetime(2000 + int(found["year"]), _MONTHS.index(found["month"]) + 1, int(found["day"]), tzinfo=UTC)
    if found := _LETTERED.fullmatch(name):
        year, month = 2000 + int(found["year"]), _LETTERS.index(found["month"]) + 1
        last = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)
        return last - timedelta(days=(last.weekday() - _FRIDAY) % 7)
    return None
