"""Transaction costs of every fill, told apart: delay, spread, slippage, fee; and what was missed by orders that were not filled.

    decision price   the last close when the order was decided (when its trigger was reached, for one that waited)
    arrival price    the open of the bar that contains the order's arrival, or of the next one
    typical price    (high + low + close) / 3 of the bar in which it filled: what stands for the bar's average price
    next open        the first open at or after the decision: what most backtests would have filled at

    delay + spread + slippage + fee = what was paid against the decision price (implementation shortfall, Perold 1988), exactly.

All are positive when they cost. Of a limit order that rested, everything against the arrival price is slippage (mostly a gain).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from backtester.audit.journal import JournalLine
from backtester.domain.contract_value import value
from backtester.domain.intents import ORDER_TYPES
from backtester.domain.money import e8_from_decimal, price_e8
from backtester.domain.orders import Fill, OrderAck, OrderAttached, OrderCanceled, OrderTriggered, SanitizedOrder
from backtester.domain.vocabulary import Liquidity, Side
from backtester.metrics.costs import price_paid_away
from backtester.report.trade_facts import Bars

_BPS = 10_000


class FillCost(msgspec.Struct, frozen=True, kw_only=True):
    """One fill. Prices in whole 1e-8 quote, amounts in money units (1e-16 quote); None where there is no bar to tell."""

    fill: Fill
    decision_ms: int
    arrival_ms: int
    value: int
    decision_e8: int | None
    arrival_e8: int | None
    typical_e8: int | None
    next_open_e8: int | None
    delay: int | None
    spread: int | None
    slippage: int | None
    fee: int

    @property
    def total(self) -> int | None:
        """Everything paid against the decision price."""
        if self.delay is None or self.spread is None or self.slippage is None:
            return None
        return self.delay + self.spread + self.slippage + self.fee

    def against_bps(self, reference_e8: int | None) -> float | None:
        """How much worse than a reference price it filled, in basis points of that; fees apart."""
        if not reference_e8:
            return None
        price = e8_from_decimal(self.fill.price)
        return self.fill.side.sign * (price - reference_e8) / reference_e8 * _BPS


class MissedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What an order that ended unfilled, in whole or in part, missed: its side x (close at its end - decision price) x size."""

    order_id: str
    symbol: str
    side: Side
    reason: str
    ended_ms: int
    size_e8: int
    missed: int | None


class TransactionCosts(msgspec.Struct, frozen=True, kw_only=True):
    """All fills in their order, then all orders that missed something, in the order in which they ended."""

    fills: list[FillCost]
    missed: list[MissedCost]


class _Sent:
    """What is remembered of an order that may still fill."""

    __slots__ = ("arrival_ms", "decision_ms", "side", "symbol")

    def __init__(self, symbol: str, side: Side, decision_ms: int) -> None:
        self.symbol, self.side, self.decision_ms, self.arrival_ms = symbol, side, decision_ms, decision_ms


def transaction_costs(
    lines: Iterable[JournalLine],
    *,
    bars_of: Callable[[str], Bars | None],
    length_ms: int,
    spread_bps: Decimal,
    faces: Mapping[str, int] | None = None,
) -> TransactionCosts:
    """The costs of a journal's fills. `spread_bps` is the full spread that takers paid half of; `faces` of inverse contracts."""
    prices = _Prices(bars_of, length_ms, faces or {})
    sent: dict[str, _Sent] = {}
    fills: list[FillCost] = []
    missed: list[MissedCost] = []
    for line in lines:
        message = line.event() if line.topic in _TOPICS else None
        if isinstance(message, ORDER_TYPES):
            if isinstance(message.side, Side):
                sent[message.order_id] = _Sent(message.symbol, message.side, message.time_ms)
        elif isinstance(message, SanitizedOrder):
            sent.setdefault(message.order_id, _Sent(message.symbol, message.side, message.time_ms))
        elif isinstance(message, OrderAttached):
            sent[message.order.order_id] = _Sent(message.order.symbol, message.order.side, message.time_ms)
        elif isinstance(message, OrderAck):
            if message.order_id in sent:
                sent[message.order_id].arrival_ms = message.time_ms
        elif isinstance(message, OrderTriggered):
            if message.order_id in sent:
                one = sent[message.order_id]
                one.decision_ms = one.arrival_ms = message.time_ms
        elif isinstance(message, OrderCanceled):
            if message.order_id in sent and message.open_qty:
                missed.append(_missed(sent.pop(message.order_id), message, prices))
        elif isinstance(message, Fill):
            one = sent.get(message.order_id) or _Sent(message.symbol, message.side, message.time_ms)
            fills.append(_cost(message, one, prices, spread_bps))
            if not message.open_lots:
                sent.pop(message.order_id, None)
    return TransactionCosts(fills=fills, missed=missed)


_TOPICS = frozenset(
    ("orders.intent", "orders.sanitized", "orders.ack", "orders.triggered", "orders.attached", "orders.canceled", "fills")
)


class _Prices:
    """Prices of the run's bars at instants, in whole 1e-8; None where there is no bar."""

    def __init__(self, bars_of: Callable[[str], Bars | None], length_ms: int, faces: Mapping[str, int]) -> None:
        self.faces = faces
        self._bars_of = bars_of
        self._length_ms = length_ms

    def last_close(self, symbol: str, time_ms: int) -> int | None:
        """Of the last bar that had ended by then."""
        bars = self._bars_of(symbol)
        row = -1 if bars is None else int(bars.start_ms.searchsorted(time_ms - self._length_ms, side="right")) - 1
        return None if bars is None or row < 0 else price_e8(float(bars.close[row]))

    def open_from(self, symbol: str, time_ms: int, *, containing: bool) -> int | None:
        """The open of the bar that contains the instant (or only of one that starts at it or later), else of the next."""
        bars = self._bars_of(symbol)
        if bars is None:
            return None
        row = int(bars.start_ms.searchsorted(time_ms - self._length_ms if containing else time_ms - 1, side="right"))
        return price_e8(float(bars.open[row])) if row < len(bars.start_ms) else None

    def typical(self, symbol: str, time_ms: int, *, ended: bool) -> int | None:
        """(high + low + close) / 3 of the bar that contains the instant, or, `ended`, that ended at it."""
        bars = self._bars_of(symbol)
        if bars is None:
            return None
        row = int(bars.start_ms.searchsorted(time_ms - self._length_ms, side="left" if ended else "right"))
        if row >= len(bars.start_ms):
            return None
        return (price_e8(float(bars.high[row])) + price_e8(float(bars.low[row])) + price_e8(float(bars.close[row]))) // 3


def _cost(fill: Fill, sent: _Sent, prices: _Prices, spread_bps: Decimal) -> FillCost:
    size_e8, price, sign = e8_from_decimal(fill.qty), e8_from_decimal(fill.price), fill.side.sign
    face = prices.faces.get(fill.symbol, 0)
    decision = prices.last_close(fill.symbol, sent.decision_ms)
    arrival = prices.open_from(fill.symbol, sent.arrival_ms, containing=True)
    delay = spread = slippage = None
    if decision is not None and arrival is not None:
        numerator, denominator = spread_bps.as_integer_ratio()
        half = arrival * numerator // (denominator * 2 * _BPS) if fill.liquidity is Liquidity.TAKER else 0
        signed_e8 = sign * size_e8
        delay = price_paid_away(signed_size=signed_e8, price=arrival, reference=decision, face=face)
        spread = price_paid_away(signed_size=signed_e8, price=arrival + sign * half, reference=arrival, face=face)
        slippage = price_paid_away(signed_size=signed_e8, price=price, reference=arrival, face=face) - spread
    return FillCost(
        fill=fill,
        decision_ms=sent.decision_ms,
        arrival_ms=sent.arrival_ms,
        value=value(size_e8, price, face),
        decision_e8=decision,
        arrival_e8=arrival,
        typical_e8=prices.typical(fill.symbol, fill.time_ms, ended=fill.bar_fill),
        next_open_e8=prices.open_from(fill.symbol, sent.decision_ms, containing=False),
        delay=delay,
        spread=spread,
        slippage=slippage,
        fee=fill.fee_value,
    )


def _missed(sent: _Sent, canceled: OrderCanceled, prices: _Prices) -> MissedCost:
    size_e8 = e8_from_decimal(canceled.open_qty)
    decision = prices.last_close(sent.symbol, sent.decision_ms)
    end = prices.last_close(sent.symbol, canceled.time_ms)
    missed = None
    if decision is not None and end is not None:
        face = prices.faces.get(sent.symbol, 0)
        missed = price_paid_away(signed_size=sent.side.sign * size_e8, price=end, reference=decision, face=face)
    return MissedCost(
        order_id=canceled.order_id,
        symbol=sent.symbol,
        side=sent.side,
        reason=canceled.reason.value,
        ended_ms=canceled.time_ms,
        size_e8=size_e8,
        missed=missed,
    )
