"""`bt report`: the report of a run that is on disk, with its candles where they still are."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from backtester.app.market_choice import SAMPLE, chosen_refs, sample_refs
from backtester.app.market_data import MarketData, SymbolRef, open_market_data
from backtester.app.resolve import ResolvedRun
from backtester.app.specs import specs_of
from backtester.audit.run_store import CHARTS_NAME, CONFIG_NAME, REPORT_NAME, RunDir
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.object_store import is_remote
from backtester.domain.errors import BacktesterError, ConfigError
from backtester.domain.timeframe import parse_time_ms
from backtester.report.html.page import render
from backtester.report.recorded_run import RecordedRun, read_run
from backtester.report.report_data import GapLine, Market, report_data
from backtester.report.terminal import RunFacts

_GAPS_LISTED = 1_000


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
    config, problem = _config(run_dir, data)
    market = _market(run, config, problem)
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


def _config(run_dir: Path, data: Path | None) -> tuple[RunConfig | None, str]:
    """The run's configuration; else None and why not."""
    flags = (("--data", "data.data_path", str(data)),) if data is not None else ()
    try:
        return load_run_config(RunRequest(config_file=run_dir / CONFIG_NAME, flags=flags)).config, ""
    except BacktesterError as error:
        return None, f"The candles are not drawn: {error}"


def _market(run: RecordedRun, config: RunConfig | None, problem: str) -> Market:
    if config is None:
        return Market("quote", _first_cash(run), None, problem)
    cash = float(config.account.starting_cash)
    if config.data.source == "memory":
        return Market("quote", cash, None, "The candles were handed over in Python and are not stored: none can be drawn.")
    try:
        refs = _refs(config)
        market = open_market_data(config, refs)
        start_ms, end_ms = parse_time_ms(run.manifest.start), parse_time_ms(run.manifest.end)
        gaps = _gap_lines(market, start_ms, end_ms)
        quote = specs_of(ResolvedRun(config, refs, (), start_ms, end_ms)).at(refs[0].key, start_ms).quote
        return Market(quote, cash, _reader(market, start_ms, end_ms), "", gaps)
    except BacktesterError as error:
        return Market("quote", cash, None, f"The candles of the run are not there any more, so none are drawn: {error}")


def _refs(config: RunConfig) -> tuple[SymbolRef, ...]:
    """Where the run's symbols are traded. Raises ConfigError when the catalog is gone."""
    if config.data.source == SAMPLE:
        return sample_refs(config)
    path = Path(config.data.data_path)
    if not is_remote(path) and not path.is_dir():
        raise ConfigError(f"there is no {path}; name the catalog with --data")
    return chosen_refs(config, Catalog(path))


def _reader(market: MarketData, start_ms: int, end_ms: int) -> Callable[[str], CandleColumns]:
    return lambda symbol: join_columns(*market.read(symbol, start_ms, end_ms))


def _gap_lines(market: MarketData, start_ms: int, end_ms: int) -> list[GapLine]:
    """The first gaps of all symbols in order of time."""
    found = [
        GapLine(symbol, what, stretch.from_ms, stretch.to_ms, stretch.bars)
        for symbol, report in market.gaps(start_ms=start_ms, end_ms=end_ms).items()
        for what, part in zip(("missing", "flat, no volume"), report, strict=True)
        for stretch in part.first[:_GAPS_LISTED]
    ]
    return sorted(found, key=lambda gap: (gap.from_ms, gap.symbol, gap.what))


def _first_cash(run: RecordedRun) -> float:
    """The cash of the first row, where the configuration cannot be read."""
    return float(run.equity["cash"][0]) if run.equity is not None and len(run.equity) else 0.0
