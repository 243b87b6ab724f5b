"""The gate: every intent passes here, and leaves as a sanitized order or as a refusal with its reason.

Fails closed: what is not known to be allowed is refused. But no rail refuses an order that reduces a position, except for
tick, lot, minimum quantity or an unknown symbol: a trader must always be able to get out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from backtester.domain.contract_value import falls_with_price
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import (
    ORDER_TYPES,
    AmendOrderIntent,
    AnyIntent,
    CancelAllIntent,
    CancelOrderIntent,
    MarketOrderIntent,
    OcoOrderIntent,
    OrderIntent,
    PositionExitsIntent,
)
from backtester.domain.money import FEE_STEP, PRICE_ONE, ceil_div, price_e8
from backtester.domain.orders import (
    Fill,
    OrderAmended,
    OrderCanceled,
    OrderRefused,
    OrderRejected,
    SanitizedOrder,
)
from backtester.domain.run_events import ControlEvent
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import BUY, LAST, MARKET_ORDER, SELL, SPOT, RejectReason, Side, TriggerBy
from backtester.engine.clock import Clock
from backtester.engine.topics import T_CONTROL, T_ORDERS_REFUSED, T_ORDERS_SANITIZED, Published, on
from backtester.risk.amending import Amendments
from backtester.risk.exposure import ExposureRails
from backtester.risk.halting import Halting
from backtester.risk.hedging import directed, held_lots, opened_leg
from backtester.risk.limits import RiskLimits
from backtester.risk.order_rate import TokenBucket
from backtester.risk.order_validation import (
    NO_CONDITIONS,
    OrderRounding,
    Refusal,
    Rounded,
    check_collar,
    check_life,
    check_opening_size,
    missing_text,
)
from backtester.risk.position_exits import sanitized_exits
from backtester.risk.readers import AccountReader, BorrowReader, OrderReader, PortfolioReader
from backtester.risk.reservations import Reservations, spent_by
from backtester.risk.sanitizing import bare_order, sanitized_order
from backtester.risk.several_assets import SeveralAssets
from backtester.risk.sizing import Sized, is_unsized, sized

_FEE_DIVISOR = PRICE_ONE * FEE_STEP
"""Of value x fee rate: the fee in whole 1e-8."""
_PARTS_MAX = 10_000
"""A spot buy filled in parts pays for each rounding of value and fee: held for as many parts as this, where there is cash."""


class RiskGate:
    """Subscribes to intents; answers each with sanitized orders or refusals. Holds reservations and the halted state."""

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        limits: RiskLimits,
        account: AccountReader,
        orders: OrderReader,
        marks: Mapping[str, float],
        clock: Clock,
        rules: Mapping[str, VenueRules] | None = None,
        trigger_prices: Callable[[str, TriggerBy], None],
        borrowing: BorrowReader | None = None,
        portfolio: PortfolioReader | None = None,
        rounding: OrderRounding | None = None,
    ) -> None:
        self._borrowing = borrowing
        self.reservations = Reservations()
        self._portfolio = portfolio
        self._shared = None if portfolio is None else SeveralAssets(portfolio, self.reservations, orders)
        self._specs = specs
        self._rules = rules or {}
        self._trigger_prices = trigger_prices
        self._limits = limits
        self._market_e8 = PRICE_ONE + limits.market_e8
        """What a market order may cost more than the last price, as a factor."""
        self._account = account
        self._hedge = limits.hedge
        self._orders = orders
        self._marks = marks
        self._clock = clock
        self.rounding = rounding or OrderRounding(self._rules)
        self._halting = Halting(account=account, orders=orders, clock=clock)
        self._exposure: ExposureRails | None = None
        if limits.exposure.any:
            self._exposure = ExposureRails(
                limits=limits.exposure,
                specs=specs,
                account=account,
                orders=orders,
                marks=marks,
                hedge=limits.hedge,
                told=portfolio.told if portfolio is not None else None,
            )
        rate = limits.orders_per_second_e8
        self._bucket = TokenBucket(per_second_e8=rate, burst=limits.order_burst, now_ms=clock.now_ms) if rate is not None else None
        self._has_rails = (
            limits.max_open_orders is not None
            or limits.max_position is not None
            or bool(limits.margin)
            or self._exposure is not None
            or self._bucket is not None
        )
        """Whether an order that opens has more to pass than its size, its price and the cash for it."""
        self.amendments = Amendments(
            specs=specs,
            rules=self._rules,
            account=account,
            orders=orders,
            marks=marks,
            clock=clock,
            reservations=self.reservations,
            reserve=self._reserve,
            entry_rails=self._amended_rails,
        )

    # -- intents -----------------------------------------------------------------------------------------------------

    def on_intent(self, intent: AnyIntent) -> Sequence[Published]:
        """One sanitized order or cancel per order asked for, or one refusal."""
        if intent.__class__ is MarketOrderIntent or isinstance(intent, ORDER_TYPES):
            return self._order(intent)
        if isinstance(intent, CancelAllIntent):
            working = self._orders.working(strategy_id=intent.strategy_id, symbol=intent.symbol or None)
            own = [row for row in working if not self._halting.is_own(row.order_id)]
            return [self._halting.cancel_message(row.order_id, intent.strategy_id, row.symbol) for row in own]
        if isinstance(intent, PositionExitsIntent):
            return self._exits(intent)
        if isinstance(intent, AmendOrderIntent):
            outcome = self._is_ours(intent) or self.amendments.sanitized(intent)
            if isinstance(outcome, Refusal):
                return (*self._told(intent.symbol, outcome), *self._refuse(intent, outcome))
            return (on(T_ORDERS_SANITIZED, outcome),)
        return self._cancel(intent)

    def _exits(self, intent: PositionExitsIntent) -> Sequence[Published]:
        """A position's own exits only ever close: no rail stands in their way."""
        spec = self._specs.get(intent.symbol)
        if spec is None:
            return self._refuse(intent, Refusal(RejectReason.UNKNOWN_SYMBOL, f"{intent.symbol!r} is not in this run"))
        if any(self._orders.is_used(f"{intent.order_id}{tail}") for tail in ("", "-sl", "-tp")):
            return self._refuse(intent, Refusal(RejectReason.DUPLICATE_ID, f"order id {intent.order_id!r} was used before"))
        rules, now_ms = self._rules.get(intent.symbol, GENERIC), self._clock.now_ms
        exits = sanitized_exits(intent, spec, account=self._account, rules=rules, hedge=self._hedge, now_ms=now_ms)
        if isinstance(exits, Refusal):
            return self._refuse(intent, exits)
        self._require_prices(intent.symbol, exits.trigger_by)
        return (on(T_ORDERS_SANITIZED, exits),)

    def _is_ours(self, intent: CancelOrderIntent | AmendOrderIntent) -> Refusal | None:
        if self._halting.is_own(intent.order_id):
            return Refusal(RejectReason.HALTED, f"order {intent.order_id!r} closes a position for a switch of [risk]")
        return None

    def _cancel(self, intent: CancelOrderIntent) -> Sequence[Published]:
        if self._orders.owner(intent.order_id) != intent.strategy_id:
            detail = f"order {intent.order_id!r} is not working: filled, ended or never sent"
            return self._refuse(intent, Refusal(RejectReason.UNKNOWN_ORDER, detail))
        ours = self._is_ours(intent)
        if ours is not None:
            return self._refuse(intent, ours)
        return (self._halting.cancel_message(intent.order_id, intent.strategy_id, intent.symbol),)

    def _order(self, intent: OrderIntent) -> Sequence[Published]:
        symbol = intent.symbol
        spec = self._specs.get(symbol)
        if spec is None:
            return self._refuse(intent, Refusal(RejectReason.UNKNOWN_SYMBOL, f"{symbol!r} is not in this run"))
        if spec.expires_ms is not None and self._clock.now_ms >= spec.expires_ms:
            return self._refuse(intent, Refusal(RejectReason.NOT_TRADABLE, f"{symbol} has expired"))
        if self._orders.is_used(intent.order_id) or (
            intent.__class__ is OcoOrderIntent and self._orders.is_used(f"{intent.order_id}-stop")
        ):
            return self._refuse(intent, Refusal(RejectReason.DUPLICATE_ID, f"order id {intent.order_id!r} was used before"))
        known = None if self._hedge else self.rounding.known(intent, spec)
        if known is not None:
            rounded, held = known, self._account.lots[symbol]
        else:
            shaped = self._shaped(intent, spec)
            if isinstance(shaped, Refusal):
                return self._refuse(intent, shaped)
            intent, rounded = shaped
            held = held_lots(self._account, intent)
        side = intent.side
        opposite = held > 0 if side is SELL else held < 0
        budget_e8 = 0
        if intent.reduce_only:
            if not opposite and not rounded.waits:  # what waits may be there before its position
                return self._refuse(intent, Refusal(RejectReason.REDUCE_ONLY, "there is no position that this order would reduce"))
        elif not opposite or rounded.qty_lots > abs(held):
            opening_lots = rounded.qty_lots - abs(held) if opposite else rounded.qty_lots
            need = self._opening(intent, rounded, spec, opening_lots)
            if type(need) is Refusal:
                return (*self._told(symbol, need), *self._refuse(intent, need))
            if self._exposure is not None:
                self._exposure.has_begun(symbol, None)
            self.reservations.hold(intent.order_id, need, rounded.qty_lots)
            if spec.market is SPOT and side is BUY:
                budget_e8 = need // FEE_STEP
        if known is not None:
            return ((T_ORDERS_SANITIZED, bare_order(intent, MARKET_ORDER, rounded, self._clock.now_ms, budget_e8)),)
        self._require_prices(symbol, rounded.trigger_by)
        return ((T_ORDERS_SANITIZED, sanitized_order(intent, rounded, now_ms=self._clock.now_ms, budget_e8=budget_e8)),)

    def _shaped(self, intent: OrderIntent, spec: SymbolSpec) -> tuple[OrderIntent, Rounded] | Refusal:
        """The intent with its size, and as whole lots and ticks; or what forbids an order of this form."""
        if self._hedge or intent.position_side is not None:
            outcome = directed(intent, hedge=self._hedge)
            if isinstance(outcome, Refusal):
                return outcome
            intent = outcome
        rules = self._rules.get(spec.symbol, GENERIC)
        size: Sized | Refusal | None = None
        if is_unsized(intent):
            held = held_lots(self._account, intent)
            size = sized(intent, spec=spec, rules=rules, held_lots=held, mark=self._marks.get(spec.symbol))
            if isinstance(size, Refusal):
                return size
            intent = size.intent
        rounded = self.rounding.round(intent, spec)
        if isinstance(rounded, Refusal):
            return rounded
        if isinstance(size, Sized):
            rounded = replace(rounded, quote_e8=size.quote_e8, follows_position=size.follows)
        if spec.option is not None and rounded.has_condition:
            return NO_CONDITIONS
        broken = check_life(intent, rules=rules, now_ms=self._clock.now_ms)
        return (intent, rounded) if broken is None else broken

    def _require_prices(self, symbol: str, by: TriggerBy) -> None:
        """An order that waits for a price which the run does not have ends the run: the last price would be another order."""
        if by is not LAST:
            self._trigger_prices(symbol, by)

    def _opening(self, intent: OrderIntent, rounded: Rounded, spec: SymbolSpec, opening_lots: int) -> int | Refusal:
        """Money units to reserve for an order that opens, or the first rail that it breaks."""
        side, is_spot = intent.side, spec.market is SPOT
        if not spec.tradable:
            return Refusal(RejectReason.NOT_TRADABLE, f"{spec.symbol} is not tradable now")
        if self._halting.reason is not None:
            return Refusal(self._halting.reason, self._halting.detail)
        if is_spot and side is SELL and self._borrowing is None:
            return Refusal(RejectReason.SHORT_SPOT, "a spot account cannot sell more than it holds")
        mark = self._marks.get(spec.symbol)
        if mark is None:
            return Refusal(RejectReason.NO_PRICE, f"{spec.symbol} has no price yet")
        mark_e8 = price_e8(mark)
        is_limit = rounded.price_ticks > 0
        order_e8 = (rounded.price_ticks or rounded.trigger_ticks) * spec.tick_e8 or mark_e8
        broken = check_opening_size(rounded, spec, side, order_e8, mark_e8)
        if is_limit and broken is None and not rounded.waits and self._limits.collar_e8 is not None:
            broken = check_collar(side=side, price_e8=order_e8, mark_e8=mark_e8, collar_e8=self._limits.collar_e8)
        if broken is None and self._has_rails:
            broken = self._count_rails(spec, side, rounded, price_e8_=order_e8)
        if broken is not None:
            return broken
        if not is_spot:
            if rounded.waits:
                return 0  # margin is asked for at the trigger (exchange_semantics.md, section 1.1)
        elif rounded.oco_trigger_ticks:  # a buy holds what the dearer of the two may cost
            is_limit = rounded.oco_price_ticks > 0
            order_e8 = max(rounded.price_ticks, rounded.oco_price_ticks or rounded.oco_trigger_ticks) * spec.tick_e8
        return self._reserve(spec, rounded, opening_lots, order_e8, is_limit, side)

    def _count_rails(self, spec: SymbolSpec, side: Side, rounded: Rounded, *, price_e8_: int) -> Refusal | None:
        limits = self._limits
        count = self._orders.count() + bool(rounded.oco_trigger_ticks)  # which is two
        if limits.max_open_orders is not None and count >= limits.max_open_orders:
            return Refusal(RejectReason.MAX_OPEN_ORDERS, f"{limits.max_open_orders} orders are working already")
        value = spec.value(rounded.qty_lots, price_e8_) if spec.face else rounded.qty_lots * spec.lot_e8 * price_e8_
        return self._position_and_rate(spec, side, rounded.qty_lots, value, price_e8_=price_e8_)

    def _position_and_rate(
        self, spec: SymbolSpec, side: Side, more_lots: int, more_value: int, *, price_e8_: int
    ) -> Refusal | None:
        limits = self._limits
        if limits.max_position is not None:
            held = self._account.lots[opened_leg(spec.symbol, side, hedge=self._hedge)]
            after = held * side.sign + self._orders.entry_lots(spec.symbol, side) + more_lots
            value = spec.value(max(0, after), price_e8_)
            if self._portfolio is not None:
                value = self._portfolio.told(spec.symbol, value)
            if after > 0 and value > limits.max_position:
                return Refusal(RejectReason.MAX_POSITION, "the position, with what works, would exceed risk.max_position_notional")
        if limits.margin:
            broken = self._tier_refusal(spec, side, more_lots, price_e8_)
            if broken is not None:
                return broken
        if self._exposure is not None and more_value > 0:
            broken = self._exposure.broken(spec.symbol, side, value=more_value)
            if broken is not None:
                return broken
        if self._bucket is not None and not self._bucket.take(self._clock.now_ms):
            return Refusal(RejectReason.ORDER_RATE, "orders come faster than risk.orders_per_second allows")
        return None

    def _amended_rails(self, spec: SymbolSpec, side: Side, rounded: Rounded, more_lots: int, more_value: int) -> Refusal | None:
        """The first rail that a working order breaks which is to open more, or elsewhere, than it did."""
        if self._halting.reason is not None:
            return Refusal(self._halting.reason, self._halting.detail)
        limits, mark_e8 = self._limits, price_e8(self._marks[spec.symbol])
        order_e8 = (rounded.price_ticks or rounded.trigger_ticks) * spec.tick_e8 or mark_e8
        broken = check_opening_size(rounded, spec, side, order_e8, mark_e8)
        if broken is None and not rounded.waits and limits.collar_e8 is not None:
            broken = check_collar(side=side, price_e8=order_e8, mark_e8=mark_e8, collar_e8=limits.collar_e8)
        return broken or self._position_and_rate(spec, side, more_lots, more_value, price_e8_=order_e8)

    def _reserve(
        self, spec: SymbolSpec, rounded: Rounded, opening_lots: int, order_e8: int, is_limit: bool, side: Side
    ) -> int | Refusal:
        """What the order costs (`_cost`), from the cash that is free."""
        if not is_limit:
            if not spec.face:
                if side is BUY:
                    order_e8 = -(-order_e8 * self._market_e8 // PRICE_ONE)
            elif side is SELL:  # coins that a contract is worth are more at a lower price
                order_e8 = max(1, order_e8 * PRICE_ONE // self._market_e8)
        if self._borrowing is not None and side is SELL:
            return self._room_for_sale(self._borrowing, spec, rounded.qty_lots, order_e8)
        if rounded.quote_e8 and side is BUY:
            return self._reserve_value(spec, rounded.quote_e8)
        need = self._cost(spec, side, rounded.qty_lots, opening_lots, order_e8)
        free = self._account.free_cash() - self.reservations.total if self._shared is None else self._free(spec.symbol)
        if need > free:
            return Refusal(RejectReason.INSUFFICIENT, missing_text(spec, need, free))
        if spec.market is SPOT and side is BUY:
            more = 2 * FEE_STEP * min(rounded.qty_lots, _PARTS_MAX) if is_limit else need // 100
            return min(free, need + more)
        return need

    def _room_for_sale(self, borrowing: BorrowReader, spec: SymbolSpec, lots: int, price_e8_: int) -> int | Refusal:
        """Nothing is held for a sale that borrows its coins: what works is counted anew for each order."""
        working = {other: self._orders.entry_lots(other, Side.SELL) for other in self._specs if other in self._marks}
        need, free = borrowing.sale(spec.symbol, lots, price_e8_, working=working, reserved=self.reservations.total)
        return Refusal(RejectReason.INSUFFICIENT, missing_text(spec, need, free)) if need > free else 0

    def _reserve_value(self, spec: SymbolSpec, quote_e8: int) -> int | Refusal:
        """The value and its fee, for a spot buy by value, which never costs more."""
        fee_e8 = ceil_div(quote_e8 * self._limits.fee_e8.get(spec.symbol, 0), PRICE_ONE)
        need = (quote_e8 + fee_e8) * FEE_STEP
        free = self._free(spec.symbol)
        return need if need <= free else Refusal(RejectReason.INSUFFICIENT, missing_text(spec, need, free))

    def _told(self, symbol: str, refusal: Refusal) -> Sequence[Published]:
        """What the journal is told when an exposure rail begins to refuse."""
        action = self._exposure.has_begun(symbol, refusal) if self._exposure is not None else None
        if action is None:
            return ()
        return (on(T_CONTROL, ControlEvent(time_ms=self._clock.now_ms, action=action, detail=refusal.detail)),)

    def _cost(self, spec: SymbolSpec, side: Side, lots: int, opening_lots: int, price_e8_: int) -> int:
        """Notional, or on margin notional / leverage + the fee to close at bankruptcy; and the higher of the two fees on all of it.
        An option needs its premium, a short one its margin.

        Source: exchange_semantics.md, section 4.2 ("Order cost"); golden D10.
        """
        limits = self._limits
        if spec.option is not None and limits.options is not None:
            return limits.options.need(spec.symbol, side, lots, opening_lots, price_e8_)
        if spec.face:
            whole, opening = spec.value(lots, price_e8_), spec.value(opening_lots, price_e8_)
        else:
            lot_value = price_e8_ * spec.lot_e8
            whole, opening = lots * lot_value, opening_lots * lot_value
        fee = -(-whole * limits.fee_e8.get(spec.symbol, 0) // _FEE_DIVISOR) * FEE_STEP
        terms = limits.margin.get(spec.symbol)
        if terms is not None:
            opening = terms.initial(opening) + terms.close_fee(opening, side.sign * falls_with_price(spec.face))
        return opening + fee

    def _tier_refusal(self, spec: SymbolSpec, side: Side, lots: int, price_e8_: int) -> Refusal | None:
        """MAX_NOTIONAL when the position, with what works, would be in a tier that does not allow the leverage."""
        terms = self._limits.margin.get(spec.symbol)
        if terms is None:
            return None
        held = self._account.lots[opened_leg(spec.symbol, side, hedge=self._hedge)]
        after = held * side.sign + self._orders.entry_lots(spec.symbol, side) + lots
        refusal = terms.refusal(spec.value(max(0, after), price_e8_))
        return Refusal(RejectReason.MAX_NOTIONAL, refusal) if refusal else None

    def _refuse(self, intent: AnyIntent, refusal: Refusal) -> Sequence[Published]:
        message = OrderRefused(
            time_ms=self._clock.now_ms,
            order_id=intent.order_id,
            strategy_id=intent.strategy_id,
            symbol=intent.symbol,
            reason=refusal.reason,
            detail=refusal.detail,
            code=self._rules.get(intent.symbol, GENERIC).code_of(refusal.reason, is_low=refusal.is_low),
        )
        return (on(T_ORDERS_REFUSED, message),)

    def hold_at_trigger(self, order: SanitizedOrder, price_e8: int) -> bool:
        """Whether a waiting order that is triggered now may go on: its margin is held, or it needs none."""
        spec = self._specs[order.symbol]
        if order.oco_id:  # its limit has just ended: what that held is for this order
            amount = self.reservations.of(order.oco_id)
            self.reservations.release(order.oco_id)
            if spec.market is SPOT and amount:
                self.reservations.hold(order.order_id, amount, order.qty_lots)
        held = self._account.lots[order.leg]
        opposite = held > 0 if order.side is SELL else held < 0
        if order.reduce_only or spec.market is SPOT or (opposite and order.qty_lots <= abs(held)):
            return True
        opening_lots = order.qty_lots - abs(held) if opposite else order.qty_lots
        rounded = Rounded(order.qty_lots, order.price_ticks, order.trigger_ticks)
        is_limit = order.price_ticks > 0
        price_e8 = order.price_ticks * spec.tick_e8 if is_limit else price_e8
        if self._limits.margin and self._tier_refusal(spec, order.side, 0, price_e8) is not None:
            return False  # it works already, so its own lots are among the entries
        outcome = self._reserve(spec, rounded, opening_lots, price_e8, is_limit, order.side)
        if isinstance(outcome, Refusal):
            return False
        self.reservations.release(order.order_id)
        self.reservations.hold(order.order_id, outcome, order.qty_lots)
        return True

    def covers_fill(self, order: SanitizedOrder, lots: int, price_e8: int) -> bool:
        """Whether margin is there for a fill of `lots` at this price, now: what the order holds, and what is free beside it."""
        spec = self._specs[order.symbol]
        if self._borrowing is not None:
            closes = order.reduce_only or self._halting.is_own(order.order_id)
            return closes or self._borrowing.covers(order.symbol, order.side.sign * lots, price_e8)
        held = self._account.lots[order.leg]
        opposite = held > 0 if order.side is SELL else held < 0
        opening_lots = max(0, lots - abs(held)) if opposite else lots
        if (order.symbol not in self._limits.margin and spec.option is None) or not opening_lots:
            return True
        need = self._cost(spec, order.side, lots, opening_lots, price_e8)
        return need <= self._free(order.symbol) + self.reservations.of(order.order_id)

    def _free(self, symbol: str) -> int:
        """Cash that no position and no working order needs; with several settlement assets in that of the symbol."""
        if self._shared is not None:
            return self._shared.free_cash(symbol)
        return self._account.free_cash() - self.reservations.total

    # -- what became of orders ---------------------------------------------------------------------------------------

    def on_fill(self, fill: Fill) -> Sequence[Published]:
        """The filled part holds no cash any more; a spot buy goes on holding what it may still spend. While positions are
        closed by a switch, what an entry fills in spite of its cancel is closed as well.
        """
        if fill.open_lots:
            self.reservations.fill(fill.order_id, fill.open_lots, spent_by(fill, self._specs[fill.symbol]))
        else:
            self.reservations.release(fill.order_id)
        return self._halting.on_fill(fill) if self._halting.is_watching else ()

    def on_amended(self, amended: OrderAmended) -> None:
        """The order holds what it needs as it is now."""
        self.amendments.on_amended(amended)

    def on_canceled(self, canceled: OrderCanceled) -> None:
        """The ended order holds no cash any more."""
        self.reservations.release(canceled.order_id)
        if self._halting.is_watching:
            self._halting.on_end(canceled.order_id)

    def on_rejected(self, rejected: OrderRejected) -> None:
        """A rejected order holds no cash any more; a rejected request changes nothing."""
        if rejected.ends_order:
            self.reservations.release(rejected.order_id)
            if self._halting.is_watching:
                self._halting.on_end(rejected.order_id)

    # -- switches ----------------------------------------------------------------------------------------------------

    def on_control(self, event: ControlEvent) -> Sequence[Published]:
        """A switch was thrown: entries are cancelled and refused; with flatten, positions are closed too."""
        return self._halting.on_control(event)

    def close_all(self, *, owner: str, reason: str) -> list[Published]:
        """Market orders that close every position; their ids start with `owner`."""
        return self._halting.close_all(owner=owner, reason=reason)
