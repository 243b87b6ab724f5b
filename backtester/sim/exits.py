"""Orders that the venue makes itself: exits of a fill, exits of a position, the stop of an OCO; and what follows a position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import OrderAttached, SanitizedExits, SanitizedOrder
from backtester.domain.vocabulary import OrderStatus, OrderType, RejectReason, TimeInForce
from backtester.engine.clock import Clock
from backtester.engine.topics import T_ORDERS_ATTACHED, Published, on
from backtester.sim.filling import Filling
from backtester.sim.working_order import WorkingOrder, holding_of, working_order


class Standing(Protocol):
    """What is needed of the orders that stand at the venue."""

    by_id: dict[str, WorkingOrder]
    filling: Filling
    index: Mapping[str, int]
    touch: bool

    def wait(self, working: WorkingOrder) -> None:
        """The order waits for its trigger from now on."""

    def end(
        self, working: WorkingOrder, reason: RejectReason, reports: list[Published], *, status: OrderStatus | None = None
    ) -> None:
        """The order is over with what is open unfilled."""

    def report_amended(self, working: WorkingOrder, reports: list[Published], *, keeps_place: bool) -> None:
        """Say what an order is now."""


class Added(NamedTuple):
    """Lots that a position grew by at `at_ms`, while it had exits; targets may close them in bars from `until_ms` on."""

    at_ms: int
    until_ms: int
    lots: int


class Exits:
    """Makes such orders, and keeps those that follow a position at its size (exchange_semantics.md, section 1.2, "TP/SL")."""

    def __init__(self, *, standing: Standing, specs: Mapping[str, SymbolSpec], clock: Clock) -> None:
        self._standing = standing
        self._specs = specs
        self._clock = clock
        self._followers: dict[str, list[WorkingOrder]] = {}
        self._pairs: dict[str, tuple[WorkingOrder, ...]] = {}
        self._added: dict[str, Added] = {}

    def protect(self, entry: WorkingOrder, start_ms: int, end_ms: int, lots: int, reports: list[Published]) -> None:
        """What the fill opened gets its own take-profit and stop-loss, or the position its one pair, which wait from now on.

        The part of a fill that closes what was held before has none: an order that turns a position is one that closes and one
        that opens (exchange_semantics.md, sections 1.2 "TP/SL attached" and 4.1; golden A06). In the bar of the entry (from
        `start_ms` to `end_ms`) the stop may count and the take-profit may not (section 5.11; golden H07).
        """
        order = entry.order
        opened = min(lots, self._standing.filling.lots[entry.holding] * order.side.sign)
        if opened <= 0:
            return
        exits = SanitizedExits(
            time_ms=self._clock.now_ms,
            order_id=order.order_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            side=order.side.opposite,
            take_profit_ticks=order.take_profit_ticks,
            stop_loss_ticks=order.stop_loss_ticks,
            trigger_by=order.trigger_by,
            position_side=order.position_side,
        )
        from_ms = {"sl": start_ms, "tp": end_ms}
        if not order.exits_whole:
            self._pair(exits, opened, from_ms, reports, number=str(entry.fills))
            return
        wanted = [ticks for ticks in (order.stop_loss_ticks, order.take_profit_ticks) if ticks]
        standing = [leg.order for leg in self._pairs.get(entry.holding, ()) if leg.waiting and leg.order.side is exits.side]
        stands = [leg.trigger_ticks for leg in standing if leg.trigger_by is exits.trigger_by]
        if wanted != stands:  # one that stands follows
            self.replace_pair(exits, from_ms, reports, number=str(entry.fills))

    def replace_pair(
        self, exits: SanitizedExits, from_ms: Mapping[str, int], reports: list[Published], *, number: str = ""
    ) -> None:
        """The position has these exits and no others; they have its size, and end with it. They meet bars from `from_ms` on."""
        holding = holding_of(exits)
        for leg in self._pairs.pop(holding, ()):
            if leg.waiting:
                self._standing.end(leg, RejectReason.REPLACED, reports, status=OrderStatus.CANCELED)
        lots = abs(self._standing.filling.lots[holding])
        self._pairs[holding] = self._pair(exits, lots, from_ms, reports, number=number, follows=True)

    def stop_of_oco(self, limit: WorkingOrder, meets_from_ms: int, reports: list[Published]) -> None:
        """The stop of an OCO waits while its limit rests; whatever happens to one of them, the other ends."""
        order = limit.order
        child = replace(
            order,
            time_ms=self._clock.now_ms,
            order_id=f"{order.order_id}-stop",
            order_type=OrderType.STOP_LIMIT if order.oco_price_ticks else OrderType.STOP_MARKET,
            price_ticks=order.oco_price_ticks,
            trigger_ticks=order.oco_trigger_ticks,
            reason=order.oco_reason,
            post_only=False,
            tif=TimeInForce.GTC,
            good_till_ms=0,
            oco_trigger_ticks=0,
            oco_price_ticks=0,
            oco_reason="",
            oco_id=order.order_id,
        )
        stop = self._attach(child, limit.symbol_index, meets_from_ms, reports)
        limit.counterpart, stop.counterpart = stop, limit

    def follow(self, working: WorkingOrder) -> None:
        """The order has the size of the position from now on."""
        self._followers.setdefault(working.holding, []).append(working)

    def after_trade(self, holding: str, reports: list[Published], bar: Candle | None = None) -> None:
        """What follows a position, by the name of `holding_of`, has its new size, or ends with it. `bar` is that of the trade."""
        followers = self._followers.get(holding)
        if not followers:
            return
        held, grown = self._standing.filling.lots[holding], 0
        for working in tuple(followers):
            if not working.waiting:
                followers.remove(working)
            elif held * working.order.side.sign >= 0:
                self._standing.end(working, RejectReason.REDUCE_ONLY, reports)
                followers.remove(working)
                self._added.pop(holding, None)
            elif working.open_lots != abs(held):
                grown = abs(held) - working.open_lots
                working.amend(replace(working.order, qty_lots=abs(held)))
                self._standing.report_amended(working, reports, keeps_place=True)
        if grown > 0 and bar is not None:
            before = self.added_in(holding, bar)
            self._added[holding] = Added(self._clock.now_ms, bar.end_ms, grown + (before.lots if before else 0))

    def added_in(self, holding: str, bar: Candle) -> Added | None:
        """What a position has grown by so late that its targets may not close it in this bar."""
        added = self._added.get(holding)
        return added if added is not None and added.until_ms > bar.start_ms else None

    def meet_added_from(self, holding: str, rows: Sequence[Candle]) -> None:
        """What was added by an order that arrived in one of these rows may be closed in those from the next on."""
        added = self._added.get(holding)
        if added is not None and rows[0].start_ms <= added.at_ms < rows[-1].end_ms:
            self._added[holding] = added._replace(until_ms=next(row.end_ms for row in rows if row.end_ms > added.at_ms))

    def spare_added(self, target: WorkingOrder, bar: Candle, reports: list[Published]) -> bool:
        """Whether this bar may trigger an order that has the size of the position; a target then closes only what was held before.

        In the bar of an entry the take-profit may not count, whether it came with the entry or stood before
        (exchange_semantics.md, section 5.11). What was added in this bar keeps exits as these are: the position goes on.
        """
        added = self.added_in(target.holding, bar)
        if added is None or target.order.order_type.is_stop:
            return True
        before = target.open_lots - added.lots
        if before <= 0:
            return False
        self._followers[target.holding].remove(target)
        target.amend(replace(target.order, qty_lots=before))
        self._standing.report_amended(target, reports, keeps_place=True)
        other = target.counterpart
        legs = (other, target) if other is not None and other.waiting else (target,)
        now_ms, rest = self._clock.now_ms, []
        for leg in legs:
            child = replace(leg.order, time_ms=now_ms, order_id=f"{leg.order.order_id}-rest", qty_lots=added.lots)
            rest.append(self._attach(child, leg.symbol_index, bar.end_ms, reports))
        if len(rest) == 2:
            rest[0].counterpart, rest[1].counterpart = rest[1], rest[0]
        if target in self._pairs.get(target.holding, ()):
            self._pairs[target.holding] = tuple(rest)
        return True

    def _pair(
        self,
        exits: SanitizedExits,
        lots: int,
        from_ms: Mapping[str, int],
        reports: list[Published],
        *,
        number: str,
        follows: bool = False,
    ) -> tuple[WorkingOrder, ...]:
        """A stop-loss and a take-profit, or the one of them that has a price; where one is triggered the other ends."""
        made: list[WorkingOrder] = []
        for word, order_type, ticks in (
            ("sl", OrderType.STOP_MARKET, exits.stop_loss_ticks),
            ("tp", OrderType.TAKE_PROFIT_MARKET, exits.take_profit_ticks),
        ):
            if not ticks:
                continue
            child = SanitizedOrder(
                time_ms=self._clock.now_ms,
                order_id=f"{exits.order_id}-{word}{number}",
                strategy_id=exits.strategy_id,
                symbol=exits.symbol,
                side=exits.side,
                order_type=order_type,
                qty_lots=lots,
                price_ticks=0,
                tif=TimeInForce.GTC,
                reduce_only=True,
                budget_e8=0,
                reason=f"{word.upper()}_HIT",
                trigger_ticks=ticks,
                trigger_by=exits.trigger_by,
                follows_position=follows,
                position_side=exits.position_side,
            )
            made.append(self._attach(child, self._standing.index[exits.symbol], from_ms[word], reports))
        if len(made) == 2:
            made[0].counterpart, made[1].counterpart = made[1], made[0]
        return tuple(made)

    def _attach(self, child: SanitizedOrder, symbol_index: int, meets_from_ms: int, reports: list[Published]) -> WorkingOrder:
        working = working_order(
            child,
            symbol_index=symbol_index,
            spec=self._specs[child.symbol],
            touch=self._standing.touch and child.price_ticks > 0,
            borrows=self._standing.filling.borrows,
        )
        working.arrived_ms = self._clock.now_ms
        working.meets_from_ms = meets_from_ms
        self._standing.by_id[child.order_id] = working
        reports.append(on(T_ORDERS_ATTACHED, OrderAttached(self._clock.now_ms, child)))
        self._standing.wait(working)
        if child.follows_position:
            self.follow(working)
        return working
