"""What venues say about options (`defaults/option_terms.toml`), and the rules of an option of which only the name is known."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from backtester.config.files import PACKAGED, read_table
from backtester.config.layers import plain
from backtester.domain.errors import ConfigError
from backtester.domain.instruments import OptionContract, SymbolSpec
from backtester.domain.option_names import parse_option_name
from backtester.domain.option_terms import OptionTerms
from backtester.domain.vocabulary import Market

UNKNOWN = "unknown"


class _Steps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps of prices and sizes of options on `base` (`*`: on any); `quote` where a name does not say it."""

    exchange: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    max_qty: Decimal | None = None
    source: str


def option_terms(exchange: str) -> OptionTerms:
    """The terms of a venue; those of `unknown`, the dearest, for one that is not in the table."""
    known = _terms()
    return known.get(exchange, known[UNKNOWN])


def named_option(exchange: str, name: str, symbol: str) -> SymbolSpec:
    """The rules of an option by its name alone, under the run's key `symbol`: expiry, strike, and the venue's usual steps.

    Raises ConfigError when the name is that of no option, or no steps of such options are known.
    """
    said = parse_option_name(name)
    steps = next((row for row in _steps() if row.exchange == exchange and row.base in {said.base, "*"}), None)
    if steps is None:
        raise ConfigError(
            f"no tick and lot of options on {said.base} at {exchange} are known. Fetch them: bt data instruments --exchange "
            f"{exchange} --market option; or add {name} to configs/instruments.toml"
        )
    return with_contract(
        SymbolSpec(
            symbol=symbol,
            exchange=exchange,
            market=Market.OPTION,
            base=said.base,
            quote=said.settle or steps.quote,
            tick_size=steps.tick_size,
            lot_size=steps.lot_size,
            min_qty=steps.min_qty,
            max_qty=steps.max_qty,
            source=steps.source,
        ),
        name,
    )


def with_contract(spec: SymbolSpec, name: str) -> SymbolSpec:
    """The spec of an option with what its name says: kind, strike, expiry, and the asset in which it is paid.

    Raises ConfigError when the name is that of no option.
    """
    said = parse_option_name(name)
    if spec.contract_size != 1:
        raise ConfigError(f"{name}: one contract is {spec.contract_size:f} {spec.base}; only options on one coin can be run")
    settle = spec.settle or said.settle or spec.quote
    contract = OptionContract(kind=said.kind, strike=said.strike)
    return msgspec.structs.replace(spec, quote=settle, settle=settle, option=contract, expires_ms=said.expires_ms)


@cache
def _terms() -> dict[str, OptionTerms]:
    rows: list[dict[str, Any]] = _table()["venues"]
    return {row.pop("exchange"): msgspec.convert(row, OptionTerms) for row in rows}


@cache
def _steps() -> tuple[_Steps, ...]:
    return msgspec.convert(_table()["steps"], tuple[_Steps, ...])


def _table() -> dict[str, Any]:
    table: dict[str, Any] = plain(read_table(PACKAGED / "option_terms.toml"))
    return table
