"""The ledger of a run with several settlement assets, rebuilt from its journal (ADR 019)."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.account.ledger import FEES, TRADING, WALLET, Posting
from backtester.account.postings import START, start_postings
from backtester.account.replay import BookedPosting, LedgerReplay, Source
from backtester.domain.account import AccountSnapshot
from backtester.domain.contract_value import worth
from backtester.domain.conversion import Currency
from backtester.domain.deposits import CashDeposited
from backtester.domain.legs import split_leg
from backtester.domain.money import decimal_from_e8, e8_from_decimal, format_money, money_from_decimal


class CurrencyReplay(LedgerReplay):
    """As `LedgerReplay`; each message posts in the asset that its symbol settles in, snapshots are told in the currency."""

    def __init__(self, *, currency: Currency, time_ms: int, faces: Mapping[str, int]) -> None:
        self._currency = currency
        super().__init__(asset=currency.name, starting_cash=0, time_ms=time_ms, coins={}, faces=faces)
        self.ledger.balances.clear()  # of the currency itself there may be none
        self._prices: dict[str, int] = {}

    def deposited(self, deposit: CashDeposited) -> list[BookedPosting]:
        """The postings of a wallet at the start."""
        postings = start_postings(money_from_decimal(deposit.amount))
        return self._post(postings, time_ms=deposit.time_ms, cause=START, asset=deposit.asset)

    def _post(
        self, postings: tuple[Posting, ...], *, time_ms: int, cause: str, of: Source | None = None, asset: str = ""
    ) -> list[BookedPosting]:
        asset = asset or (self._currency.settles[of.symbol] if of is not None else "")
        return super()._post(postings, time_ms=time_ms, cause=cause, of=of, asset=asset)

    def unrealised(self, snapshot: AccountSnapshot) -> int:
        """Equity less the wallets, in the currency at the prices of the snapshot."""
        self._read(snapshot)
        profits = self._profits(snapshot)
        return sum(
            self._told(asset, self.ledger.balance(WALLET, asset) + profit) - self._told(asset, self.ledger.balance(WALLET, asset))
            for asset, profit in profits.items()
        )

    def booked_total(self) -> int:
        """All wallets, in the currency at the prices of the last snapshot."""
        return self._all(WALLET)

    def differences(self, snapshot: AccountSnapshot) -> list[str]:
        """What a snapshot says otherwise than the postings."""
        self._read(snapshot)
        unrealised = self.unrealised(snapshot)
        pairs = (
            ("cash", snapshot.cash, self._all(WALLET)),
            ("realised profit", snapshot.realised_pnl, self._all(TRADING, sign=-1)),
            ("fees", snapshot.fees, self._all(FEES)),
            ("unrealised profit", snapshot.unrealised_pnl, unrealised),
            ("equity", snapshot.equity, self._all(WALLET) + unrealised),
        )
        found = [
            f"{what} is {said}, by the postings {format_money(units)}"
            for what, said, units in pairs
            if money_from_decimal(said) != units
        ]
        sizes = {view.leg: view.qty for view in snapshot.positions}
        if sizes != {symbol: decimal_from_e8(size) for symbol, (size, _) in self.positions.items() if size}:
            found.append("positions are not those of the fills")
        for held in snapshot.balances:
            units = self.ledger.balance(WALLET, held.asset)
            if money_from_decimal(held.amount) != units:
                found.append(f"{held.asset} is {held.amount}, by the postings {format_money(units)}")
        return found

    def _profits(self, snapshot: AccountSnapshot) -> dict[str, int]:
        """By asset the profit of its positions at the marks of a snapshot."""
        marks = {view.leg: e8_from_decimal(view.mark) for view in snapshot.positions}
        profits = dict.fromkeys(self._currency.rates, 0)
        for position, (size, cost) in self.positions.items():
            if position in marks:
                symbol = split_leg(position)[0]
                profit = worth(size, marks[position], self._faces.get(symbol, 0)) - cost
                profits[self._currency.settles[symbol]] += profit
        return profits

    def _read(self, snapshot: AccountSnapshot) -> None:
        self._prices = {one.asset: e8_from_decimal(one.price) for one in snapshot.prices}

    def _all(self, account: str, *, sign: int = 1) -> int:
        return sum(self._told(asset, sign * self.ledger.balance(account, asset)) for asset in self._currency.rates)

    def _told(self, asset: str, units: int) -> int:
        rate = self._currency.rates[asset]
        return rate.of(units, self._prices.get(asset, rate.first_e8))
