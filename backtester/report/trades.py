"""Trades, flat to flat, of the account's net position per symbol, in hedge mode of each side of it.

A fill that crosses zero ends one trade and starts the next; its fee is shared by size. Profit is exact: what was taken out less
what was put in, with what is still open valued at the last close.

A position of which less than a lot is left, because fees were taken from the coin, is over: dust cannot be sold. Its part of
the entry value goes over to the symbol's next trade, or is an open trade in the end, so that profits sum up to that of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from backtester.domain.contract_value import average_entry_e8, worth
from backtester.domain.legs import leg_of
from backtester.domain.money import PRICE_ONE, price_e8
from backtester.domain.vocabulary import CloseReason, PositionSide, Side
from backtester.report.fill_book import END_REASON, INTEREST_PLACE, BookedFill, with_interest

SIGNAL, REVERSE = CloseReason.SIGNAL.value, CloseReason.REVERSE.value


class Trade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One trade. `qty_e8` is all that was entered; values in money units, so prices are 1e-16 quote as well.

    Of an inverse contract (`face`) values are what a long of that size is worth (`domain.contract_value`), in coins below 0.

    `exit_price` weighs what was left at its price and, in an open trade, the rest at the last close: profit before fees is always
    (exit - entry) x size. `order_type` is that of the closing fill, empty while open; `exit_time_ms` is 0 while open.
    `first_fill` and `last_fill` count fills of the run from 0; None while open. Stop and target: `waiting_orders.with_levels`.
    """

    symbol: str
    side: Side
    qty_e8: int
    entry_time_ms: int
    exit_time_ms: int
    entry_value: int
    exit_value: int
    fees: int
    close_reason: str
    order_type: str
    is_open: bool
    strategy_id: str
    first_fill: int
    last_fill: int | None
    stop_price: int | None = None
    target_price: int | None = None
    face: int = 0
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that was traded (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)

    @property
    def gross(self) -> int:
        """Profit before fees."""
        return self.side.sign * (self.exit_value - self.entry_value)

    @property
    def net(self) -> int:
        """Profit after fees."""
        return self.gross - self.fees

    @property
    def entry_price(self) -> int:
        """Size-weighted entry price, to the nearest money unit; of an inverse contract the harmonic mean, to the nearest 1e-8."""
        return self._price(self.entry_value)

    @property
    def exit_price(self) -> int:
        """As `entry_price`, of the exit."""
        return self._price(self.exit_value)

    @property
    def pnl_frac_e16(self) -> int:
        """Net profit as a fraction of the entry value, in 1e-16."""
        return _nearest(self.net * 10**16, abs(self.entry_value))

    def _price(self, value: int) -> int:
        if self.face:
            return average_entry_e8(self.qty_e8, value, self.face) * PRICE_ONE if value else 0
        return _nearest(value * 10**8, self.qty_e8)


class _Running:
    """A trade that is not over."""

    __slots__ = (
        *("entry_time_ms", "entry_value", "exit_value", "face", "fees", "first_fill", "position_side"),
        *("qty_e8", "side", "signed_e8", "strategy_id", "symbol"),
    )

    def __init__(self, fill: BookedFill | _Running, side: Side, time_ms: int, place: int) -> None:
        self.first_fill = place
        self.symbol: str = fill.symbol
        self.side = side
        self.strategy_id: str = fill.strategy_id
        self.face: int = fill.face
        self.position_side: PositionSide | None = fill.position_side
        self.entry_time_ms = time_ms
        self.signed_e8 = 0
        self.qty_e8 = 0
        self.entry_value = 0
        self.exit_value = 0
        self.fees = 0

    def enter(self, size_e8: int, price_e8: int, fee: int) -> None:
        """More of it was opened."""
        self.signed_e8 += self.side.sign * size_e8
        self.qty_e8 += size_e8
        self.entry_value += worth(size_e8, price_e8, self.face)
        self.fees += fee

    def without_dust(self) -> _Dust:
        """What is still open is none of this trade's any more; what it is, with its share of the entry value."""
        size_e8 = abs(self.signed_e8)
        value = self.entry_value * size_e8 // self.qty_e8
        self.qty_e8 -= size_e8
        self.entry_value -= value
        self.signed_e8 = 0
        return _Dust(self, size_e8, value)

    def leave(self, size_e8: int, price_e8: int, fee: int) -> None:
        """Some of it was closed."""
        self.signed_e8 -= self.side.sign * size_e8
        self.exit_value += worth(size_e8, price_e8, self.face)
        self.fees += fee

    def ended(self, *, exit_time_ms: int, exit_value: int, close_reason: str, order_type: str, last_fill: int | None) -> Trade:
        """The trade as it is reported."""
        return Trade(
            symbol=self.symbol,
            side=self.side,
            qty_e8=self.qty_e8,
            entry_time_ms=self.entry_time_ms,
            exit_time_ms=exit_time_ms,
            entry_value=self.entry_value,
            exit_value=exit_value,
            fees=self.fees,
            close_reason=close_reason,
            order_type=order_type,
            is_open=last_fill is None,
            strategy_id=self.strategy_id,
            first_fill=self.first_fill,
            last_fill=last_fill,
            face=self.face,
            position_side=self.position_side,
        )


class _Dust(NamedTuple):
    """Less than a lot that a trade has left over, at its entry value in money units."""

    of: _Running
    size_e8: int
    value: int

    def with_interest(self, charge: BookedFill) -> _Dust:
        """More of it is owed."""
        more_e8 = -charge.signed_e8
        return _Dust(self.of, self.size_e8 + more_e8, self.value + more_e8 * charge.price_e8)

    def again(self, by: BookedFill | None = None, place: int = 0) -> _Running:
        """The trade that it is part of from now on: that which the fill `by` at `place` begins, else one of its own."""
        of = self.of
        if by is not None and by.signed_e8 * of.side.sign > 0:
            trade = _Running(by, of.side, by.time_ms, place)
        else:
            trade = _Running(of, of.side, of.entry_time_ms, of.first_fill)
        trade.signed_e8 = trade.side.sign * self.size_e8
        trade.qty_e8 = self.size_e8
        trade.entry_value = self.value
        return trade


def trades_of(
    fills: Iterable[BookedFill],
    *,
    last_closes: Mapping[str, float],
    openings: Iterable[BookedFill] = (),
    grown: Sequence[tuple[int, BookedFill]] = (),
) -> Iterator[Trade]:
    """Closed trades as they end, then one open trade per position that is left, in the order they began, at `last_closes`.

    A symbol without a close is valued at its entry. A trade is closed for the reason of its last fill; where that has no more to
    say than SIGNAL and goes on to the other side, it is a REVERSE.
    `openings` are what was held at the start: a trade of them has no first fill (-1). `grown` is interest on coins that were sold
    short (`FillBook.grown`): the trade is larger by it, entered at its price.
    """
    running: dict[str, _Running] = {}
    dust: dict[str, _Dust] = {}
    for place, fill in chain(((-1, opening) for opening in openings), with_interest(fills, grown)):
        position = fill.symbol if fill.position_side is None else fill.leg
        if place == INTEREST_PLACE:
            if position in dust:
                dust[position] = dust[position].with_interest(fill)
            else:
                running[position].enter(-fill.signed_e8, fill.price_e8, 0)
            continue
        if position in dust:
            running[position] = dust.pop(position).again(fill, place)
        trade = running.get(position)
        size_e8, side = abs(fill.signed_e8), Side.BUY if fill.signed_e8 > 0 else Side.SELL
        fee = fill.fee
        if trade is not None and trade.side is not side:
            closing_e8 = min(size_e8, abs(trade.signed_e8))
            closing_fee = fee * closing_e8 // size_e8
            trade.leave(closing_e8, fill.price_e8, closing_fee)
            size_e8, fee = size_e8 - closing_e8, fee - closing_fee
            if 0 < abs(trade.signed_e8) < fill.lot_e8:
                dust[position] = trade.without_dust()
            if not trade.signed_e8:
                del running[position]
                yield trade.ended(
                    exit_time_ms=fill.time_ms,
                    exit_value=trade.exit_value,
                    close_reason=REVERSE if size_e8 and fill.reason == SIGNAL else fill.reason,
                    order_type=fill.order_type,
                    last_fill=place,
                )
        if size_e8:
            trade = running.get(position)
            if trade is None:
                trade = running[position] = _Running(fill, side, fill.time_ms, place)
            trade.enter(size_e8, fill.price_e8, fee)
    for position, left in dust.items():
        running[position] = left.again()
    for trade in running.values():
        yield _left_open(trade, last_closes.get(trade.symbol))


def _left_open(trade: _Running, close: float | None) -> Trade:
    open_e8 = abs(trade.signed_e8)
    open_value = (
        worth(open_e8, price_e8(close), trade.face) if close is not None else _nearest(trade.entry_value * open_e8, trade.qty_e8)
    )
    return trade.ended(
        exit_time_ms=0, exit_value=trade.exit_value + open_value, close_reason=END_REASON, order_type="", last_fill=None
    )


def _nearest(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0) to the nearest whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)
