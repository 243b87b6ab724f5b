"""Orders that protect a position or take its profit, as a journal tells them: at which price each stood, and while which fills.

Kept are orders that wait for a trigger, trailing stops, and limit orders whose reason is TP_HIT. Others cost a look at their line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

from backtester.audit.journal import JournalLine
from backtester.domain.legs import leg_of
from backtester.domain.money import PRICE_ONE
from backtester.domain.vocabulary import OrderType, PositionSide, Side
from backtester.report.fill_book import DELIVERY_TOPIC, FILLS_TOPIC
from backtester.report.trades import Trade

_STOPS = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
_TRAILS = b'"order_type":"trailing_stop"'
_ORDER = b'{"type":"sanitized_order"'
_TARGET = b'"reason":"TP_HIT"'
_MARKET = b'"order_type":"market"'
_WATCHED = b'"watched_'
_ENDS = frozenset({"orders.canceled", "orders.rejected"})


class WaitingOrder(msgspec.Struct):
    """What is needed of such an order. Prices in ticks, 0 where it has none; `trail_e8` is a fraction in 1e-8."""

    time_ms: int
    order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    price_ticks: int = 0
    trigger_ticks: int = 0
    trail_ticks: int = 0
    trail_e8: int = 0
    reason: str = ""
    position_side: PositionSide | None = None

    @property
    def is_trailing(self) -> bool:
        """Its trigger moves."""
        return self.order_type is OrderType.TRAILING_STOP

    @property
    def is_stop(self) -> bool:
        """It ends a position at a loss, or what was left of a profit; others take a profit."""
        return self.order_type in _STOPS

    @property
    def level_ticks(self) -> int:
        """The price at which it acts: its trigger, or the limit of one without; 0 for a trailing stop."""
        return 0 if self.is_trailing else self.trigger_ticks or self.price_ticks


class Level(NamedTuple):
    """A price in ticks, from `time_ms` on, when the run had had `since` fills."""

    since: int
    time_ms: int
    ticks: int


class Life(msgspec.Struct):
    """An order and while which fills it stood: after `since` fills of the run, until fill number `until` (from 0; None: the end).

    `levels` are the prices it had. `ended_ms` is None while it stands.
    """

    order: WaitingOrder
    since: int
    levels: list[Level]
    until: int | None = None
    ended_ms: int | None = None

    def level_at(self, fill: int) -> int:
        """Its price in ticks when that fill happened; its first one if it came later."""
        return next((level.ticks for level in reversed(self.levels) if level.since <= fill), self.levels[0].ticks)


class _Started(msgspec.Struct):
    seed: int


class _Attached(msgspec.Struct):
    order: WaitingOrder


class _Watched(msgspec.Struct):
    order_id: str = ""
    watched_stop: Any = None
    watched_target: Any = None


class _Filled(msgspec.Struct):
    time_ms: int
    order_id: str
    open_lots: int


class _Ended(msgspec.Struct):
    time_ms: int
    order_id: str
    is_cancel: bool = False
    is_amend: bool = False


class _Amended(msgspec.Struct):
    time_ms: int
    order_id: str
    price_ticks: int = 0
    trigger_ticks: int = 0


_decode_started = msgspec.json.Decoder(_Started).decode
_decode_order = msgspec.json.Decoder(WaitingOrder).decode
_decode_attached = msgspec.json.Decoder(_Attached).decode
_decode_watched = msgspec.json.Decoder(_Watched).decode
_decode_filled = msgspec.json.Decoder(_Filled).decode
_decode_ended = msgspec.json.Decoder(_Ended).decode
_decode_amended = msgspec.json.Decoder(_Amended).decode


class WaitingOrders:
    """The run's seed, and its protecting orders, as the lines of a journal pass."""

    def __init__(self) -> None:
        self.seed = 0
        """That of the run; 0 where the journal does not begin with its start."""
        self.lives: dict[str, Life] = {}
        """By order id, in the order in which they were sent."""
        self.watched: dict[int, tuple[int | None, int | None]] = {}
        """By number of a fill, stop and target in money units that its strategy had watched."""
        self._watched: dict[str, tuple[int | None, int | None]] = {}
        self._filled: dict[int, str] = {}
        self._fills = 0

    def see(self, line: JournalLine) -> None:
        """Take what is of use from the next line."""
        topic = line.topic
        if topic == FILLS_TOPIC:
            if self._watched or (self.lives and _MARKET not in line.raw):
                self._fill(_decode_filled(line.raw))
            self._fills += 1
        elif topic == DELIVERY_TOPIC:
            self._fills += line.raw.startswith(b'{"type":"delivery"')
        elif topic == "orders.sanitized":
            raw = line.raw
            if _MARKET not in raw and (b'"trigger_ticks":' in raw or _TRAILS in raw or _TARGET in raw) and raw.startswith(_ORDER):
                self._keep(_decode_order(raw))
        elif topic == "orders.intent":
            if _WATCHED in line.raw:
                asked = _decode_watched(line.raw)
                self._watched[asked.order_id] = (_watched_price(asked.watched_stop), _watched_price(asked.watched_target))
        elif topic == "orders.attached":
            self._keep(_decode_attached(line.raw).order)
        elif topic == "run" and line.raw.startswith(b'{"type":"run_started"'):
            self.seed = _decode_started(line.raw).seed
        elif self.lives:
            self._change(line)

    def trigger_ticks(self, fill: int) -> int:
        """The fixed trigger of the order that was filled by that fill (from 0); 0 where it had none."""
        life = self.lives.get(self._filled.get(fill, ""))
        return life.level_at(fill) if life is not None and life.order.trigger_ticks and not life.order.is_trailing else 0

    def _keep(self, order: WaitingOrder) -> None:
        if order.order_type.is_conditional or (order.order_type is OrderType.LIMIT and order.reason == "TP_HIT"):
            self.lives[order.order_id] = Life(order, self._fills, [Level(self._fills, order.time_ms, order.level_ticks)])

    def _fill(self, fill: _Filled) -> None:
        if fill.order_id in self._watched:
            self.watched[self._fills] = self._watched[fill.order_id]
        life = self.lives.get(fill.order_id)
        if life is not None:
            self._filled[self._fills] = fill.order_id
            life.ended_ms = fill.time_ms
            if not fill.open_lots:
                life.until = self._fills

    def _change(self, line: JournalLine) -> None:
        if line.topic in _ENDS:
            ended = _decode_ended(line.raw)
            life = self.lives.get(ended.order_id)
            if life is None or ended.is_cancel or ended.is_amend:
                return
            if line.topic == "orders.rejected":  # it never stood
                del self.lives[ended.order_id]
            else:
                life.until, life.ended_ms = self._fills, ended.time_ms
        elif line.topic == "orders.amended":
            amended = _decode_amended(line.raw)
            life = self.lives.get(amended.order_id)
            if life is not None and not life.order.is_trailing:
                ticks = amended.trigger_ticks or amended.price_ticks
                life.levels.append(Level(self._fills, amended.time_ms, ticks))


def with_levels(trades: Iterable[Trade], waiting: WaitingOrders, *, tick_e8: Callable[[str], int]) -> Iterator[Trade]:
    """The same trades, each with the prices of its stop and its target where there was one.

    That is the first order on its closing side which stood when the trade began, at its price of then, or which was sent before
    the fill that ended it. A trailing stop without an activation price begins its distance away from the trade's entry price.
    Without such an order it is what the strategy says to have watched in the order that ended the trade.
    `trades` are those of each position in order; `tick_e8` is asked for symbols that have such an order.
    """
    coming: dict[str, deque[Life]] = {}
    standing: dict[str, list[Life]] = {}
    for life in waiting.lives.values():
        coming.setdefault(leg_of(life.order.symbol, life.order.position_side), deque()).append(life)
    for trade in trades:
        position = trade.leg
        later = coming.get(position)
        watched = waiting.watched.get(-1 if trade.last_fill is None else trade.last_fill)
        if later is None:
            yield trade if watched is None else msgspec.structs.replace(trade, stop_price=watched[0], target_price=watched[1])
            continue
        known = [life for life in standing.get(position, ()) if life.until is None or life.until > trade.first_fill]
        while later and (trade.last_fill is None or later[0].since <= trade.last_fill):
            life = later.popleft()
            if life.until is None or life.until > trade.first_fill:
                known.append(life)
        standing[position] = known
        closing = [life for life in known if life.order.side is not trade.side]
        stop = next((life for life in closing if life.order.is_stop), None)
        target = next((life for life in closing if not life.order.is_stop), None)
        yield msgspec.structs.replace(
            trade,
            stop_price=_level(stop, trade, tick_e8(trade.symbol)) if stop else watched and watched[0],
            target_price=_level(target, trade, tick_e8(trade.symbol)) if target else watched and watched[1],
        )


def _watched_price(given: Any) -> int | None:
    """To the nearest 1e-8, in money units; None for what is no positive number."""
    try:
        price = Decimal(str(given))
    except InvalidOperation:
        return None
    return round(price * PRICE_ONE) * PRICE_ONE if price.is_finite() and price > 0 else None


def _level(life: Life, trade: Trade, tick_e8: int) -> int | None:
    order = life.order
    if not order.is_trailing:
        return life.level_at(trade.first_fill) * tick_e8 * PRICE_ONE
    if order.trigger_ticks:
        return None
    away = order.trail_ticks * tick_e8 * PRICE_ONE or trade.entry_price * order.trail_e8 // PRICE_ONE
    return trade.entry_price - trade.side.sign * away
