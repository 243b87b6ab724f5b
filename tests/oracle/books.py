"""The oracle's account: average cost, fees, trades and equity in exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from tests.oracle.scenario import Rules, worth


class FillRow(NamedTuple):
    """One fill as it stands in fills.csv."""

    time_ms: int
    symbol: str
    side: str
    qty: Fraction
    price: Fraction
    fee: Fraction
    liquidity: str
    order_id: str
    order_type: str
    bar_fill: bool
    in_base: bool = False


class EquityRow(NamedTuple):
    """One row of equity.csv."""

    time_ms: int
    equity: Fraction
    cash: Fraction
    unrealised_pnl: Fraction
    exposure: Fraction
    equity_min: Fraction
    equity_max: Fraction


@dataclass
class TradeRow:
    """One trade, flat to flat; values are sums of qty x price."""

    symbol: str
    side: str
    entry_time_ms: int
    entry_qty: Fraction = Fraction(0)
    entry_value: Fraction = Fraction(0)
    exit_qty: Fraction = Fraction(0)
    exit_value: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    exit_time_ms: int = 0
    is_open: bool = True


@dataclass
class Position:
    """Signed size, its signed entry value, and the trade it belongs to."""

    qty: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    trade: TradeRow | None = None
    is_dust: bool = False


class Books:
    """Cash, positions and marks of one run."""

    def __init__(self, symbols: list[str], rules: Rules) -> None:
        self.rules = rules
        self.spot = rules.spot
        self.lot = Fraction(rules.lot)
        self.cash = Fraction(rules.cash)
        self.positions = {symbol: Position() for symbol in symbols}
        self.last: dict[str, Fraction] = {}
        self.closed_trades: list[TradeRow] = []
        self.equity_rows: list[EquityRow] = []
        self.seen: list[Fraction] = []

    def book(self, row: FillRow) -> None:
        """Average-cost accounting: close what is opposite, then open the rest. A fee in the coin is off what was bought."""
        if row.in_base:
            taken = row.fee if row.side == "buy" else -row.fee
            row = row._replace(qty=row.qty - taken, fee=row.fee * row.price)
        position = self.positions[row.symbol]
        sign = 1 if row.side == "buy" else -1
        closing = min(row.qty, abs(position.qty)) if position.qty * sign < 0 else Fraction(0)
        opening = row.qty - closing
        if closing:
            self.close(position, row, closing, sign)
        if opening:
            if position.is_dust and position.trade is not None:
                position.trade.entry_time_ms, position.is_dust = row.time_ms, False
            if position.trade is None:
                position.trade = TradeRow(row.symbol, row.side, row.time_ms)
            position.trade.entry_qty += opening
            position.trade.entry_value += opening * worth(row.price, self.rules)
            position.trade.fees += row.fee * opening / row.qty
            position.qty += sign * opening
            position.cost += sign * opening * worth(row.price, self.rules)
        if self.spot:
            self.cash -= sign * row.qty * worth(row.price, self.rules)
        self.cash -= row.fee

    def close(self, position: Position, row: FillRow, closing: Fraction, sign: int) -> None:
        """Realise the part of a fill that reduces; the average entry of what stays is unchanged."""
        entry = position.cost * closing / abs(position.qty)
        position.cost -= entry
        position.qty += sign * closing
        if not self.spot:
            self.cash += -sign * closing * worth(row.price, self.rules) - entry
        trade = position.trade
        assert trade is not None
        trade.exit_qty += closing
        trade.exit_value += closing * worth(row.price, self.rules)
        trade.exit_time_ms = row.time_ms
        trade.fees += row.fee * closing / row.qty
        if abs(position.qty) < self.lot:
            left, share = abs(position.qty), abs(position.qty) / trade.entry_qty
            dust = TradeRow(trade.symbol, trade.side, trade.entry_time_ms, left, trade.entry_value * share)
            trade.entry_qty, trade.entry_value = trade.entry_qty - left, trade.entry_value * (1 - share)
            trade.is_open = False
            self.closed_trades.append(trade)
            position.trade = dust if left else None
            position.is_dust = bool(left)

    def value(self) -> Fraction:
        """Signed value of all positions at their marks."""
        return sum((p.qty * worth(self.last[s], self.rules) for s, p in self.positions.items() if p.qty), Fraction(0))

    def unrealised(self) -> Fraction:
        """Value of the open positions less what they cost."""
        return self.value() - sum((p.cost for p in self.positions.values()), Fraction(0))

    def equity(self) -> Fraction:
        """Wallet plus unrealised profit; quote balance plus holdings on spot."""
        return self.cash + (self.value() if self.spot else self.unrealised())

    def bars_closed(self) -> None:
        """Remember the equity at an execution close for the next row's range."""
        self.seen.append(self.equity())

    def snapshot(self, now_ms: int) -> None:
        """One equity row; minimum and maximum over the execution closes since the last one."""
        equity = self.equity()
        exposure = sum((abs(p.qty * worth(self.last[s], self.rules)) for s, p in self.positions.items() if p.qty), Fraction(0))
        seen = [*self.seen, equity]
        self.equity_rows.append(EquityRow(now_ms, equity, self.cash, self.unrealised(), exposure, min(seen), max(seen)))
        self.seen = []

    def trades(self, last_ms: int) -> list[TradeRow]:
        """All trades, the open ones last, valued at the last close."""
        rows = list(self.closed_trades)
        for symbol, position in self.positions.items():
            if position.trade is not None:
                position.trade.exit_qty += abs(position.qty)
                position.trade.exit_value += abs(position.qty) * worth(self.last[symbol], self.rules)
                position.trade.exit_time_ms = last_ms
                rows.append(position.trade)
        return rows
