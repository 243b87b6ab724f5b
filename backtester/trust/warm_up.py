"""After the warm-up that a strategy declares, more history before it must change no decision."""

from __future__ import annotations

from typing import NamedTuple

from backtester.domain.timeframe import DAY_MS, HOUR_MS, iso_text, timeframe_ms
from backtester.trust.decisions import Decision, first_parting, timeless
from backtester.trust.findings import Finding
from backtester.trust.repeated_run import RepeatedRun

_BARS_AFTER = 1_500
"""Signal bars after the warm-up whose decisions are compared."""
_BARS_BEFORE = 1_000
"""Signal bars of history at most, beyond twice what is declared."""
_BARS_LEAST = 20


class WarmUpResult(NamedTuple):
    """What was found; or, in `unjudged`, why nothing could be."""

    findings: list[Finding]
    unjudged: str = ""


def warm_up_result(run: RepeatedRun) -> WarmUpResult:
    """Whether decisions change with more history than is declared, and how much of it they need.

    The run begins in the middle of its data, once after the declared warm-up and once after as much as there is. Where
    the strategy draws from `ctx.rng` a difference proves nothing: draws in the warm-up move those after it.
    """
    declared = max(loaded.strategy.warmup_bars for loaded in run.resolved.strategies)
    own_ms = max(timeframe_ms(section.timeframe or run.resolved.config.run.timeframe) for section in run.resolved.config.strategies)
    start_ms, most = _range(run, declared, own_ms)
    if most - declared < _BARS_LEAST:
        return WarmUpResult([], f"the data is too short: {declared} bars are declared, {most} are there before its middle")
    end_ms = min(run.resolved.end_ms, start_ms + _BARS_AFTER * own_ms)

    def decided(bars: int) -> list[Decision]:
        return run.outcome(start_ms=start_ms, end_ms=end_ms, warm_up_bars=bars).decisions

    full, short = decided(most), decided(declared)
    parting = first_parting(full, short, key=timeless)
    if parting is None:
        return WarmUpResult([])
    if run.uses_chance():
        return WarmUpResult([], "it draws random numbers while it warms up, which move those that it draws later")
    low, high = declared, most  # decisions with `high` bars are those with all, with `low` they are not
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        if first_parting(full, decided(middle), key=timeless) is None:
            high = middle
        else:
            low = middle
    told = parting.text(f"with {most} bars of history", f"with the {declared} declared")
    if high < most:
        need = f"They are the same from {high} bars on: set warmup_bars = {high}"
    else:
        need = f"They change with every bar up to {most}: it keeps something from its first candle on, or forgets slowly"
    return WarmUpResult(
        [
            Finding(
                check="warm-up",
                severity="warning" if declared else "note",
                name="warm-up-too-short" if declared else "no-warm-up",
                evidence=f"a run from {iso_text(start_ms)} UTC decides otherwise after a longer history: {told}. {need}",
            )
        ]
    )


def _range(run: RepeatedRun, declared: int, own_ms: int) -> tuple[int, int]:
    """(start, bars): a start in the middle of the data, and how much history is taken before it.

    Both beginnings of the history lie whole days apart, or whole hours where there is less, so that timers keep their phase.
    """
    first_ms, last_ms = run.resolved.start_ms, run.resolved.end_ms
    middle_ms = (first_ms + last_ms) // 2
    step_ms = max(DAY_MS, own_ms) if middle_ms - first_ms >= 2 * DAY_MS else max(HOUR_MS, own_ms)
    start_ms = middle_ms // step_ms * step_ms
    extra_ms = min(start_ms - first_ms - declared * own_ms, (_BARS_BEFORE + declared) * own_ms)
    return start_ms, declared + max(0, extra_ms // step_ms * step_ms // own_ms)
