"""Positions, cash, equity and trades from fills and payments alone, in exact fractions.

Profit is cash flow: what was received for sales less what was paid for purchases, plus what is held at its mark. So equity needs
no average entry, and cash of a derivatives account is equity without the part that is open.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

UNIT = Fraction(1, 10**16)
"""The smallest amount an account knows; each reduction of a position may round its profit by one."""


Position = tuple[str, str]
"""(symbol, side); the side is empty in one-way mode, where a symbol has one position."""


def position_of(event: dict[str, Any]) -> Position:
    """The position that a fill, an order, or a row of a snapshot, is about."""
    return event["symbol"], event.get("position_side") or ""


Change = tuple[int, bool, dict[str, Fraction], bool]
"""(time, whether it belongs to the instant that it is stamped with, wallets by asset, whether anything is held) after an event."""


class Trade(NamedTuple):
    """One round trip, flat to flat; `exit_value` is None while it is open; fills of the run count from 0.

    Values are what a long of that size counts for: of an inverse contract below 0. `rounded` is how many roundings they may hold.
    """

    symbol: str
    side: str
    qty: Fraction
    entry_time_ms: int
    exit_time_ms: int | None
    entry_value: Fraction
    exit_value: Fraction | None
    fees: Fraction
    strategy_id: str
    close_reason: str
    order_type: str
    first_fill: int
    last_fill: int | None
    rounded: int = 0
    position_side: str = ""


class _Open:
    """A position that is not flat."""

    def __init__(self, position: Position, side: str, time_ms: int, strategy_id: str, fill: int) -> None:
        self.symbol, self.position_side = position
        self.side, self.time_ms, self.strategy_id, self.first_fill = side, time_ms, strategy_id, fill
        self.size = self.entered = self.entry_value = self.exit_value = self.fees = Fraction(0)
        self.rounded = 0

    def left_over(self) -> _Open:
        """What is still open, with its share of the entry value, as a trade of its own; this one has nothing open any more."""
        dust = _Open((self.symbol, self.position_side), self.side, self.time_ms, self.strategy_id, self.first_fill)
        dust.size = dust.entered = self.size
        dust.entry_value = Fraction(int(self.entry_value / UNIT * self.size / self.entered)) * UNIT
        self.entered -= dust.size
        self.entry_value -= dust.entry_value
        self.size = Fraction(0)
        return dust


class Accounting:
    """What an account must hold after the fills and payments it was told of, in order."""

    def __init__(self, starting_cash: Fraction, *, outright: frozenset[str], contracts: dict[str, Fraction] | None = None) -> None:
        """`contracts` are the sizes of inverse ones: a contract is worth size / price coins, and a long loses what that gains."""
        self.flows = starting_cash
        """Start, plus sales, less purchases, less fees, less interest on quote, plus funding; a delivery is the sale or purchase
        that ends a position."""
        self.fees = self.funding = self.deposited = self.interest = Fraction(0)
        self.held: dict[Position, Fraction] = {}
        self.cost: dict[Position, Fraction] = {}
        self._lots: dict[Position, Fraction] = {}
        self.trades: list[Trade] = []
        self.reductions = 0
        """How many amounts may have been rounded by a unit: profits of reductions, and values of inverse contracts."""
        self.inverse = contracts or {}
        self._fills = 0
        self._outright = outright
        self._open: dict[Position, _Open] = {}
        self._dust: dict[Position, _Open] = {}

    def fill(self, event: dict[str, Any]) -> None:
        """A fill or a delivery of the journal is in all figures."""
        symbol, side = position_of(event), event["side"]
        size, price, fee = Fraction(event["qty"]), Fraction(event["price"]), Fraction(event["fee"])
        signed = size if side == "buy" else -size
        lot = size / max(1, event["qty_lots"])
        if event.get("fee_in_base"):
            signed, fee = signed - fee, fee * price
            size = abs(signed)
        held = self.held.get(symbol, Fraction(0))
        worth = self.worth(symbol, price)
        self.flows -= signed * worth + fee
        self.fees += fee
        self.held[symbol] = held + signed
        closing = min(size, abs(held)) if held * signed < 0 else Fraction(0)
        self.reductions += bool(closing) + 2 * (symbol[0] in self.inverse)
        cost = self.cost.get(symbol, Fraction(0))
        if closing:
            cost -= cost * closing / abs(held)
        self.cost[symbol] = cost + (signed - (closing if signed > 0 else -closing)) * worth
        self._lots[symbol] = lot
        self._trade(event, size, closing, worth, fee, lot)
        self._fills += 1

    def deposit(self, event: dict[str, Any]) -> None:
        """Coins that the account begins with are held, at the price that the journal values them at."""
        symbol, size, price = position_of(event), Fraction(event["qty"]), Fraction(event["price"])
        self.deposited += size * price
        self.held[symbol] = self.held.get(symbol, Fraction(0)) + size
        self.cost[symbol] = self.cost.get(symbol, Fraction(0)) + size * price
        trade = self._open[symbol] = _Open(symbol, "buy", event["time_ms"], event["strategy_id"], -1)
        trade.size = trade.entered = size
        trade.entry_value = size * price

    def in_position(self) -> bool:
        """Whether anything is held that can be closed: a lot at least, or coins that were never traded."""
        return any(size and abs(size) >= self._lots.get(position, 0) for position, size in self.held.items())

    def pay(self, event: dict[str, Any]) -> None:
        """A funding payment of the journal is in cash."""
        self.flows += Fraction(event["amount"])
        self.funding += Fraction(event["amount"])

    def charge(self, event: dict[str, Any]) -> None:
        """Interest of the journal is owed: out of cash, or as more coins, entered at the price that the journal values them at."""
        amount, price, position = Fraction(event["amount"]), Fraction(event["price"]), (event.get("symbol", ""), "")
        self.interest += amount * price
        if not event.get("symbol"):
            self.flows -= amount
            return
        self.held[position] = self.held.get(position, Fraction(0)) - amount
        self.cost[position] = self.cost.get(position, Fraction(0)) - amount * price
        trade = self._dust[position] if position in self._dust else self._open[position]
        trade.size += amount
        trade.entered += amount
        trade.entry_value += amount * price

    def cash(self) -> Fraction:
        """Wallet of derivatives, quote balance of what is traded outright: spot and options."""
        return self.flows + sum((cost for (symbol, _), cost in self.cost.items() if symbol not in self._outright), Fraction(0))

    def wallets(self) -> dict[str, Fraction]:
        """Cash by asset; of a run in one asset without its name."""
        return {"": self.cash()}

    def equity(self, marks: dict[Position, Fraction]) -> Fraction:
        """Flows and what is held at these marks."""
        held = ((symbol, size) for symbol, size in self.held.items() if size)
        return self.flows + sum((size * self.worth(symbol, marks[symbol]) for symbol, size in held), Fraction(0))

    def snapshot_figures(self, event: dict[str, Any], marks: dict[Position, Fraction]) -> list[tuple[str, Fraction, Fraction]]:
        """(name, value, how far it may be rounded) of the sums of the snapshot `event`, at its marks."""
        held = {position: size for position, size in self.held.items() if size}
        inexact = (self.reductions + len(held)) * UNIT if self.inverse else Fraction(0)
        exposure = sum((abs(size * self.worth(position, marks[position])) for position, size in held.items()), Fraction(0))
        return [
            ("cash", self.cash(), self.reductions * UNIT),
            ("equity", self.equity(marks), inexact),
            ("fees", self.fees, Fraction(0)),
            ("exposure", exposure, inexact),
        ]

    def paid(self) -> tuple[Fraction, Fraction]:
        """(fees, funding received)."""
        return self.fees, self.funding

    def worth(self, position: Position, price: Fraction) -> Fraction:
        """What one unit of size counts for at a price: the price, or what an inverse contract is worth in coins, below 0."""
        symbol = position[0]
        return -self.inverse[symbol] / price if symbol in self.inverse else price

    def price(self, symbol: str, worth: Fraction) -> Fraction:
        """The price at which one unit of size counts for this."""
        return -self.inverse[symbol] / worth if symbol in self.inverse else worth

    def all_trades(self) -> list[Trade]:
        """Those that are over as they ended, then those that are open as they began."""
        left = [
            Trade(
                one.symbol,
                one.side,
                one.entered,
                one.time_ms,
                None,
                one.entry_value,
                None,
                one.fees,
                one.strategy_id,
                "END",
                "",
                one.first_fill,
                None,
                one.rounded,
                one.position_side,
            )
            for one in (*self._open.values(), *self._dust.values())
        ]
        return self.trades + left

    def _trade(
        self, event: dict[str, Any], size: Fraction, closing: Fraction, worth: Fraction, fee: Fraction, lot: Fraction
    ) -> None:
        symbol, time_ms, strategy_id = position_of(event), event["time_ms"], event["strategy_id"]
        if symbol in self._dust:
            dust = self._open[symbol] = self._dust.pop(symbol)
            if dust.side == event["side"]:
                dust.time_ms, dust.strategy_id, dust.first_fill = time_ms, strategy_id, self._fills
        if closing:
            units = int(fee / UNIT)
            share = Fraction(units * closing.numerator * size.denominator // (closing.denominator * size.numerator)) * UNIT
            trade = self._open[symbol]
            trade.size -= closing
            trade.exit_value += closing * worth
            trade.rounded += trade.symbol in self.inverse
            trade.fees += share
            size, fee = size - closing, fee - share
            if 0 < trade.size < lot:  # less than can be sold: the trade is over, and this is of the next one
                self._dust[symbol] = trade.left_over()
            if not trade.size:
                del self._open[symbol]
                facts = (trade.symbol, trade.side, trade.entered, trade.time_ms, time_ms, trade.entry_value, trade.exit_value)
                reason = "REVERSE" if size and event["reason"] == "SIGNAL" else event["reason"]
                why = (reason, event["order_type"], trade.first_fill, self._fills)
                self.trades.append(Trade(*facts, trade.fees, trade.strategy_id, *why, trade.rounded, trade.position_side))
        if size:
            trade = self._open.setdefault(symbol, _Open(symbol, event["side"], time_ms, strategy_id, self._fills))
            trade.size += size
            trade.entered += size
            trade.entry_value += size * worth
            trade.rounded += trade.symbol in self.inverse
            trade.fees += fee
