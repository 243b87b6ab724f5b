"""Random worlds in which spot borrows: who does, at which rates, and what must hold of all that is owed in them."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from backtester.data.columns import CandleColumns
from backtester.domain.borrowing import BorrowTerms, InterestCharged
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import Fill, SanitizedOrder
from backtester.domain.spot_costs import next_interest_ms

MINUTE_MS = 60_000


def borrow_of(seed: int, bars: Mapping[str, CandleColumns]) -> dict[str, Any]:
    """The keys of [account] in most of the spot worlds, with little cash, so that much is borrowed; none in the others."""
    draw = random.Random(11 * seed + 4)
    if draw.random() < 0.3:
        return {}
    price = max(float(table.close[0]) for table in bars.values())
    cash = Decimal(round(price * draw.choice([0.5, 3, 20]) + 1))
    assets = ("USDT", *(symbol[:-4] for symbol in bars))
    rates = {asset: Decimal(draw.choice(["0", "0.0001", "0.01"])) for asset in assets}
    leverage, level = Decimal(draw.choice(["1.5", "3", "10"])), Decimal(draw.choice(["0.1", "0.4"]))
    return {"borrow": "on", "borrow_rates": rates, "leverage": leverage, "borrow_liquidation": level, "starting_cash": cash}


class _Balances:
    """Cash and coins as the messages leave them, in exact fractions; prices are the last closes."""

    def __init__(self, cash: Fraction, bars: Mapping[str, CandleColumns]) -> None:
        self.cash = cash
        self.coins: dict[str, Fraction] = {}
        self._ends = {symbol: [int(start) + MINUTE_MS for start in table.start_ms] for symbol, table in bars.items()}
        self._closes = {symbol: [Fraction(repr(float(close))) for close in table.close] for symbol, table in bars.items()}

    def totals(self, time_ms: int) -> tuple[Fraction, Fraction]:
        """(equity, what is owed) at the closes of then."""
        values = {symbol: size * self._close(symbol, time_ms) for symbol, size in self.coins.items() if size}
        owed = max(Fraction(0), -self.cash) - sum(min(Fraction(0), value) for value in values.values())
        return self.cash + sum(values.values()), owed

    def _close(self, symbol: str, time_ms: int) -> Fraction:
        return self._closes[symbol][max(0, bisect_right(self._ends[symbol], time_ms) - 1)]

    def owing(self, rates: Mapping[str, Decimal]) -> set[str]:
        """Positions, and the quote asset, on which an hour costs something."""
        found = {symbol for symbol, size in self.coins.items() if size < 0 and rates[symbol[:-4]]}
        return found | ({"USDT"} if self.cash < 0 and rates["USDT"] else set())

    def book(self, message: Fill | CoinsDeposited | InterestCharged) -> None:
        """The message is in them."""
        if isinstance(message, InterestCharged):
            if message.symbol:
                self.coins[message.symbol] -= Fraction(message.amount)
            else:
                self.cash -= Fraction(message.amount)
            return
        symbol = message.symbol
        if isinstance(message, CoinsDeposited):
            self.coins[symbol] = Fraction(message.qty)
            return
        size, fee = message.side.sign * Fraction(message.qty), Fraction(message.fee)
        self.cash -= size * Fraction(message.price) + (0 if message.fee_in_base else fee)
        self.coins[symbol] = self.coins.get(symbol, Fraction(0)) + size - (fee if message.fee_in_base else 0)


def broken_borrow_rule(
    messages: Sequence[Any],
    *,
    terms: BorrowTerms | None,
    specs: Mapping[str, SymbolSpec],
    bars: Mapping[str, CandleColumns],
    cash: Decimal,
) -> tuple[object, ...]:
    """The first rule that is broken, with its facts; empty where all hold.

    No fill borrows more than the leverage allows but one that closes; each charge is the rate of what is owed, rounded up; each
    hour of each debt is charged.
    """
    if terms is None:
        return ()
    held = _Balances(Fraction(cash), bars)
    closing: set[str] = set()
    due_ms = next_interest_ms(min(int(table.start_ms[0]) for table in bars.values()))
    before: set[str] | None = None
    for message in messages:
        while message.time_ms > due_ms:
            missing = held.owing(terms.rates) if before is None else before
            if missing:
                return "each hour of a debt is charged", due_ms, missing
            due_ms, before = next_interest_ms(due_ms), None
        if message.time_ms == due_ms and before is None:
            before = held.owing(terms.rates)
        if isinstance(message, SanitizedOrder) and message.reduce_only:
            closing.add(message.order_id)
        if isinstance(message, InterestCharged):
            owed = -held.coins[message.symbol] if message.symbol else -held.cash
            exact = Fraction(ceil(owed * Fraction(terms.rates[message.asset]) * 10**8), 10**8)
            if (Fraction(message.owed), Fraction(message.amount), message.time_ms) != (owed, exact, due_ms):
                return "interest is the rate of what is owed", message, owed, exact
            before = (before or set()) - {message.symbol or message.asset}
        if isinstance(message, Fill | CoinsDeposited | InterestCharged):
            _, owed_before = held.totals(message.time_ms)
            held.book(message)
            equity, owed = held.totals(message.time_ms)
            if isinstance(message, Fill) and before:
                before -= {message.symbol, "USDT"}
            if isinstance(message, Fill) and message.order_id not in closing and owed > owed_before:
                rounding = Fraction(specs[message.symbol].lot_e8, 10**8) * Fraction(message.price)
                at_close = held.totals(message.time_ms)  # by which the venue judges a fill inside a bar
                if all(owed > (Fraction(terms.leverage) - 1) * equity + rounding for equity, owed in ((equity, owed), at_close)):
                    return "no fill borrows more than the leverage allows", message, float(owed), float(equity)
    return ()
