"""How much of an order may trade now, at which price, and the trade itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import decimal_from_e8, size_from_e8
from backtester.domain.orders import Fill, SanitizedOrder
from backtester.domain.rounding import on_step
from backtester.domain.vocabulary import BUY, SELL, TAKER, Liquidity, Side
from backtester.engine.clock import Clock
from backtester.sim.liquidity import BarLiquidity
from backtester.sim.pricing import FillPricing
from backtester.sim.received_fees import ReceivedFees
from backtester.sim.working_order import WorkingOrder

CoversFill = Callable[[SanitizedOrder, int, int], bool]
"""Whether margin is there for a fill of so many lots at a price (1e-8 quote)."""


class Filling:
    """Trades of one run's orders. `lots` are the holdings that follow from them: what reduce-only orders may close.

    They are named as `holding_of` says.
    """

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        pricing: FillPricing,
        liquidity: BarLiquidity,
        clock: Clock,
        covers: CoversFill | None = None,
        borrows: bool = False,
        note: Callable[[Fill], None] | None = None,
    ) -> None:
        """`note` is told of each fill when it is made: where margin for the next one is asked before it is booked."""
        self.pricing = pricing
        self._note = note
        self.covers = covers
        self.borrows = borrows
        """Whether spot orders may borrow what they lack."""
        self.lots: dict[str, int] = defaultdict(int, dict.fromkeys(specs, 0))
        self._specs = specs
        self._liquidity = liquidity
        self._clock = clock
        self._fee_assets = {symbol: spec.money_asset for symbol, spec in specs.items()}
        self._received = pricing.received

    def owe(self, symbol: str, more_e8: int) -> None:
        """So much more of the coin is owed without a trade: interest."""
        if self._received is not None:
            self.lots[symbol] = self._received.hold(symbol, -more_e8)

    def on_rules(self, symbol: str) -> None:
        """The rules of `symbol` are other ones now: what it pays, and what of it can be traded."""
        self.pricing.on_rules(symbol)
        if self._received is not None and symbol in self._received.symbols:
            self.lots[symbol] = self._received.hold(symbol, 0)

    def allowed(self, working: WorkingOrder, bar: Candle) -> tuple[int, bool]:
        """(lots, over share): what may trade now. Reduce-only is never more than the position, and never held back."""
        order = working.order
        lots = working.open_lots
        left = self._liquidity.left_lots(bar, working.spec)
        if working.closes_only:
            held = self.lots[working.holding] if order.side is SELL else -self.lots[working.holding]
            if lots > held and not self._holds_all(working):
                lots = max(0, held)
        if order.reduce_only or (working.conditional and not order.price_ticks):  # never leaves a naked position
            return lots, left is not None and lots > left
        return (lots if left is None or lots <= left else left), False

    def _holds_all(self, working: WorkingOrder) -> bool:
        """Whether an order on spot that has kept its size since lots were finer is still covered by what is held."""
        spec = working.spec
        if spec.lot_step == 1 or self._received is None or working.order.side is BUY:
            return False
        return self._received.held_e8.get(working.order.symbol, 0) >= working.open_lots * spec.lot_e8

    def only_closes(self, working: WorkingOrder) -> bool:
        """Whether the order can do nothing but reduce the position as it stands."""
        held = self.lots[working.holding]
        return working.closes_only or (held * working.order.side.sign < 0 and working.open_lots <= abs(held))

    def affordable(self, working: WorkingOrder, lots: int, ticks: int, liquidity: Liquidity) -> int:
        """A spot buy spends at most what was reserved for it (value and fee); on margin, all or nothing: is there enough now?"""
        if working.budget_e8 is None:
            if self.covers is None or working.closes_only:
                return lots
            return lots if self.covers(working.order, lots, ticks * working.tick_e8) else 0
        symbol = working.order.symbol
        while lots:
            cost_e8 = self._cost_e8(symbol, ticks, lots, liquidity)
            if cost_e8 <= working.budget_e8:
                return lots
            lots = min(lots - 1, lots * working.budget_e8 // cost_e8)
            if (step := working.spec.lot_step) != 1:
                lots = on_step(lots, step, up=False)
        return 0

    def lots_for_value(self, working: WorkingOrder, bar: Candle) -> int:
        """Whole lots that the order's value is worth at the price of a fill at the bar's open; 0 below the least quantity."""
        order, spec = working.order, working.spec

        def worth(lots: int) -> int:
            ticks = self.pricing.taker_ticks(order, lots, bar, bar.open, over_share=False)
            return on_step(order.quote_e8 * 10**8 // (ticks * spec.tick_e8 * spec.lot_e8), spec.lot_step, up=False)

        lots = worth(working.open_lots)
        while lots and (fewer := worth(lots)) < lots:  # more lots may cost more each
            lots = fewer
        return lots if lots * spec.lot_e8 >= spec.min_qty_e8 else 0

    def fits_whole(self, working: WorkingOrder, bar: Candle) -> bool:
        """Whether all that is open may trade at the bar's open now."""
        lots, _ = self.allowed(working, bar)
        if lots < working.open_lots:
            return False
        ticks = self.pricing.taker_ticks(working.order, lots, bar, bar.open, over_share=False)
        return self.affordable(working, lots, ticks, TAKER) == lots

    def _cost_e8(self, symbol: str, ticks: int, lots: int, liquidity: Liquidity) -> int:
        """What a spot buy costs in whole 1e-8 quote."""
        spec = self._specs[symbol]
        value = ticks * spec.tick_e8 * lots * spec.lot_e8
        if self._received is not None and self._received.in_base(symbol, Side.BUY, liquidity):
            return -(-value // 10**8)
        return -(-value // 10**8) + self.pricing.fee_e8(symbol, ticks, lots, liquidity)

    def fill(
        self,
        working: WorkingOrder,
        bar: Candle,
        lots: int,
        ticks: int,
        liquidity: Liquidity,
        *,
        over_share: bool,
        bar_fill: bool,
    ) -> Fill:
        """The trade is made: the bar's liquidity, the order and the holdings have changed; the report of it is returned."""
        order = working.order
        symbol = order.symbol
        side = order.side
        spec = working.spec
        if self._received is None or symbol not in self._received.symbols:
            fee_e8 = self.pricing.fee_e8(symbol, ticks, lots, liquidity)
            fee_asset = self._fee_assets[symbol]
            fee_in_base = False
            self.lots[working.holding] += lots if side is BUY else -lots
        else:
            fee_e8, fee_asset, fee_in_base = self._exchange(self._received, working, lots, ticks, liquidity)
        if working.budget_e8 is not None:
            working.budget_e8 -= self._cost_e8(symbol, ticks, lots, liquidity)
        self._liquidity.use(bar, lots)
        if self.pricing.remembering and liquidity is TAKER:
            self.pricing.tell_traded(symbol=symbol, side=side, lots=lots, bar=bar)
        working.open_lots -= lots
        working.fills += 1
        fill = Fill(
            self._clock.now_ms,
            symbol,
            side,
            size_from_e8(lots * spec.lot_e8),
            decimal_from_e8(ticks * spec.tick_e8),
            decimal_from_e8(fee_e8),
            fee_asset,
            liquidity,
            order.order_id,
            f"{order.order_id}-f{working.fills}",
            order.strategy_id,
            order.reason,
            order.order_type,
            bar_fill,
            working.note,
            over_share,
            ticks,
            lots,
            fee_e8,
            working.open_lots,
            fee_in_base,
            order.position_side,
        )
        if self._note is not None:
            self._note(fill)
        return fill

    def _exchange(
        self, received: ReceivedFees, working: WorkingOrder, lots: int, ticks: int, liquidity: Liquidity
    ) -> tuple[int, str, bool]:
        """(fee in 1e-8, its asset, whether that is the coin traded) of a fill on spot; what is held of the coin has changed."""
        order, spec = working.order, working.spec
        symbol, side = order.symbol, order.side
        in_base = received.in_base(symbol, side, liquidity)
        if in_base:
            fee_e8, asset = received.fee_e8(symbol, side, liquidity, lots), spec.base
        else:
            fee_e8, asset = self.pricing.fee_e8(symbol, ticks, lots, liquidity), self._fee_assets[symbol]
        change_e8 = side.sign * lots * spec.lot_e8 - (fee_e8 if in_base else 0)
        self.lots[symbol] = received.hold(symbol, change_e8)
        return fee_e8, asset, in_base
