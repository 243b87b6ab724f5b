"""Events of a journal in words: what was decided, passed, refused, acknowledged, filled, ended, and by which rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from backtester.audit.journal import JournalLine
from backtester.domain.account import AccountSnapshot
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.deposits import CashDeposited, CoinsDeposited
from backtester.domain.intents import AmendOrderIntent, CancelAllIntent, CancelOrderIntent, Intent, PositionExitsIntent
from backtester.domain.orders import (
    Fill,
    LiquidationOrder,
    OrderAck,
    OrderAmended,
    OrderAttached,
    OrderCanceled,
    OrderRefused,
    OrderRejected,
    OrderTriggered,
    SanitizedAmend,
    SanitizedCancel,
    SanitizedExits,
    SanitizedOrder,
)
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.run_events import ControlEvent, LogEvent
from backtester.domain.settlement import FundingPaid
from backtester.report.named_rules import CANCEL_ON_ITS_WAY, Rule, rules_of

_STAMPED = frozenset({"type", "order_id", "strategy_id", "time_ms", "symbol", "side", "qty"})
_WITH_ORDER = frozenset({"orders.attached", "orders.liquidation"})
"""Topics whose messages hold the order that they are about."""
_AMENDED = ("qty_lots", "price_ticks", "trigger_ticks")
_SAYS_NOTHING = (None, "", 0, "gtc")
"""A tuple: what a strategy made need not be hashable."""


class Step(NamedTuple):
    """One event in words; `seq` 0 for what is no event. `tone` is good, bad, warn or empty."""

    time_ms: int
    seq: int
    cause: int
    kind: str
    text: str
    rules: tuple[Rule, ...] = ()
    tone: str = ""


def step_of(line: JournalLine) -> Step:
    """The line in words. Raises JournalError when it is no event."""
    event = line.event()
    kind, text, tone = _told(event)
    rules = (CANCEL_ON_ITS_WAY,) if isinstance(event, SanitizedCancel) else rules_of(event)
    return Step(event.time_ms, line.seq, line.cause, kind, text, rules, tone)


def story_of(read: Callable[[], Iterable[JournalLine]], order_id: str) -> list[JournalLine]:
    """The lines about an order, those that led to them, and its strategy's notes of the instant in which it was decided, in order.

    `read` gives the journal from its beginning, as often as needed. Empty where no line names the order.
    """
    named = f'"{order_id}"'.encode()
    found = {line.seq: line for line in read() if line.topic != "logs" and named in line.raw and _is_about(line, order_id)}
    if not found:
        return []
    wanted = {line.cause for line in found.values() if line.cause} - found.keys()
    while wanted:
        found.update({line.seq: line for line in read() if line.topic != "logs" and line.seq in wanted})
        wanted = {line.cause for line in found.values() if line.cause} - found.keys() - wanted
    first = found[min(found)].event()
    decided_ms, strategy_id = first.time_ms, getattr(first, "strategy_id", "")
    notes = [line for line in read() if line.topic == "logs" and _is_note(line, decided_ms, strategy_id)]
    return sorted((*found.values(), *notes), key=lambda line: (line.seq, line.topic != "logs"))


def order_ids(lines: Iterable[JournalLine]) -> list[str]:
    """The id of every order that was asked for or attached, once, in order."""
    ids: dict[str, None] = {}
    for line in lines:
        if line.topic == "orders.intent":
            ids[_decode_id(line.raw).order_id] = None
        elif line.topic in {"orders.sanitized", "orders.refused", "fills"}:
            ids.setdefault(_decode_id(line.raw).order_id)
        elif line.topic in _WITH_ORDER:
            ids[_decode_attached(line.raw).order.order_id] = None
    ids.pop("", None)
    return list(ids)


class _WithId(msgspec.Struct):
    order_id: str = ""


class _WithOrder(msgspec.Struct):
    order: _WithId


_decode_id = msgspec.json.Decoder(_WithId).decode
_decode_attached = msgspec.json.Decoder(_WithOrder).decode


def _is_about(line: JournalLine, order_id: str) -> bool:
    if line.topic in _WITH_ORDER:
        return _decode_attached(line.raw).order.order_id == order_id
    return _decode_id(line.raw).order_id == order_id


def _is_note(line: JournalLine, time_ms: int, strategy_id: str) -> bool:
    event = line.event()
    return isinstance(event, LogEvent) and event.time_ms == time_ms and event.strategy_id == strategy_id


def _told(event: Any) -> tuple[str, str, str]:
    """(what happened, in words, tone)."""
    if isinstance(event, CancelOrderIntent):
        return "decided", f"{event.strategy_id} asks to cancel {event.order_id}", ""
    if isinstance(event, CancelAllIntent):
        return "decided", f"{event.strategy_id} asks to cancel all orders{f' of {event.symbol}' if event.symbol else ''}", ""
    if isinstance(event, AmendOrderIntent):
        return (
            "decided",
            f"{event.strategy_id} asks to change {event.order_id}{_changes(event, 'qty', 'price', 'trigger_price')}",
            "",
        )
    if isinstance(event, PositionExitsIntent):
        asked = _changes(event, "take_profit", "stop_loss") or " (none)"
        return "decided", f"{event.order_id}: these exits for the position in {event.symbol}, and no others{asked}", ""
    if isinstance(event, Intent):
        return "decided", _intent_text(event), ""
    if isinstance(event, SanitizedOrder):
        return "passed by Risk", f"{event.order_id}: {_order_text(event)}", ""
    if isinstance(event, SanitizedExits):
        levels = _changes(event, "take_profit_ticks", "stop_loss_ticks") or " (none)"
        return "passed by Risk", f"{event.order_id}: {event.side.value} exits for the position in {event.symbol}{levels}", ""
    if isinstance(event, SanitizedCancel):
        return "passed by Risk", f"request to cancel {event.order_id}", ""
    if isinstance(event, SanitizedAmend):
        return "passed by Risk", f"request to change {event.order_id}{_changes(event, *_AMENDED)}", ""
    if isinstance(event, OrderAttached):
        return "attached", f"{event.order.order_id}: {_order_text(event.order)}, live at the venue from now on", ""
    return _venue_told(event)


def _venue_told(event: Any) -> tuple[str, str, str]:
    if isinstance(event, OrderRefused):
        return "refused by Risk", f"{event.order_id}: {event.reason.value}: {event.detail}", "bad"
    if isinstance(event, OrderRejected):
        what = "the request to cancel " if event.is_cancel else "the request to change " if event.is_amend else ""
        code = f" (the venue's code: {event.code})" if event.code else ""
        return "rejected", f"{what}{event.order_id}: {event.reason.value}: {event.detail}{code}", "bad"
    if isinstance(event, OrderAmended):
        place = "it keeps its place" if event.keeps_place else "it lost its place"
        return "amended", f"{event.order_id}: {event.open_lots:,} lots open, {place}{_changes(event, *_AMENDED)}", ""
    if isinstance(event, OrderAck):
        return "acknowledged", f"{event.order_id} {'waits for its trigger' if event.is_waiting else 'works'} at the venue", ""
    if isinstance(event, LiquidationOrder):
        return "liquidated", _liquidation_text(event), "bad"
    if isinstance(event, OrderTriggered):
        return "triggered", f"{event.order_id}: the price has reached its trigger", ""
    if isinstance(event, OrderCanceled):
        return "ended", f"{event.order_id}: {event.status.value}, {event.reason.value}, {_plain(event.open_qty)} unfilled", "warn"
    if isinstance(event, Fill):
        return "filled", _fill_text(event), "good"
    if isinstance(event, FundingPaid):
        word = "received" if event.amount > 0 else "paid"
        amount, size, mark = _plain(abs(event.amount)), _plain(event.qty), _plain(event.mark)
        return "funding", f"{event.leg}: {amount} {word} on {size} at {mark}, rate {_plain(event.rate)}", ""
    if isinstance(event, InterestCharged):
        amount, owed = _plain(event.amount), _plain(event.owed)
        of = f"{event.asset} ({event.symbol})" if event.symbol else event.asset
        return "interest", f"{amount} on {owed} {of} owed, rate {_plain(event.rate)} an hour", ""
    if isinstance(event, CoinsDeposited):
        return (
            "brought",
            f"the account begins with {_plain(event.qty)} {event.asset} ({event.symbol}) at {_plain(event.price)}",
            "",
        )
    if isinstance(event, CashDeposited):
        return "brought", f"the account begins with {_plain(event.amount)} {event.asset}", ""
    if isinstance(event, ContractSettled):
        last = ", the last close there was" if event.is_last else ""
        return "expired", f"{event.symbol} is settled at {_plain(event.settlement_price)}{last}", "warn"
    if isinstance(event, Delivery):
        size, price, fee = _plain(event.qty), _plain(event.price), _plain(event.fee)
        return (
            "delivered",
            f"{event.fill_id}: {event.side.value} {size} {event.leg} at {price}, fee {fee} {event.fee_asset}",
            "good",
        )
    if isinstance(event, RulesChanged):
        changes = _facts({name: f"{before} -> {event.after[name]}" for name, before in event.before.items()})
        return "rules", f"{event.symbol}: {'trading has ended' if event.ended else 'other rules hold'}{changes}", "warn"
    if isinstance(event, ControlEvent):
        return "switched", f"{event.action.value}: {event.detail}", "warn"
    if isinstance(event, LogEvent):
        return "noted", f"{event.strategy_id}: {event.event}{_facts(event.facts)}", ""
    if isinstance(event, AccountSnapshot):
        return "account", f"equity {_plain(event.equity)}, cash {_plain(event.cash)}, unrealised {_plain(event.unrealised_pnl)}", ""
    return "run", type(event).__name__, ""


def _intent_text(intent: Intent) -> str:
    fields = msgspec.to_builtins(intent)
    kind = fields["type"].replace("_", " ")
    rest = {name: value for name, value in fields.items() if name not in _STAMPED and value not in _SAYS_NOTHING}
    side = fields["side"]
    size = f" {fields['qty']}" if "qty" in fields else ""  # by value, or as much as the position
    return f"{intent.order_id}: {kind}, {side}{size} {intent.symbol}{_facts(rest)}"


def _order_text(order: SanitizedOrder) -> str:
    fields = {
        "price_ticks": order.price_ticks,
        "trigger_ticks": order.trigger_ticks,
        "trail_ticks": order.trail_ticks,
        "trail_bps": order.trail_e8 and _plain(Decimal(order.trail_e8) / 10**4),
        "take_profit_ticks": order.take_profit_ticks,
        "stop_loss_ticks": order.stop_loss_ticks,
        "tif": "" if order.tif.value == "gtc" else order.tif.value,
        "reduce_only": order.reduce_only,
        "post_only": order.post_only,
    }
    kind = order.order_type.value.replace("_", " ")
    said = _facts({name: value for name, value in fields.items() if value})
    return f"{kind}, {order.side.value} {order.qty_lots:,} lots of {order.leg}{said}"


def _liquidation_text(event: LiquidationOrder) -> str:
    order, price = event.order, event.liquidation_price
    reached = f"has reached the liquidation price {_plain(price)}" if price is not None else "leaves the account short of margin"
    lost = f"; the insurance fund bears {_plain(event.gap_loss)}" if event.gap_loss else ""
    at = f"{event.price_ticks:,} ticks" if event.price_ticks else "the market"
    size = f"{order.side.value} {order.qty_lots:,} lots of {order.symbol} at {at}"
    return f"{order.order_id}: {size}; the mark {_plain(event.mark)} {reached} ({'cross' if event.is_cross else 'isolated'}){lost}"


def _fill_text(fill: Fill) -> str:
    inside = " inside the bar that ends now" if fill.bar_fill else ""
    left = f", {fill.open_lots:,} lots left" if fill.open_lots else ""
    size = ", larger than its share of the volume" if fill.over_share else ""
    note = f", {fill.note.value}" if fill.note.value else ""
    return (
        f"{fill.order_id}: {fill.side.value} {_plain(fill.qty)} {fill.leg} at {_plain(fill.price)} as "
        f"{fill.liquidity.value}{inside}, fee {_plain(fill.fee)} {fill.fee_asset}{left}{size}{note}"
    )


def _changes(event: object, *names: str) -> str:
    return _facts({name: value for name in names if (value := getattr(event, name)) not in _SAYS_NOTHING})


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _facts(facts: dict[str, Any]) -> str:
    parts: Sequence[str] = [name if value is True else f"{name}={value}" for name, value in facts.items()]
    return f" ({', '.join(parts)})" if parts else ""
