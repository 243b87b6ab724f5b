"""The execution bars of a run that is over, as they are stored now; its strategies need not be there any more."""

from __future__ import annotations

from pathlib import Path

from backtester.app.market_choice import SAMPLE, chosen_refs, sample_refs
from backtester.app.market_data import MarketData, SymbolRef, open_market_data
from backtester.app.resolve import ResolvedRun
from backtester.app.specs import specs_of
from backtester.audit.run_store import CONFIG_NAME
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.gaps import GapReport
from backtester.domain.errors import DataUnavailableError
from backtester.domain.timeframe import parse_time_ms, timeframe_ms


class RunCandles:
    """Bars by symbol of a run, read when they are asked for."""

    def __init__(self, market: MarketData, *, config: RunConfig, refs: tuple[SymbolRef, ...], start_ms: int, end_ms: int) -> None:
        self._market = market
        self.config = config
        self.refs = refs
        timeframe = config.run.execution_timeframe
        self._held: dict[str, CandleColumns] = {}
        self.timeframe = timeframe
        self.length_ms = timeframe_ms(timeframe)
        self._start_ms = start_ms
        self._end_ms = end_ms

    def of(self, symbol: str) -> CandleColumns:
        """All execution bars of the run's range, kept. Raises DataError when they cannot be read."""
        if symbol not in self._held:
            self._held[symbol] = join_columns(*self._market.read(symbol, self._start_ms, self._end_ms))
        return self._held[symbol]

    def between(self, symbol: str, start_ms: int, end_ms: int) -> CandleColumns:
        """The bars that start in [start_ms, end_ms). Raises DataError when they cannot be read."""
        return join_columns(*self._market.read(symbol, start_ms, end_ms))

    def gaps(self) -> dict[str, GapReport]:
        """By symbol, what is missing in the run's range. Raises DataError when it cannot be read."""
        return self._market.gaps(start_ms=self._start_ms, end_ms=self._end_ms)

    def quote(self) -> str:
        """The asset that the run's money is in. Raises ConfigError when its first symbol has no rules."""
        if self.config.account.currency:
            return self.config.account.currency
        specs = specs_of(ResolvedRun(self.config, self.refs, (), self._start_ms, self._end_ms))
        return specs.at(self.refs[0].key, self._start_ms).money_asset


def run_candles(run: Path, *, data: Path | None) -> RunCandles:
    """The bars of the run in that directory; `data` names the catalog where it is not where it was.

    Raises DataUnavailableError when they are not stored, ConfigError when the run's configuration cannot be read.
    """
    flags = (("--data", "data.data_path", str(data)),) if data is not None else ()
    config = load_run_config(RunRequest(config_file=run / CONFIG_NAME, flags=flags)).config
    if config.data.source == "memory":
        raise DataUnavailableError("the candles of this run were handed over in Python and are not stored")
    refs = sample_refs(config) if config.data.source == SAMPLE else chosen_refs(config, Catalog(Path(config.data.data_path)))
    return RunCandles(
        open_market_data(config, refs),
        config=config,
        refs=refs,
        start_ms=parse_time_ms(config.run.start, what="run.start"),
        end_ms=parse_time_ms(config.run.end, what="run.end"),
    )
