"""Finds out on which exchange and market a run's symbols are meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from backtester.app.market_data import SymbolRef
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.vocabulary import Market

SAMPLE = "sample"
"""The exchange and the data source of the synthetic sample market."""

MARKETS = tuple(market.value for market in Market)

_QUALIFIED = re.compile(r"(?P<exchange>[^.:]+)\.(?P<market>[^.:]+):(?P<name>[^:]+)")


class Place(NamedTuple):
    """An exchange and one of its markets."""

    exchange: str
    market: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.market}"


class _Asked(NamedTuple):
    name: str
    place: Place | None


def market_name(text: str) -> str:
    """The market that `text` names; `futures` is another word for linear. Raises ConfigError with the nearest name."""
    if text == "futures":
        return Market.LINEAR.value
    if text not in MARKETS:
        near = difflib.get_close_matches(text, MARKETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"market {text!r} is not known; {hint}use one of {', '.join(MARKETS)} or futures (linear)")
    return text


def frame_ref(key: str, exchange: str, market: str) -> SymbolRef:
    """Where the candles of a frame are from: a qualified name says it itself, any other is of this exchange and market."""
    match = _QUALIFIED.fullmatch(key)
    if match is None:
        return SymbolRef(key, exchange, market, key)
    return SymbolRef(key, match["exchange"], market_name(match["market"]), match["name"])


def chosen_refs(config: RunConfig, catalog: Catalog) -> tuple[SymbolRef, ...]:
    """The run's symbols in their order, each on a stored market.

    Plain names are looked for on one market that holds them all; qualified ones (`binance.linear:BTCUSDT`) are where they say.
    Raises ConfigError when several markets hold them all, DataUnavailableError when none does.
    """
    asked = _asked(config)
    places: dict[str, list[Place]] = {}
    for name, place in asked:
        held = list(dict.fromkeys(Place(one.exchange, one.market) for one in catalog.find(name)))
        wanted = [one for one in held if _fits(one, place, config)]
        if not wanted:
            raise _not_stored(name, place, held, config, catalog)
        if place is None:
            places[name] = wanted
    return _keyed([(name, place or _shared_place(places, config)) for name, place in asked])


def sample_refs(config: RunConfig) -> tuple[SymbolRef, ...]:
    """The run's symbols on the sample market: linear unless another market was asked for.

    Raises DataUnavailableError when a real exchange was asked for: synthetic candles never stand in for it.
    """
    market = market_name(config.run.market) if config.run.market else Market.LINEAR.value
    rows: list[tuple[str, Place]] = []
    for name, place in _asked(config):
        exchange = place.exchange if place else config.run.exchange
        if exchange not in {"", SAMPLE}:
            example = SymbolRef(name, exchange, place.market if place else market, name)
            raise DataUnavailableError(
                f"no candles of {name} on {exchange}: the catalog {config.data.data_path} is empty. Import some: "
                f"{import_command(name, example, '1m')}. Leave the exchange out to run on the synthetic sample market"
            )
        rows.append((name, place or Place(SAMPLE, market)))
    return _keyed(rows)


def import_command(name: str, ref: SymbolRef | None = None, timeframe: str = "1m") -> str:
    """The command that imports candles of `name`."""
    exchange, market = (ref.exchange, ref.market) if ref is not None else ("binance", "linear")
    return f"bt data import FILE --exchange {exchange} --market {market} --symbol {name} --timeframe {timeframe}"


def _asked(config: RunConfig) -> list[_Asked]:
    rows: list[_Asked] = []
    for text in config.run.symbols:
        match = _QUALIFIED.fullmatch(text)
        if match is None and ":" in text:
            raise ConfigError(f"symbol {text!r} is not EXCHANGE.MARKET:NAME, such as binance.linear:BTCUSDT")
        place = Place(match["exchange"], market_name(match["market"])) if match else None
        if place is not None and not _fits(place, None, config):
            raise ConfigError(f"symbol {text!r} contradicts --exchange or --market; leave these out")
        rows.append(_Asked(match["name"] if match else text, place))
    return rows


def _fits(place: Place, wanted: Place | None, config: RunConfig) -> bool:
    if wanted is not None:
        return place == wanted
    run = config.run
    return run.exchange in {"", place.exchange} and (not run.market or market_name(run.market) == place.market)


def _shared_place(places: dict[str, list[Place]], config: RunConfig) -> Place:
    """The one market that holds all plain names."""
    first, *others = places.values()
    shared = [place for place in first if all(place in other for other in others)]
    if len(shared) == 1:
        return shared[0]
    names = ", ".join(places)
    if shared:
        listed = "; ".join(f"--exchange {place.exchange} --market {place.market}" for place in shared)
        raise ConfigError(
            f"{names}: stored on {len(shared)} markets; choose one: {listed} (or write "
            f"{shared[0].exchange}.{shared[0].market}:{next(iter(places))})"
        )
    listed = "; ".join(f"{name} on {', '.join(map(str, held))}" for name, held in places.items())
    raise DataUnavailableError(
        f"no one market in {config.data.data_path} holds all of {names} ({listed}); import what is missing, or write "
        "EXCHANGE.MARKET:NAME for each symbol to use several markets in one run"
    )


def _not_stored(name: str, place: Place | None, held: Sequence[Place], config: RunConfig, catalog: Catalog) -> DataUnavailableError:
    run = config.run
    wanted = place or Place(run.exchange or "", market_name(run.market) if run.market else "")
    where = f" on {' '.join(part for part in wanted if part)}" if any(wanted) else ""
    stored = {f"{one.symbol} ({one.exchange} {one.market} {one.timeframe})": one.symbol for one in catalog.series()}
    near = difflib.get_close_matches(name.upper(), list(dict.fromkeys(stored.values())), n=1, cutoff=0.6)
    if held:
        hint = f" It is stored on {', '.join(map(str, held))}."
    else:
        hint = f" Did you mean {near[0]}?" if near and near[0] != name else ""
    some = list(stored)[:12]
    listed = ", ".join(some) + (f" and {len(stored) - len(some)} more" if len(stored) > len(some) else "")
    example = SymbolRef(name, wanted.exchange or "binance", wanted.market or "linear", name)
    return DataUnavailableError(
        f"no candles of {name}{where} in {config.data.data_path}.{hint} Stored: {listed or 'nothing'}. "
        f"Import them: {import_command(name, example)} --data {config.data.data_path}"
    )


def _keyed(rows: Sequence[tuple[str, Place]]) -> tuple[SymbolRef, ...]:
    """Plain names are keys while the run has one market; with several, every key says where its symbol is traded."""
    single = len({place for _, place in rows}) == 1
    refs = [SymbolRef(name if single else f"{place.exchange}.{place.market}:{name}", *place, name) for name, place in rows]
    keys = [ref.key for ref in refs]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"run.symbols names {key} twice")
    return tuple(refs)
