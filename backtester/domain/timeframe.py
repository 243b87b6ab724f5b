"""Timeframes and instants: UTC epoch milliseconds everywhere."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from backtester.domain.errors import ConfigError

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONDAY_OFFSET_MS = 4 * DAY_MS
"""1970-01-05 was the first Monday of the epoch: weeks start there."""

_UNIT_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}
_TIMEFRAME = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
EXAMPLES = "1m, 5m, 15m, 1h, 4h, 1d, 1w"


def span_ms(text: str, *, what: str) -> int:
    """Length of any span of time such as '30d' or '36h' in milliseconds. Raises ConfigError that names `what` when it is none."""
    match = _TIMEFRAME.fullmatch(text)
    if match is None:
        raise ConfigError(f"{what} {text!r} is no span of time; use a number above 0 and one of s m h d w, such as 36h or 30d")
    return int(match[1]) * _UNIT_MS[match[2]]


def timeframe_ms(text: str) -> int:
    """Length of a timeframe such as '1m' or '4h' in milliseconds. Raises ConfigError when it is none.

    A timeframe must divide a day, or be whole days or whole weeks, so that its buckets start at fixed UTC instants.
    """
    match = _TIMEFRAME.fullmatch(text)
    if match is None:
        raise ConfigError(f"timeframe {text!r} is not known; use a number and one of s m h d w, such as {EXAMPLES}")
    length_ms = int(match[1]) * _UNIT_MS[match[2]]
    if DAY_MS % length_ms and length_ms % DAY_MS:
        raise ConfigError(f"timeframe {text!r} does not divide a day and is not whole days; use one such as {EXAMPLES}")
    return length_ms


def timeframe_text(length_ms: int) -> str:
    """The shortest name of a timeframe of `length_ms`: 3600000 is '1h'."""
    for unit in ("w", "d", "h", "m", "s"):
        if length_ms > 0 and length_ms % _UNIT_MS[unit] == 0:
            return f"{length_ms // _UNIT_MS[unit]}{unit}"
    raise ConfigError(f"no timeframe is {length_ms} ms long")


def bucket_offset_ms(length_ms: int) -> int:
    """Where the grid of a timeframe is anchored: Monday for whole weeks, the epoch otherwise."""
    return MONDAY_OFFSET_MS if length_ms % WEEK_MS == 0 else 0


def bucket_start_ms(time_ms: int, length_ms: int) -> int:
    """Start of the bucket of `length_ms` that contains `time_ms`."""
    offset_ms = bucket_offset_ms(length_ms)
    return (time_ms - offset_ms) // length_ms * length_ms + offset_ms


def parse_time_ms(value: str | date | datetime | int, *, what: str = "time") -> int:
    """UTC epoch milliseconds of an ISO date or time (no zone means UTC) or of whole milliseconds. Raises ConfigError."""
    if isinstance(value, bool):
        raise ConfigError(f"{what} {value!r} is not a time")
    if isinstance(value, int):
        return value
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        try:
            moment = datetime.fromisoformat(value.strip())
        except (ValueError, AttributeError):
            raise ConfigError(f"{what} {value!r} is not an ISO date or time such as 2025-05-05 or 2025-05-05T12:30") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * DAY_MS + delta.seconds * 1000 + delta.microseconds // 1000


def iso_text(time_ms: int) -> str:
    """`2025-05-05 12:30:00` (UTC), with milliseconds only where there are any."""
    whole_s, rest_ms = divmod(time_ms, 1000)
    moment = datetime.fromtimestamp(whole_s, tz=UTC)
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{rest_ms:03d}" if rest_ms else text
