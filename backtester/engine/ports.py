"""What the engine needs from the outside: market data in, a journal out. Implementations stand in `data`, `audit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from backtester.domain.borrowing import InterestDue
from backtester.domain.candle import Candle
from backtester.domain.delivery import Expiry
from backtester.domain.message import Message
from backtester.domain.rule_changes import RuleChange
from backtester.domain.settlement import Settlement
from backtester.domain.vocabulary import RejectReason
from backtester.engine.topics import Published

Tick = tuple[int, Sequence[Candle], Sequence[Candle] | None]
"""(time_ms, bars, signals): execution bars that end at time_ms in symbol order; candles to decide on that end then,
in symbol order, shorter timeframe first (None: the bars themselves). Both may be empty, not both at once."""


class MarketDataSource(Protocol):
    """Candles of a run's symbols, merged in time. Nothing here may reach a strategy but delivered candles."""

    def batches(self) -> Iterator[Iterable[Tick]]:
        """Yield ticks in strictly rising time, a few hundred at a time, each batch to be walked over once and to its end
        before the next is asked for; memory does not grow with the run.
        """

    def is_even(self) -> bool:
        """Whether every tick of the batch handed out last has bars of the same symbols."""

    def bar_from(self, symbol: str, time_ms: int) -> Candle | None:
        """The execution bar of `symbol` with end_ms > time_ms that starts first: the one that contains `time_ms`, or the
        next one there is. None when there is no further bar. `time_ms` is never before the last tick yielded by more than
        one bar.
        """

    def fingerprint(self) -> str:
        """sha256 over everything delivered so far; complete after the last batch."""

    def gap_count(self) -> int:
        """Stretches of missing execution bars met so far."""

    def candle_count(self) -> int:
        """Execution bars delivered so far."""


class IndexReader(Protocol):
    """Prices of what options are on."""

    def index_e8(self, symbol: str) -> int:
        """The price of an option's underlying known now, in 1e-8 quote."""


class Quote(NamedTuple):
    """The best bid and ask [quote], as they stood from `time_ms` on."""

    time_ms: int
    bid: float
    ask: float


class QuoteReader(Protocol):
    """Stored quotes of a run's symbols; times asked of a symbol may not go back."""

    def quote_at(self, symbol: str, time_ms: int) -> Quote | None:
        """The last quote at or before `time_ms`; None where there is none."""


TRADE_MS = 1
"""A trade is handed over as a candle of its price that lasts this long."""


class FinerData(Protocol):
    """What happened inside a bar, from data that is finer than it. Asked only about bars that have ended."""

    def finer(self, bar: Candle) -> Sequence[Candle] | None:
        """The shorter candles, or the trades, that make up this bar, in order; None where they are not all stored.

        They open, reach and close where the bar does. Of each of them the same can be asked.
        """


class Journal(Protocol):
    """Takes every message in order, once."""

    def append(self, seq: int, cause: int, topic: str, message: Message) -> None:
        """Record one message; encoded before this returns, so that later changes to the object change nothing."""

    def flush(self) -> None:
        """Hand everything appended to the operating system."""

    def digest(self) -> str:
        """Hex digest of the event stream so far (logs excluded)."""


class BooksPort(Protocol):
    """What the loop asks of the account."""

    bankrupt: bool

    def on_day(self) -> Sequence[Published]:
        """A UTC day begins."""

    def on_kill(self) -> Sequence[Published]:
        """The kill switch is thrown."""

    def on_margin(self, bars: Sequence[Candle], *, at_open: bool) -> Sequence[Published]:
        """What these bars (or their opens only) do to positions that may be liquidated; called until it is nothing."""

    def on_settlement(self, settlement: Settlement | Expiry | InterestDue) -> Sequence[Published]:
        """Funding, interest, or a contract that ends, is settled now, on what is held."""

    def on_snapshot_due(self) -> Sequence[Published]:
        """The snapshot to publish now, with the invariants checked."""

    @property
    def has_daily_floor(self) -> bool:
        """Whether `on_day` is wanted at each UTC midnight."""

    def check(self) -> None:
        """Raise LedgerImbalanceError unless the books are what the fills say."""


class RulesPort(Protocol):
    """What the loop asks of whoever holds the rules in force."""

    def on_change(self, change: RuleChange) -> Sequence[Published]:
        """The rules of a symbol are other ones from now on."""


class VenuePort(Protocol):
    """What the loop asks of a simulated venue."""

    def on_arrival(self, item: Any) -> Sequence[Published]:
        """Something that was sent has arrived; what the venue reports of it."""

    def expire_all(self, reason: RejectReason) -> Sequence[Published]:
        """End every working order."""

    def close_out(self) -> Sequence[Published]:
        """Fill what was sent to close the run, at the last closes with costs."""


class Decider(Protocol):
    """A strategy as the loop sees it: an id, hooks, and an outbox for timers and notes."""

    strategy_id: str
    outbox: list[Any]
    timeframes: frozenset[str]
    on_candle: Callable[[Candle], Any]
    hooks: Mapping[str, Callable[..., Any]]
    has_tick_end: bool
    keep: Callable[[Sequence[Candle]], None]
    """Keeps the candles that close at one instant for `ctx.history`."""
    fold_history: Callable[[], None]
    """Called now and then: what was kept is put in order, and what is too old is let go."""

    def set_warming(self, warming: bool) -> None:
        """Whether candles delivered now are warm-up."""
