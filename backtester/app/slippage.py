"""From `[sim]` to the slippage models of a run, with the daily figures that some of them need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import fsum, log, sqrt

import msgspec

from backtester.app.market_data import MarketData
from backtester.config.run_config import RunConfig, SimSection, SymbolCosts
from backtester.domain.money import size_from_e8
from backtester.domain.timeframe import DAY_MS, timeframe_ms
from backtester.sim.liquidity import volume_e8
from backtester.sim.sim_models import FixedSlippage, SlippageModel, VolumeShareSlippage
from backtester.sim.slippage_models import (
    AlmgrenChrissSlippage,
    BarSlippage,
    DailyMarket,
    DailyStatistics,
    JitteredSlippage,
    SquareRootSlippage,
    SymbolSlippage,
    TickSlippage,
    VolatilitySlippage,
    ZiplineVolumeShare,
)

HISTORY_DAYS = 20
"""zipline's window for volatility and volume (exchange_semantics.md, section 5.3)."""
HISTORY_DAYS_MIN = 5
_BY_DAY = frozenset({"volatility", "square_root", "almgren_chriss"})


def run_slippage(
    config: RunConfig, symbols: Iterable[str], market: MarketData, *, start_ms: int, end_ms: int
) -> SlippageModel | SymbolSlippage:
    """The model of a run, or of each of its symbols. Daily figures are read only where a model asks for them."""
    sim = config.sim
    keys = tuple(symbols)
    if sim.slippage_model == "fixed" and not sim.slippage_jitter_bps and not any(key in sim.symbols for key in keys):
        return FixedSlippage(sim.slippage_bps)
    costs = {key: _costs_of(sim, key) for key in keys}
    fixed = {
        key: DailyMarket(own.daily_volume, own.daily_volatility_bps / 10_000)
        for key, own in costs.items()
        if own.daily_volume is not None and own.daily_volatility_bps is not None
    }
    days = {
        key: daily_market(market, key, start_ms=start_ms, end_ms=end_ms)
        for key, own in costs.items()
        if own.slippage_model in _BY_DAY and key not in fixed
    }
    statistics = DailyStatistics(days, fixed)
    half_life_ms = timeframe_ms(sim.impact_half_life)
    models: dict[str, SlippageModel | BarSlippage] = {}
    for key, own in costs.items():
        model = _model(own, statistics, half_life_ms)
        jitter = own.slippage_jitter_bps
        models[key] = JitteredSlippage(model, jitter_bps=jitter, seed=config.run.seed) if jitter else model
    return SymbolSlippage(models)


def _costs_of(sim: SimSection, key: str) -> SymbolCosts:
    """The symbol's own costs, with those of the run where it has none."""
    own = sim.symbols.get(key, SymbolCosts())
    names = ("spread_bps", "slippage_model", "slippage_bps", "slippage_ticks", "slippage_jitter_bps")
    return msgspec.structs.replace(own, **{name: getattr(sim, name) for name in names if getattr(own, name) is None})


def _model(own: SymbolCosts, statistics: DailyStatistics, half_life_ms: int) -> SlippageModel | BarSlippage:
    base = own.slippage_bps or Decimal(0)
    match own.slippage_model:
        case "ticks":
            return TickSlippage(own.slippage_ticks or 0)
        case "volume_share":
            return VolumeShareSlippage(base_bps=base)
        case "zipline":
            return ZiplineVolumeShare(base_bps=base)
        case "volatility":
            return VolatilitySlippage(statistics=statistics, base_bps=base)
        case "square_root":
            return SquareRootSlippage(statistics=statistics, base_bps=base)
        case "almgren_chriss":
            return AlmgrenChrissSlippage(statistics=statistics, base_bps=base, half_life_ms=half_life_ms)
        case _:
            return FixedSlippage(base)


def daily_market(market: MarketData, symbol: str, *, start_ms: int, end_ms: int) -> Mapping[int, DailyMarket]:
    """By UTC day of the run: mean volume and volatility of the 20 stored days before it, nothing of the day itself or later.

    Volatility is the root of the mean squared logarithm of close / close of the day before. A day with fewer than 5 such
    returns before it is left out.
    """
    first_ms = (start_ms // DAY_MS - HISTORY_DAYS - 1) * DAY_MS
    volumes: dict[int, list[float]] = {}
    closes: dict[int, float] = {}
    for columns in market.read(symbol, first_ms, end_ms):
        for bar_ms, close, volume in zip(columns.start_ms.tolist(), columns.close.tolist(), columns.volume.tolist(), strict=True):
            day = bar_ms // DAY_MS
            volumes.setdefault(day, []).append(volume)
            closes[day] = close
    totals = {day: fsum(traded) for day, traded in volumes.items()}
    stored = sorted(closes)
    returns = [(day, log(closes[day] / closes[before])) for before, day in zip(stored, stored[1:], strict=False)]
    found: dict[int, DailyMarket] = {}
    for day in range(start_ms // DAY_MS, (end_ms - 1) // DAY_MS + 1):
        past = [value for at, value in returns if at < day][-HISTORY_DAYS:]
        if len(past) < HISTORY_DAYS_MIN:
            continue
        days = [at for at in stored if at < day][-HISTORY_DAYS:]
        volume = fsum(totals[at] for at in days) / len(days)
        volatility = sqrt(fsum(value * value for value in past) / len(past))
        found[day] = DailyMarket(size_from_e8(volume_e8(volume)), Decimal(repr(volatility)))
    return found


def slippage_text(sim: SimSection) -> str:
    """The run's slippage in a few words."""
    jitter = f" and up to {sim.slippage_jitter_bps} bps by chance" if sim.slippage_jitter_bps else ""
    if sim.slippage_model == "fixed":
        return f"of {sim.slippage_bps} bps{jitter}"
    if sim.slippage_model == "ticks":
        return f"of {sim.slippage_ticks} ticks{jitter}"
    return f"of {sim.slippage_bps} bps and the model {sim.slippage_model}{jitter}"


def own_costs_text(costs: SymbolCosts) -> str:
    """What a symbol has of its own."""
    own = ", ".join(f"{name} {value}" for name, value in msgspec.structs.asdict(costs).items() if value is not None)
    return f"costs of its own: {own}"
