"""The state of an account and what follows from it: equity, free cash, snapshots. Knows nobody, so a strategy may read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal

import msgspec

from backtester.account.borrowing import Borrowing
from backtester.account.margins import Margins
from backtester.account.option_margins import OptionMargins
from backtester.domain import contract_value
from backtester.domain.account import AccountSnapshot, CoinBalance, PositionView
from backtester.domain.contract_value import average_entry, worth
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import StrategyError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, decimal_from_e8, decimal_from_money, e8_from_decimal, price_e8, size_from_e8
from backtester.domain.orders import Fill
from backtester.domain.position import Booked, book_fill, whole_lots
from backtester.domain.vocabulary import Market, PositionSide

NOTHING = decimal_from_money(0)


class PositionKind(msgspec.Struct, frozen=True, gc=False):
    """How a position is counted, in all of a run: what a tick and a step of its size are in 1e-8, and what it is of."""

    tick_e8: int
    step_e8: int
    face: int
    """Of an inverse contract (`domain.contract_value`), else 0."""
    is_outright: bool
    """Whether it is paid for in full, as spot and options are."""
    coin: str
    """The asset that a spot position is held in, else empty."""
    is_exact: bool
    """Whether it is counted in 1e-8 of the coin, not in lots."""


def _kind_of(spec: SymbolSpec, *, is_exact: bool) -> PositionKind:
    coin = spec.base if spec.market is Market.SPOT else ""
    return PositionKind(spec.tick_e8, 1 if is_exact else spec.lot_e8, spec.face, spec.market.is_outright, coin, is_exact)


class Books:
    """Balances of one run in one asset (`quote`): whole money units (1e-16 of it), whole lots.

    Derivatives: cash is the wallet (start + realised - fees + funding), equity adds unrealised profit. What is traded outright
    (spot, options): cash is the quote balance, equity adds the holdings at their marks, of a short option less what it is worth.
    `marks` are the last closes and belong to the loop. `cost` is what a position was worth at its entry: of an inverse one
    negative for a long (`domain.contract_value`).

    `sizes` are what is held, in steps of `step_e8`: whole lots, or 1e-8 coin for the symbols in `exact`, of which fees can leave
    less than a lot. `lots` are the whole lots of that, which is what can be traded; the two are one where nothing is exact.
    """

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        starting_cash: int,
        quote: str,
        marks: Mapping[str, float],
        exact: frozenset[str] = frozenset(),
    ) -> None:
        self.quote = quote
        self.starting_cash = starting_cash
        self.starting_equity = starting_cash
        """With the coins that it began with."""
        self._first_e8: dict[str, int] = {}
        """Prices of those, which count until there is a close."""
        self.cash = starting_cash
        self.realised = 0
        self.fees = 0
        self.funding = 0
        self.interest = 0
        """Charged on what was borrowed, at the prices then."""
        self.lots: dict[str, int] = dict.fromkeys(specs, 0)
        self.cost: dict[str, int] = dict.fromkeys(specs, 0)
        self.exact = exact
        self.sizes: dict[str, int] = dict.fromkeys(specs, 0) if exact else self.lots
        self.strategy_sizes: dict[tuple[str, str], int] = defaultdict(int)
        self.marks = marks
        self.kinds = {symbol: _kind_of(spec, is_exact=symbol in exact) for symbol, spec in specs.items()}
        self.lot_e8 = {symbol: spec.lot_e8 for symbol, spec in specs.items()}
        self.step_e8 = {symbol: kind.step_e8 for symbol, kind in self.kinds.items()}
        self._lot_steps = {symbol: spec.lot_step if symbol in exact else 1 for symbol, spec in specs.items()}
        """How many of what the run counts in can only be traded together, where less than that can be held."""
        self.face = {symbol: kind.face for symbol, kind in self.kinds.items()}
        self.coins = {symbol: kind.coin for symbol, kind in self.kinds.items() if kind.coin}
        """By spot symbol the asset that it is held in."""
        self.margins: Margins | None = None
        """Set in a run with leverage above 1."""
        self.options: OptionMargins | None = None
        """Set in a run with options."""
        self.borrowing: Borrowing | None = None
        """Set in a run in which spot borrows: then positions, and cash, may be below 0."""

    def worth(self, symbol: str, size: int) -> int:
        """What a size in steps counts for at the mark, in money units; 0 before the first price."""
        kind = self.kinds[symbol]
        size_e8, mark_e8 = size * kind.step_e8, self._mark_e8(symbol)
        return worth(size_e8, mark_e8, kind.face) if kind.face else size_e8 * mark_e8

    def _mark_e8(self, symbol: str) -> int:
        mark = self.marks.get(symbol)
        return price_e8(mark) if mark is not None else self._first_e8.get(symbol, 0)

    def bring(self, deposit: CoinsDeposited) -> None:
        """The account holds coins that were not bought in the run; the symbol is one of `exact`."""
        symbol = deposit.symbol
        self.hold(symbol, self.sizes[symbol] + deposit.size_e8, self.cost[symbol] + deposit.value)
        self.starting_equity += deposit.value
        self._first_e8[symbol] = e8_from_decimal(deposit.price)

    def hold(self, symbol: str, size: int, cost: int) -> None:
        """The position is `size` steps from now on, at the signed entry value `cost`."""
        self.sizes[symbol] = size
        self.cost[symbol] = cost
        if self.exact:
            self.lots[symbol] = self._whole(symbol, size)

    def state_of(self, position: str) -> tuple[int, int, int]:
        """(cash, size, cost) of a position and of the wallet that it settles in."""
        return self.cash, self.sizes[position], self.cost[position]

    @contextmanager
    def with_fills(self, fills: Sequence[Fill]) -> Iterator[None]:
        """The books are as these fills will leave them, until the end of the block."""
        cash, kept = self.cash, {fill.leg: (self.sizes[fill.leg], self.cost[fill.leg]) for fill in fills}
        try:
            for fill in fills:
                self._try(fill)
            yield
        finally:
            self.cash = cash
            for position, (size, cost) in kept.items():
                self.hold(position, size, cost)

    def booked(self, position: str, signed: int, price_e8: int) -> Booked:
        """What a position would be after a change by `signed` steps at a price in 1e-8, and what that realises; nothing changes."""
        kind = self.kinds[position]
        if kind.face:
            face = kind.face * kind.step_e8
            return contract_value.book_fill(self.sizes[position], self.cost[position], signed, price_e8, face)
        return book_fill(self.sizes[position], self.cost[position], signed, price_e8 * kind.step_e8)

    def _try(self, fill: Fill) -> None:
        """Cash and position are as the fill leaves them; only they are."""
        position = fill.leg
        kind = self.kinds[position]
        price_e8_, signed, fee = fill.price_ticks * kind.tick_e8, fill.qty_lots * fill.side.sign, fill.fee_e8 * FEE_STEP
        if kind.is_exact:
            signed, fee = fill.net_e8, fill.fee_value
        booked = self.booked(position, signed, price_e8_)
        self.cash += (-signed * price_e8_ * kind.step_e8 if kind.is_outright else booked.realised) - fee
        self.hold(position, booked.lots, booked.cost)

    def _whole(self, position: str, size: int) -> int:
        """What of a size in steps can be traded."""
        step = self._lot_steps[position]
        return whole_lots(size * self.step_e8[position], self.lot_e8[position] * step) * step

    def on_rules(self, symbol: str, *, lot_step: int) -> None:
        """A lot of `symbol` is so many of what the run counts in from now on; of a coin, whole lots of that can be traded."""
        if symbol in self.exact:
            self._lot_steps[symbol] = lot_step
            self.hold(symbol, self.sizes[symbol], self.cost[symbol])

    def unrealised(self) -> int:
        """Profit of the open positions at the marks."""
        total = 0
        for symbol, size in self.sizes.items():
            if size:
                total += self.worth(symbol, size) - self.cost[symbol]
        return total

    def equity(self) -> int:
        """cash + unrealised profit of derivatives + value of what is held outright."""
        total = self.cash
        for symbol, size in self.sizes.items():
            if size:
                total += self.worth(symbol, size)
                if not self.kinds[symbol].is_outright:
                    total -= self.cost[symbol]
        return total

    def derivative_profit(self) -> int:
        """Profit, not yet realised, of the open positions that are not traded outright."""
        held = ((symbol, size) for symbol, size in self.sizes.items() if size and not self.kinds[symbol].is_outright)
        return sum(self.worth(symbol, size) - self.cost[symbol] for symbol, size in held)

    def free_cash(self) -> int:
        """What new orders may use before reservations: wallet less the margin of open positions and less open losses.

        Open profits do not count: the conservative side of what venues allow. Without leverage the margin is the entry value.
        """
        cash = self.cash if self.options is None else self.cash - self.options.initial()
        if self.margins is not None:
            return self.margins.free_cash(cash)
        if self.borrowing is not None:
            return self.borrowing.free_cash()
        profit = 0
        for symbol, lots in self.lots.items():
            if lots and not self.kinds[symbol].is_outright:
                cost = self.cost[symbol]
                cash -= abs(cost)
                profit += self.worth(symbol, lots) - cost
        return cash + profit if profit < 0 else cash

    def held_by(self, strategy_id: str, position: str) -> int:
        """Signed lots that a strategy holds itself of a symbol, or of a leg."""
        return self._whole(position, self.strategy_sizes.get((strategy_id, position), 0))

    def held_by_all(self) -> dict[str, int]:
        """By position what all strategies together hold by their fills, in steps; the account's own `sizes` are to be that."""
        totals = dict.fromkeys(self.sizes, 0)
        for (_, position), size in self.strategy_sizes.items():
            totals[position] += size
        return totals

    def holdings(self) -> list[tuple[str, str, int]]:
        """(strategy_id, symbol, signed whole lots) of every open position of a strategy, in order of first trade."""
        rows = ((strategy_id, symbol, self._whole(symbol, size)) for (strategy_id, symbol), size in self.strategy_sizes.items())
        return [row for row in rows if row[2]]

    def balance(self, asset: str) -> Decimal | None:
        """What the account holds of an asset: the cash in quote, or all of a spot coin; None for any other."""
        if asset == self.quote:
            return decimal_from_money(self.cash)
        amounts = self.coin_amounts()
        return decimal_from_e8(amounts[asset]) if asset in amounts else None

    def coin_amounts(self) -> dict[str, int]:
        """Whole 1e-8 of every coin that the run's spot symbols are held in."""
        amounts: dict[str, int] = {}
        for symbol, asset in self.coins.items():
            amounts[asset] = amounts.get(asset, 0) + self.sizes[symbol] * self.step_e8[symbol]
        return amounts

    def snapshot(self, time_ms: int) -> AccountSnapshot:
        """The state at `time_ms`, as a message."""
        unrealised = 0
        exposure = 0
        equity = self.cash
        views = []
        for symbol, size in self.sizes.items():
            if size:
                kind, cost, mark_e8 = self.kinds[symbol], self.cost[symbol], self._mark_e8(symbol)
                size_e8 = size * kind.step_e8
                value = worth(size_e8, mark_e8, kind.face)
                profit = value - cost
                unrealised += profit
                exposure += abs(value)
                equity += value if kind.is_outright else profit
                entry = average_entry(size_e8, cost, kind.face)
                views.append(self._view(symbol, size_e8, entry, mark_e8, profit))
        cash = decimal_from_money(self.cash)
        initial = maintenance = None
        if self.margins is not None or self.options is not None:
            initial, maintenance = map(decimal_from_money, self._margin_totals())
        return AccountSnapshot(
            time_ms,
            cash,
            decimal_from_money(equity) if views else cash,
            decimal_from_money(unrealised) if views else NOTHING,
            decimal_from_money(self.realised),
            decimal_from_money(self.fees),
            decimal_from_money(exposure) if views else NOTHING,
            tuple(views),
            initial,
            maintenance,
            self._balances() if views and self.coins else (),
            self.borrowing.owed_by_asset() if self.borrowing is not None else (),
        )

    def _balances(self) -> tuple[CoinBalance, ...]:
        return tuple(CoinBalance(asset, decimal_from_e8(amount)) for asset, amount in self.coin_amounts().items() if amount)

    def _margin_totals(self) -> tuple[int, int]:
        """(initial, maintenance) margin of leveraged positions and of short options."""
        initial, maintenance = self.margins.totals() if self.margins is not None else (0, 0)
        if self.options is not None:
            initial, maintenance = initial + self.options.initial(), maintenance + self.options.maintenance()
        return initial, maintenance

    def position(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """Net signed quantity of `symbol` over all strategies. Raises StrategyError for a `side`: only hedge mode has two."""
        if side is not None:
            raise StrategyError(f'position({symbol!r}, side=...) is for hedge mode: set account.position_mode = "hedge"')
        return decimal_from_e8(self.sizes[symbol] * self.step_e8[symbol])

    def _view(self, symbol: str, size_e8: int, entry: Decimal, mark_e8: int, profit: int) -> PositionView:
        return PositionView(
            symbol,
            size_from_e8(size_e8),
            entry,
            decimal_from_e8(mark_e8),
            decimal_from_money(profit),
            self._liquidation_price(symbol) if self.margins is not None else None,
        )

    def _liquidation_price(self, symbol: str) -> Decimal | None:
        if self.margins is None or symbol not in self.margins.terms:
            return None
        price = self.margins.liquidation_price_e8(symbol, cash=self.cash)
        return None if price is None else decimal_from_e8(price)
