"""Which trading rules a run uses, and when they change in it: the user's file, the catalog or the package, in this order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from math import gcd
from pathlib import Path
from typing import NamedTuple

import msgspec

from backtester.app.resolve import ResolvedRun
from backtester.config.instruments import load_specs
from backtester.data.instrument_store import InstrumentFile, InstrumentStore
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
    "leverage_tiers",
    "max_leverage",
    "maker_bps",
    "taker_bps",
)
"""What decides about orders, margin and fees; a change of anything else changes no result."""
_CARRIED = (*_RULES, "funding_interval_h", "listed_ms", "delisted_ms", "valid_from_ms", "valid_to_ms", "source")
"""What a spec takes from the rules in force; what the instrument is stays as it was at the run's start."""
_SHOWN = 5
"""So many changes of a symbol are told; all of them are in the journal."""


class SpecChange(NamedTuple):
    """From `time_ms` on the rules of a symbol are `spec`; what of them is another, by name, as text. `ended`: trading has ended."""

    time_ms: int
    spec: SymbolSpec
    before: Mapping[str, str]
    after: Mapping[str, str]
    ended: bool = False


class ChosenSpecs(NamedTuple):
    """The spec of each symbol at the start, what a reader should know of them, and how they change, in order of time.

    Each note contains the words `instrument rules`, by which the summary of a run finds them.
    """

    specs: dict[str, SymbolSpec]
    notes: tuple[str, ...]
    changes: tuple[SpecChange, ...] = ()


def specs_of(resolved: ResolvedRun) -> SymbolSpecs:
    """The specs of a run's symbols with their validity in time; the catalog's only where the run's candles are stored there.

    Raises: ConfigError - a symbol has none. DataError - the catalog's instruments cannot be read.
    """
    data = resolved.config.data
    store = InstrumentStore(Path(data.data_path)) if data.source == "catalog" else None

    @cache
    def instruments(exchange: str, market: str) -> InstrumentFile | None:
        venue, _, network = exchange.partition(".")
        return None if store is None else store.read(venue, market, network or "live")

    def stored(exchange: str, market: str, name: str) -> tuple[SymbolSpec, ...]:
        held = instruments(exchange, market)
        return () if held is None else held.specs(name)

    rows = [(ref.key, ref.exchange, ref.market, ref.name) for ref in resolved.refs]
    return load_specs(rows, user_file=USER_INSTRUMENTS if USER_INSTRUMENTS.is_file() else None, stored=stored)


def choose_specs(specs: SymbolSpecs, keys: Sequence[str], *, start_ms: int, end_ms: int) -> ChosenSpecs:
    """For each key the spec valid at `start_ms`, else the nearest, and those that come into force before `end_ms`.

    A symbol whose tick or lot changes counts in what all its ticks (lots) in the run are multiples of (ADR 023). It changes for
    the last time when its trading ends, as the last of these specs says it.
    """
    chosen: dict[str, SymbolSpec] = {}
    changes: list[SpecChange] = []
    notes: list[str] = []
    for key in keys:
        history = specs.history(key)
        first = _at_start(specs.at(key, start_ms), start_ms)
        later = [spec for spec in history if start_ms < spec.valid_from_ms < end_ms]
        rows = [(one.valid_from_ms, _carried(first, one)) for one in later]
        ends_ms = _end_of_trading((first, *(spec for _, spec in rows))[-1], start_ms=start_ms, end_ms=end_ms)
        chosen[key], own = _in_units(first, list(_changes(first, rows, ends_ms)))
        changes += own
        notes += _notes(key, first, later, own, ends_ms, start_ms=start_ms, end_ms=end_ms)
    changes.sort(key=lambda one: one.time_ms)
    return ChosenSpecs(chosen, tuple(notes), tuple(changes))


def _at_start(spec: SymbolSpec, start_ms: int) -> SymbolSpec:
    """What a later or earlier answer says of the status does not hold at the start: candles show that there was trading."""
    return spec if spec.valid_at(start_ms) or spec.tradable else msgspec.structs.replace(spec, tradable=True)


def _carried(first: SymbolSpec, later: SymbolSpec) -> SymbolSpec:
    return msgspec.structs.replace(first, after_change=True, **{name: getattr(later, name) for name in _CARRIED})


def _end_of_trading(last: SymbolSpec, *, start_ms: int, end_ms: int) -> int | None:
    """When trading ends within the run, of what is not delivered anyway."""
    ends_ms = last.delisted_ms if last.expires_ms is None else None
    return ends_ms if ends_ms is not None and start_ms < ends_ms < end_ms else None


def _changes(first: SymbolSpec, rows: Sequence[tuple[int, SymbolSpec]], ends_ms: int | None) -> Iterator[SpecChange]:
    """The rows that change something, and the end of trading, after which nothing is tradable again."""
    held = first
    times_ms = sorted({*(time_ms for time_ms, _ in rows), *(() if ends_ms is None else (ends_ms,))})
    in_force = dict(rows)
    for time_ms in times_ms:
        spec = in_force.get(time_ms) or msgspec.structs.replace(held, after_change=True)
        if ends_ms is not None and time_ms >= ends_ms:
            spec = msgspec.structs.replace(spec, tradable=False)
        names = [name for name in _RULES if getattr(held, name) != getattr(spec, name)]
        if names or time_ms == ends_ms:
            before, after = ({name: _text(getattr(one, name)) for name in names} for one in (held, spec))
            yield SpecChange(time_ms, spec, before, after, ended=time_ms == ends_ms)
            held = spec


def _in_units(first: SymbolSpec, changes: list[SpecChange]) -> tuple[SymbolSpec, list[SpecChange]]:
    """The same specs, counted in what all their ticks, and all their lots, are multiples of."""
    specs = [first, *(change.spec for change in changes)]
    tick_e8, lot_e8 = gcd(*(spec.tick_e8 for spec in specs)), gcd(*(spec.lot_e8 for spec in specs))

    def counted(spec: SymbolSpec) -> SymbolSpec:
        steps = spec.tick_e8 // tick_e8, spec.lot_e8 // lot_e8
        return spec if steps == (1, 1) else msgspec.structs.replace(spec, tick_step=steps[0], lot_step=steps[1])

    return counted(first), [change._replace(spec=counted(change.spec)) for change in changes]


# -- words ---------------------------------------------------------------------------------------------------------------


def _notes(
    key: str,
    first: SymbolSpec,
    later: Sequence[SymbolSpec],
    changes: Sequence[SpecChange],
    ends_ms: int | None,
    *,
    start_ms: int,
    end_ms: int,
) -> Iterator[str]:
    known_to_ms = first.valid_to_ms
    if first.valid_from_ms > start_ms:
        known_to_ms = None
        since = iso_text(first.valid_from_ms)
        yield f"{key}: instrument rules are valid from {since}, after the run's start; the nearest are used"
    elif first.valid_to_ms is not None and first.valid_to_ms <= start_ms:
        known_to_ms = None
        until = iso_text(first.valid_to_ms)
        yield f"{key}: instrument rules were valid until {until}, before the run's start; the nearest are used"
    for following in (*later, None):
        next_ms = end_ms if following is None else following.valid_from_ms
        if known_to_ms is not None and known_to_ms < next_ms:
            until = iso_text(known_to_ms)
            yield f"{key}: instrument rules are not known from {until} to {iso_text(next_ms)}; those before are used"
        known_to_ms = None if following is None else following.valid_to_ms
    for change in changes[:_SHOWN]:
        if not (change.ended and change.before.keys() <= {"tradable"}):
            yield f"{key}: instrument rules change within the run at {iso_text(change.time_ms)} ({_told(change)})"
    if len(changes) > _SHOWN:
        yield f"{key}: instrument rules change {len(changes) - _SHOWN} times more within the run"
    if any(one.contract_size != first.contract_size for one in later):
        yield f"{key}: instrument rules give contracts another size within the run; that of its start is used to the end"
    if ends_ms is not None:
        yield f"{key}: instrument rules name {iso_text(ends_ms)}, within the run, as the end of trading: nothing opens from then on"


def _told(change: SpecChange) -> str:
    return ", ".join(
        name if name == "leverage_tiers" else f"{name} {before} -> {change.after[name]}" for name, before in change.before.items()
    )


def _text(value: object) -> str:
    """A rule as the journal has it; a tier as floor:rate/leverage."""
    if isinstance(value, PriceBand):
        return " ".join(f"{name} {part:f}" for name, part in msgspec.structs.asdict(value).items() if part is not None)
    if isinstance(value, tuple):
        return " ".join(f"{one.floor:f}:{one.maintenance_frac:f}/{_text(one.leverage_max)}" for one in value) or "none"
    return "none" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value).lower()
