"""Which venue rules a market follows (`defaults/venue_rules.toml`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from backtester.config.fees import SAMPLE_FEES_OF
from backtester.config.files import PACKAGED, read_table
from backtester.config.layers import plain
from backtester.config.sample_symbols import SAMPLE_EXCHANGE
from backtester.domain.book_walk import BookWalk
from backtester.domain.errors import DomainError
from backtester.domain.venue_rules import GENERIC, VenueRules


def venue_rules(exchange: str, market: str) -> VenueRules:
    """The rules of a venue's market; `GENERIC` where none are known. The sample market follows the venue whose fees it charges."""
    return venue_table().get((SAMPLE_FEES_OF if exchange == SAMPLE_EXCHANGE else exchange, market), GENERIC)


@cache
def venue_table() -> dict[tuple[str, str], VenueRules]:
    """The packaged rows by (exchange, market)."""
    rows: list[dict[str, Any]] = plain(read_table(PACKAGED / "venue_rules.toml"))["venues"]
    named = {row["name"]: row for row in rows}
    whole = [{**named[row["like"]], **row} if "like" in row else dict(row) for row in rows]
    for row in whole:
        row.pop("like", None)
    return {(row.pop("exchange"), row.pop("market")): msgspec.convert(row, VenueRules) for row in whole}


def venue_status(*, venue: str, walk: BookWalk, all_or_nothing: bool = False) -> str:
    """The venue's own word for an immediate order (FOK, IOC, market) after its walk; with its code where it refuses.

    `venue` is the name of a row: binance_spot, binance_um, bybit_spot, bybit_linear, bybit_inverse or bybit_option; raises
    DomainError for others. Source: exchange_semantics.md, sections 1.2 and 1.3; golden G01, G03, G04.
    """
    for rules in venue_table().values():
        if rules.name == venue:
            partly = bool(walk.filled)
            return rules.word_of_immediate(is_partly_filled=partly, is_short=bool(walk.rest), all_or_nothing=all_or_nothing)
    raise DomainError(f"no words are known for the venue {venue!r}")
