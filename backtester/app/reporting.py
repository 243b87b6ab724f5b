"""`bt report`: the report of a run that is on disk, with its candles where they still are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from backtester.app.run_candles import run_candles
from backtester.audit.run_store import CHARTS_NAME, CONFIG_NAME, REPORT_NAME, RunDir
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig
from backtester.data.gaps import GapReport
from backtester.domain.errors import BacktesterError, ConfigError
from backtester.report.html.page import render
from backtester.report.recorded_run import RecordedRun, read_run
from backtester.report.report_data import GapLine, Market, report_data
from backtester.report.terminal import RunFacts


class MadeReport(NamedTuple):
    """The files that were written, and what the terminal shows; `facts` is None where the run left no result."""

    path: Path
    pictures: tuple[Path, ...]
    run: RecordedRun
    facts: RunFacts | None


def make_report(run_dir: Path, *, output: Path | None = None, png: bool = False, data: Path | None = None) -> MadeReport:
    """The report of the run in `run_dir` stands in `output` (report.html in the run), pictures of it in `charts` beside that.

    The same run and candles give the same bytes. `data` names the catalog, where it is not where it was. Candles that are gone
    are said to be. Raises StorageError when it is no run or nothing can be written, ConfigError when pictures need matplotlib.
    """
    if png and find_spec("matplotlib") is None:
        raise ConfigError(
            "--png needs matplotlib, which is not installed: pip install 'backtester[png]' (or pip install matplotlib)"
        )
    run = read_run(run_dir)
    path = output if output is not None else run_dir / REPORT_NAME
    market, config = _market(run, data)
    found = report_data(run, market)
    RunDir(path.parent).write_text(path.name, render(found))
    pictures: tuple[Path, ...] = ()
    if png:
        from backtester.report.pictures import write_pictures

        pictures = write_pictures(found, directory=path.parent / CHARTS_NAME)
    facts = None
    if config is not None and run.metrics is not None:
        facts = RunFacts(run.manifest, config, run.summary(market.start_equity), run_dir, market.quote)
    return MadeReport(path, pictures, run, facts)


def _market(run: RecordedRun, data: Path | None) -> tuple[Market, RunConfig | None]:
    """What is still there of the run's market, and its configuration, None where that cannot be read."""
    config = None
    try:
        config = load_run_config(RunRequest(config_file=run.path / CONFIG_NAME)).config
        candles = run_candles(run.path, data=data)
        cash = _start_equity(run, config)
        return Market(candles.quote(), cash, candles.of, "", _gap_lines(candles.gaps())), config
    except BacktesterError as error:
        cash = _start_equity(run, config) if config is not None else _first_cash(run)
        return Market("quote", cash, None, f"The candles of the run are not there any more, so none are drawn: {error}"), config


def _start_equity(run: RecordedRun, config: RunConfig) -> float:
    """What the account began with."""
    if run.manifest.currency is not None:
        return float(run.manifest.currency.start_equity)
    return float(config.account.starting_cash) + float(run.manifest.coins_at_start)


def _gap_lines(gaps: Mapping[str, GapReport]) -> list[GapLine]:
    """The first gaps of all symbols in order of time."""
    found = [
        GapLine(symbol, what, stretch.from_ms, stretch.to_ms, stretch.bars)
        for symbol, report in gaps.items()
        for what, part in zip(("missing", "flat, no volume"), report, strict=True)
        for stretch in part.first
    ]
    return sorted(found, key=lambda gap: (gap.from_ms, gap.symbol, gap.what))


def _first_cash(run: RecordedRun) -> float:
    """The cash of the first row, where the configuration cannot be read."""
    return float(run.equity["cash"][0]) if run.equity is not None and len(run.equity) else 0.0
