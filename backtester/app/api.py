"""`backtester.run`: the same run as `bt`, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from os import environ
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from backtester.app.market_choice import frame_ref, market_name
from backtester.app.market_data import MarketData, SymbolRef, from_columns
from backtester.app.planning import Models
from backtester.app.resolve import ResolvedRun, resolve, settle
from backtester.app.result import RunResult
from backtester.app.runner import OnProgress, execute
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig
from backtester.data.catalog import StoredSeries
from backtester.data.columns import CandleColumns, columns_from_frame
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.timeframe import iso_text, parse_time_ms, timeframe_ms, timeframe_text
from backtester.sim.sim_models import FeeModel, SlippageModel
from backtester.strategy.base import Strategy, StrategyParams
from backtester.strategy.importing import file_at_work
from backtester.strategy.registry import LoadedStrategy, loaded_from_class

MEMORY_EXCHANGE = "binance"
"""Whose fees and instrument rules frames in memory get when no exchange is named."""

Number = Decimal | float | int | str
Instant = str | date | datetime | int


def run(
    strategy: type[Strategy] | str,
    *,
    symbols: Sequence[str] | str = (),
    data: object | None = None,
    params: Mapping[str, Any] | StrategyParams | None = None,
    exchange: str | None = None,
    market: str | None = None,
    timeframe: str | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    cash: Number | None = None,
    leverage: Number | None = None,
    fees_bps: Number | None = None,
    slippage_bps: Number | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    specs: Iterable[SymbolSpec] | None = None,
    slippage_model: SlippageModel | None = None,
    fee_model: FeeModel | None = None,
    output: Path | str | None = None,
    run_id: str | None = None,
    progress: OnProgress | None = None,
) -> RunResult:
    """Run `strategy` and return its result; defaults are those of `bt`.

    Args:   data - a catalog directory, a frame (polars, pandas, arrow, dict of columns) for a single symbol, or a mapping
            of symbol to frame (`binance.linear:ETHUSDT` says where it is traded); left out, as for `bt`: BT_DATA, the
            configured catalog, or the synthetic sample market.
            settings - further keys as of `--set`, such as {"sim.spread_bps": 0}. Times are UTC, `end` exclusive.
            output - a directory in which the run gets its own; left out, the run stays in memory.
    Raises: ConfigError, DataError before the run; RunAbortedError around what ended it.
    """
    _refuse_while_loading()
    names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    is_path = data is None or isinstance(data, (str, Path))
    frames = {} if is_path else _frames(data, names)
    names = names or tuple(frames)
    loaded = loaded_from_class(strategy) if isinstance(strategy, type) else None
    given = {
        "data": ("data.data_path", str(data) if is_path and data is not None else None),
        "symbols": ("run.symbols", list(names) or None),
        "exchange": ("run.exchange", exchange),
        "market": ("run.market", market_name(market) if market else None),
        "timeframe": ("run.timeframe", timeframe),
        "start": ("run.start", _instant(start, "start")),
        "end": ("run.end", _instant(end, "end")),
        "cash": ("account.starting_cash", _text(cash)),
        "leverage": ("account.leverage", _text(leverage)),
        "fees_bps": ("sim.fee_bps", _text(fees_bps)),
        "slippage_bps": ("sim.slippage_bps", _text(slippage_bps)),
        "seed": ("run.seed", seed),
    }
    flags = [(name, key, value) for name, (key, value) in given.items() if value is not None]
    flags += [(f"settings[{key!r}]", key, _text(value)) for key, value in (settings or {}).items()]
    request = RunRequest(
        flags=tuple(flags),
        strategy=loaded.reference if loaded is not None else str(strategy),
        params=_params(params),
        data_dir=environ.get("BT_DATA") if data is None else None,
    )
    config = load_run_config(request)
    strategies = (loaded,) if loaded is not None else None
    market_data: MarketData | None = None
    if is_path:
        resolved = resolve(config.config, data_explicit=config.data_explicit, strategies=strategies)
    else:
        resolved, market_data = _resolve_frames(config.config, frames, strategies)
    return execute(
        resolved,
        output=Path(output) if output is not None else None,
        run_id=run_id,
        progress=progress,
        market_data=market_data,
        specs=SymbolSpecs(specs) if specs is not None else None,
        models=Models(slippage_model, fee_model),
    )


def _refuse_while_loading() -> None:
    """Raise ConfigError inside the import of a strategy file: its script would run each time that its strategy is wanted."""
    script = file_at_work()
    if script is not None:
        raise ConfigError(
            f"{script} starts a run of its own while its strategy is loaded; "
            "put backtester.run(...) under `if __name__ == '__main__':`"
        )


def _frames(data: object, names: Sequence[str]) -> dict[str, CandleColumns]:
    """Columns by symbol. Raises ConfigError when frames and symbols do not fit."""
    if isinstance(data, Mapping) and not {"open", "close"} <= set(data):
        missing = [name for name in names if name not in data]
        if missing:
            raise ConfigError(f"data has no frame for {', '.join(missing)}; it has {', '.join(map(str, data)) or 'none'}")
        return {str(name): columns_from_frame(data[name], source=f"data[{name!r}]") for name in names or data}
    if len(names) != 1:
        raise ConfigError("a single frame needs exactly one symbol: symbols=['BTCUSDT']; for several give a mapping")
    return {names[0]: columns_from_frame(data, source="data")}


def _resolve_frames(
    config: RunConfig, frames: Mapping[str, CandleColumns], strategies: Sequence[LoadedStrategy] | None
) -> tuple[ResolvedRun, MarketData]:
    from backtester.strategy.registry import load_strategy

    exchange, market = config.run.exchange or MEMORY_EXCHANGE, config.run.market or "linear"
    refs = [frame_ref(name, exchange, market) for name in frames]
    stored = {ref.key: (_series(ref.name, frames[ref.key], config, ref.exchange, ref.market),) for ref in refs}
    source = msgspec.structs.replace(config.data, source="memory")
    config = msgspec.structs.replace(config, data=source)
    loaded = strategies or tuple(load_strategy(section.name) for section in config.strategies)

    def has_bar(ref: SymbolRef, timeframe: str, start_ms: int, end_ms: int) -> bool:
        first, last = frames[ref.key].start_ms.searchsorted((start_ms, end_ms))
        return bool(last > first)

    resolved = settle(config, refs, stored, loaded, has_bar=has_bar)
    return resolved, from_columns(frames, resolved.config, joined=dict(resolved.joined))


def _series(name: str, columns: CandleColumns, config: RunConfig, exchange: str, market: str) -> StoredSeries:
    """What the frame of one symbol holds; its timeframe is the smallest step between candles."""
    starts = columns.start_ms
    if not len(starts):
        raise DataUnavailableError(f"the frame of {name} has no rows")
    steps = np.diff(starts)
    asked = config.run.execution_timeframe or (config.run.timeframe if len(starts) == 1 else "")
    if not asked and len(starts) == 1:
        raise DataUnavailableError(f"the frame of {name} has one row, which shows no timeframe; give timeframe='1m'")
    lengths_ms = [timeframe_ms(asked)] if asked else []
    if len(steps):
        lengths_ms.append(int(steps.min()))
    step_ms = min(lengths_ms)  # shorter than what was asked for: those bars are joined from these
    gaps = int((steps > step_ms).sum())
    last_ms = int(starts[-1]) + step_ms
    return StoredSeries(exchange, market, name, timeframe_text(step_ms), int(starts[0]), last_ms, len(starts), gaps, 0)


def _params(params: Mapping[str, Any] | StrategyParams | None) -> Mapping[str, Any]:
    if isinstance(params, StrategyParams):
        return msgspec.structs.asdict(params)
    return params or {}


def _instant(value: Instant | None, what: str) -> str | None:
    return None if value is None else iso_text(parse_time_ms(value, what=what))


def _text(value: object) -> object:
    """Numbers as text, so that a float means its shortest decimal form."""
    if value is None or isinstance(value, (bool, str, list, tuple)):
        return value
    if isinstance(value, Mapping):
        return {name: _text(inner) for name, inner in value.items()}
    return str(value)
