"""How much of the market the account may hold: leverage and exposure, judged with everything that works and might be filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import split_leg
from backtester.domain.money import price_e8
from backtester.domain.run_events import ControlAction
from backtester.domain.vocabulary import Market, RejectReason, Side
from backtester.risk.limits import ExposureLimits
from backtester.risk.order_validation import Refusal
from backtester.risk.readers import AccountReader, OrderReader

SWITCHES = {
    RejectReason.MAX_LEVERAGE: ControlAction.MAX_LEVERAGE,
    RejectReason.MAX_SYMBOL_EXPOSURE: ControlAction.MAX_SYMBOL_EXPOSURE,
    RejectReason.MAX_TOTAL_EXPOSURE: ControlAction.MAX_TOTAL_EXPOSURE,
    RejectReason.MAX_CORRELATED_EXPOSURE: ControlAction.MAX_CORRELATED_EXPOSURE,
}
"""What the journal is told when a rail begins to refuse."""


class Exposure:
    """What one symbol may come to, in money units: held at its mark, and every working entry at its own price."""

    __slots__ = ("buys", "held", "sells")

    def __init__(self) -> None:
        self.held = 0
        self.buys = 0
        self.sells = 0

    def hold(self, value: int, side: Side) -> None:
        """That much is held, long where `side` is to buy."""
        self.held += value * side.sign

    def after(self, side: Side) -> int:
        """The position on the side of `side` once all its entries are filled; below 0 where it stays on the other side."""
        return self.held + self.buys if side is Side.BUY else self.sells - self.held

    @property
    def worst(self) -> int:
        """The larger of what its buys and what its sells can make of it."""
        return max(self.after(Side.BUY), self.after(Side.SELL))


class BothSides(Exposure):
    """In hedge mode: a long and a short position, which add up; neither is lessened by entries of the other."""

    __slots__ = ("held_short",)

    def __init__(self) -> None:
        super().__init__()
        self.held_short = 0

    def hold(self, value: int, side: Side) -> None:
        """That much is held on the long side (`side` to buy) or on the short one."""
        if side is Side.BUY:
            self.held += value
        else:
            self.held_short += value

    def after(self, side: Side) -> int:
        """The position on the side of `side` once all its entries are filled."""
        return self.held + self.buys if side is Side.BUY else self.held_short + self.sells

    @property
    def worst(self) -> int:
        """Both together."""
        return self.after(Side.BUY) + self.after(Side.SELL)


class ExposureRails:
    """Judges orders that open. Caps are multiples of equity at the last closes; equity at or below 0 allows nothing.

    Total exposure sums what each symbol may come to, whichever side. Leverage does so for derivatives, over equity without open
    profits. Correlated exposure sums a group's symbols on the order's side only: a hedge inside a group neither adds nor counts.
    In hedge mode (`hedge`) the two positions of a symbol add up.
    """

    def __init__(
        self,
        *,
        limits: ExposureLimits,
        specs: Mapping[str, SymbolSpec],
        account: AccountReader,
        orders: OrderReader,
        marks: Mapping[str, float],
        hedge: bool = False,
        told: Callable[[str, int], int] | None = None,
    ) -> None:
        """`told` turns money of a symbol into that of equity, where it settles in another asset."""
        self._told = told
        self._hedge = hedge
        self._limits = limits
        self._specs = specs
        self._account = account
        self._orders = orders
        self._marks = marks
        self._refusing: dict[str, RejectReason] = {}

    def broken(self, symbol: str, side: Side, *, value: int) -> Refusal | None:
        """The first cap that an order of `value` (money units) would exceed, with all that works; None when none."""
        limits, equity = self._limits, self._account.equity()
        book = self._book()
        mine = book.setdefault(symbol, self._none())
        value = self._told(symbol, value) if self._told is not None else value
        if side is Side.BUY:
            mine.buys += value
        else:
            mine.sells += value
        total = mine.worst if self._hedge else mine.after(side)
        if _exceeds(total, limits.max_symbol, equity):
            return _refusal(RejectReason.MAX_SYMBOL_EXPOSURE, f"{symbol}", "risk.max_symbol_exposure", total, equity)
        for group in limits.groups:
            if symbol in group:
                total = sum(max(0, book[name].after(side)) for name in group if name in book)
                if _exceeds(total, limits.max_correlated, equity):
                    name = "+".join(group)
                    return _refusal(RejectReason.MAX_CORRELATED_EXPOSURE, name, "risk.max_correlated_exposure", total, equity)
        total = sum(exposure.worst for exposure in book.values())
        if _exceeds(total, limits.max_total, equity):
            return _refusal(RejectReason.MAX_TOTAL_EXPOSURE, "the account", "risk.max_total_exposure", total, equity)
        if limits.max_leverage is not None and self._specs[symbol].market is not Market.SPOT:
            total = sum(each.worst for name, each in book.items() if self._specs[name].market is not Market.SPOT)
            equity -= max(0, self._account.unrealised())
            if _exceeds(total, limits.max_leverage, equity):
                return _refusal(RejectReason.MAX_LEVERAGE, "the account", "risk.max_leverage", total, equity)
        return None

    def has_begun(self, symbol: str, refusal: Refusal | None) -> ControlAction | None:
        """The switch that the journal is to be told of: the first refusal of a rail for `symbol`, until an order passes again."""
        if refusal is None:
            self._refusing.pop(symbol, None)
            return None
        switch = SWITCHES.get(refusal.reason)
        if switch is None or self._refusing.get(symbol) is refusal.reason:
            return None
        self._refusing[symbol] = refusal.reason
        return switch

    def _book(self) -> dict[str, Exposure]:
        book: dict[str, Exposure] = {}
        for leg, lots in self._account.lots.items():
            if not lots:
                continue
            symbol = split_leg(leg)[0] if self._hedge else leg
            held = self._value(symbol, abs(lots), self._mark_e8(symbol))
            mine = book.setdefault(symbol, self._none())
            mine.hold(held, Side.BUY if lots > 0 else Side.SELL)
        for symbol, side, lots, ticks in self._orders.entries():
            spec = self._specs[symbol]
            value = self._value(symbol, lots, ticks * spec.tick_e8 or self._mark_e8(symbol))
            exposure = book.setdefault(symbol, self._none())
            if side is Side.BUY:
                exposure.buys += value
            else:
                exposure.sells += value
        return book

    def _value(self, symbol: str, lots: int, price_e8_: int) -> int:
        value = self._specs[symbol].value(lots, price_e8_)
        return value if self._told is None else self._told(symbol, value)

    def _none(self) -> Exposure:
        return BothSides() if self._hedge else Exposure()

    def _mark_e8(self, symbol: str) -> int:
        mark = self._marks.get(symbol)
        return price_e8(mark) if mark is not None else 0


def _exceeds(value: int, cap: Decimal | None, equity: int) -> bool:
    if cap is None:
        return False
    numerator, denominator = cap.as_integer_ratio()
    return value * denominator > max(0, equity) * numerator


def _refusal(reason: RejectReason, whose: str, key: str, value: int, equity: int) -> Refusal:
    held, owned = (amount // 10**14 / 100 for amount in (value, equity))
    return Refusal(reason, f"{whose} would come to {held:.2f} with what works, at an equity of {owned:.2f}: more than {key} allows")
