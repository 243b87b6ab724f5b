"""Instruments: what one may order, at which steps, and from when to when that was so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from backtester.domain import contract_value
from backtester.domain.errors import ConfigError
from backtester.domain.money import PRICE_ONE, e8_from_decimal
from backtester.domain.options import OptionKind
from backtester.domain.order_bounds import OrderBounds, PriceBand, order_bounds
from backtester.domain.tiers import LeverageTier
from backtester.domain.timeframe import iso_text
from backtester.domain.vocabulary import Market

_WHOLE = {
    "tick_size": "tick_e8",
    "lot_size": "lot_e8",
    "min_qty": "min_qty_e8",
    "max_qty": "max_qty_e8",
    "min_notional": "min_notional_e8",
    "max_notional": "max_notional_e8",
}
"""The same numbers in whole 1e-8, filled in on construction, as `bounds` is; tick and lot divided by their steps."""


class OptionContract(msgspec.Struct, frozen=True, kw_only=True):
    """The right that an option is: to buy or to sell one unit of the base at `strike` quote when the contract expires."""

    kind: OptionKind
    strike: Decimal


class SymbolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Trading rules of one instrument over [valid_from_ms, valid_to_ms); prices in quote, sizes in base.

    `symbol` is the run's unique key: the plain name, or `exchange.market:NAME` when a run has several markets.
    `max_qty` is that of limit orders, `max_market_qty` that of market orders. One contract is `contract_size` of the base
    asset, on inverse markets of the quote asset. What stands below `source` is as the venue said, None where it did not.
    A dated contract is settled at `expires_ms` and is gone then; `option` says what an option is, None of anything else.
    What one of a run's `*_ticks` and `*_lots` counts is `tick_e8` and `lot_e8`: the tick and the lot, or, in a run in which these
    change, what all of them are multiples of. A tick is `tick_step` of it, a lot `lot_step` (ADR 023). `after_change`: other rules
    were in force before in this run, so that a position need not fit these.
    Raises ConfigError on construction when a step is not positive, a limit contradicts another, or a number has more than
    8 decimals.
    """

    symbol: str
    exchange: str
    market: Market
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    max_qty: Decimal | None = None
    min_notional: Decimal = Decimal(0)
    max_notional: Decimal | None = None
    valid_from_ms: int = 0
    valid_to_ms: int | None = None
    tradable: bool = True
    source: str = ""
    max_market_qty: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    price_band: PriceBand | None = None
    contract_size: Decimal = Decimal(1)
    settle: str | None = None
    funding_interval_h: int | None = None
    max_leverage: Decimal | None = None
    leverage_tiers: tuple[LeverageTier, ...] = ()
    maker_bps: Decimal | None = None
    taker_bps: Decimal | None = None
    listed_ms: int | None = None
    delisted_ms: int | None = None
    expires_ms: int | None = None
    option: OptionContract | None = None
    tick_step: int = 1
    lot_step: int = 1
    after_change: bool = False
    tick_e8: int = 0
    lot_e8: int = 0
    min_qty_e8: int = 0
    min_notional_e8: int = 0
    max_qty_e8: int | None = None
    max_notional_e8: int | None = None
    bounds: OrderBounds | None = None
    face: int = 0
    """What an inverse contract stands for in the quote currency, in 1e-16 (see `domain.contract_value`); 0 of any other."""

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "max_qty", "max_notional", "min_qty", "min_notional"):
            value = getattr(self, name)
            if value is None:
                continue
            least_is_zero = name in {"min_qty", "min_notional"}
            if not value.is_finite() or value < 0 or not (value or least_is_zero):
                rule = "must not be negative" if least_is_zero else "must be above 0"
                raise ConfigError(f"instrument {self.symbol}: {name} {rule}, was {value}")
            try:
                units = e8_from_decimal(value)
            except ValueError as error:
                raise ConfigError(f"instrument {self.symbol}: {name}: {error}") from None
            msgspec.structs.force_setattr(self, _WHOLE[name], units)
        for name, step in (("tick_e8", self.tick_step), ("lot_e8", self.lot_step)):
            if step < 1 or getattr(self, name) % step:
                raise ConfigError(f"instrument {self.symbol}: {name} {getattr(self, name)} is not {step} whole parts")
            msgspec.structs.force_setattr(self, name, getattr(self, name) // step)
        for name in ("max_market_qty", "min_price", "max_price"):
            value = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                raise ConfigError(f"instrument {self.symbol}: {name} must be above 0, was {value}")
        found = order_bounds(
            market=self.market,
            max_market_qty=self.max_market_qty,
            min_price=self.min_price,
            max_price=self.max_price,
            price_band=self.price_band,
        )
        msgspec.structs.force_setattr(self, "bounds", found)
        if self.max_qty is not None and self.max_qty < self.min_qty:
            raise ConfigError(f"instrument {self.symbol}: max_qty {self.max_qty} is below min_qty {self.min_qty}")
        if self.max_notional is not None and self.max_notional < self.min_notional:
            raise ConfigError(
                f"instrument {self.symbol}: max_notional {self.max_notional} is below min_notional {self.min_notional}"
            )
        if self.valid_to_ms is not None and self.valid_to_ms <= self.valid_from_ms:
            raise ConfigError(f"instrument {self.symbol}: valid_to must be after valid_from")
        if self.market is Market.INVERSE:
            try:
                contract_e8 = e8_from_decimal(self.contract_size)
            except ValueError as error:
                raise ConfigError(f"instrument {self.symbol}: contract_size: {error}") from None
            if contract_e8 <= 0:
                raise ConfigError(f"instrument {self.symbol}: contract_size must be above 0, was {self.contract_size}")
            msgspec.structs.force_setattr(self, "face", contract_e8 * PRICE_ONE)

    @property
    def money_asset(self) -> str:
        """The asset that profit, fees and margin are in: that of settlement; where it is not known, the coin or the quote asset."""
        if self.market is Market.SPOT:
            return self.quote
        return self.settle or (self.base if self.face else self.quote)

    def unit_value_quote(self, price: float) -> float:
        """What one unit of size is worth in the quote currency: the price, or what an inverse contract stands for."""
        return float(self.contract_size) if self.face else price

    def worth(self, lots: int, price_e8: int) -> int:
        """What a signed position counts for at a price, in money units (`contract_value.worth`)."""
        return contract_value.worth(lots * self.lot_e8, price_e8, self.face)

    def value(self, lots: int, price_e8: int) -> int:
        """What lots (not negative) are worth at a price, in money units, rounded up."""
        return contract_value.value(lots * self.lot_e8, price_e8, self.face)

    def valid_at(self, time_ms: int) -> bool:
        """Whether these rules were in force at `time_ms`."""
        return self.valid_from_ms <= time_ms and (self.valid_to_ms is None or time_ms < self.valid_to_ms)

    def listed_at(self, time_ms: int) -> bool:
        """Whether, by the listing times that are known, the instrument was listed at `time_ms`."""
        return (self.listed_ms is None or self.listed_ms <= time_ms) and (self.delisted_ms is None or time_ms < self.delisted_ms)


class SymbolSpecs:
    """The specs of a run's symbols, each with its validity in time. Keys are the run's symbol names."""

    def __init__(self, specs: Iterable[SymbolSpec]) -> None:
        self._by_symbol: dict[str, list[SymbolSpec]] = {}
        for spec in specs:
            self._by_symbol.setdefault(spec.symbol, []).append(spec)
        for symbol, rows in self._by_symbol.items():
            rows.sort(key=lambda spec: spec.valid_from_ms)
            for earlier, later in zip(rows, rows[1:], strict=False):
                if earlier.valid_to_ms is None or earlier.valid_to_ms > later.valid_from_ms:
                    raise ConfigError(
                        f"instrument {symbol}: two specs are valid at {iso_text(later.valid_from_ms)}; "
                        "give the earlier one a valid_to"
                    )

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._by_symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def at(self, symbol: str, time_ms: int) -> SymbolSpec:
        """The spec valid at `time_ms`, else the nearest one in time. Raises ConfigError for an unknown symbol."""
        rows = self.history(symbol)
        earlier, later = None, None
        for spec in rows:
            if spec.valid_at(time_ms):
                return spec
            if spec.valid_from_ms <= time_ms:
                earlier = spec
            elif later is None:
                later = spec
        if earlier is None or later is None:
            return earlier or later or rows[0]
        # Between two: the one whose edge is nearer, the earlier one of two equally near.
        ended_ms = time_ms if earlier.valid_to_ms is None else earlier.valid_to_ms
        return earlier if time_ms - ended_ms <= later.valid_from_ms - time_ms else later

    def history(self, symbol: str) -> tuple[SymbolSpec, ...]:
        """All specs of a symbol in order of validity. Raises ConfigError for an unknown symbol."""
        rows = self._by_symbol.get(symbol)
        if not rows:
            raise unknown_symbol(symbol, self._by_symbol)
        return tuple(rows)


def unknown_symbol(symbol: str, known: Iterable[str]) -> ConfigError:
    """The error for a symbol without trading rules: says how to give them."""
    near = difflib.get_close_matches(symbol, list(known), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return ConfigError(
        f"no instrument spec for {symbol}.{hint} Fetch the venue's: bt data instruments --exchange NAME --market NAME (binance, "
        "bybit); or add one to configs/instruments.toml: [[instruments]] with symbol, exchange, market, base, quote, tick_size, "
        "lot_size, min_qty, min_notional, valid_from, source."
    )
