"""One run, repeated as often as needed in one process: each time with the strategy's code executed anew, on data changed at will."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from backtester.app.market_data import MarketData, open_market_data
from backtester.app.planning import PlannedRun, plan_run
from backtester.app.resolve import ResolvedRun
from backtester.app.result import RunResult
from backtester.app.runner import event_stream, execute
from backtester.audit.journal import MemoryJournal
from backtester.domain.errors import BacktesterError
from backtester.domain.timeframe import timeframe_ms
from backtester.strategy.registry import load_strategy
from backtester.trust.changed_data import SHIFT_MS, shifted
from backtester.trust.decisions import Decision, decisions_of
from backtester.trust.own_code import OwnCode, own_modules


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
        self.market = open_market_data(resolved.config, resolved.refs)
        self.count = 0

    def result(self, resolved: ResolvedRun) -> RunResult:
        """The run of `loaded_anew` as `bt` makes it, kept in memory. Raises what ends it."""
        self.count += 1
        return execute(resolved, market_data=self.market)

    def loaded_anew(self) -> ResolvedRun:
        """The resolved run with the strategies' modules executed again, so that nothing they kept is left."""
        for name in own_modules(self.own):
            sys.modules.pop(name, None)
        return self.resolved._replace(strategies=tuple(load_strategy(section.name) for section in self.resolved.config.strategies))

    def own_files(self) -> list[Path]:
        """The files of the strategy's own code, as far as they are loaded."""
        named = [loaded.source for loaded in self.resolved.strategies if loaded.source is not None]
        return sorted({*named, *own_modules(self.own).values()})

    def uses_chance(self) -> bool:
        """Whether the strategy's own code names `ctx.rng`."""
        return any(".rng(" in path.read_text(encoding="utf-8", errors="replace") for path in self.own_files())

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
        planned = plan_run(resolved)
        if warm_up_bars is not None:
            longest_ms = max(timeframe_ms(timeframes[0]) for _, _, timeframes in planned.plan.strategies)
            plan = planned.plan._replace(feed_start_ms=first_ms - warm_up_bars * longest_ms)
            planned = planned._replace(plan=plan)
        return self._run(resolved, planned, market or self.market)

    def shifted(self) -> Outcome:
        """The decisions where the whole feed, with its funding, is `SHIFT_MS` later; rules and fees stay as they are."""
        resolved = self.loaded_anew()
        planned = plan_run(resolved)
        plan = planned.plan
        moved = plan._replace(
            feed_start_ms=plan.feed_start_ms + SHIFT_MS,
            start_ms=plan.start_ms + SHIFT_MS,
            end_ms=plan.end_ms + SHIFT_MS,
            settlements=tuple(one._replace(time_ms=one.time_ms + SHIFT_MS) for one in plan.settlements),
        )
        return self._run(resolved, planned._replace(plan=moved), shifted(self.market, by_ms=SHIFT_MS))

    def _run(self, resolved: ResolvedRun, planned: PlannedRun, market: MarketData) -> Outcome:
        self.count += 1
        journal = MemoryJournal()
        error = ""
        try:
            event_stream(resolved, planned, market=market, journal=journal)
        except BacktesterError as failure:
            error = str(failure)
        return Outcome(decisions_of(journal.lines()), error)
