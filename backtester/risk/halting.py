"""What follows when a switch is thrown: entries end, and with `flatten` positions are closed."""

from __future__ import annotations

from collections.abc import Sequence

from backtester.domain.closing_order import closing_order
from backtester.domain.orders import Fill, OpenOrder, SanitizedCancel
from backtester.domain.run_events import ControlAction, ControlEvent
from backtester.domain.vocabulary import RejectReason
from backtester.engine.clock import Clock
from backtester.engine.topics import T_ORDERS_SANITIZED, Published, on
from backtester.risk.readers import AccountReader, OrderReader

_HALTS = {
    ControlAction.DAILY_LOSS_HALT: (RejectReason.DAILY_LOSS, False),
    ControlAction.DAILY_LOSS_FLATTEN: (RejectReason.DAILY_LOSS, True),
    ControlAction.DRAWDOWN_HALT: (RejectReason.MAX_DRAWDOWN, False),
    ControlAction.DRAWDOWN_FLATTEN: (RejectReason.MAX_DRAWDOWN, True),
    ControlAction.KILL_HALT: (RejectReason.KILL_SWITCH, False),
    ControlAction.KILL_FLATTEN: (RejectReason.KILL_SWITCH, True),
    ControlAction.BORROW_LIQUIDATION: (RejectReason.LIQUIDATION, True),
}
"""By switch: why entries are refused from then on, and whether positions are closed."""

_GRAVITY = (RejectReason.LIQUIDATION, RejectReason.KILL_SWITCH, RejectReason.MAX_DRAWDOWN, RejectReason.DAILY_LOSS)
"""Which reason is given where several hold: what lasts longest, first."""


class Halting:
    """Holds which switches are thrown. Orders that reduce a position are never touched: a trader must always be able to get out.

    While a halt lasts, an order that has stopped being such a way out, because its position is gone, is cancelled too.
    """

    def __init__(self, *, account: AccountReader, orders: OrderReader, clock: Clock) -> None:
        self._account = account
        self._orders = orders
        self._clock = clock
        self._reasons: list[RejectReason] = []
        self.reason: RejectReason | None = None
        """Why no entry may pass now, the gravest of all; None while all may."""
        self._flattening: list[RejectReason] = []
        """Those that have closed positions as well: until they end, nothing opens any."""
        self._sent_count = 0
        self._own: dict[str, tuple[str, str] | None] = {}
        """Working orders that close for a switch; with strategy and symbol where all of that holding is closed by it."""
        self._ending: dict[str, str] = {}
        """Entries that are being cancelled; with a reason where positions were closed: what they still fill is closed as well."""
        self.is_watching = False
        """Whether fills matter: `on_fill` need not be called otherwise."""

    @property
    def _has_business(self) -> bool:
        return bool(self._reasons or self._ending or self._own)

    @property
    def detail(self) -> str:
        """The reason as a sentence."""
        until = "next UTC day" if self._reasons[0] is RejectReason.DAILY_LOSS else "end of the run"
        return f"entries are halted until the {until}"

    def is_own(self, order_id: str) -> bool:
        """Whether the order closes for a switch, so that no strategy may cancel or amend it."""
        return order_id in self._own

    def on_control(self, event: ControlEvent) -> Sequence[Published]:
        """Entries are cancelled and refused; with flatten, positions are closed too. A new day ends a daily halt only."""
        if event.action is ControlAction.DAILY_LOSS_REARM:
            self._halt_for([reason for reason in self._reasons if reason is not RejectReason.DAILY_LOSS])
            self._flattening = [reason for reason in self._flattening if reason is not RejectReason.DAILY_LOSS]
            self.is_watching = self._has_business
            return ()
        if event.action not in _HALTS:
            return ()
        reason, flatten = _HALTS[event.action]
        if reason not in self._reasons:
            self._halt_for([known for known in _GRAVITY if known is reason or known in self._reasons])
        if flatten and reason not in self._flattening:
            self._flattening.append(reason)
        self.is_watching = True
        held = dict.fromkeys(self._account.lots, 0) if flatten else self._account.lots
        entries = [row for row in self._orders.working() if self._orders.is_entry(row.order_id, held_lots=held[row.leg])]
        published = [self._cancel(row, reason.value if flatten else "") for row in entries]
        if flatten:
            published += self.close_all(owner="risk", reason=reason.value)
        return published

    def _halt_for(self, reasons: list[RejectReason]) -> None:
        self._reasons = reasons
        self.reason = reasons[0] if reasons else None

    def on_fill(self, fill: Fill) -> Sequence[Published]:
        """What is opened after positions were closed is closed, whichever order did it; what would open is cancelled."""
        lots = fill.side.sign * fill.qty_lots
        after = self._account.lots[fill.leg] + lots  # the account books the fill after Risk has seen it
        published: list[Published] = []
        reason = self._ending.get(fill.order_id)
        if not reason and self._flattening and fill.order_id not in self._own:
            reason = self._flattening[0].value
        if not fill.open_lots:
            self.on_end(fill.order_id)
        if self._reasons:
            for row in self._orders.working(symbol=fill.symbol):
                ends = row.leg != fill.leg or row.order_id in self._ending or row.order_id == fill.order_id
                if not ends and self._orders.is_entry(row.order_id, held_lots=after):
                    published.append(self._cancel(row, ""))
        if reason:
            published += self._close_late(fill, after=after, reason=reason)
        return published

    def _close_late(self, fill: Fill, *, after: int, reason: str) -> Sequence[Published]:
        """What the fill has opened beyond what is being closed; `after` is the account's position with the fill."""
        sign = fill.side.sign
        own = next((n for name, symbol, n in self._account.holdings() if (name, symbol) == (fill.strategy_id, fill.leg)), 0)
        opened = min(fill.qty_lots, own * sign + fill.qty_lots)
        if opened <= 0:
            return ()
        reduces = after * sign >= opened
        return (self._close(fill.strategy_id, fill.leg, sign * opened, owner="risk", reason=reason, reduce_only=reduces),)

    def on_end(self, order_id: str) -> None:
        """The order can fill nothing any more."""
        self._ending.pop(order_id, None)
        self._own.pop(order_id, None)
        self.is_watching = self._has_business

    def close_all(self, *, owner: str, reason: str) -> list[Published]:
        """Market orders that close every position that is not being closed by one; their ids start with `owner`."""
        published = []
        for strategy_id, symbol, lots in self._account.holdings():
            if (strategy_id, symbol) not in self._own.values():
                reduces = lots == self._account.lots[symbol]
                published.append(self._close(strategy_id, symbol, lots, owner=owner, reason=reason, reduce_only=reduces))
                self._own[f"{owner}-{self._sent_count}"] = (strategy_id, symbol)
        return published

    def cancel_message(self, order_id: str, strategy_id: str, symbol: str) -> Published:
        """The request to cancel an order, passed by Risk."""
        cancel = SanitizedCancel(time_ms=self._clock.now_ms, order_id=order_id, strategy_id=strategy_id, symbol=symbol)
        return on(T_ORDERS_SANITIZED, cancel)

    def _cancel(self, row: OpenOrder, reason: str) -> Published:
        self._ending[row.order_id] = reason
        return self.cancel_message(row.order_id, self._orders.owner(row.order_id) or "", row.symbol)

    def _close(self, strategy_id: str, symbol: str, lots: int, *, owner: str, reason: str, reduce_only: bool) -> Published:
        self._sent_count += 1
        self._own[f"{owner}-{self._sent_count}"] = None
        order = closing_order(
            symbol,
            lots,
            time_ms=self._clock.now_ms,
            order_id=f"{owner}-{self._sent_count}",
            strategy_id=strategy_id,
            reduce_only=reduce_only,
            reason=reason,
        )
        return on(T_ORDERS_SANITIZED, order)
