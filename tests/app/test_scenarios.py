"""Harsh, base and lenient: three runs that differ in what is assumed, and in nothing else."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

import backtester
from backtester.app.planning import settings_text
from backtester.app.resolve import resolve
from backtester.app.scenarios import SCENARIOS, run_scenarios, scenario_config
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig, SimSection
from backtester.domain.errors import ConfigError

BRACKETS = """
from backtester import LimitOrderIntent, Side, Strategy


class Brackets(Strategy):
    def on_candle(self, candle):
        if candle.end_ms % 3_600_000 or self.ctx.position(candle.symbol):
            return None
        price = round(candle.close, 1)
        return LimitOrderIntent(
            symbol=candle.symbol,
            side=Side.BUY,
            qty="0.05",
            price=price,
            take_profit=round(price * 1.0006, 1),
            stop_loss=round(price * 0.9994, 1),
        )
"""


def test_each_scenario_says_what_it_assumes() -> None:
    config = RunConfig(sim=SimSection(limit_fill="touch", path="ohlc", cost_factor=Decimal("1.5")))
    harsh, base, lenient = (scenario_config(config, name).sim for name in SCENARIOS)
    assert (harsh.limit_fill, harsh.path, harsh.cost_factor, harsh.latency_factor) == ("through", "worst", 3, 4)
    assert base == config.sim
    assert (lenient.limit_fill, lenient.path, lenient.cost_factor, lenient.latency_factor) == ("touch", "best", Decimal("1.5"), 1)


def test_a_factor_out_of_bounds_is_told_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"sim\.latency_factor of the harsh run would be 120"):
        scenario_config(RunConfig(sim=SimSection(latency_factor=Decimal(30))), "harsh")
    with pytest.raises(ConfigError, match="'rosy' is none of harsh, base, lenient"):
        scenario_config(RunConfig(), "rosy")


def test_the_band_orders_the_results_and_counts_what_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "brackets.py").write_text(BRACKETS, encoding="utf-8")
    loaded = load_run_config(
        RunRequest(
            flags=(("--symbols", "run.symbols", ["BTCUSDT"]), ("--end", "run.end", "2024-01-04")),
            settings=("sim.response_latency_ms=0", "run.timeframe=1m"),
            strategy=f"{tmp_path / 'brackets.py'}:Brackets",
            directory=tmp_path,
        )
    )
    resolved = resolve(loaded.config, data_explicit=False)
    band = run_scenarios(resolved, output=tmp_path / "runs", run_id="r")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["r-base", "r-harsh", "r-lenient"]
    equities = [band.results[name].summary["end_equity"] for name in SCENARIOS]
    assert equities == sorted(equities)
    assert equities[0] < equities[1]
    assert band.exit_code == 0
    single = backtester.run(
        f"{tmp_path / 'brackets.py'}:Brackets",
        symbols="BTCUSDT",
        end="2024-01-04",
        timeframe="1m",
        settings={"sim.response_latency_ms": 0},
        data=None,
    )
    assert single.digest == band.results["base"].digest


def test_settings_younger_than_a_digest_stand_in_it_only_where_they_were_changed() -> None:
    plain = settings_text(RunConfig())
    young = {key for key in plain if key.startswith("sim.")} & {"sim.path", "sim.cost_factor", "sim.symbols", "sim.slippage_ticks"}
    assert not young
    assert len([key for key in plain if key.startswith("sim.")]) == 16
    assert plain["sim.slippage_bps"] == "1"
    changed = settings_text(RunConfig(sim=SimSection(path="best", cost_factor=Decimal(2))))
    assert (changed["sim.path"], changed["sim.cost_factor"]) == ("best", "2")
