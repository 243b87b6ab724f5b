"""What venues charge, by tier: a dated table (`defaults/fees.toml`)."""

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
    """One market of one venue; basis points of value, negative for a rebate. `tiers` are (maker, taker) of the higher ones."""

    exchange: str
    market: str
    maker_bps: Decimal
    taker_bps: Decimal
    date: str
    source: str
    bnb_discount_bps: Decimal | None = None
    liquidation_bps: Decimal | None = None
    tiers: dict[str, tuple[Decimal, Decimal]] = {}


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
    row = _row(exchange, market)
    if row is None:
        row = max(rows, key=lambda known_row: (known_row.taker_bps, known_row.maker_bps))
        found = f"{exchange} {market} is not in the fee table: charged as {row.exchange} {row.market}, the most expensive known; "
    else:
        found = f"{exchange} is charged as {row.exchange}; " if venue != exchange else ""
    return row.maker_bps, row.taker_bps, f"{found}{row.source}, read {row.date}"


ENTRY_TIER = "entry"


def tier_bps(exchange: str, market: str, tier: str) -> tuple[Decimal, Decimal, str]:
    """(maker_bps, taker_bps, source) of a tier of the venue: `entry`, or a name of its row.

    Raises ConfigError naming the tiers there are, also for a venue that is not in the table.
    """
    if tier == ENTRY_TIER:
        return entry_tier_bps(exchange, market)
    row = _row(exchange, market)
    rates = row.tiers.get(tier) if row is not None else None
    if row is None or rates is None:
        known = ", ".join((ENTRY_TIER, *(row.tiers if row is not None else ())))
        raise ConfigError(f"sim.fee_tier {tier!r} is not known of {exchange} {market}; there are: {known}")
    return *rates, f"{tier} of {row.exchange}; {row.source}, read {row.date}"


def bnb_discount_bps(exchange: str, market: str) -> Decimal:
    """How much of a fee, in bps of the fee, is not taken when it is paid in BNB.

    Raises ConfigError where the venue has no such discount. Source: exchange_semantics.md, section 3 ("BNB").
    """
    row = _row(exchange, market)
    if row is None or row.bnb_discount_bps is None:
        have = ", ".join(f"{one.exchange} {one.market}" for one in fee_rows() if one.bnb_discount_bps is not None)
        raise ConfigError(f"sim.bnb_discount: {exchange} {market} has no discount for fees paid in BNB; these have: {have}")
    return row.bnb_discount_bps


def liquidation_fee_bps(exchange: str, market: str) -> Decimal | None:
    """What a venue takes of the value that it liquidates; None where it takes what is left of the margin instead.

    Source: exchange_semantics.md, section 3 ("Liquidation clearance").
    """
    row = _row(exchange, market)
    return row.liquidation_bps if row is not None else None


def _row(exchange: str, market: str) -> FeeRow | None:
    venue = SAMPLE_FEES_OF if exchange == SAMPLE_EXCHANGE else exchange
    return next((row for row in fee_rows() if (row.exchange, row.market) == (venue, market)), None)


@cache
def fee_rows() -> tuple[FeeRow, ...]:
    """The packaged table."""
    return msgspec.convert(plain(read_table(PACKAGED / "fees.toml")), _FeeTable).fees
