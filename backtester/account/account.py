"""The account: books every fill in ledger, wallet and positions, and watches equity against its floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from backtester.account.books import Books
from backtester.account.deliveries import Deliveries
from backtester.account.drawdown import DrawdownRail
from backtester.account.guard import equity_bands
from backtester.account.ledger import FEES, FUNDING, INTEREST, TRADING, WALLET, Ledger
from backtester.account.liquidations import Liquidations
from backtester.account.option_liquidations import OptionLiquidations
from backtester.account.postings import (
    coin_postings,
    deposit_cause,
    deposit_postings,
    fill_postings,
    funding_cause,
    funding_postings,
    interest_cause,
    interest_postings,
    start_postings,
)
from backtester.domain.borrowing import InterestCharged, InterestDue
from backtester.domain.candle import Candle
from backtester.domain.delivery import Delivery, Expiry
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import LedgerImbalanceError, require
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import FEE_STEP, decimal_from_e8, decimal_from_money, price_e8, size_from_e8
from backtester.domain.orders import Fill
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.run_events import ControlAction, ControlEvent
from backtester.domain.settlement import FundingPaid, Settlement
from backtester.domain.timeframe import DAY_MS
from backtester.domain.vocabulary import BUY, PositionSide
from backtester.engine.clock import Clock
from backtester.engine.routes import ALWAYS, Routes
from backtester.engine.topics import T_ACCOUNT_SNAPSHOT, T_CONTROL, T_DELIVERIES, T_FUNDING, T_INTEREST, Published, on

ZERO = Decimal(0)


class Account:
    """Handlers around the books of one run.

    `positions` holds each strategy's own signed quantities, kept current for its context.
    """

    def __init__(
        self,
        *,
        books: Books,
        specs: Mapping[str, SymbolSpec],
        positions: Mapping[str, dict[str, Decimal]],
        clock: Clock,
        routes: Routes,
        daily_loss: Decimal | None = None,
        flatten: bool = False,
        drawdown: Decimal | None = None,
        drawdown_flatten: bool = False,
        kill_flatten: bool = False,
        uses_last: bool = True,
        opening: Sequence[CoinsDeposited] = (),
    ) -> None:
        self.books = books
        self.ledger = Ledger()
        self.ledger.post(books.quote, start_postings(books.starting_cash), cause="start")
        self.bankrupt = False
        self.liquidations: Liquidations | None = None
        """Set in a run with leverage above 1."""
        self.deliveries: Deliveries | None = None
        """Set in a run with contracts that end."""
        self.option_liquidations: OptionLiquidations | None = None
        """Set in a run with options."""
        self._specs = specs
        self._kinds = books.kinds
        self._positions = positions
        self._clock = clock
        self._routes = routes
        for deposit in opening:
            self._bring(deposit)
        self._daily_loss = daily_loss.as_integer_ratio() if daily_loss is not None else None
        self._flatten = flatten
        self._drawdown = DrawdownRail(drawdown, equity=books.starting_equity) if drawdown is not None else None
        self._drawdown_flatten = drawdown_flatten
        self._kill_flatten = kill_flatten
        self._killed = False
        self._borrowed_too_much = False
        self._uses_last = uses_last
        """Whether equity goes by the last prices, which bands are set around."""
        self._halted_today = False
        self._checked_day = -1
        self._stake = 0
        """The entry values of what is not held outright, which is all that it can lose while there are no `_shorts`."""
        self._shorts = 0
        """How many positions have an entry value below 0 (shorts, inverse: longs): only those, or less cash than `_stake`, can use
        up equity."""
        self._day_floor = 0
        self._set_day_floor()
        if self._drawdown is not None or self._day_floor:
            for deposit in opening:
                routes.enter_books(deposit.symbol, self.on_bar)

    def _bring(self, deposit: CoinsDeposited) -> None:
        """The coins are in the ledger, the position and that of their strategy."""
        books, cause = self.books, deposit_cause(deposit.symbol)
        books.bring(deposit)
        for asset, postings in zip((books.quote, deposit.asset), deposit_postings(deposit), strict=True):
            self.ledger.post(asset, postings, cause=cause)
        self._book_strategy(deposit.strategy_id, deposit.symbol, deposit.size_e8)

    # -- handlers ----------------------------------------------------------------------------------------------------

    def on_fill(self, fill: Fill) -> Sequence[Published]:
        """The fill is in the ledger, the wallet, the position and the strategy's own position."""
        position = fill.symbol if fill.position_side is None else fill.leg
        kind = self._kinds[position]
        signed = fill.qty_lots if fill.side is BUY else -fill.qty_lots
        fee = fill.fee_e8 * FEE_STEP
        if kind.coin:
            self._post_coin(fill, kind.coin, signed * self._specs[position].lot_e8 * FEE_STEP)
            if kind.is_exact:
                signed, fee = fill.net_e8, fill.fee_value
        closed = not self._book(fill, position, signed, fill.price_ticks * kind.tick_e8, fee)
        return self._after_change(closed)

    def _book(self, trade: Fill | Delivery, position: str, signed: int, price_e8: int, fee: int) -> int:
        """A change by `signed` steps at a price is in all books; what the position is now."""
        books, kind = self.books, self._kinds[position]
        before = books.cost[position]
        booked = books.booked(position, signed, price_e8)
        size, after, realised = booked.lots, booked.cost, booked.realised
        if kind.is_outright:
            if size < 0 and kind.coin and books.borrowing is None:
                raise LedgerImbalanceError(f"spot holdings of {position} fell below zero")
            postings = fill_postings(realised, fee, after - before, position)
            flow = -signed * price_e8 * kind.step_e8
        else:
            postings = fill_postings(realised, fee)
            flow = realised
            self._stake += after - before
        self.ledger.post(books.quote, postings, trade.fill_id)
        books.hold(position, size, after)
        books.cash += flow - fee
        books.realised += realised
        books.fees += fee
        self._book_strategy(trade.strategy_id, position, signed)
        if (after < 0) is not (before < 0):
            self._shorts += 1 if after < 0 else -1
        return size

    def _post_coin(self, fill: Fill, asset: str, qty: int) -> None:
        """A spot fill in the ledger of its coin; `qty` signed, in money units."""
        fee = fill.fee_e8 * FEE_STEP if fill.fee_in_base else 0
        self.ledger.post(asset, coin_postings(qty, fee=fee), cause=fill.fill_id)

    def _after_change(self, closed: bool) -> Sequence[Published]:
        """Equity is another now: every band is to be set again; the floors are looked at where nothing else would."""
        books = self.books
        if self.liquidations is not None:
            self.liquidations.arm()
        elif not self._shorts and not self._day_floor and books.cash > self._stake and self._drawdown is None:
            if self._routes.books:
                self._routes.clear_books()
            return ()
        for other, held in books.sizes.items():
            if held:
                self._routes.enter_books(other, self.on_bar)
            else:
                self._routes.leave_books(other)
        if self.option_liquidations is not None:
            self.option_liquidations.arm(self.on_bar)
        return self._watch() if self._drawdown is not None or (closed and books.cash <= self._day_floor) else ()

    def on_settlement(self, settlement: Settlement | Expiry | InterestDue) -> Sequence[Published]:
        """Funding is in wallet and ledger: -signed size x mark (inverse: / mark) x rate, rounded down; nothing for nothing held.

        A contract that ends is delivered: its positions are gone, for what they are worth. What is held at this instant counts:
        fills inside bars that end now are booked, orders that arrive now are not (exchange_semantics.md, sections 4.3 and 5.11;
        golden C01, C02).
        """
        if isinstance(settlement, Expiry):
            return self._deliver(settlement)
        if isinstance(settlement, InterestDue):
            return self._charge_interest()
        return self._settled(settlement, settlement.symbol)

    def _settled(self, settlement: Settlement, position: str) -> Sequence[Published]:
        """Funding on one position, by the name under which the books keep it."""
        books, symbol = self.books, position
        lots = books.lots[symbol]
        mark_e8 = settlement.mark_e8 if settlement.mark_e8 is not None else price_e8(books.marks.get(symbol, 0.0))
        if not lots:
            return ()
        size_e8 = lots * books.lot_e8[symbol]
        numerator, denominator = settlement.rate.as_integer_ratio()
        value, divisor = (abs(size_e8) if settlement.is_assumed else size_e8) * mark_e8, denominator
        if face := books.face[symbol]:
            value, divisor = (abs(size_e8) if settlement.is_assumed else size_e8) * face, denominator * max(1, mark_e8)
        amount = -value * numerator // divisor
        self.ledger.post(books.quote, funding_postings(amount), cause=funding_cause(symbol, settlement.time_ms))
        books.cash += amount
        books.funding += amount
        paid = FundingPaid(
            self._clock.now_ms,
            settlement.symbol,
            size_from_e8(size_e8),
            settlement.rate,
            decimal_from_e8(mark_e8),
            decimal_from_money(amount),
            settlement.mark_e8 is None,
            settlement.is_assumed,
            self._side_of(symbol),
        )
        return (on(T_FUNDING, paid), *self._after_change(closed=False))

    def _charge_interest(self) -> Sequence[Published]:
        """An hour's interest is added to all that is owed now, in each asset (exchange_semantics.md, section 4.6; golden E07)."""
        borrowing = self.books.borrowing
        if borrowing is None:
            return ()
        charges = tuple(borrowing.charges(self._clock.now_ms))
        for charged in charges:
            self._book_interest(charged)
        return (*(on(T_INTEREST, charged) for charged in charges), *self._after_change(closed=False)) if charges else ()

    def _book_interest(self, charged: InterestCharged) -> None:
        """More is owed: cash falls, or the position below 0 grows, entered at the price that the charge has."""
        books, cause, symbol = self.books, interest_cause(charged), charged.symbol
        in_quote, in_coin = interest_postings(charged)
        self.ledger.post(books.quote, in_quote, cause=cause)
        books.interest += charged.value
        if not symbol:
            books.cash -= charged.value
            return
        self.ledger.post(charged.asset, in_coin, cause=cause)
        more = -charged.amount_e8
        books.hold(symbol, books.sizes[symbol] + more, books.cost[symbol] - charged.value)
        self._book_strategy(charged.strategy_id, symbol, more)

    def _deliver(self, expiry: Expiry) -> Sequence[Published]:
        """The contract's positions are closed at what they are worth at the settlement price, less the delivery fee."""
        deliveries = self.deliveries
        if deliveries is None:
            raise LedgerImbalanceError(f"{expiry.symbol} ends in a run without deliveries")
        settled, parts = deliveries.of(expiry, self.books.holdings(), now_ms=self._clock.now_ms)
        for part in parts:
            self._book(part.message, part.message.leg, part.signed_lots, part.price_e8, part.fee)
        published = (on(T_DELIVERIES, settled), *(on(T_DELIVERIES, part.message) for part in parts))
        return (*published, *self._after_change(closed=True)) if parts else published

    def _side_of(self, position: str) -> PositionSide | None:
        """Which of two sides a position is, in hedge mode."""
        return None

    def _book_strategy(self, strategy_id: str, symbol: str, signed: int) -> None:
        sizes, key = self.books.strategy_sizes, (strategy_id, symbol)
        sizes[key] = size = sizes[key] + signed
        self._positions[strategy_id][symbol] = size_from_e8(size * self._kinds[symbol].step_e8) if size else ZERO

    def on_bar(self, bar: Candle) -> Sequence[Published]:
        """Nothing, unless equity at this close has reached a floor, or short options are short of margin at it; called when the
        close has left its band.
        """
        if self.option_liquidations is not None and (due := self.option_liquidations.due()):
            return due
        return self._watch() if self.books.sizes[bar.symbol] else ()

    def on_margin(self, bars: Sequence[Candle], *, at_open: bool) -> Sequence[Published]:
        """Stops and liquidations that these bars bring to positions short of margin; nothing where there is no such position."""
        return self.liquidations.on_bars(bars, at_open=at_open) if self.liquidations is not None else ()

    def on_rules(self, changed: RulesChanged) -> None:
        """Open positions are looked at again with the next bars: they may need another margin now."""
        if self.liquidations is not None:
            self.liquidations.arm()

    def on_day(self) -> Sequence[Published]:
        """A UTC day begins: the daily loss is counted from here, and the rail is armed again."""
        was_halted, self._halted_today = self._halted_today, False
        self._set_day_floor()
        published = list(self._watch())
        if was_halted:
            published.append(self._control(ControlAction.DAILY_LOSS_REARM, "new UTC day"))
        return published

    def on_kill(self) -> Sequence[Published]:
        """The kill switch is thrown, once: entries end, and positions are closed where it is set to."""
        if self._killed:
            return ()
        self._killed = True
        action = ControlAction.KILL_FLATTEN if self._kill_flatten else ControlAction.KILL_HALT
        return (self._control(action, "the kill switch was thrown"),)

    def on_snapshot_due(self) -> Sequence[Published]:
        """The snapshot to publish now; the first of each UTC day checks the invariants before."""
        now_ms = self._clock.now_ms
        day = now_ms // DAY_MS
        if day != self._checked_day:
            self._checked_day = day
            self.check()
        return (on(T_ACCOUNT_SNAPSHOT, self.books.snapshot(now_ms)),)

    # -- floors ------------------------------------------------------------------------------------------------------

    @property
    def has_daily_floor(self) -> bool:
        """Whether the account wants `on_day` at each UTC midnight."""
        return self._daily_loss is not None

    def _set_day_floor(self) -> None:
        if self._daily_loss is not None:
            numerator, denominator = self._daily_loss
            base = self.books.equity()
            self._day_floor = max(0, base - base * numerator // denominator)

    def _watch(self) -> Sequence[Published]:
        """Equity against the floors, and new bands around the marks."""
        equity = self.books.equity()
        if equity <= 0:
            self.bankrupt = True
            return (self._control(ControlAction.BANKRUPT, "equity is used up"),)
        published = []
        borrowing = self.books.borrowing
        if borrowing is not None and not self._borrowed_too_much and borrowing.is_due(equity):
            self._borrowed_too_much = True
            owed, level = decimal_from_money(borrowing.owed()), borrowing.terms.liquidation
            published.append(
                self._control(ControlAction.BORROW_LIQUIDATION, f"borrowed is {owed}, equity is at most {level} of it")
            )
        if self._day_floor and not self._halted_today and equity <= self._day_floor:
            self._halted_today = True
            action = ControlAction.DAILY_LOSS_FLATTEN if self._flatten else ControlAction.DAILY_LOSS_HALT
            published.append(self._control(action, f"the day's floor is {decimal_from_money(self._day_floor)}"))
        drawdown = self._drawdown
        if drawdown is not None and drawdown.is_reached(equity):
            self._drawdown = None
            action = ControlAction.DRAWDOWN_FLATTEN if self._drawdown_flatten else ControlAction.DRAWDOWN_HALT
            detail = f"the peak was {decimal_from_money(drawdown.peak)}, the floor is {decimal_from_money(drawdown.floor)}"
            published.append(self._control(action, detail))
        if not self._uses_last or borrowing is not None:
            return published  # every close is looked at
        floor = 0 if self._halted_today else self._day_floor
        books = self.books
        bands = equity_bands(
            slack=equity - floor, lots_by_symbol=books.sizes, marks=books.marks, lot_e8=books.step_e8, face=books.face
        )
        for symbol, band in bands.items():
            self._routes.enter_books(symbol, self.on_bar, band if self._drawdown is None else ALWAYS)
        if self.option_liquidations is not None:
            self.option_liquidations.arm(self.on_bar)
        return published

    def _control(self, action: ControlAction, detail: str) -> Published:
        detail = f"equity {decimal_from_money(self.books.equity())} {self.books.quote}: {detail}"
        return on(T_CONTROL, ControlEvent(time_ms=self._clock.now_ms, action=action, detail=detail))

    # -- invariants --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise LedgerImbalanceError unless wallet, positions and equity are what the postings and fills say."""
        books, ledger, quote = self.books, self.ledger, self.books.quote
        ledger.check()
        require(ledger.balance(WALLET, quote) == books.cash, "wallet is not what the ledger says", error=LedgerImbalanceError)
        require(books.held_by_all() == books.sizes, "positions are not the sum of fills", error=LedgerImbalanceError)
        for asset, amount in books.coin_amounts().items():
            held = ledger.balance(WALLET, asset)
            require(held == amount * FEE_STEP, "%s held is not what the ledger says", asset, error=LedgerImbalanceError)
        earned = sum(ledger.balance(account, quote) for account in (TRADING, FEES, FUNDING, INTEREST))
        expected = books.starting_equity - earned + books.unrealised()
        equity = books.equity()
        require(
            equity == expected,
            "equity %s is not start + realised - fees + funding - interest + unrealised = %s",
            equity,
            expected,
            error=LedgerImbalanceError,
        )
