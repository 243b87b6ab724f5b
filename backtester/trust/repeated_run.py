"""One run, repeated in one process as often as needed: the strategy's code is executed anew each time, on data changed at will."""

from __future__ import annotations

import sys
from typing import NamedTuple

from backtester.app.market_data import MarketData, open_market_data
from backtester.app.plan import Plan
from backtester.app.planning import PlannedRun, plan_run
from backtester.app.resolve import ResolvedRun
from backtester.app.result import RunResult
from backtester.app.runner import event_stream, execute
from backtester.app.slippage import run_slippage
from backtester.audit.journal import MemoryJournal
from backtester.domain.delivery import Expiry
from backtester.domain.errors import BacktesterError
from backtester.domain.timeframe import timeframe_ms
from backtester.strategy.base import Strategy
from backtester.strategy.registry import load_strategy
from backtester.trust.changed_data import SHIFT_MS, held, shifted
from backtester.trust.decisions import Decision, decisions_of
from backtester.trust.own_code import OwnCode, own_modules
from backtester.trust.source_scan import Suspect, scan_source

_BARS_HELD = 3_000_000
"""Bars kept in memory between the runs: 144 MB at most."""


class Outcome(NamedTuple):
    """The decisions of one run, and the message that ended it before its data did; empty where it came to its end."""

    decisions: list[Decision]
    error: str


class RepeatedRun:
    """Runs of one resolved configuration. `count` is how many there were."""

    def __init__(self, resolved: ResolvedRun) -> None:
        self.resolved = resolved
        self.execution_ms = timeframe_ms(resolved.config.run.execution_timeframe)
        self.own = OwnCode(loaded.source for loaded in resolved.strategies if loaded.source is not None)
        self.market = self._held(open_market_data(resolved.config, resolved.refs))
        self.count = 0

    def _held(self, market: MarketData) -> MarketData:
        """The market data, in memory where it is small enough to be kept there."""
        run = self.resolved
        own_ms = timeframe_ms(run.config.run.timeframe)
        first_ms = run.start_ms - own_ms * max(loaded.strategy.warmup_bars for loaded in run.strategies)
        bars = (run.end_ms - first_ms) // self.execution_ms * len(run.refs)
        return held(market, start_ms=first_ms, end_ms=run.end_ms) if bars <= _BARS_HELD else market

    def result(self, resolved: ResolvedRun) -> RunResult:
        """The run of `loaded_anew` as `bt` makes it, kept in memory. Raises what ends it."""
        self.count += 1
        return execute(resolved, market_data=self.market)

    def loaded_anew(self) -> ResolvedRun:
        """The resolved run with the strategies' modules executed again, so that nothing they kept is left."""
        for name in own_modules(self.own):
            sys.modules.pop(name, None)
        return self.resolved._replace(strategies=tuple(load_strategy(section.name) for section in self.resolved.config.strategies))

    def suspects(self) -> list[Suspect]:
        """What is suspicious in the source of the strategy's own code, other strategies in the same files left out."""
        at_work = {part.__name__ for loaded in self.resolved.strategies for part in loaded.strategy.__mro__}
        found: list[Suspect] = []
        for name, path in own_modules(self.own).items():
            here = [value for value in vars(sys.modules[name]).values() if isinstance(value, type) and issubclass(value, Strategy)]
            found += scan_source(path, without={other.__name__ for other in here} - at_work)
        return list(dict.fromkeys(found))

    def uses_chance(self) -> bool:
        """Whether the strategy's own code asks for `ctx.rng`."""
        return any(suspect.what == "chance" for suspect in self.suspects())

    def outcome(
        self,
        *,
        market: MarketData | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        warm_up_bars: int | None = None,
    ) -> Outcome:
        """The decisions over [start_ms, end_ms) on `market`; `warm_up_bars` are those of each strategy's own timeframe."""
        resolved = self.loaded_anew()
        first_ms = self.resolved.start_ms if start_ms is None else start_ms
        last_ms = self.resolved.end_ms if end_ms is None else end_ms
        resolved = resolved._replace(start_ms=first_ms, end_ms=last_ms)
        planned = plan_run(resolved, market=market or self.market)
        if warm_up_bars is not None:
            longest_ms = max(timeframe_ms(timeframes[0]) for _, _, timeframes in planned.plan.strategies)
            plan = planned.plan._replace(feed_start_ms=first_ms - warm_up_bars * longest_ms)
            planned = planned._replace(plan=plan)
        return self._run(resolved, planned, market or self.market)

    def shifted(self) -> Outcome:
        """The decisions where the whole feed, with its funding and what changes its rules, is `SHIFT_MS` later."""
        resolved = self.loaded_anew()
        planned = plan_run(resolved, market=self.market)
        plan, market = planned.plan, shifted(self.market, by_ms=SHIFT_MS)
        first_ms, last_ms = plan.start_ms + SHIFT_MS, plan.end_ms + SHIFT_MS
        moved = plan._replace(
            feed_start_ms=plan.feed_start_ms + SHIFT_MS,
            start_ms=first_ms,
            end_ms=last_ms,
            slippage=run_slippage(plan.config, plan.specs, market, start_ms=first_ms, end_ms=last_ms),
            settlements=tuple(one._replace(time_ms=one.time_ms + SHIFT_MS) for one in plan.settlements),
            rule_changes=tuple(one._replace(time_ms=one.time_ms + SHIFT_MS) for one in plan.rule_changes),
            futures=plan.futures._replace(expiries=tuple(_later(one, plan) for one in plan.futures.expiries)),
        )
        return self._run(resolved, planned._replace(plan=moved), market)

    def _run(self, resolved: ResolvedRun, planned: PlannedRun, market: MarketData) -> Outcome:
        self.count += 1
        journal = MemoryJournal()
        error = ""
        try:
            event_stream(resolved, planned, market=market, journal=journal)
        except BacktesterError as failure:
            error = str(failure)
        return Outcome(decisions_of(journal.lines()), error)


def _later(expiry: Expiry, plan: Plan) -> Expiry:
    """The settlement of a contract that was delisted, as much later as the feed; a delivery is where the contract has it."""
    return expiry if plan.specs[expiry.symbol].expires_ms is not None else expiry._replace(time_ms=expiry.time_ms + SHIFT_MS)
