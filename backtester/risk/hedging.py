"""Hedge mode at the gate: an order says which of its symbol's two positions it is about, and then opens it or only closes it."""

from __future__ import annotations

from msgspec.structs import replace

from backtester.domain.intents import OrderIntent, PositionExitsIntent
from backtester.domain.legs import leg_of
from backtester.domain.vocabulary import PositionSide, RejectReason, Side
from backtester.risk.order_validation import Refusal
from backtester.risk.readers import AccountReader

_HEDGE = 'account.position_mode = "hedge"'


def directed(intent: OrderIntent, *, hedge: bool) -> OrderIntent | Refusal:
    """The intent as the rest of Risk takes it: in hedge mode, what closes its position is reduce-only, so that it never flips.

    Refused (INVALID): a position side in one-way mode, none in hedge mode, reduce-only on what opens.
    Source: exchange_semantics.md, section 1.2 ("reduceOnly": not usable in Binance's hedge mode); Bybit `positionIdx`.
    """
    broken = side_refusal(intent, hedge=hedge)
    if broken is not None:
        return broken
    side = intent.position_side
    if side is None or intent.side is side.opens:
        if side is not None and (intent.reduce_only or getattr(intent, "close_on_trigger", False)):
            return Refusal(RejectReason.INVALID, f"a {intent.side.value} opens the {side.value} position: it cannot only reduce it")
        return intent
    return intent if intent.reduce_only else replace(intent, reduce_only=True)


def held_lots(account: AccountReader, intent: OrderIntent | PositionExitsIntent) -> int:
    """Signed lots that the intent may close: of the account, in hedge mode of its strategy on that side."""
    if intent.position_side is None:
        return account.lots[intent.symbol]
    return account.held_by(intent.strategy_id, leg_of(intent.symbol, intent.position_side))


def opened_leg(symbol: str, side: Side, *, hedge: bool) -> str:
    """The position that an order of this side enlarges, where it opens."""
    return leg_of(symbol, PositionSide.LONG if side is Side.BUY else PositionSide.SHORT) if hedge else symbol


def side_refusal(intent: OrderIntent | PositionExitsIntent, *, hedge: bool) -> Refusal | None:
    """INVALID where a position side is given in one-way mode, or is missing in hedge mode."""
    side = intent.position_side
    if not hedge:
        return Refusal(RejectReason.INVALID, f"position_side is for hedge mode: leave it out, or set {_HEDGE}") if side else None
    if side.__class__ is PositionSide:
        return None
    return Refusal(RejectReason.INVALID, "position_side must be PositionSide.LONG or PositionSide.SHORT in hedge mode")
