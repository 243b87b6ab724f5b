"""Decisions must hang on the past alone: the future is replaced, and the whole feed is moved to other years."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backtester.domain.timeframe import HOUR_MS, iso_text
from backtester.domain.vocabulary import Market
from backtester.trust.changed_data import SHIFT_MS, scrambled
from backtester.trust.decisions import Decision, Parting, first_parting, known_by, timeless
from backtester.trust.findings import Finding, Severity
from backtester.trust.repeated_run import Outcome, RepeatedRun

SCRAMBLES = 5
"""How often the future is replaced; three in five times right after a decision, where a look at the next bar shows."""
_AFTER_BARS = 1_000
"""How much future a scrambled run has: as far as a look ahead is searched for."""
_WEEKS = SHIFT_MS // (7 * 24 * HOUR_MS)


def scramble_findings(run: RepeatedRun, base: Sequence[Decision], *, random: Random, count: int = SCRAMBLES) -> list[Finding]:
    """A finding for the first time after which the future, once replaced, changed a decision made before; else none."""
    for seed, from_ms in enumerate(scramble_times(run, base, random=random, count=count)):
        end_ms = min(run.resolved.end_ms, from_ms + _AFTER_BARS * run.execution_ms)
        other = run.outcome(market=scrambled(run.market, from_ms=from_ms, seed=seed), end_ms=end_ms)
        parting = _parting(base, other, from_ms)
        if parting is None:
            continue
        leak = _leak(run, base, parting, seed=seed, end_ms=end_ms)
        told = parting.text("with the real future", "with another one")
        moment = iso_text(from_ms)
        ended = f"; that run ended with: {other.error}" if other.error and parting.right is None else ""
        return [
            Finding(
                check="look-ahead",
                severity="error",
                name="future-changes-past",
                evidence=f"all after {moment} UTC was replaced, and a decision before it changed. {told}{ended}. {leak}",
            )
        ]
    return []


def scramble_times(run: RepeatedRun, base: Sequence[Decision], *, random: Random, count: int) -> list[int]:
    """When the future begins in each scrambled run: ends of bars in the run, rising; most of them right at a decision."""
    length_ms, first_ms, last_ms = run.execution_ms, run.resolved.start_ms, run.resolved.end_ms
    bars = max(1, (last_ms - first_ms) // length_ms - 1)
    begin_ms = -(-first_ms // length_ms) * length_ms
    at_decisions = sorted({one.time_ms // length_ms * length_ms for one in base if first_ms < one.time_ms < last_ms})
    wanted = min(len(at_decisions), -(-3 * count // 5))
    chosen = random.sample(at_decisions, wanted)
    chosen += [begin_ms + random.randrange(1, bars + 1) * length_ms for _ in range(count - wanted)]
    return sorted(dict.fromkeys(chosen))


def is_dated(run: RepeatedRun) -> bool:
    """Whether the run has options, which expire on a date that cannot be moved."""
    return any(ref.market == Market.OPTION.value for ref in run.resolved.refs)


def shift_findings(run: RepeatedRun, base: Sequence[Decision], *, declared: Sequence[str]) -> list[Finding]:
    """A finding where decisions do not move with the feed; not asked of a run with options, whose expiry stays where it is.

    `declared` names the files that the strategy says it reads, and has read: they do not move either, so that it is a warning.
    """
    if is_dated(run):
        return []
    other = run.shifted()

    def moved(one: Decision) -> object:
        return timeless(one, moved_ms=SHIFT_MS if one.time_ms > run.resolved.end_ms else 0)

    parting = first_parting(base, other.decisions, key=moved)
    if parting is None and not other.error:
        return []
    what = f"the whole feed was moved by {_WEEKS:,} weeks (28 years)"
    if parting is None:
        told = f"{what}, and the run ended with: {other.error}"
    else:
        told = f"{what}, and the decisions did not move with it: {parting.text('as it is', 'moved')}"
        told += f"; the moved run ended with: {other.error}" if other.error and parting.right is None else ""
    if declared:
        told += f". The strategy reads {', '.join(declared)}, as it declares: no check can say when that could have been known"
    else:
        told += ". Something it decides on stays in its place: a file, a cache, numbers or dates in its source"
    severity: Severity = "warning" if declared else "error"
    return [Finding(check="look-ahead", severity=severity, name="does-not-move-with-the-feed", evidence=told)]


def _parting(base: Sequence[Decision], other: Outcome, from_ms: int) -> Parting | None:
    return first_parting(known_by(base, from_ms), known_by(other.decisions, from_ms))


def _leak(run: RepeatedRun, base: Sequence[Decision], parting: Parting, *, seed: int, end_ms: int) -> str:
    """Which bar the changed decision hangs on, as a sentence: found by replacing less and less."""
    length_ms, at_ms = run.execution_ms, parting.time_ms
    low = -(-at_ms // length_ms)  # the first bar that was not over, numbered from 1970
    high = max(low + 1, end_ms // length_ms)

    def changes(first: int, last: int | None = None, symbol: str | None = None) -> bool:
        until_ms = None if last is None else last * length_ms
        only = None if symbol is None else (symbol,)
        market = scrambled(run.market, from_ms=first * length_ms, until_ms=until_ms, only=only, seed=seed)
        other = run.outcome(market=market, end_ms=min(run.resolved.end_ms, max(end_ms, at_ms + length_ms)))
        return first_parting(known_by(base, at_ms), known_by(other.decisions, at_ms)) is not None

    while high - low > 1:
        middle = (low + high) // 2
        if changes(middle):
            low = middle
        else:
            high = middle
    for ref in run.resolved.refs:
        if changes(low, low + 1, ref.key):
            begin, end = iso_text(low * length_ms), iso_text((low + 1) * length_ms)
            return f"It hangs on the bar of {ref.key} from {begin} to {end} UTC, which was not over at {iso_text(at_ms)}"
    return f"It hangs on bars after {iso_text(at_ms)} UTC, none of them alone"
