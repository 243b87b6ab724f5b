"""Which venue rules a market follows (`defaults/venue_rules.toml`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from backtester.config.fees import SAMPLE_FEES_OF
from backtester.config.files import PACKAGED, read_table
from backtester.config.layers import plain
from backtester.config.sample_symbols import SAMPLE_EXCHANGE
from backtester.domain.venue_rules import GENERIC, VenueRules


def venue_rules(exchange: str, market: str) -> VenueRules:
    """The rules of a venue's market; `GENERIC` where none are known. The sample market follows the venue whose fees it charges."""
    return venue_table().get((SAMPLE_FEES_OF if exchange == SAMPLE_EXCHANGE else exchange, market), GENERIC)


@cache
def venue_table() -> dict[tuple[str, str], VenueRules]:
    """The packaged rows by (exchange, market)."""
    rows: list[dict[str, Any]] = plain(read_table(PACKAGED / "venue_rules.toml"))["venues"]
    return {(row.pop("exchange"), row.pop("market")): msgspec.convert(row, VenueRules) for row in rows}
