"""Double-entry ledger in money units: every event's postings sum to zero in each asset, always checked."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from backtester.domain.errors import LedgerImbalanceError

Posting = tuple[str, int]
"""(account, amount in money units)."""

WALLET = "wallet"
CAPITAL = "capital"
FEES = "fees"
FUNDING = "funding"
INTEREST = "interest"
TRADING = "trading"
INVENTORY = "inventory"


class Ledger:
    """Balances by asset and account. The sum over all accounts of an asset is zero at any time."""

    def __init__(self) -> None:
        self.balances: dict[str, dict[str, int]] = defaultdict(partial(defaultdict, int))
        """Money units by asset and account."""

    def post(self, asset: str, postings: Sequence[Posting], cause: str) -> None:
        """Book one event's postings in one asset. Raises LedgerImbalanceError, booking nothing, unless they sum to zero."""
        total = 0
        for _, amount in postings:
            total += amount
        if total:
            raise LedgerImbalanceError(f"postings of {cause} are off by {total} units of {asset}")
        balances = self.balances[asset]
        for account, amount in postings:
            balances[account] += amount

    def balance(self, account: str, asset: str) -> int:
        """Money units held by `account` in `asset`; 0 when nothing was ever posted."""
        return self.balances.get(asset, {}).get(account, 0)

    def check(self) -> None:
        """Raise LedgerImbalanceError unless all accounts of each asset sum to zero."""
        for asset, balances in self.balances.items():
            if total := sum(balances.values()):
                raise LedgerImbalanceError(f"the ledger is off by {total} units of {asset}")

    def state_hash(self) -> str:
        """sha256 of all balances: equal books, equal hash."""
        rows = [(account, asset, amount) for asset, held in self.balances.items() for account, amount in held.items()]
        text = "\n".join(f"{account}\t{asset}\t{amount}" for account, asset, amount in sorted(rows))
        return hashlib.sha256(text.encode()).hexdigest()
