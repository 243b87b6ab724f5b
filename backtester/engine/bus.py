"""One queue, one dispatcher: what is published is handled in order, by handlers in registration order (ADR 021)."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from decimal import getcontext, setcontext  # noqa: TID251 - kept and restored around each drain, never used for calculation
from typing import Any

from backtester.domain.errors import DrainLimitError, StrategySettleError
from backtester.domain.money import CALCULATION
from backtester.engine.topics import T_LOG, T_ORDERS_INTENT, TOPICS, M, Published, Topic

_CONTEXT = CALCULATION.copy()

DEPTH_LIMIT = 64
"""How long a chain of messages may become within one instant; beyond it the modules answer each other for ever."""

_NOTED_DEPTH = DEPTH_LIMIT // 2

Handler = Callable[[M], Iterable[Published] | None]
Observer = Callable[[int, int, str, Any], None]
Entry = tuple[Topic[Any], Any, int, int, int]
"""(topic, message, seq, cause, depth) of something queued."""


class Bus:
    """Moves messages. `seq` numbers everything published; `cause` is the seq of the message that led to it (0: market data)."""

    def __init__(self) -> None:
        self.queue: deque[Entry] = deque()
        self.seq = 0
        self.current: Entry = (T_LOG, None, 0, 0, 0)
        """What is being handled: what is sent or scheduled now was caused by it."""
        self._handlers: list[list[Handler[Any]]] = [[] for _ in TOPICS]
        self._observers: list[Observer] = []
        self._observe: Observer = self._show
        """All observers: the only one itself, where there is one."""
        self._taps: dict[int, list[Callable[[Any], Awaitable[None]]]] = {}
        self._tapped: list[tuple[int, Any]] = []
        self._deep: deque[tuple[int, int, str]] = deque(maxlen=4 * DEPTH_LIMIT)

    def subscribe(self, topic: Topic[M], handler: Handler[M]) -> None:
        """From now on `handler` gets every message of `topic`, after the handlers registered before it."""
        self._handlers[topic.index].append(handler)

    def observe(self, observer: Observer) -> None:
        """From now on `observer(seq, cause, topic_name, message)` sees every message before any handler does."""
        self._observers.append(observer)
        self._observe = observer if len(self._observers) == 1 else self._show

    def _show(self, seq: int, cause: int, topic_name: str, message: Any) -> None:
        for observe in self._observers:
            observe(seq, cause, topic_name, message)

    def tap(self, topic: Topic[M], handler: Callable[[M], Awaitable[None]]) -> None:
        """From now on `handler` is awaited with each message of `topic` after the drain; it cannot publish."""
        self._taps.setdefault(topic.index, []).append(handler)

    def publish(self, topic: Topic[M], message: M, *, cause: int = 0, depth: int = 0) -> int:
        """Queue one message; its seq is returned. Nothing is handled before `drain`."""
        self.seq = seq = self.seq + 1
        self.queue.append((topic, message, seq, cause, depth))
        return seq

    def post(self, published: Iterable[Published]) -> None:
        """Queue messages that market data, or a date, has caused."""
        for topic, message in published:
            self.publish(topic, message)

    def note(self, topic: Topic[M], message: M) -> None:
        """Show a commentary to the observers at once. It takes no number of its own, so that events keep theirs without it."""
        self._observe(self.seq, self.current[2], topic.name, message)

    def hand(self, receiver: Callable[[Any], Iterable[Published]], item: Any, cause: int, depth: int) -> None:
        """Queue what `receiver` says of an item that is due; that and what it schedules was caused by message `cause`, `depth` deep
        in its instant.
        """
        self.current = (T_LOG, None, cause, 0, depth)
        queue = self.queue
        for topic, message in receiver(item):
            self.seq = seq = self.seq + 1
            queue.append((topic, message, seq, cause, depth))

    def drain(self) -> None:
        """Handle everything queued and everything that follows from it; returns with an empty queue.

        Raises DrainLimitError naming the cycle when a chain of causes grows past the depth limit.
        """
        queue, handlers, observe, taps = self.queue, self._handlers, self._observe, self._taps
        theirs = getcontext()
        setcontext(_CONTEXT)  # the text of a Decimal depends on the context; a strategy may have changed its own
        try:
            while queue:
                self.current = topic, message, seq, cause, depth = queue.popleft()
                if depth > _NOTED_DEPTH:
                    self._note_depth(seq, cause, topic.name, depth)
                observe(seq, cause, topic.name, message)
                for handler in handlers[topic.index]:
                    following = handler(message)
                    if following:
                        for next_topic, next_message in following:
                            self.seq = number = self.seq + 1
                            queue.append((next_topic, next_message, number, seq, depth + 1))
                if taps and topic.index in taps:
                    self._tapped.append((topic.index, message))
        finally:
            setcontext(theirs)

    def _note_depth(self, seq: int, cause: int, name: str, depth: int) -> None:
        self._deep.append((seq, cause, name))
        if depth > DEPTH_LIMIT:
            raise self._cycle(seq)

    @property
    def has_tapped(self) -> bool:
        """Whether messages wait for async subscribers."""
        return bool(self._tapped)

    async def flush_taps(self) -> None:
        """Await the async subscribers with what was published since the last call, in order."""
        waiting, self._tapped = self._tapped, []
        for index, message in waiting:
            for handler in self._taps[index]:
                await handler(message)

    def _cycle(self, seq: int) -> DrainLimitError | StrategySettleError:
        """The error of an endless chain: the strategy's when its intents are part of it, ours otherwise."""
        by_seq = {row[0]: row for row in self._deep}
        names: list[str] = []
        while seq in by_seq and len(names) < 8:
            _, cause, name = by_seq[seq]
            names.append(name)
            seq = cause
        cycle = f"messages answer each other for ever within one instant (more than {DEPTH_LIMIT} deep): " + " <- ".join(names)
        return StrategySettleError(cycle) if T_ORDERS_INTENT.name in names else DrainLimitError(cycle)
