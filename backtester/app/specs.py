"""Which trading rules a run uses: those of its start, from the user's file, the catalog or the package, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from backtester.app.resolve import ResolvedRun
from backtester.config.instruments import load_specs
from backtester.data.instrument_store import InstrumentStore
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.order_bounds import PriceBand
from backtester.domain.timeframe import iso_text

USER_INSTRUMENTS = Path("configs/instruments.toml")
_RULES = (
    "tick_size",
    "lot_size",
    "min_qty",
    "max_qty",
    "max_market_qty",
    "min_price",
    "max_price",
    "price_band",
    "min_notional",
    "max_notional",
    "tradable",
    "contract_size",
)
"""What decides whether and how an order is accepted; a change of anything else changes no result of today."""


class ChosenSpecs(NamedTuple):
    """The spec of each symbol, and warnings where it is not what held at every time of the run.

    Each contains the words `instrument rules`, by which the summary of a run finds them.
    """

    specs: dict[str, SymbolSpec]
    notes: tuple[str, ...]


def specs_of(resolved: ResolvedRun) -> SymbolSpecs:
    """The specs of a run's symbols with their validity in time; the catalog's only where the run's candles are stored there.

    Raises: ConfigError - a symbol has none. DataError - the catalog's instruments cannot be read.
    """
    data = resolved.config.data
    store = InstrumentStore(Path(data.data_path)) if data.source == "catalog" else None

    def stored(exchange: str, market: str, name: str) -> tuple[SymbolSpec, ...]:
        if store is None:
            return ()
        venue, _, network = exchange.partition(".")
        return store.specs(venue, market, name, network or "live")

    rows = [(ref.key, ref.exchange, ref.market, ref.name) for ref in resolved.refs]
    return load_specs(rows, user_file=USER_INSTRUMENTS if USER_INSTRUMENTS.is_file() else None, stored=stored)


def choose_specs(specs: SymbolSpecs, keys: Sequence[str], *, start_ms: int, end_ms: int) -> ChosenSpecs:
    """For each key the spec valid at `start_ms`, else the nearest, held for the whole run up to `end_ms`."""
    chosen = {key: _at_start(specs.at(key, start_ms), start_ms) for key in keys}
    notes = [note for key, spec in chosen.items() for note in _notes(key, spec, specs.history(key), start_ms, end_ms)]
    return ChosenSpecs(chosen, tuple(notes))


def _at_start(spec: SymbolSpec, start_ms: int) -> SymbolSpec:
    """What a later or earlier answer says of the status does not hold at the start: candles show that there was trading."""
    return spec if spec.valid_at(start_ms) or spec.tradable else msgspec.structs.replace(spec, tradable=True)


def _notes(key: str, spec: SymbolSpec, history: Sequence[SymbolSpec], start_ms: int, end_ms: int) -> list[str]:
    notes = []
    if spec.valid_from_ms > start_ms:
        notes.append(
            f"{key}: instrument rules are valid from {iso_text(spec.valid_from_ms)}, after the run's start; the nearest are used"
        )
    elif spec.valid_to_ms is not None and spec.valid_to_ms <= start_ms:
        notes.append(
            f"{key}: instrument rules were valid until {iso_text(spec.valid_to_ms)}, before the run's start; the nearest are used"
        )
    changes = []
    held = _values(spec)
    for later in history:
        if max(start_ms, spec.valid_from_ms) < later.valid_from_ms < end_ms and _values(later) != held:
            changes.append(f"at {iso_text(later.valid_from_ms)} ({_difference(held, _values(later))})")
            held = _values(later)
    if changes:
        more = f" and {len(changes) - 1} times more" if len(changes) > 1 else ""
        notes.append(f"{key}: instrument rules change within the run {changes[0]}{more}; those of its start are used to the end")
    if spec.delisted_ms is not None and start_ms < spec.delisted_ms < end_ms:
        notes.append(f"{key}: instrument rules name {iso_text(spec.delisted_ms)}, within the run, as the end of trading")
    return notes


def _values(spec: SymbolSpec) -> dict[str, Decimal | bool | PriceBand | None]:
    return {name: getattr(spec, name) for name in _RULES}


def _difference(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {_shown(before[name])} -> {_shown(after[name])}" for name in _RULES if before[name] != after[name])


def _shown(value: object) -> str:
    if isinstance(value, PriceBand):
        return " ".join(f"{name} {part:f}" for name, part in msgspec.structs.asdict(value).items() if part is not None)
    return "none" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value).lower()
