"""The simulated venue: orders arrive after a latency and meet bars by the rules of docs/simulation.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from backtester.domain.borrowing import InterestCharged
from backtester.domain.candle import Candle
from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import legs_of
from backtester.domain.money import PRICE_ONE, decimal_from_e8
from backtester.domain.orders import (
    Fill,
    LiquidationOrder,
    OrderAck,
    SanitizedAmend,
    SanitizedCancel,
    SanitizedExits,
    SanitizedOrder,
)
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import FillNote, Liquidity, OrderStatus, OrderType, RejectReason
from backtester.engine.clock import Clock
from backtester.engine.routes import Routes
from backtester.engine.schedule import Schedule
from backtester.engine.topics import T_FILLS, T_ORDERS_ACK, Published, on
from backtester.sim.amending import MayAmend
from backtester.sim.arrivals import CLASS_CANCEL, CLASS_LIMIT, CLASS_MARKET, CLASS_STOP, Arrivals, BarSource
from backtester.sim.bar_matching import BarMatching, MayTrigger
from backtester.sim.filling import CoversFill, Filling
from backtester.sim.intrabar import Intrabar
from backtester.sim.latency import LatencyModel
from backtester.sim.limit_fill import TouchFill
from backtester.sim.liquidity import BarLiquidity
from backtester.sim.misfit import misfit
from backtester.sim.pricing import FillPricing
from backtester.sim.standing_orders import StandingOrders
from backtester.sim.trigger_prices import LastPricesOnly, TriggerPrices
from backtester.sim.working_order import working_order

_CLASSES = {OrderType.MARKET: CLASS_MARKET, OrderType.STOP_MARKET: CLASS_STOP, OrderType.STOP_LIMIT: CLASS_STOP}


def with_more_fee(report: Published, more_e8: int) -> Published:
    """A fill with so much more of a fee; any other report as it is."""
    fill = report[1]
    if not isinstance(fill, Fill):
        return report
    fee_e8 = fill.fee_e8 + more_e8
    return on(T_FILLS, replace(fill, fee=decimal_from_e8(fee_e8), fee_e8=fee_e8))


class SimulatedVenue:
    """Matches the run's orders on bars. Subscribed as the gateway of the order manager; reports are returned as messages.

    `on_arrival` and `on_bar` are those of its parts (`sim/arrivals.py`, `sim/bar_matching.py`).
    """

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        bars: BarSource,
        pricing: FillPricing,
        liquidity: BarLiquidity,
        latency: LatencyModel,
        schedule: Schedule,
        routes: Routes,
        clock: Clock,
        marks: Mapping[str, float],
        may_trigger: MayTrigger,
        may_amend: MayAmend,
        intrabar: Intrabar | None = None,
        covers_fill: CoversFill | None = None,
        on_fill: Callable[[Fill], None] | None = None,
        borrows: bool = False,
        touch: bool = False,
        touch_fill: TouchFill | None = None,
        carry: bool = True,
        work_bars: int = 60,
        rules: Mapping[str, VenueRules] | None = None,
        trigger_prices: TriggerPrices | None = None,
    ) -> None:
        self._specs = specs
        self._pricing = pricing
        self._latency = latency
        self._schedule = schedule
        self._clock = clock
        self._marks = marks
        self._touch = touch or touch_fill is not None
        self.intrabar, self.quotes = intrabar or Intrabar(specs=specs), pricing.quotes
        filling = Filling(
            specs=specs, pricing=pricing, liquidity=liquidity, clock=clock, covers=covers_fill, borrows=borrows, note=on_fill
        )
        self._borrows = borrows
        self._standing = StandingOrders(
            specs=specs,
            filling=filling,
            clock=clock,
            routes=routes,
            rules=rules or {},
            touch=self._touch,
            touch_fill=touch_fill,
            trigger_prices=trigger_prices or LastPricesOnly(),
        )
        arrivals = Arrivals(
            specs=specs,
            standing=self._standing,
            filling=filling,
            bars=bars,
            schedule=schedule,
            clock=clock,
            marks=marks,
            carry=carry,
            work_bars=work_bars,
            may_amend=may_amend,
        )
        matching = BarMatching(
            standing=self._standing, filling=filling, clock=clock, may_trigger=may_trigger, intrabar=self.intrabar
        )
        self._standing.meet = matching.on_bar
        self.on_arrival = arrivals.on_arrival
        self.on_bar = matching.on_bar
        self.stops_before = matching.stops_before

    def bring(self, lots: Mapping[str, int]) -> None:
        """These lots are held, without a trade: what the account begins with."""
        self._standing.filling.lots.update({name: held for name, held in lots.items() if held})

    def send(self, order: SanitizedOrder) -> None:
        """The order arrives after the order latency."""
        symbol = order.symbol
        standing = self._standing
        index = standing.index[symbol]
        working = working_order(order, index, self._specs[symbol], self._touch, self._borrows)
        standing.by_id[order.order_id] = working
        working.sequence = self._schedule.arrive(
            self._clock.now_ms + self._latency.order_ms(),
            symbol_index=index,
            order_class=_CLASSES.get(order.order_type, CLASS_LIMIT),
            item=working,
        )

    def cancel(self, cancel: SanitizedCancel) -> None:
        """The request to cancel arrives after the cancel latency."""
        self._schedule.arrive(
            self._clock.now_ms + self._latency.cancel_ms(),
            symbol_index=self._standing.index.get(cancel.symbol, 0),
            order_class=CLASS_CANCEL,
            item=cancel,
        )

    def amend(self, amend: SanitizedAmend) -> None:
        """The request to amend travels as an order does, and arrives after those that were sent before it."""
        self._schedule.arrive(
            self._clock.now_ms + self._latency.order_ms(),
            symbol_index=self._standing.index[amend.symbol],
            order_class=CLASS_CANCEL,
            item=amend,
        )

    def set_exits(self, exits: SanitizedExits) -> None:
        """The request travels as an order does, and arrives after those that were sent before it."""
        self._schedule.arrive(
            self._clock.now_ms + self._latency.order_ms(),
            symbol_index=self._standing.index[exits.symbol],
            order_class=CLASS_CANCEL,
            item=exits,
        )

    def on_liquidation(self, liquidation: LiquidationOrder) -> list[Published]:
        """The position's orders end, cross: entries of other positions too; then the position, or the part, trades as ordered.

        Orders that are still on their way arrive later, and find out then what margin there is.
        """
        order, reports = liquidation.order, list[Published]()
        for working in tuple(self._standing.by_id.values()):
            if working.arrived_ms < 0 or working.order.order_id not in self._standing.by_id:
                continue
            if working.order.leg == order.leg or (liquidation.is_cross and not self._standing.filling.only_closes(working)):
                self._standing.end(working, RejectReason.LIQUIDATION, reports, status=OrderStatus.CANCELED)
        index = self._standing.index[order.symbol]
        working = working_order(order, index, self._specs[order.symbol], touch=False, borrows=False)
        working.arrived_ms = now_ms = self._clock.now_ms
        working.note = FillNote.GAP_LOSS if liquidation.gap_loss else FillNote.NONE
        self._standing.by_id[order.order_id] = working
        price = liquidation.price_ticks * working.tick_e8 / PRICE_ONE or float(liquidation.mark)
        bar = Candle(order.symbol, "", now_ms, now_ms, price, price, price, price, 0.0)
        taker, inside, lots = Liquidity.TAKER, liquidation.inside_bar, order.qty_lots
        ticks = liquidation.price_ticks or self._pricing.taker_ticks(order, lots, bar, price, over_share=False)
        self._standing.trade(working, bar, lots, ticks, taker, reports, over_share=False, bar_fill=inside)
        more_e8 = self._pricing.liquidation_fee_e8(symbol=order.symbol, ticks=ticks, lots=lots)
        return [with_more_fee(report, more_e8) for report in reports] if more_e8 else reports

    def on_delivery(self, ended: ContractSettled | Delivery) -> list[Published]:
        """The contract's orders end, those on their way are rejected, and nothing is held in it any more."""
        reports: list[Published] = []
        if isinstance(ended, Delivery):
            return reports
        detail = f"{ended.symbol} has expired"
        for working in tuple(self._standing.by_id.values()):
            if working.order.symbol != ended.symbol or working.order.order_id not in self._standing.by_id:
                continue
            if working.arrived_ms < 0:
                self._standing.reject(working, RejectReason.NOT_TRADABLE, detail, reports)
            else:
                self._standing.end(working, RejectReason.DELIVERY, reports)
        for position in (ended.symbol, *legs_of(ended.symbol)):
            self._standing.filling.lots[position] = 0
        return reports

    def on_interest(self, charged: InterestCharged) -> None:
        """Of a coin more is owed from now on."""
        if charged.symbol:
            self._standing.filling.owe(charged.symbol, charged.amount_e8)

    def on_rules(self, changed: RulesChanged) -> list[Published]:
        """Fees and ticks are those in force now. What is on its way to open something is rejected where it does not fit them; where
        trading has ended all orders are, and those that work end.
        """
        reports: list[Published] = []
        self._standing.filling.on_rules(changed.symbol)
        self._standing.on_rules(changed.symbol)
        spec, filling = self._specs[changed.symbol], self._standing.filling
        for working in tuple(self._standing.by_id.values()):
            order, is_coming = working.order, working.arrived_ms < 0
            if order.symbol != changed.symbol or order.order_id not in self._standing.by_id:
                continue
            if changed.ended and not is_coming:
                self._standing.end(working, RejectReason.NOT_TRADABLE, reports)
            elif changed.ended:
                self._standing.reject(working, RejectReason.NOT_TRADABLE, f"trading of {changed.symbol} has ended", reports)
            elif is_coming and not filling.only_closes(working) and (reason := misfit(order, spec)) is not None:
                self._standing.reject(working, reason, "rules changed while it was on its way", reports)
        return reports

    def expire_all(self, reason: RejectReason) -> list[Published]:
        """Every order that still works ends now, in the order they were sent."""
        reports: list[Published] = []
        for working in tuple(self._standing.by_id.values()):
            if working.order.order_id in self._standing.by_id:  # one of a pair ends the other
                self._standing.end(working, reason, reports)
        return reports

    def close_out(self) -> list[Published]:
        """Orders sent to close the run trade at the last closes, with a taker's costs and without a volume cap."""
        reports: list[Published] = []
        for working in tuple(self._standing.by_id.values()):
            order = working.order
            mark = self._marks[order.symbol]
            working.arrived_ms = now_ms = self._clock.now_ms
            ack = OrderAck(time_ms=now_ms, order_id=order.order_id, strategy_id=order.strategy_id, symbol=order.symbol)
            reports.append(on(T_ORDERS_ACK, ack))
            bar = Candle(order.symbol, "", now_ms, now_ms, mark, mark, mark, mark, 0.0)
            lots = working.open_lots
            ticks = self._pricing.taker_ticks(order, lots, bar, mark, over_share=False)
            self._standing.trade(working, bar, lots, ticks, Liquidity.TAKER, reports, over_share=False, bar_fill=False)
        return reports
