"""The exits of a whole position, as Risk passes them."""

from __future__ import annotations

from backtester.domain.errors import InvalidPriceError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import PositionExitsIntent
from backtester.domain.orders import SanitizedExits
from backtester.domain.rounding import price_ticks
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import SELL, SPOT, RejectReason, Side
from backtester.risk.hedging import held_lots, side_refusal
from backtester.risk.order_validation import NO_CONDITIONS, Refusal, trigger_price_of
from backtester.risk.readers import AccountReader


def sanitized_exits(
    intent: PositionExitsIntent, spec: SymbolSpec, *, account: AccountReader, rules: VenueRules, hedge: bool, now_ms: int
) -> SanitizedExits | Refusal:
    """The exits of the position that is held now, in whole ticks, or why there can be none."""
    broken = side_refusal(intent, hedge=hedge)
    if broken is not None:
        return broken
    held = held_lots(account, intent)
    if spec.market is SPOT:
        return Refusal(RejectReason.INVALID, "a spot account has no positions: send an OCO")
    if spec.option is not None:
        return NO_CONDITIONS
    if not held:
        return Refusal(RejectReason.REDUCE_ONLY, "there is no position that they would close")
    side = Side.SELL if held > 0 else Side.BUY
    ticks = round_exits(intent, spec, side=side)
    if isinstance(ticks, Refusal):
        return ticks
    target, stop = ticks
    by = trigger_price_of(intent.trigger_by, rules)
    if isinstance(by, Refusal):
        return by
    names = (intent.order_id, intent.strategy_id, intent.symbol)
    return SanitizedExits(now_ms, *names, side, target, stop, by, intent.position_side)


def round_exits(intent: PositionExitsIntent, spec: SymbolSpec, *, side: Side) -> tuple[int, int] | Refusal:
    """(take-profit, stop-loss) of a position that `side` closes, in ticks, each rounded so that it is reached later; 0 is none."""
    try:
        target = price_ticks(intent.take_profit, spec=spec, side=side) if intent.take_profit is not None else 0
        stop = price_ticks(intent.stop_loss, spec=spec, side=side.opposite) if intent.stop_loss is not None else 0
    except InvalidPriceError as error:
        return Refusal(RejectReason.INVALID, str(error))
    if target and stop and (target <= stop if side is SELL else target >= stop):
        order = "stop_loss < take_profit of a long" if side is SELL else "take_profit < stop_loss of a short"
        return Refusal(RejectReason.INVALID, f"prices must be {order} position")
    return target, stop
