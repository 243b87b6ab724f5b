"""`bt stress`: the run under worse assumptions than it was made with, and what its result hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from backtester.app.resolve import ResolvedRun
from backtester.app.result import RunResult
from backtester.app.runner import OnProgress, execute
from backtester.app.verify import resolved_again
from backtester.audit.run_store import RunDir
from backtester.config.run_config import MAX_FACTOR, SimSection
from backtester.domain.errors import ConfigError, StorageError
from backtester.domain.timeframe import timeframe_ms
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME
from backtester.report.frames import frame_of_text

BEST_TRADES = 5
COST_TIMES = 2
LATENCY_TIMES = 4
TESTS = ("costs x 2", "latency x 4", "one bar later", "without the best trades")


class StressRow(NamedTuple):
    """One way of looking at the run: its net result in the quote asset and as a fraction of the start, and its trades."""

    name: str
    net_quote: float
    total_return: float | None
    max_drawdown: float | None
    trades: int


class StressReport(NamedTuple):
    """The run as it was, then each test; what one side of a trade may cost before nothing is left; a verdict in one line."""

    rows: tuple[StressRow, ...]
    paid_bps: float | None
    """Fees and what was paid away in prices, of the value traded, per side."""
    break_even_bps: float | None
    """The same at which the net result would be zero, the trades being the same."""
    verdict: str
    asset: str = "quote"
    """What net results are in."""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "rows": [row._asdict() for row in self.rows],
            "paid_bps": self.paid_bps,
            "break_even_bps": self.break_even_bps,
            "verdict": self.verdict,
        }


def stress(run_dir: Path, *, data: Path | None = None, progress: OnProgress | None = None) -> StressReport:
    """Execute the run in `run_dir` again as it was and under each assumption, in memory; nothing is written.

    One bar later: orders arrive one candle of the signals later. Without the best trades: the net result less that of the five
    most profitable closed trades. Raises StorageError when it is no run, ConfigError or DataError when it cannot be executed.
    """
    manifest = RunDir(run_dir).read_manifest()
    if manifest.status != "complete":
        raise StorageError(f"run {manifest.run_id} is not complete: its status is {manifest.status}; stress one that is")
    if manifest.handed_over:
        given = ", ".join(manifest.handed_over)
        raise ConfigError(
            f"run {manifest.run_id} cannot be executed again here: {given} came from Python and are not stored with it"
        )
    resolved = resolved_again(run_dir, data)
    base = execute(resolved, progress=progress)
    rows = [_row("as it ran", base)]
    for name, sim in stressed(resolved).items():
        again = execute(resolved._replace(config=replace(resolved.config, sim=sim)), progress=progress)
        rows.append(_row(name, again))
    rows.append(_without_best(base))
    paid, break_even = _costs_bps(base)
    return StressReport(tuple(rows), paid, break_even, _verdict(rows), manifest.quote or "quote")


def stressed(resolved: ResolvedRun) -> Mapping[str, SimSection]:
    """The simulation settings of each test that executes the run again. Raises ConfigError where a factor is out of bounds."""
    sim = resolved.config.sim
    costs, latency = sim.cost_factor * COST_TIMES, sim.latency_factor * LATENCY_TIMES
    if max(costs, latency) > MAX_FACTOR:
        raise ConfigError(f"sim.cost_factor or sim.latency_factor would exceed {MAX_FACTOR}; stress a run with lower factors")
    bar_ms = timeframe_ms(resolved.config.run.timeframe)
    return {
        TESTS[0]: replace(sim, cost_factor=costs),
        TESTS[1]: replace(sim, latency_factor=latency),
        TESTS[2]: replace(sim, order_latency_ms=sim.order_latency_ms + int(bar_ms / max(sim.latency_factor, Decimal(1)))),
    }


def _row(name: str, result: RunResult) -> StressRow:
    summary, metrics = result.summary, result.metrics
    net = float(summary["end_equity"]) - float(summary["start_equity"])
    return StressRow(name, net, metrics["total_return"], metrics["max_drawdown"], metrics["trades"])


def _without_best(base: RunResult) -> StressRow:
    """Equity's change less what the best closed trades brought; the drawdown without them is not known."""
    whole = _row("", base)
    trades = frame_of_text(base.file_text(TRADES_NAME))
    nets = sorted(
        (float(net) for net, is_open in zip(trades["net_pnl"], trades["is_open"], strict=True) if not is_open), reverse=True
    )
    best = [net for net in nets[:BEST_TRADES] if net > 0]
    net = whole.net_quote - sum(best)
    start = float(base.summary["start_equity"])
    return StressRow(TESTS[3], net, net / start if start > 0 else None, None, whole.trades - len(best))


def _costs_bps(base: RunResult) -> tuple[float | None, float | None]:
    """(paid, break-even) per side in bps of the value traded; None where nothing was."""
    fills = frame_of_text(base.file_text(FILLS_NAME))
    contracts = base.manifest.contracts
    traded = sum(
        float(qty) * (float(contracts[symbol]) / float(price) if symbol in contracts else float(price))
        for symbol, qty, price in zip(fills["symbol"], fills["qty"], fills["price"], strict=True)
    )
    if not traded:
        return None, None
    paid = float(base.metrics["fees"]) + float(base.metrics.get("slippage") or 0.0)
    net = _row("", base).net_quote
    return paid / traded * 1e4, (net + paid) / traded * 1e4


def _verdict(rows: list[StressRow]) -> str:
    base, *tests = rows
    if not base.trades:
        return "nothing to stress: it closed no trade"
    if base.net_quote <= 0:
        return "nothing to stress: it loses money as it ran"
    lost = [row.name for row in tests if row.net_quote <= 0]
    if not lost:
        return f"holds: it makes money in all of {len(tests)} tests"
    return f"fragile: no money is left in {len(lost)} of {len(tests)} tests: {', '.join(lost)}"
