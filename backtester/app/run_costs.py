"""The transaction costs of a run that is over."""

from __future__ import annotations

from pathlib import Path

from backtester.app.run_candles import run_candles
from backtester.audit.journal import read_journal
from backtester.audit.run_store import CONFIG_NAME, RunDir, faces_of
from backtester.config.loading import RunRequest, load_run_config
from backtester.report.transaction_costs import TransactionCosts, transaction_costs


def run_costs(run: Path, *, data: Path | None = None) -> TransactionCosts:
    """What every fill of the run in that directory cost; `data` names the catalog where it is not where it was.

    Raises DataError when the bars are not stored any more, StorageError when it is no run.
    """
    manifest = RunDir(run).read_manifest()
    sim = load_run_config(RunRequest(config_file=run / CONFIG_NAME)).config.sim
    candles = run_candles(run, data=data)
    return transaction_costs(
        read_journal(RunDir(run).journal_path),
        bars_of=candles.of,
        length_ms=candles.length_ms,
        spread_bps=sim.spread_bps * sim.cost_factor,
        faces=faces_of(manifest.contracts),
    )
