"""What venues charge at their entry tier: a dated table (`defaults/fees.toml`)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import msgspec

from backtester.config.files import PACKAGED, read_table
from backtester.config.layers import plain
from backtester.config.sample_symbols import SAMPLE_EXCHANGE
from backtester.domain.errors import ConfigError

SAMPLE_FEES_OF = "binance"
"""The synthetic sample market charges what this venue does."""


class FeeRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market of one venue; basis points of value, negative for a rebate."""

    exchange: str
    market: str
    maker_bps: Decimal
    taker_bps: Decimal
    date: str
    source: str


class _FeeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fees: tuple[FeeRow, ...]


def entry_tier_bps(exchange: str, market: str) -> tuple[Decimal, Decimal, str]:
    """(maker_bps, taker_bps, source) of the venue's entry tier.

    A venue that is not in the table is charged the most expensive known row of that market, and `source` says so.
    Raises ConfigError for a market of which no venue is known.
    """
    venue = SAMPLE_FEES_OF if exchange == SAMPLE_EXCHANGE else exchange
    rows = [row for row in fee_rows() if row.market == market]
    if not rows:
        known = ", ".join(sorted({row.market for row in fee_rows()}))
        raise ConfigError(f"no fees are known for market {market!r}; there are: {known}. Set sim.maker_bps and sim.taker_bps")
    row = next((row for row in rows if row.exchange == venue), None)
    if row is None:
        row = max(rows, key=lambda known_row: (known_row.taker_bps, known_row.maker_bps))
        found = f"{exchange} {market} is not in the fee table: charged as {row.exchange} {row.market}, the most expensive known; "
    else:
        found = f"{exchange} is charged as {row.exchange}; " if venue != exchange else ""
    return row.maker_bps, row.taker_bps, f"{found}{row.source}, read {row.date}"


@cache
def fee_rows() -> tuple[FeeRow, ...]:
    """The packaged table."""
    return msgspec.convert(plain(read_table(PACKAGED / "fees.toml")), _FeeTable).fees
