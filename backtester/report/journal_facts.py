"""What only the journal of a run knows: refusals with an example, stops and how long they stood, funding paid."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from backtester.audit.events import decode_deposit
from backtester.audit.journal import JournalLine, read_journal
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import JournalError, StorageError
from backtester.domain.money import PRICE_ONE
from backtester.domain.vocabulary import Side
from backtester.report.fill_book import BALANCES_TOPIC, FILLS_TOPIC, FUNDING_TOPIC
from backtester.report.waiting_orders import WaitingOrders

_REFUSERS = {"orders.refused": "Risk", "orders.rejected": "venue"}


class Refusals(msgspec.Struct):
    """Orders that were refused for one reason by `who`; `example` is what was said of the first."""

    who: str
    reason: str
    count: int
    symbols: list[str]
    example: str


class Stop(msgspec.Struct):
    """A stop or take-profit that stood at `price` from `from_ms` until `to_ms` (None: when the journal ends)."""

    symbol: str
    price: float
    is_stop: bool
    from_ms: int
    to_ms: int | None


class TrailingStop(msgspec.Struct):
    """A stop that followed the market from `from_ms` until `to_ms` (None: when the journal ends), `distance` or `fraction` behind.

    `activation` is 0 where it followed at once.
    """

    symbol: str
    side: Side
    distance: float
    fraction: float
    activation: float
    from_ms: int
    to_ms: int | None


class JournalFacts(msgspec.Struct, frozen=True):
    """What was read until the journal ended, or until `problem`, which is empty where nothing was wrong.

    `payments` are (time_ms, symbol, quote received), `coins` (time_ms, symbol, quantity, price) of what was held at the
    start. `events` counts messages but notes.
    """

    refusals: list[Refusals]
    stops: list[Stop]
    trails: list[TrailingStop]
    payments: list[tuple[int, str, float]]
    events: int
    fills: int
    last_ms: int
    problem: str
    coins: list[tuple[int, str, float, float]] = []

    def refusals_by_reason(self) -> dict[str, int]:
        """How many orders were refused for each reason, most frequent first."""
        found: dict[str, int] = {}
        for one in self.refusals:
            found[one.reason] = found.get(one.reason, 0) + one.count
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


class _Refused(msgspec.Struct):
    symbol: str
    reason: str
    detail: str = ""
    is_cancel: bool = False


class _FillFacts(msgspec.Struct):
    time_ms: int
    order_id: str
    symbol: str
    price: Decimal
    price_ticks: int


class _Paid(msgspec.Struct):
    time_ms: int
    symbol: str
    amount: Decimal


class _Timed(msgspec.Struct):
    time_ms: int


_decode_refused = msgspec.json.Decoder(_Refused).decode
_decode_fill = msgspec.json.Decoder(_FillFacts).decode
_decode_paid = msgspec.json.Decoder(_Paid).decode
_decode_timed = msgspec.json.Decoder(_Timed).decode


def journal_facts(path: Path) -> JournalFacts:
    """What the journal in `path` tells; a journal that is missing, cut off or broken tells what it can, and the problem."""
    reading = _Reading()
    problem = ""
    try:
        for line in read_journal(path):
            reading.see(line)
    except (JournalError, StorageError) as error:
        problem = str(error)
    except (msgspec.MsgspecError, ValueError) as error:
        problem = f"{path}: an event is not as a run writes it: {error}"
    return reading.facts(problem)


class _Reading:
    """One pass over a journal."""

    def __init__(self) -> None:
        self._waiting = WaitingOrders()
        self._refusals: dict[tuple[str, str], Refusals] = {}
        self._payments: list[tuple[int, str, float]] = []
        self._coins: list[tuple[int, str, float, float]] = []
        self._tick: dict[str, Decimal] = {}
        self._events = self._fills = 0
        self._last: JournalLine | None = None

    def see(self, line: JournalLine) -> None:
        """Take what is of use from the next line."""
        self._waiting.see(line)
        topic = line.topic
        if topic == "logs":
            return
        self._events += 1
        self._last = line
        if topic == FILLS_TOPIC:
            self._fill(_decode_fill(line.raw))
        elif topic == FUNDING_TOPIC:
            paid = _decode_paid(line.raw)
            self._payments.append((paid.time_ms, paid.symbol, float(paid.amount)))
        elif topic == BALANCES_TOPIC:
            coins = decode_deposit(line.raw)
            if isinstance(coins, CoinsDeposited):
                self._coins.append((coins.time_ms, coins.symbol, float(coins.qty), float(coins.price)))
        elif topic in _REFUSERS:
            self._refuse(_REFUSERS[topic], _decode_refused(line.raw))

    def facts(self, problem: str) -> JournalFacts:
        """What was found."""
        refusals = sorted(self._refusals.values(), key=lambda one: (-one.count, one.who, one.reason))
        last_ms = _decode_timed(self._last.raw).time_ms if self._last is not None and b'"time_ms"' in self._last.raw else 0
        return JournalFacts(
            refusals,
            list(self._stops()),
            list(self._trails()),
            self._payments,
            self._events,
            self._fills,
            last_ms,
            problem,
            self._coins,
        )

    def _fill(self, fill: _FillFacts) -> None:
        self._fills += 1
        if fill.price_ticks > 0:
            self._tick.setdefault(fill.symbol, fill.price / fill.price_ticks)

    def _refuse(self, who: str, refused: _Refused) -> None:
        reason = refused.reason + (" (of a cancel)" if refused.is_cancel else "")
        found = self._refusals.get((who, reason))
        if found is None:
            self._refusals[who, reason] = Refusals(who, reason, 1, [refused.symbol], refused.detail)
            return
        found.count += 1
        if refused.symbol not in found.symbols:
            found.symbols.append(refused.symbol)

    def _stops(self) -> Iterator[Stop]:
        """In the order in which they were placed; those of symbols without a fill protected nothing."""
        for life in self._waiting.lives.values():
            order, tick = life.order, self._tick.get(life.order.symbol)
            if tick is None or order.is_trailing:
                continue
            untils = [*(level.time_ms for level in life.levels[1:]), life.ended_ms]
            for level, until_ms in zip(life.levels, untils, strict=True):
                yield Stop(order.symbol, float(tick * level.ticks), order.is_stop, level.time_ms, until_ms)

    def _trails(self) -> Iterator[TrailingStop]:
        """In the order in which they were placed, as the stops."""
        for life in self._waiting.lives.values():
            order, tick = life.order, self._tick.get(life.order.symbol)
            if tick is None or not order.is_trailing:
                continue
            distance, activation = float(tick * order.trail_ticks), float(tick * order.trigger_ticks)
            yield TrailingStop(
                order.symbol, order.side, distance, order.trail_e8 / PRICE_ONE, activation, order.time_ms, life.ended_ms
            )
