"""Trading rules of a run's symbols.

Looked up in the user's file, then in what the caller has stored, then in `defaults/venue_instruments.toml`; only the sample
market has a rule for every name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from backtester.config.files import PACKAGED, read_table
from backtester.config.layers import plain
from backtester.config.option_terms import named_option, with_contract
from backtester.config.sample_symbols import SAMPLE_EXCHANGE, SAMPLE_LABEL, base_and_quote, sample_symbol
from backtester.domain.errors import ConfigError
from backtester.domain.future_names import delivers_ms
from backtester.domain.instruments import SymbolSpec, SymbolSpecs, unknown_symbol
from backtester.domain.order_bounds import PriceBand
from backtester.domain.timeframe import parse_time_ms
from backtester.domain.vocabulary import Market

SAMPLE_MARKETS = (Market.SPOT, Market.LINEAR, Market.INVERSE)
SAMPLE_MIN_NOTIONAL = Decimal(5)
InstrumentKey = tuple[str, str, str]
"""(exchange, market, name)."""
StoredSpecs = Callable[[str, str, str], tuple[SymbolSpec, ...]]
"""The specs that are stored of an exchange, market and name there, in order of validity; empty where none are."""


def _none_stored(exchange: str, market: str, name: str) -> tuple[SymbolSpec, ...]:
    return ()


class InstrumentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[instruments]]` table; prices and notionals in quote, sizes in base, times ISO (UTC), `valid_to` exclusive.

    Sizes of inverse contracts are numbers of contracts, each of `contract_size` of the quote asset. `expires` is when a dated
    future is delivered, where its name does not say it.
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
    max_market_qty: Decimal | None = None
    min_notional: Decimal = Decimal(0)
    max_notional: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    price_band: PriceBand | None = None
    contract_size: Decimal = Decimal(1)
    settle: str | None = None
    expires: str | None = None
    valid_from: str = "1970-01-01"
    valid_to: str | None = None
    tradable: bool = True
    source: str

    @property
    def key(self) -> InstrumentKey:
        """Where this instrument is traded, and its name there."""
        return self.exchange, self.market.value, self.symbol

    def spec(self, symbol: str) -> SymbolSpec:
        """These rules under the run's key `symbol`. Raises ConfigError when they contradict each other."""
        return SymbolSpec(
            symbol=symbol,
            exchange=self.exchange,
            market=self.market,
            base=self.base,
            quote=self.quote,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            min_qty=self.min_qty,
            max_qty=self.max_qty,
            max_market_qty=self.max_market_qty,
            min_price=self.min_price,
            max_price=self.max_price,
            price_band=self.price_band,
            min_notional=self.min_notional,
            max_notional=self.max_notional,
            contract_size=self.contract_size,
            settle=self.settle,
            expires_ms=None if self.expires is None else parse_time_ms(self.expires, what="expires"),
            valid_from_ms=parse_time_ms(self.valid_from, what="valid_from"),
            valid_to_ms=None if self.valid_to is None else parse_time_ms(self.valid_to, what="valid_to"),
            tradable=self.tradable,
            source=self.source,
        )


class _InstrumentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    instruments: tuple[InstrumentRow, ...] = ()


def load_specs(
    refs: Sequence[tuple[str, str, str, str]], *, user_file: Path | None, stored: StoredSpecs = _none_stored
) -> SymbolSpecs:
    """The specs of a run's symbols, in its order.

    Args:    refs - (key in the run, exchange, market, name at the exchange).
             user_file - rules that win over all others, instrument by instrument; None: there are none.
             stored - rules that win over the packaged ones, instrument by instrument.
    Raises:  ConfigError - a symbol has no spec, or a file holds something that is none.
    """
    own = instrument_rows(user_file) if user_file is not None else {}
    known = {**_packaged(), **own}
    specs: list[SymbolSpec] = []
    for key, exchange, market, name in refs:
        where = (exchange, market, name)
        held = () if where in own else stored(*where)
        if held:
            specs.extend(_whole(msgspec.structs.replace(spec, symbol=key), name) for spec in held)
        elif where in known:
            specs.extend(_whole(row.spec(key), name) for row in known[where])
        elif market == Market.OPTION.value and exchange != SAMPLE_EXCHANGE:
            specs.append(named_option(exchange, name, key))
        elif exchange == SAMPLE_EXCHANGE:
            specs.append(_sample_spec(key, market=market, name=name))
        else:
            raise unknown_symbol(f"{exchange}.{market}:{name}", [f"{where}.{kind}:{other}" for where, kind, other in known])
    return SymbolSpecs(specs)


def _whole(spec: SymbolSpec, name: str) -> SymbolSpec:
    """The spec as a run needs it: of an option, or a dated future, with what its name at the exchange says."""
    if spec.market is Market.OPTION:
        return with_contract(spec, name)
    if spec.market in {Market.LINEAR, Market.INVERSE} and spec.expires_ms is None and (end_ms := delivers_ms(name)) is not None:
        return msgspec.structs.replace(spec, expires_ms=end_ms)
    return spec


def instrument_rows(path: Path) -> dict[InstrumentKey, tuple[InstrumentRow, ...]]:
    """The rules a file holds, by instrument. Raises ConfigError naming the file and what is wrong in it."""
    table = plain(read_table(path))
    try:
        grouped = _grouped(table)
        for name, same in grouped.items():
            SymbolSpecs(row.spec(f"{name[0]}.{name[1]}:{name[2]}") for row in same)
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return grouped


def _grouped(table: dict[str, Any]) -> dict[InstrumentKey, tuple[InstrumentRow, ...]]:
    grouped: dict[InstrumentKey, tuple[InstrumentRow, ...]] = {}
    for row in msgspec.convert(table, _InstrumentTable).instruments:
        grouped[row.key] = (*grouped.get(row.key, ()), row)
    return grouped


@cache
def _packaged() -> dict[InstrumentKey, tuple[InstrumentRow, ...]]:
    """The packaged rows: a test checks what of them makes no sense, so that a run needs to look at its own only."""
    return _grouped(plain(read_table(PACKAGED / "venue_instruments.toml")))


def _sample_spec(key: str, *, market: str, name: str) -> SymbolSpec:
    if market not in {kind.value for kind in SAMPLE_MARKETS}:
        raise ConfigError(f"the sample market has no {market} instruments; use --market spot, linear or inverse")
    base, quote = base_and_quote(name)
    symbol = sample_symbol(name)
    if market == Market.INVERSE.value:
        return SymbolSpec(
            symbol=key,
            exchange=SAMPLE_EXCHANGE,
            market=Market.INVERSE,
            base=base,
            quote=quote,
            settle=base,
            tick_size=symbol.tick_size,
            lot_size=Decimal(1),
            min_qty=Decimal(1),
            source=SAMPLE_LABEL,
        )
    return SymbolSpec(
        symbol=key,
        exchange=SAMPLE_EXCHANGE,
        market=Market(market),
        base=base,
        quote=quote,
        tick_size=symbol.tick_size,
        lot_size=symbol.lot_size,
        min_qty=symbol.lot_size,
        min_notional=SAMPLE_MIN_NOTIONAL,
        source=SAMPLE_LABEL,
    )
