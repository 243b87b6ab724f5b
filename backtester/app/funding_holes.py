"""Holes in a stored funding series: where settlements are missing, and what stands in for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from backtester.app.market_data import SymbolRef
from backtester.domain.errors import DataUnavailableError
from backtester.domain.funding import ASSUMED_FRAC_PER_8H
from backtester.domain.settlement import Settlement
from backtester.domain.timeframe import DAY_MS, HOUR_MS, iso_text

LONGEST_MS = 8 * HOUR_MS
"""Venues settle every 8 hours or more often (exchange_semantics.md, section 4.3); a longer wait is a hole."""
NEIGHBOURS = 3
"""Waits on either side that tell the interval in force where the series does not name it."""


class StoredSettlement(NamedTuple):
    """A settlement of the series, and the interval that it names, if it names one."""

    settlement: Settlement
    interval_ms: int | None


class Span(NamedTuple):
    """The range of a run, its start excluded, and whether the series has rows before its start, and behind its end."""

    start_ms: int
    end_ms: int
    has_before: bool
    has_after: bool


def with_holes(rows: Sequence[StoredSettlement], ref: SymbolRef, span: Span, *, charge: bool) -> Iterator[Settlement]:
    """The settlements of the range; with `charge` also the assumed ones of its holes, each against the position.

    `rows` are those of the range and of a day before and behind it. A hole is a wait between two of them that is longer than the
    interval: the one they name, else the shorter waits around it; at most 8 hours. It costs 1 bp per 8 hours: at 00:00, 08:00
    and 16:00 UTC where it is longer than that, else at the interval.
    Raises DataUnavailableError at a hole, unless `charge`; not at one that reaches a day and more beyond the range, which is as
    if the series began or ended there.
    Source: exchange_semantics.md, sections 4.3 and 5.11 (missing funding).
    """
    times_ms = [row.settlement.time_ms for row in rows]
    known: list[StoredSettlement | None] = list(rows)
    if span.has_before and (not rows or times_ms[0] > span.start_ms):  # what is stored before lies further back than a day
        times_ms, known = [span.start_ms - DAY_MS, *times_ms], [None, *known]
    if span.has_after and (not rows or times_ms[-1] < span.end_ms):
        times_ms, known = [*times_ms, span.end_ms + DAY_MS], [*known, None]
    for index, row in enumerate(known):
        if index and times_ms[index] > span.start_ms and times_ms[index - 1] < span.end_ms:
            yield from _hole(times_ms, index, known, ref, span, charge=charge)
        if row is not None and span.start_ms < times_ms[index] <= span.end_ms:
            yield row.settlement


def _hole(
    times_ms: Sequence[int], index: int, known: Sequence[StoredSettlement | None], ref: SymbolRef, span: Span, *, charge: bool
) -> Iterator[Settlement]:
    """The assumed settlements between the one before `index` and that one, where some are missing."""
    from_ms, to_ms = times_ms[index - 1], times_ms[index]
    step_ms = _interval_ms(times_ms, index, known)
    if to_ms - from_ms <= step_ms:
        return
    if not charge and (known[index - 1] is None or known[index] is None):
        return
    if not charge:
        raise DataUnavailableError(
            f"{ref.key}: no funding is stored between {iso_text(from_ms)} and {iso_text(to_ms)} UTC; store it (bt data download "
            f"--exchange {ref.exchange} --market {ref.market} --symbols {ref.name} --kind funding ...), have the hole charged at "
            "1 bp per 8 hours (--set sim.funding_hole=charge), or run without funding (--set sim.funding=off)"
        )
    rate = ASSUMED_FRAC_PER_8H * step_ms / LONGEST_MS
    time_ms = from_ms // LONGEST_MS * LONGEST_MS + LONGEST_MS if step_ms == LONGEST_MS else from_ms + step_ms
    while time_ms < min(to_ms, span.end_ms + 1):
        if time_ms > span.start_ms:
            yield Settlement(time_ms, ref.key, rate, None, is_assumed=True)
        time_ms += step_ms


def _interval_ms(times_ms: Sequence[int], index: int, known: Sequence[StoredSettlement | None]) -> int:
    """The longest wait before the settlement at `index` that is no hole."""
    if times_ms[index] - times_ms[index - 1] > LONGEST_MS:
        return LONGEST_MS
    named = [row.interval_ms for row in known[index - 1 : index + 1] if row is not None and row.interval_ms is not None]
    if named:
        return max(named)
    waits_ms = [later - earlier for earlier, later in zip(times_ms, times_ms[1:], strict=False)]
    before, after = waits_ms[max(0, index - 1 - NEIGHBOURS) : index - 1], waits_ms[index : index + NEIGHBOURS]
    return max(min(before), min(after)) if before and after else LONGEST_MS
