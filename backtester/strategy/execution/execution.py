"""An order that is worked in parts: the base of all executions."""

from __future__ import annotations

from abc import ABC, abstractmethod

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.domain.intents import AnyIntent, CancelOrderIntent, LimitOrderIntent, MarketOrderIntent, Number
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.vocabulary import PositionSide, Side
from backtester.strategy.context import StrategyContext
from backtester.strategy.execution.quota import Quota

_REFUSALS_MAX = 10
"""So many parts in a row that were refused or that the venue ended without a fill, and it gives up."""


class Execution(ABC):
    """Works `qty` of one symbol. Drive it from every hook of the strategy, returning what it returns, until `is_done`.

    What is filled, working and left always sums to `qty`, rounded down to whole lots; a part that was refused or that the venue
    ended is left again, and is sent with a later one. Messages about other orders and other symbols change nothing.
    """

    def __init__(
        self,
        symbol: str,
        side: Side,
        qty: Number,
        *,
        reduce_only: bool = False,
        reason: str = "SIGNAL",
        position_side: PositionSide | None = None,
    ) -> None:
        self.symbol = symbol
        self.side = side
        self.qty = qty
        self.is_done = False
        """Nothing works and nothing more will be sent."""
        self.position_side = position_side
        """In hedge mode, the position that it opens or closes."""
        self._reduce_only = reduce_only
        self._opens = not reduce_only if position_side is None else side is position_side.opens
        self._reason = reason
        self._stopped = False
        self._refusals = 0
        self._sent = 0
        self._canceling: set[str] = set()
        self._key = ""
        self._ctx: StrategyContext | None = None
        self._quota: Quota | None = None

    def start(self, ctx: StrategyContext, *, key: str) -> list[AnyIntent]:
        """What is sent at once. `key` begins the ids of its orders and names its timers: one that no other execution has.

        Raises DomainError when `qty` is less than one lot.
        """
        if ctx.warming:
            raise StrategyError(f"{type(self).__name__} of {self.symbol}: nothing can be executed while ctx.warming")
        self._ctx, self._key = ctx, key
        self._quota = Quota(self.qty, ctx.spec(self.symbol))
        return self._begin(ctx)

    @property
    def quota(self) -> Quota:
        """How much is filled, working and left, by the rules in force. Raises StrategyError before `start`."""
        if self._quota is None:
            raise StrategyError(f"{type(self).__name__} of {self.symbol} was not started")
        self._quota.follow(self.ctx.spec(self.symbol))
        return self._quota

    @property
    def ctx(self) -> StrategyContext:
        """The strategy's context. Raises StrategyError before `start`."""
        if self._ctx is None:
            raise StrategyError(f"{type(self).__name__} of {self.symbol} was not started")
        return self._ctx

    def stop(self) -> list[AnyIntent]:
        """Nothing more is sent; what works is cancelled, and may still be filled."""
        self._stopped = True
        self._finish()
        return self._cancels()

    # -- hooks -------------------------------------------------------------------------------------------------------

    def on_candle(self, candle: Candle) -> list[AnyIntent]:
        """A candle has closed."""
        if candle.symbol != self.symbol or self.is_done or self._stopped:
            return []
        return self._on_close(candle)

    def on_timer(self, name: str) -> list[AnyIntent]:
        """A timer is due."""
        return self._on_due() if name == self._key and not (self.is_done or self._stopped) else []

    def on_fill(self, fill: Fill) -> list[AnyIntent]:
        """A fill was reported."""
        if not self.quota.on_fill(fill):
            return []
        self._refusals = 0
        self._finish()
        return []

    def on_cancel(self, canceled: OrderCanceled) -> list[AnyIntent]:
        """An order has ended before it was filled whole."""
        if not self.quota.on_end(canceled.order_id, canceled.open_qty):
            return []
        was_asked = canceled.order_id in self._canceling
        self._canceling.discard(canceled.order_id)
        if not was_asked:
            self._count_refusal()
        self._finish()
        return [] if self.is_done or self._stopped else self._on_part_ended(was_asked=was_asked)

    def on_reject(self, rejection: OrderRefused | OrderRejected) -> list[AnyIntent]:
        """An order was refused or rejected: it is left again, and nothing is sent in answer. A lost cancel changes nothing."""
        if isinstance(rejection, OrderRejected) and not rejection.ends_order:
            return []
        if self.quota.on_end(rejection.order_id, None):
            self._count_refusal()
            self._finish()
        return []

    # -- for the kinds of execution ----------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, ctx: StrategyContext) -> list[AnyIntent]:
        """What is sent at the start."""

    def _on_close(self, candle: Candle) -> list[AnyIntent]:
        return []

    def _on_due(self) -> list[AnyIntent]:
        return []

    def _on_part_ended(self, *, was_asked: bool) -> list[AnyIntent]:
        return []

    def _count_refusal(self) -> None:
        self._refusals += 1
        if self._refusals >= _REFUSALS_MAX:
            self._stopped = True

    def _finish(self) -> None:
        quota = self.quota
        self.is_done = quota.is_filled or (self._stopped and not quota.working_lots)

    def _cancels(self) -> list[AnyIntent]:
        """Cancels of what works, each asked for once."""
        asked = [order_id for order_id in self.quota.working_ids() if order_id not in self._canceling]
        self._canceling.update(asked)
        return [CancelOrderIntent(symbol=self.symbol, order_id=order_id) for order_id in asked]

    def _close(self) -> float | None:
        """The last close; None before the first."""
        last = self.ctx.history(self.symbol, None, 1)
        return last[-1].close if last else None

    def _fitting(self, lots: int) -> int:
        """How many of `lots` can be sent now: neither too small for the venue, nor leaving too little; 0 without a price."""
        close = self._close()
        return self.quota.fitting_lots(lots, price=close, opens=self._opens) if close is not None else 0

    def _market(self, lots: int) -> list[AnyIntent]:
        """A market order for `lots` of what is left; nothing for 0."""
        if not lots:
            return []
        return [
            MarketOrderIntent(
                symbol=self.symbol,
                order_id=self._next_id(lots),
                side=self.side,
                qty=self.quota.qty_of(lots),
                reduce_only=self._reduce_only,
                reason=self._reason,
                position_side=self.position_side,
            )
        ]

    def _limit(self, lots: int, price: Number, *, post_only: bool) -> list[AnyIntent]:
        """A limit order for `lots` of what is left; nothing for 0."""
        if not lots:
            return []
        return [
            LimitOrderIntent(
                symbol=self.symbol,
                order_id=self._next_id(lots),
                side=self.side,
                qty=self.quota.qty_of(lots),
                price=price,
                post_only=post_only,
                reduce_only=self._reduce_only,
                reason=self._reason,
                position_side=self.position_side,
            )
        ]

    def _next_id(self, lots: int) -> str:
        self._sent += 1
        order_id = f"{self._key}/{self._sent}"
        self.quota.send(order_id, lots)
        return order_id
