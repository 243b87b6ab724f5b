"""What an account has borrowed on spot, what it may still borrow, and the interest on it (ADR 022).

Owed is what stands below 0: cash, and each spot position. Values are money units at the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from backtester.domain.account import CoinBalance
from backtester.domain.borrowing import BorrowTerms, InterestCharged, charged_interest_e8, is_due, room
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, PRICE_ONE, ceil_div, decimal_from_e8, decimal_from_money, price_e8


class BalanceReader(Protocol):
    """What is asked of the books; see `Books`, which knows this module."""

    quote: str
    cash: int
    lots: dict[str, int]
    sizes: dict[str, int]
    step_e8: dict[str, int]
    strategy_sizes: dict[tuple[str, str], int]
    coins: dict[str, str]
    marks: Mapping[str, float]

    def worth(self, symbol: str, size: int) -> int:
        """What a size in steps counts for at the mark, in money units."""

    def equity(self) -> int:
        """Cash and the value of what is held, in money units."""


class Borrowing:
    """Reads the books of a run with `account.borrow = on`; `fee_e8` is the highest fee of each symbol as a fraction in 1e-8."""

    def __init__(
        self, *, books: BalanceReader, specs: Mapping[str, SymbolSpec], terms: BorrowTerms, fee_e8: Mapping[str, int]
    ) -> None:
        self.terms = terms
        self._books = books
        self._specs = specs
        self._fee_e8 = dict(fee_e8)
        self._cash_then = books.cash
        self._unbooked: list[tuple[str, int, int]] = []
        """Fills that will happen and are not in the books yet: symbol, change of cash, change of the coin in 1e-8."""

    def on_rules(self, symbol: str, *, fee_e8: int) -> None:
        """The highest fee of `symbol` is this from now on."""
        self._fee_e8[symbol] = fee_e8

    # -- what is owed ------------------------------------------------------------------------------------------------

    def coins_owed(self) -> int:
        """What the coins that were sold beyond the holdings are worth."""
        books = self._books
        return sum(-books.worth(symbol, size) for symbol, size in books.sizes.items() if size < 0)

    def owed(self) -> int:
        """What all that is borrowed is worth."""
        return max(0, -self._books.cash) + self.coins_owed()

    def owed_by_asset(self) -> tuple[CoinBalance, ...]:
        """How much of each asset is owed, interest included."""
        books = self._books
        amounts: dict[str, int] = {}
        if books.cash < 0:
            amounts[books.quote] = -books.cash
        for symbol, size in books.sizes.items():
            if size < 0:
                asset = books.coins[symbol]
                amounts[asset] = amounts.get(asset, 0) - size * FEE_STEP
        return tuple(CoinBalance(asset, decimal_from_money(amount)) for asset, amount in amounts.items())

    def is_due(self, equity: int) -> bool:
        """Whether so much is borrowed for this equity that positions are closed."""
        return is_due(equity=equity, borrowed=self.owed(), liquidation=self.terms.liquidation)

    # -- what may be borrowed ----------------------------------------------------------------------------------------

    def free_cash(self) -> int:
        """What a purchase may cost, before reservations: the cash, and what quote may be borrowed beside the coins owed."""
        leverage = self.terms.leverage
        return self._books.cash + max(0, room(equity=self._books.equity(), borrowed=self.coins_owed(), leverage=leverage))

    def sale(self, symbol: str, lots: int, price_e8_: int, *, working: Mapping[str, int], reserved: int) -> tuple[int, int]:
        """(how much more would be owed after a sale of `lots`, its fee included; room for it), beside what works.

        `working` are lots on sale by symbol, `reserved` what purchases hold. What is sold beyond the holdings is owed; what it
        brings pays back quote.
        """
        books, spec = self._books, self._specs[symbol]
        value = lots * spec.lot_e8 * price_e8_
        fee = self._fee(symbol, value)
        coins = self.coins_owed() + sum(self._beyond(other, on_sale) for other, on_sale in working.items())
        more_coins = self._beyond(symbol, working.get(symbol, 0) + lots) - self._beyond(symbol, working.get(symbol, 0))
        quote = max(0, reserved - books.cash)
        more = more_coins + max(0, reserved - books.cash - value + fee) - quote + fee
        return max(0, more), max(0, room(equity=books.equity(), borrowed=quote + coins, leverage=self.terms.leverage))

    def _beyond(self, symbol: str, on_sale: int) -> int:
        """What of lots on sale is worth at the mark that would be owed, in addition to what is."""
        lots = max(0, on_sale - max(0, self._books.lots[symbol]))
        return lots * self._specs[symbol].lot_e8 * price_e8(self._books.marks[symbol])

    def covers(self, symbol: str, signed_lots: int, price_e8_: int) -> bool:
        """Whether a fill is within the leverage: it borrows nothing more, or what is owed after it is allowed to that equity.

        A fill that was found to be is counted from then on: several of one instant are booked together, after all of them.
        """
        books = self._books
        if books.cash != self._cash_then:
            self._cash_then, self._unbooked = books.cash, []
        size_e8 = signed_lots * self._specs[symbol].lot_e8
        flow = -size_e8 * price_e8_ - self._fee(symbol, abs(size_e8) * price_e8_)
        cash, equity = books.cash, books.equity()
        sizes_e8 = {name: size * books.step_e8[name] for name, size in books.sizes.items() if size}
        for other, other_flow, more_e8 in self._unbooked:
            cash, equity = cash + other_flow, equity + other_flow + self._worth(other, more_e8)
            sizes_e8[other] = sizes_e8.get(other, 0) + more_e8
        before = self._owed_of(cash, sizes_e8)
        sizes_e8[symbol] = sizes_e8.get(symbol, 0) + size_e8
        owed, equity = self._owed_of(cash + flow, sizes_e8), equity + flow + self._worth(symbol, size_e8)
        covered = owed <= before or room(equity=equity, borrowed=owed, leverage=self.terms.leverage) >= 0
        if covered:
            self._unbooked.append((symbol, flow, size_e8))
        return covered

    def _owed_of(self, cash: int, sizes_e8: Mapping[str, int]) -> int:
        """What stands below 0 of these balances is worth."""
        return max(0, -cash) - sum(self._worth(symbol, size_e8) for symbol, size_e8 in sizes_e8.items() if size_e8 < 0)

    def _worth(self, symbol: str, size_e8: int) -> int:
        return self._books.worth(symbol, size_e8 // self._books.step_e8[symbol])

    def _fee(self, symbol: str, value: int) -> int:
        fee = ceil_div(value * self._fee_e8.get(symbol, 0), PRICE_ONE)
        return ceil_div(fee, FEE_STEP) * FEE_STEP

    # -- interest ----------------------------------------------------------------------------------------------------

    def charges(self, time_ms: int) -> Iterator[InterestCharged]:
        """The interest of an hour on all that is owed now: of quote first, then of each position.

        Coins count at the last close. They are owed by the strategy that is shortest of them, the first of several.
        """
        books, rates = self._books, self.terms.rates
        if books.cash < 0:
            rate = rates[books.quote]
            amount_e8 = charged_interest_e8(-books.cash, rate)
            if amount_e8:
                yield InterestCharged(
                    time_ms,
                    books.quote,
                    decimal_from_money(-books.cash),
                    rate,
                    decimal_from_e8(amount_e8),
                    decimal_from_e8(PRICE_ONE),
                )
        for symbol, size in tuple(books.sizes.items()):
            if size >= 0:
                continue
            asset = books.coins[symbol]
            amount_e8 = charged_interest_e8(-size * FEE_STEP, rates[asset])
            if amount_e8:
                held = {name: own for (name, position), own in books.strategy_sizes.items() if position == symbol}
                yield InterestCharged(
                    time_ms,
                    asset,
                    decimal_from_e8(-size),
                    rates[asset],
                    decimal_from_e8(amount_e8),
                    decimal_from_e8(price_e8(books.marks[symbol])),
                    symbol,
                    min(held, key=held.__getitem__),
                )
