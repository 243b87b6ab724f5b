"""What a venue said about its instruments in one answer: only facts that stand there, exact numbers, no defaults of ours."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

from backtester.domain.money import CALCULATION
from backtester.domain.order_bounds import PriceBand
from backtester.domain.tiers import LeverageTier


class Rules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rules of orders: prices in quote, sizes as the venue counts them (`contract_size`: see SymbolSpec)."""

    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    settle: str | None = None
    contract_type: str = ""
    status: str = ""
    tradable: bool = True
    max_qty: Decimal | None = None
    max_market_qty: Decimal | None = None
    min_notional: Decimal = Decimal(0)
    max_notional: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    price_band: PriceBand | None = None
    contract_size: Decimal = Decimal(1)
    max_leverage: Decimal | None = None
    listed_ms: int | None = None
    delisted_ms: int | None = None


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """Rates in basis points of the notional; negative is a rebate."""

    maker_bps: Decimal
    taker_bps: Decimal


class Funding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When funding is settled, and between which rates."""

    interval_h: int | None = None
    cap: Decimal | None = None
    floor: Decimal | None = None


class InstrumentRecord(NamedTuple):
    """What one answer says of one symbol; None where it does not speak of a part."""

    symbol: str
    rules: Rules | None = None
    leverage_tiers: tuple[LeverageTier, ...] | None = None
    fees: Fees | None = None
    funding: Funding | None = None


class InstrumentAnswer(NamedTuple):
    """One answer of a venue, given at `time_ms`. `notes` name what of it could not be understood."""

    exchange: str
    market: str
    time_ms: int
    source: str
    records: tuple[InstrumentRecord, ...]
    notes: tuple[str, ...] = ()
    network: str = "live"


def number(value: object) -> Decimal | None:
    """The exact number in an answer, in one spelling for equal values (0.10 is 0.1); None where the field is empty or absent.

    Raises ValueError for anything else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        parsed = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not parsed.is_finite():
        raise ValueError(f"{value!r} is not finite")
    return Decimal(format(CALCULATION.normalize(parsed), "f"))


def positive(value: object) -> Decimal | None:
    """As `number`, but None for 0 as well: venues write 0 where there is no limit."""
    parsed = number(value)
    return parsed if parsed is not None and parsed > 0 else None
