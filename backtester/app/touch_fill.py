"""The model by which resting limits fill, where that takes more than the bar."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.config.run_config import RunConfig
from backtester.domain.instruments import SymbolSpec
from backtester.sim.limit_fill import TouchFill


def touch_fill(config: RunConfig, specs: Mapping[str, SymbolSpec]) -> TouchFill | None:
    """None where a limit fills by the bar alone: when it is traded through, or touched."""
    sim = config.sim
    match sim.limit_fill:
        case "through" | "touch":
            return None
        case rule:
            return TouchFill(
                specs=specs,
                rule=rule,
                seed=config.run.seed,
                touch_frac=sim.touch_fill_frac,
                ahead_frac=sim.queue_ahead_frac,
            )
