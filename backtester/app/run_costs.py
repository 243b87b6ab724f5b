"""The transaction costs of a run that is over."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from pathlib import Path

from msgspec.structs import replace

from backtester.app.run_candles import run_candles
from backtester.audit.journal import read_journal
from backtester.audit.run_store import CONFIG_NAME, RunDir, faces_of
from backtester.config.loading import RunRequest, load_run_config
from backtester.report.currency_shown import last_rates
from backtester.report.transaction_costs import TransactionCosts, transaction_costs


def run_costs(run: Path, *, data: Path | None = None) -> TransactionCosts:
    """What every fill of the run in that directory cost; `data` names the catalog where it is not where it was.

    Raises DataError when the bars are not stored any more, StorageError when it is no run.
    """
    manifest = RunDir(run).read_manifest()
    sim = load_run_config(RunRequest(config_file=run / CONFIG_NAME)).config.sim
    candles = run_candles(run, data=data)
    found = transaction_costs(
        read_journal(RunDir(run).journal_path),
        bars_of=candles.of,
        length_ms=candles.length_ms,
        spread_bps=sim.spread_bps * sim.cost_factor,
        faces=faces_of(manifest.contracts),
    )
    rates = last_rates(run, manifest)
    return _told(found, rates) if rates else found


def _told(found: TransactionCosts, rates: Mapping[str, Fraction]) -> TransactionCosts:
    """The same in the reporting currency, at the last closes of the run."""

    def told(symbol: str, units: int | None) -> int | None:
        return None if units is None else floor(units * rates[symbol])

    fills = [
        replace(
            one, **{name: told(one.fill.symbol, getattr(one, name)) for name in ("value", "delay", "spread", "slippage", "fee")}
        )
        for one in found.fills
    ]
    return TransactionCosts(fills=fills, missed=[replace(one, missed=told(one.symbol, one.missed)) for one in found.missed])
