"""What the name of an option says: `ETH-230811-1850-C` (Binance), `BTC-29DEC23-42000-C` and `BTC-29DEC23-42000-C-USDT` (Bybit)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from backtester.domain.errors import ConfigError
from backtester.domain.options import OptionKind
from backtester.domain.timeframe import HOUR_MS

EXPIRY_HOUR = 8
"""European options of both venues expire at 08:00 UTC (exchange_semantics.md, section 4.4)."""

_NAME = re.compile(
    r"(?P<base>[A-Z0-9]+)-(?:(?P<digits>\d{6})|(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d{2}))-"
    r"(?P<strike>\d+(?:\.\d+)?)-(?P<kind>[CP])(?:-(?P<settle>[A-Z]+))?"
)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_KINDS = {"C": OptionKind.CALL, "P": OptionKind.PUT}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OptionName(NamedTuple):
    """The parts of a name; `expires_ms` is 08:00 UTC of its date, `settle` empty where the name does not say it."""

    base: str
    strike: Decimal
    kind: OptionKind
    expires_ms: int
    settle: str


def parse_option_name(name: str) -> OptionName:
    """The parts of an option's name. Raises ConfigError, with the forms that can be read, for any other text."""
    match = _NAME.fullmatch(name)
    date = _date(match) if match is not None else None
    if match is None or date is None or not Decimal(match["strike"]):
        raise ConfigError(
            f"{name!r} is not the name of an option: BASE-YYMMDD-STRIKE-C or -P (binance: ETH-230811-1850-C), or "
            "BASE-DMMMYY-STRIKE-C or -P with the settle asset behind it (bybit: BTC-29DEC23-42000-C-USDT)"
        )
    expires_ms = (date - _EPOCH) // timedelta(milliseconds=1) + EXPIRY_HOUR * HOUR_MS
    return OptionName(match["base"], Decimal(match["strike"]), _KINDS[match["kind"]], expires_ms, match["settle"] or "")


def _date(match: re.Match[str]) -> datetime | None:
    digits = match["digits"]
    try:
        if digits is not None:
            return datetime(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]), tzinfo=UTC)
        return datetime(2000 + int(match["year"]), _MONTHS.index(match["month"]) + 1, int(match["day"]), tzinfo=UTC)
    except ValueError:
        return None
