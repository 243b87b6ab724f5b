"""The ledger of a run, rebuilt from what its journal says: each posting with its cause and the balance that it led to."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from backtester.account.ledger import FEES, FUNDING, INTEREST, INVENTORY, TRADING, WALLET, Ledger, Posting
from backtester.account.postings import (
    START,
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
from backtester.domain.account import AccountSnapshot
from backtester.domain.borrowing import InterestCharged
from backtester.domain.contract_value import book_fill, worth
from backtester.domain.delivery import DELIVERY_REASON, Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.money import FEE_STEP, decimal_from_e8, decimal_from_money, e8_from_decimal, format_money, money_from_decimal
from backtester.domain.orders import Fill
from backtester.domain.settlement import FundingPaid

Source = Fill | FundingPaid | Delivery | CoinsDeposited | InterestCharged
"""What makes postings."""


class BookedPosting(NamedTuple):
    """One posting between the wallet and another account, in money units of `asset`.

    `amount` is what `account` was debited (negative: credited); the wallet got the contrary, and holds `wallet` after it.
    `cause` names the event (a fill id, a settlement), `why` its kind: the reason that the order carried, maker, taker, settlement,
    delivery.
    """

    time_ms: int
    asset: str
    cause: str
    why: str
    symbol: str
    strategy_id: str
    account: str
    amount: int
    wallet: int
    of: Source | None
    """The message that made it; None for the money at the start."""

    @property
    def debit(self) -> str:
        """The account that got the money."""
        return self.account if self.amount > 0 else WALLET

    @property
    def credit(self) -> str:
        """The account that it came from."""
        return WALLET if self.amount > 0 else self.account


class LedgerReplay:
    """Ledger and positions as the messages booked so far leave them; `ledger` checks that each event's postings sum to zero."""

    def __init__(
        self, *, asset: str, starting_cash: int, time_ms: int, coins: Mapping[str, str], faces: Mapping[str, int] | None = None
    ) -> None:
        """`asset` is that of the account; `coins` has the base asset of each symbol that is traded outright, "" of an option, which
        is held in no coin, and where it is not known.

        `faces` are those of inverse contracts, by symbol (`domain.contract_value`).
        """
        self.asset = asset
        self._faces = faces or {}
        self.ledger = Ledger()
        self.positions: dict[str, tuple[int, int]] = {}
        """(signed size in 1e-8, signed entry value in money units) by symbol, in hedge mode by leg."""
        self._coins = coins
        self._wallets: dict[str, int] = {}
        self.opening = self._post(start_postings(starting_cash), time_ms=time_ms, cause=START)

    def book(self, message: Source) -> list[BookedPosting]:
        """The postings of a message, booked; those of nothing are left out."""
        if isinstance(message, CoinsDeposited):
            return self._deposit(message)
        if isinstance(message, InterestCharged):
            return self._interest(message)
        return self._funding(message) if isinstance(message, FundingPaid) else self._trade(message)

    def _deposit(self, deposit: CoinsDeposited) -> list[BookedPosting]:
        size_e8, cost = self.positions.get(deposit.symbol, (0, 0))
        self.positions[deposit.symbol] = (size_e8 + deposit.size_e8, cost + deposit.value)
        rows: list[BookedPosting] = []
        for asset, postings in zip((self.asset, deposit.asset), deposit_postings(deposit), strict=True):
            cause = deposit_cause(deposit.symbol)
            rows += self._post(postings, time_ms=deposit.time_ms, cause=cause, of=deposit, asset=asset)
        return rows

    def _trade(self, fill: Fill | Delivery) -> list[BookedPosting]:
        leg = fill.leg
        size_e8, cost = self.positions.get(leg, (0, 0))
        if isinstance(fill, Fill):
            signed_e8, fee = fill.net_e8, fill.fee_value
        else:
            signed_e8, fee = fill.side.sign * e8_from_decimal(fill.qty), fill.fee_e8 * FEE_STEP
        price, face = e8_from_decimal(fill.price), self._faces.get(fill.symbol, 0)
        booked = book_fill(lots=size_e8, cost=cost, signed_lots=signed_e8, price_e8=price, face=face)
        self.positions[leg] = (booked.lots, booked.cost)
        coin = self._coins.get(fill.symbol)
        held_symbol = "" if coin is None else fill.symbol
        postings = fill_postings(booked.realised, fee, held=booked.cost - cost, held_symbol=held_symbol)
        rows = self._post(postings, time_ms=fill.time_ms, cause=fill.fill_id, of=fill)
        if coin and isinstance(fill, Fill):
            qty = fill.side.sign * e8_from_decimal(fill.qty) * FEE_STEP
            taken = coin_postings(qty, fee=fill.fee_e8 * FEE_STEP if fill.fee_in_base else 0)
            rows += self._post(taken, time_ms=fill.time_ms, cause=fill.fill_id, of=fill, asset=coin)
        return rows

    def _funding(self, paid: FundingPaid) -> list[BookedPosting]:
        postings = funding_postings(money_from_decimal(paid.amount))
        return self._post(postings, time_ms=paid.time_ms, cause=funding_cause(paid.leg, paid.time_ms), of=paid)

    def _interest(self, charged: InterestCharged) -> list[BookedPosting]:
        in_quote, in_coin = interest_postings(charged)
        cause = interest_cause(charged)
        rows = self._post(in_quote, time_ms=charged.time_ms, cause=cause, of=charged)
        if charged.symbol:
            size_e8, cost = self.positions.get(charged.symbol, (0, 0))
            self.positions[charged.symbol] = (size_e8 - charged.amount_e8, cost - charged.value)
            rows += self._post(in_coin, time_ms=charged.time_ms, cause=cause, of=charged, asset=charged.asset)
        return rows

    def _post(
        self,
        postings: tuple[Posting, ...],
        *,
        time_ms: int,
        cause: str,
        of: Source | None = None,
        asset: str = "",
    ) -> list[BookedPosting]:
        asset = asset or self.asset
        self.ledger.post(asset, postings, cause=cause)
        booked = []
        symbol = of.leg if of is not None else ""
        strategy_id = of.strategy_id if isinstance(of, Fill | Delivery | CoinsDeposited | InterestCharged) else ""
        for account, amount in postings:
            if account != WALLET and amount:
                wallet = self._wallets[asset] = self._wallets.get(asset, 0) - amount
                row = BookedPosting(time_ms, asset, cause, _why(of, account), symbol, strategy_id, account, amount, wallet, of)
                booked.append(row)
        return booked

    def unrealised(self, snapshot: AccountSnapshot) -> int:
        """Profit of the positions at the marks of a snapshot; what it gives no mark for counts at its entry."""
        marks = {view.leg: e8_from_decimal(view.mark) for view in snapshot.positions}
        faces = {view.leg: self._faces.get(view.symbol, 0) for view in snapshot.positions}
        held = self.positions.items()
        return sum(worth(size, marks[leg], faces[leg]) - cost for leg, (size, cost) in held if leg in marks)

    def _owed(self) -> dict[str, Decimal]:
        """What of each asset is below 0: cash, and each position."""
        amounts = {self.asset: max(0, -self.ledger.balance(WALLET, self.asset))}
        for symbol, (size, _) in self.positions.items():
            coin = self._coins.get(symbol, "")
            amounts[coin] = amounts.get(coin, 0) + max(0, -size) * FEE_STEP
        return {asset: decimal_from_money(amount) for asset, amount in amounts.items() if asset and amount}

    def booked_total(self) -> int:
        """All that the trader has by the postings: the wallet, and what is held outright (spot, options), at cost."""
        held = self.ledger.balances[self.asset].items()
        return sum(amount for account, amount in held if account == WALLET or account.startswith(f"{INVENTORY}:"))

    def differences(self, snapshot: AccountSnapshot) -> list[str]:
        """What a snapshot says otherwise than the postings; nothing when it adds up: equity = postings + unrealised."""
        balance = self.ledger.balance
        pairs = (
            ("cash", snapshot.cash, balance(WALLET, self.asset)),
            ("realised profit", snapshot.realised_pnl, -balance(TRADING, self.asset)),
            ("fees", snapshot.fees, balance(FEES, self.asset)),
            ("unrealised profit", snapshot.unrealised_pnl, self.unrealised(snapshot)),
            ("equity", snapshot.equity, self.booked_total() + self.unrealised(snapshot)),
        )
        found = [
            f"{what} is {said}, by the postings {format_money(units)}" for what, said, units in pairs if not _equal(said, units)
        ]
        sizes = {view.leg: view.qty for view in snapshot.positions}
        mine = {symbol: decimal_from_e8(size) for symbol, (size, _) in self.positions.items() if size}
        if sizes != mine:
            found.append(f"positions are {_listed(sizes)}, by the fills {_listed(mine)}")
        said = {held.asset: held.amount for held in snapshot.balances}
        coins = {coin: decimal_from_money(balance(WALLET, coin)) for coin in self._coins.values() if coin and balance(WALLET, coin)}
        if said != coins:
            found.append(f"coins are {_listed(said)}, by the postings {_listed(coins)}")
        if snapshot.owed:
            owed = {held.asset: held.amount for held in snapshot.owed}
            short = self._owed()
            if owed != short:
                found.append(f"owed is {_listed(owed)}, by the postings {_listed(short)}")
        return found


def _why(of: Source | None, account: str) -> str:
    if isinstance(of, Delivery):
        return "delivery" if account == FEES else DELIVERY_REASON
    if isinstance(of, Fill):
        return of.liquidity.value if account == FEES else of.reason
    if isinstance(of, InterestCharged):
        return "an hour" if account == INTEREST else "an hour, in coins"
    if account != FUNDING or not isinstance(of, FundingPaid):
        return START
    return "settlement, assumed" if of.is_assumed else "settlement at the last close" if of.is_last else "settlement"


def _equal(said: Decimal, units: int) -> bool:
    return money_from_decimal(said) == units


def _listed(sizes: dict[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {format(size, 'f')}" for symbol, size in sorted(sizes.items())) or "none"
