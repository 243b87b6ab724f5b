"""What each event of a run posts to the ledger: one function for each cause, used when it happens and when it is explained.

A posting that no function here makes cannot be rebuilt from the journal, and `bt explain` would say that the ledger differs.
"""

from __future__ import annotations

from backtester.account.ledger import CAPITAL, FEES, FUNDING, INTEREST, INVENTORY, TRADING, WALLET, Posting
from backtester.domain.borrowing import InterestCharged
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.money import FEE_STEP

START = "start"


def start_postings(cash: int) -> tuple[Posting, ...]:
    """The money that the run begins with."""
    return (WALLET, cash), (CAPITAL, -cash)


def deposit_postings(deposit: CoinsDeposited) -> tuple[tuple[Posting, ...], tuple[Posting, ...]]:
    """Coins at the start: in quote what they are worth, as inventory; in their own ledger how many there are."""
    value, qty = deposit.value, deposit.size_e8 * FEE_STEP
    return ((f"{INVENTORY}:{deposit.symbol}", value), (CAPITAL, -value)), ((WALLET, qty), (CAPITAL, -qty))


def deposit_cause(symbol: str) -> str:
    """The name of a deposit as the cause of its postings."""
    return f"{START} {symbol}"


def fill_postings(realised: int, fee: int, held: int = 0, held_symbol: str = "") -> tuple[Posting, ...]:
    """A fill that realised a profit (before fees) and cost a fee, positive when paid; all in money units.

    Of what is traded outright (`held_symbol`: spot and options) also `held`: the change of what is held at cost, which is below 0
    for a short option.
    """
    if not held_symbol:
        return (WALLET, realised - fee), (FEES, fee), (TRADING, -realised)
    return (WALLET, realised - held - fee), (FEES, fee), (TRADING, -realised), (f"{INVENTORY}:{held_symbol}", held)


def coin_postings(qty: int, *, fee: int = 0) -> tuple[Posting, ...]:
    """A spot fill in the ledger of its coin, in money units: `qty` bought (negative: sold), less a fee taken from it."""
    if not fee:
        return (WALLET, qty), (TRADING, -qty)
    return (WALLET, qty - fee), (FEES, fee), (TRADING, -qty)


def funding_postings(amount: int) -> tuple[Posting, ...]:
    """A settlement: `amount` money units received, negative when paid."""
    return (WALLET, amount), (FUNDING, -amount)


def funding_cause(symbol: str, time_ms: int) -> str:
    """The name of a settlement as the cause of its posting."""
    return f"funding {symbol} {time_ms}"


def interest_postings(charged: InterestCharged) -> tuple[tuple[Posting, ...], tuple[Posting, ...]]:
    """An hour's interest: in quote out of the wallet, or as more coins owed (inventory, at their price); then what a coin's own
    ledger says, nothing for quote.
    """
    value = charged.value
    if not charged.symbol:
        return ((WALLET, -value), (INTEREST, value)), ()
    qty = charged.amount_e8 * FEE_STEP
    return ((f"{INVENTORY}:{charged.symbol}", -value), (INTEREST, value)), ((WALLET, -qty), (INTEREST, qty))


def interest_cause(charged: InterestCharged) -> str:
    """The name of a charge as the cause of its postings."""
    return f"interest {charged.symbol or charged.asset} {charged.time_ms}"
