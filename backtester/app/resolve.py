"""Decides everything a run's configuration left open, once: market, symbols, range, timeframes, strategy parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from backtester.app.latency import check_latency
from backtester.app.market_choice import SAMPLE, chosen_refs, import_command, sample_refs
from backtester.app.market_data import SymbolRef, source_timeframe
from backtester.config.layers import plain
from backtester.config.run_config import RunConfig, StrategySection
from backtester.data.catalog import Catalog, StoredSeries
from backtester.data.object_store import is_remote, shown
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.timeframe import DAY_MS, iso_text, parse_time_ms, timeframe_ms
from backtester.strategy.base import StrategyParams, build_params
from backtester.strategy.registry import LoadedStrategy, load_strategy

_OFFERED = ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "1w")
"""Timeframes named in an error, where they are possible."""


class ResolvedRun(NamedTuple):
    """A configuration with nothing left open, where its symbols are traded, and its strategies as found.

    `config.run` holds symbols (the keys of `refs`), exchange and market (empty where the run has several), ISO times, both
    timeframes; `config.data.source` is set and `data_path` absolute; each strategy has its full parameters and timeframe.
    """

    config: RunConfig
    refs: tuple[SymbolRef, ...]
    strategies: tuple[LoadedStrategy, ...]
    start_ms: int
    end_ms: int
    joined: tuple[tuple[str, str], ...] = ()
    """(key, stored timeframe) of symbols whose execution bars are joined from shorter ones."""


def resolve(config: RunConfig, *, data_explicit: bool, strategies: Sequence[LoadedStrategy] | None = None) -> ResolvedRun:
    """`config` resolved against its catalog, or the sample market where that may stand in.

    Args:    data_explicit - the data directory was named on purpose: the sample market never stands in.
             strategies - the strategies of `config.strategies`, where they are at hand; else they are found by name.
    Raises:  ConfigError - unknown strategy or parameter, several markets, reversed dates, impossible timeframe.
             DataUnavailableError - a symbol that is not stored, or nothing in the range.
    """
    loaded = tuple(load_strategy(section.name) for section in config.strategies) if strategies is None else tuple(strategies)
    config = _with_symbols(config, loaded)
    config = _with_source(config, data_explicit=data_explicit)
    check_latency(config)
    if config.sim.latency_file:
        recorded = str(Path(config.sim.latency_file).expanduser().resolve())
        config = msgspec.structs.replace(config, sim=msgspec.structs.replace(config.sim, latency_file=recorded))
    if config.data.source == SAMPLE:
        refs = sample_refs(config)
        return settle(config, refs, {ref.key: (_sample_series(ref, config),) for ref in refs}, loaded)
    catalog = Catalog(Path(config.data.data_path))
    refs = chosen_refs(config, catalog)
    stored = {ref.key: tuple(one for one in catalog.find(ref.name) if one[:2] == (ref.exchange, ref.market)) for ref in refs}

    def has_bar(ref: SymbolRef, timeframe: str, start_ms: int, end_ms: int) -> bool:
        return next(catalog.read(ref.exchange, ref.market, ref.name, timeframe, start_ms, end_ms), None) is not None

    return settle(config, refs, stored, loaded, has_bar=has_bar)


def settle(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    stored: Mapping[str, Sequence[StoredSeries]],
    loaded: Sequence[LoadedStrategy],
    *,
    has_bar: Callable[[SymbolRef, str, int, int], bool] | None = None,
) -> ResolvedRun:
    """The run on `refs`, of each of which `stored` (by key) names the candles there are: timeframes, range, parameters.

    `has_bar` (ref, timeframe, start_ms, end_ms) says whether a candle starts there; asked only where gaps leave it open.
    """
    by_timeframe = {ref.key: {one.timeframe: one for one in stored[ref.key]} for ref in refs}
    execution = _execution_timeframe(config, by_timeframe)
    sections = _with_timeframes(config, loaded, execution)
    series = {ref: by_timeframe[ref.key][source_timeframe(execution, by_timeframe[ref.key]) or execution] for ref in refs}
    start_ms, end_ms = _range(config, list(series.values()))
    _require_candles(series, timeframe_ms(execution), start_ms, end_ms, has_bar)
    exchanges, markets = ({getattr(ref, name) for ref in refs} for name in ("exchange", "market"))
    run = msgspec.structs.replace(
        config.run,
        symbols=tuple(ref.key for ref in refs),
        exchange=refs[0].exchange if len(exchanges) == 1 else "",
        market=refs[0].market if len(markets) == 1 else "",
        start=iso_text(start_ms),
        end=iso_text(end_ms),
        timeframe=min((section.timeframe for section in sections), key=timeframe_ms),
        execution_timeframe=execution,
    )
    resolved = msgspec.structs.replace(config, run=run, strategies=sections)
    joined = tuple((ref.key, one.timeframe) for ref, one in series.items() if one.timeframe != execution)
    return ResolvedRun(resolved, tuple(refs), tuple(loaded), start_ms, end_ms, joined)


def _with_symbols(config: RunConfig, loaded: Sequence[LoadedStrategy]) -> RunConfig:
    """The run's symbols, or those that its strategies' parameters name."""
    if config.run.symbols:
        return config
    named: list[str] = []
    for section, strategy in zip(config.strategies, loaded, strict=True):
        params = build_params(strategy.strategy, section.params)
        named += [str(symbol) for symbol in getattr(params, "symbols", ()) if str(symbol) not in named]
    if not named:
        raise ConfigError("no symbols given: use --symbols BTCUSDT ETHUSDT (`bt data list` shows what is stored)")
    return msgspec.structs.replace(config, run=msgspec.structs.replace(config.run, symbols=tuple(named)))


def _with_source(config: RunConfig, *, data_explicit: bool) -> RunConfig:
    """Catalog or sample; a configuration that says so already keeps it unless a data directory was named now."""
    run, source = config.run, config.data.source
    path = Path(config.data.data_path)
    if not is_remote(path):
        path = path.expanduser().resolve()
    if data_explicit:
        source = "catalog"
        if run.exchange == SAMPLE:
            run = msgspec.structs.replace(run, exchange="", market="")
    elif source == "memory":
        raise ConfigError("the candles of this run were handed over in Python and are not stored; name a catalog with --data")
    elif not source:
        source = SAMPLE if Catalog(path).is_empty() else "catalog"
    data = msgspec.structs.replace(config.data, source=source, data_path=shown(path))
    return msgspec.structs.replace(config, data=data, run=run)


def _sample_series(ref: SymbolRef, config: RunConfig) -> StoredSeries:
    """The sample market's quarter year, or the stretch that was asked for: it can be generated anywhere."""
    from backtester.data.sources.sample import SAMPLE_START_MS

    length_ms = config.data.sample_days * DAY_MS
    run = config.run
    start_ms = parse_time_ms(run.start, what="start") if run.start else SAMPLE_START_MS
    end_ms = parse_time_ms(run.end, what="end") if run.end else start_ms + length_ms
    if run.end and not run.start:
        start_ms = end_ms - length_ms
    minutes = max(end_ms - start_ms, 0) // timeframe_ms("1m")
    return StoredSeries(ref.exchange, ref.market, ref.name, "1m", start_ms, max(start_ms, end_ms), minutes, 0, 0)


def _execution_timeframe(config: RunConfig, by_timeframe: Mapping[str, Mapping[str, StoredSeries]]) -> str:
    """The configured timeframe, else the finest stored for all symbols, else the finest stored for one that the others' candles
    can be joined to.
    """
    everything = sorted({name for names in by_timeframe.values() for name in names}, key=timeframe_ms)
    stored = [name for name in everything if all(name in names for names in by_timeframe.values())]
    possible = [name for name in everything if all(source_timeframe(name, names) for names in by_timeframe.values())]
    listed = "; ".join(f"{key}: {', '.join(sorted(names, key=timeframe_ms))}" for key, names in by_timeframe.items())
    asked = config.run.execution_timeframe
    if asked:
        if not all(source_timeframe(asked, names) for names in by_timeframe.values()):
            hint = f"; use {', '.join(possible)}" if possible else "; import the missing candles"
            raise ConfigError(f"run.execution_timeframe {asked} cannot be had of all symbols ({listed}){hint}")
        return asked
    if not possible:
        raise DataUnavailableError(f"no timeframe can be had of all symbols ({listed}); import the missing candles")
    return (stored or possible)[0]


def _with_timeframes(config: RunConfig, loaded: Sequence[LoadedStrategy], execution: str) -> tuple[StrategySection, ...]:
    """Each strategy with the timeframe of its signals, an id of its own and all its parameters written out."""
    sections = tuple(
        _settled(section, strategy, config.run.timeframe, execution)
        for section, strategy in zip(config.strategies, loaded, strict=True)
    )
    for strategy_id, count in Counter(section.strategy_id for section in sections).items():
        if count > 1:
            raise ConfigError(f"{count} strategies have the id {strategy_id!r}; give each [[strategies]] a strategy_id of its own")
    return sections


def _settled(section: StrategySection, loaded: LoadedStrategy, asked: str, execution: str) -> StrategySection:
    params = build_params(loaded.strategy, section.params)
    own = getattr(params, "timeframe", None)
    timeframe = section.timeframe or asked or own or execution
    if not isinstance(timeframe, str):
        raise ConfigError(f"{loaded.name}: parameter timeframe must be text such as '1h', it is {timeframe!r}")
    for name in (timeframe, *loaded.strategy.extra_timeframes):
        _require_multiple(name, execution)
    if own is not None and own != timeframe:
        # A strategy that looks at its own parameter must see the timeframe that it gets.
        params = build_params(loaded.strategy, {**section.params, "timeframe": timeframe})
    return StrategySection(
        name=loaded.reference,
        strategy_id=section.strategy_id or loaded.strategy_id,
        timeframe=timeframe,
        # Twice, because a default may be of another type than its field: 1 for a float is 1.0 once it was written and read.
        params=_written_out(build_params(loaded.strategy, _written_out(params, loaded.name)), loaded.name),
    )


def _written_out(params: StrategyParams, name: str) -> dict[str, object]:
    """All parameters as plain values; absent ones are left out, which is only right where absence is the default."""
    values: dict[str, object] = plain(msgspec.to_builtins(params))
    defaults = {field.name: field.default for field in msgspec.structs.fields(params)}
    for key, value in values.items():
        if value is None and defaults[key] is not None:
            raise ConfigError(f"{name}: parameter {key!r} cannot be null, its default is {defaults[key]!r}; leave it out")
    return {key: value for key, value in values.items() if value is not None}


def _require_multiple(timeframe: str, execution: str) -> None:
    execution_ms = timeframe_ms(execution)
    if timeframe_ms(timeframe) % execution_ms:
        possible = ", ".join(name for name in _OFFERED if timeframe_ms(name) % execution_ms == 0) or execution
        raise ConfigError(f"timeframe {timeframe} is no multiple of the execution timeframe {execution}; possible: {possible}")


def _range(config: RunConfig, series: Sequence[StoredSeries]) -> tuple[int, int]:
    """[start_ms, end_ms): as asked, else from the first to the last stored candle of any symbol."""
    run = config.run
    start_ms = parse_time_ms(run.start, what="start") if run.start else min(one.first_ms for one in series)
    end_ms = parse_time_ms(run.end, what="end") if run.end else max(one.last_ms for one in series)
    if start_ms < 0:
        raise ConfigError(f"start {iso_text(start_ms)} is before 1970; leave it out to begin with the first stored candle")
    if start_ms >= end_ms and run.start and run.end:
        raise ConfigError(f"start {iso_text(start_ms)} is not before end {iso_text(end_ms)} (UTC, end exclusive)")
    return start_ms, end_ms


def _require_candles(
    series: Mapping[SymbolRef, StoredSeries],
    length_ms: int,
    start_ms: int,
    end_ms: int,
    has_bar: Callable[[SymbolRef, str, int, int], bool] | None,
) -> None:
    """Raise DataUnavailableError unless some symbol has a whole candle of this length in [start_ms, end_ms)."""
    for ref, one in series.items():
        first_ms, last_ms = max(start_ms, one.first_ms), min(end_ms, one.last_ms)
        if last_ms - first_ms < length_ms:
            continue
        # Without gaps, two candle lengths inside the stored stretch contain a whole candle wherever they begin.
        certain = one.gaps == 0 and last_ms - first_ms >= 2 * length_ms
        if certain or has_bar is None or has_bar(ref, one.timeframe, start_ms, end_ms - length_ms + 1):
            return
    stored = "; ".join(
        f"{ref.key} {one.timeframe} {iso_text(one.first_ms)} to {iso_text(one.last_ms)}" for ref, one in series.items()
    )
    any_ref, any_series = next(iter(series.items()))
    raise DataUnavailableError(
        f"no candles from {iso_text(start_ms)} to {iso_text(end_ms)} (UTC, end exclusive); stored: {stored}. "
        f"Change --start and --end, or import more: {import_command(any_ref.name, any_ref, any_series.timeframe)}"
    )
