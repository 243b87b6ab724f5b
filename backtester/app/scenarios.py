"""The scenario band: one run under harsh, configured and lenient assumptions, to see how much of its result they are."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from backtester.app.planning import strategy_ids
from backtester.app.resolve import ResolvedRun
from backtester.app.result import RunResult
from backtester.app.runner import OnProgress, execute
from backtester.audit.run_store import default_run_id
from backtester.config.run_config import MAX_FACTOR, RunConfig
from backtester.domain.errors import ConfigError

SCENARIOS = ("harsh", "base", "lenient")
HARSH_COSTS = 2
HARSH_LATENCY = 4


class ScenarioBand(NamedTuple):
    """The runs by scenario, in the order of SCENARIOS; fewer where one was interrupted."""

    results: Mapping[str, RunResult]

    @property
    def exit_code(self) -> int:
        """That of the run that came last: the others came to their end."""
        return list(self.results.values())[-1].exit_code


def scenario_config(config: RunConfig, scenario: str) -> RunConfig:
    """The configuration of one scenario.

    harsh: limits fill when traded through, the worst path inside bars, costs x 2, latencies x 4. base: as configured.
    lenient: limits fill at a touch, the best path. Raises ConfigError where a factor would leave its bounds.
    """
    sim = config.sim
    if scenario == "harsh":
        costs, latency = sim.cost_factor * HARSH_COSTS, sim.latency_factor * HARSH_LATENCY
        for key, factor in (("cost_factor", costs), ("latency_factor", latency)):
            if factor > MAX_FACTOR:
                raise ConfigError(f"--scenarios: sim.{key} of the harsh run would be {factor}, more than {MAX_FACTOR}; lower it")
        sim = replace(sim, limit_fill="through", path="worst", cost_factor=Decimal(costs), latency_factor=Decimal(latency))
    elif scenario == "lenient":
        sim = replace(sim, limit_fill="touch", path="best")
    elif scenario != "base":
        raise ConfigError(f"scenario {scenario!r} is none of {', '.join(SCENARIOS)}")
    return replace(config, sim=sim)


def run_scenarios(
    resolved: ResolvedRun,
    *,
    output: Path | None = None,
    run_id: str | None = None,
    progress: OnProgress | None = None,
) -> ScenarioBand:
    """Run each scenario; with `output`, into new directories `output/<run id>-<scenario>`. Stops after an interrupted one.
    Raises as `execute` does; runs that were finished before stay.
    """
    configs = {name: scenario_config(resolved.config, name) for name in SCENARIOS}
    base_id = run_id or default_run_id(strategy_ids(resolved)[0])
    results: dict[str, RunResult] = {}
    for name, config in configs.items():
        results[name] = execute(resolved._replace(config=config), output=output, run_id=f"{base_id}-{name}", progress=progress)
        if results[name].status != "complete":
            break
    return ScenarioBand(results)
