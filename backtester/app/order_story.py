"""`bt why` and `bt at`: an order's way through a run, and what was going on at an instant, with the bars that were seen."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from backtester.app.run_candles import RunCandles, run_candles
from backtester.audit.journal import JournalLine, read_journal
from backtester.audit.run_store import RunDir
from backtester.data.columns import CandleColumns
from backtester.domain.account import AccountSnapshot
from backtester.domain.errors import ConfigError, DataError
from backtester.domain.orders import Fill, LiquidationOrder
from backtester.domain.timeframe import bucket_start_ms, iso_text, timeframe_ms
from backtester.report.journal_steps import Step, order_ids, step_of, story_of
from backtester.report.named_rules import DECIDED_AT_A_CLOSE

_NEAR_SHOWN = 3


class Story(NamedTuple):
    """Steps in order; `notes` say what could not be told."""

    title: str
    steps: list[Step]
    notes: tuple[str, ...] = ()


def why(run: Path, order_id: str, *, data: Path | None = None) -> Story:
    """What led to an order and what became of it. Raises ConfigError with the nearest ids when the run has no such order."""
    path = RunDir(run).journal_path
    lines = story_of(lambda: read_journal(path), order_id)
    if not lines:
        raise ConfigError(f"{run} has no order {order_id!r}{_nearest(order_ids(read_journal(path)), order_id)}")
    steps = [step_of(line) for line in lines]
    candles, note = _candles(run, data)
    events: list[Any] = [line.event() for line in lines]
    symbols = [symbol for event in events if (symbol := getattr(event, "symbol", ""))]
    symbols += [event.order.symbol for event in events if hasattr(event, "order")]
    first = steps[0]
    if candles is not None and symbols:
        decided = not isinstance(events[0], LiquidationOrder)  # nobody decided that
        seen = _seen(candles, symbols[0], first.time_ms, RunDir(run).read_manifest().timeframe) if decided else []
        met = [step for event in events if isinstance(event, Fill) for step in _met(candles, event)]
        steps = _in_order([*seen, *steps, *met])
    return Story(f"order {order_id}", steps, (note,) if note else ())


class _Window:
    """The lines of a journal sorted by an interval: what was held before it, what happened in it, what lies beside it."""

    def __init__(self, start_ms: int, stop_ms: int) -> None:
        self.start_ms = start_ms
        self.stop_ms = stop_ms
        self.inside: list[Step] = []
        self.account: Step | None = None
        self.first_ms: int | None = None
        self.last_ms = 0
        self.before_ms: int | None = None
        self.after_ms: int | None = None
        self._lots: dict[str, int] = {}
        self._held: dict[str, str] = {}

    def see(self, line: JournalLine) -> None:
        """Take the next line."""
        event = line.event()
        is_deed = line.topic not in {"account.snapshot", "run"}
        if self.first_ms is None:
            self.first_ms = event.time_ms
        self.last_ms = event.time_ms
        if event.time_ms < self.start_ms:
            if isinstance(event, AccountSnapshot):
                self.account = step_of(line)
            elif isinstance(event, Fill):
                leg = event.leg
                lots = self._lots[leg] = self._lots.get(leg, 0) + event.side.sign * event.qty_lots
                self._held[leg] = _size_text(event, lots)
            self.before_ms = event.time_ms if is_deed else self.before_ms
        elif event.time_ms < self.stop_ms:
            if line.topic != "run":
                self.inside.append(step_of(line))
        elif is_deed and self.after_ms is None:
            self.after_ms = event.time_ms

    def held(self) -> str:
        """The positions when the interval began."""
        return "; ".join(text for leg, text in self._held.items() if self._lots[leg]) or "nothing"

    def nearest(self) -> str:
        """When something else happened."""
        near = [
            f"{word} {iso_text(time_ms)}"
            for word, time_ms in (("before", self.before_ms), ("after", self.after_ms))
            if time_ms is not None
        ]
        return f"the nearest events: {', '.join(near)} UTC" if near else "the run has no event but snapshots"


def at(run: Path, time_ms: int, *, span_ms: int = 0, data: Path | None = None) -> Story:
    """What happened in the execution bar that contains an instant (or in `span_ms` from it), and what was held when that began.

    Raises ConfigError when the instant is not of the run.
    """
    manifest = RunDir(run).read_manifest()
    length_ms = timeframe_ms(manifest.execution_timeframe or "1m")
    start_ms = time_ms if span_ms else bucket_start_ms(time_ms, length_ms)
    window = _Window(start_ms, start_ms + (span_ms or length_ms))
    for line in read_journal(RunDir(run).journal_path):
        window.see(line)
    if window.first_ms is None or not window.first_ms <= time_ms <= window.last_ms:
        first, last = iso_text(window.first_ms or 0), iso_text(window.last_ms)
        raise ConfigError(f"{iso_text(time_ms)} is not of {run}, which goes from {first} to {last} UTC")
    candles, note = _candles(run, data)
    steps = [window.account] if window.account is not None else []
    steps.append(Step(start_ms, 0, 0, "held", window.held()))
    if candles is not None:
        steps += chain.from_iterable(_bars_at(candles, symbol, start_ms) for symbol in manifest.symbols)
    nothing = "" if any(step.kind != "account" for step in window.inside) else f"nothing was done then; {window.nearest()}"
    title = f"{iso_text(start_ms)} to {iso_text(window.stop_ms)} UTC"
    return Story(title, [*steps, *window.inside], tuple(text for text in (note, nothing) if text))


def _in_order(steps: list[Step]) -> list[Step]:
    """By time; at one instant bars first, then events by their numbers, and after a fill the bar that it met."""
    return sorted(steps, key=lambda step: (step.time_ms, {"seen": 0, "met": 2}.get(step.kind, 1), step.seq))


def _candles(run: Path, data: Path | None) -> tuple[RunCandles | None, str]:
    try:
        return run_candles(run, data=data), ""
    except (DataError, ConfigError) as error:
        return None, f"no candles are shown: {str(error).partition('. ')[0]}"


def _seen(candles: RunCandles, symbol: str, time_ms: int, timeframe: str) -> Iterator[Step]:
    """The last closed bar of the signal timeframe when it was decided."""
    length_ms = max(timeframe_ms(timeframe), candles.length_ms)
    end_ms = bucket_start_ms(time_ms, length_ms)
    bars = candles.between(symbol, end_ms - length_ms, end_ms)
    if len(bars.start_ms):
        text = f"{symbol} {timeframe} bar closed {iso_text(end_ms)}: {_prices(bars)}"
        yield Step(time_ms, 0, 0, "seen", text, (DECIDED_AT_A_CLOSE,))


def _met(candles: RunCandles, fill: Fill) -> Iterator[Step]:
    """The execution bar that a fill met: for one inside a bar the bar that ends then."""
    start_ms = bucket_start_ms(fill.time_ms - (1 if fill.bar_fill else 0), candles.length_ms)
    bars = candles.between(fill.symbol, start_ms, start_ms + candles.length_ms)
    if len(bars.start_ms):
        text = f"{fill.symbol} {candles.timeframe} bar from {iso_text(start_ms)}: {_prices(bars)}"
        yield Step(fill.time_ms, 0, 0, "met", text)


def _bars_at(candles: RunCandles, symbol: str, start_ms: int) -> Iterator[Step]:
    bars = candles.between(symbol, start_ms, start_ms + candles.length_ms)
    text = _prices(bars) if len(bars.start_ms) else "no bar"
    yield Step(start_ms, 0, 0, "bar", f"{symbol} {candles.timeframe}: {text}")


def _prices(bars: CandleColumns) -> str:
    """Several bars as one."""
    open_, high, low = float(bars.open[0]), float(bars.high.max()), float(bars.low.min())
    close, volume = float(bars.close[-1]), float(bars.volume.sum())
    return f"open {open_:.10g}, high {high:.10g}, low {low:.10g}, close {close:.10g}, volume {volume:.8g}"


def _size_text(fill: Fill, lots: int) -> str:
    size = fill.qty * abs(lots) / fill.qty_lots if fill.qty_lots else fill.qty
    text = format(size, "f")
    plain = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'long' if lots > 0 else 'short'} {plain} {fill.symbol}"


def _nearest(ids: list[str], word: str) -> str:
    """The ids most like `word`, and how they are numbered."""
    near = get_close_matches(word, ids, n=_NEAR_SHOWN, cutoff=0.5) or [one for one in ids if one.endswith(f"-{word}")][:_NEAR_SHOWN]
    if near:
        return f"; did you mean {', '.join(near)}?"
    return f"; its orders are {ids[0]} to {ids[-1]}" if ids else "; it sent none"
