"""Double entry: what is posted sums to zero, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.account.ledger import CAPITAL, FEES, WALLET, Ledger
from backtester.domain.errors import LedgerImbalanceError

amounts = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-(10**30), 10**30)), max_size=6)


@given(st.lists(amounts, max_size=6))
def test_balances_are_the_sums_of_postings_and_all_sum_to_zero(events: list[list[tuple[str, int]]]) -> None:
    ledger = Ledger()
    expected: dict[str, int] = dict.fromkeys("abcd", 0)
    for number, postings in enumerate(events):
        balanced = [*postings, ("d", -sum(amount for _, amount in postings))]
        ledger.post("USDT", balanced, cause=str(number))
        for account, amount in balanced:
            expected[account] += amount
    ledger.check()
    assert {account: ledger.balance(account, "USDT") for account in "abcd"} == expected
    assert sum(expected.values()) == 0


@given(amounts.filter(lambda rows: sum(amount for _, amount in rows) != 0))
def test_postings_that_do_not_sum_to_zero_are_refused_and_book_nothing(postings: list[tuple[str, int]]) -> None:
    ledger = Ledger()
    ledger.post("USDT", ((WALLET, 5), (CAPITAL, -5)), cause="start")
    before = ledger.state_hash()
    with pytest.raises(LedgerImbalanceError, match="postings of fill-7 are off by"):
        ledger.post("USDT", postings, cause="fill-7")
    assert ledger.state_hash() == before


def test_assets_are_kept_apart() -> None:
    ledger = Ledger()
    ledger.post("USDT", ((WALLET, 5), (CAPITAL, -5)), cause="a")
    ledger.post("BTC", ((WALLET, 1), (FEES, -1)), cause="b")
    assert (ledger.balance(WALLET, "USDT"), ledger.balance(WALLET, "BTC"), ledger.balance(WALLET, "ETH")) == (5, 1, 0)


def test_a_balance_changed_behind_its_back_is_noticed() -> None:
    ledger = Ledger()
    ledger.post("USDT", ((WALLET, 5), (CAPITAL, -5)), cause="a")
    ledger.balances["USDT"][WALLET] += 1
    with pytest.raises(LedgerImbalanceError, match="USDT"):
        ledger.check()


def test_equal_books_have_equal_hashes_whatever_the_order() -> None:
    one, two = Ledger(), Ledger()
    one.post("USDT", (("a", 1), ("b", -1)), cause="x")
    one.post("USDT", (("c", 2), ("b", -2)), cause="y")
    two.post("USDT", (("b", -3), ("c", 2), ("a", 1)), cause="z")
    assert one.state_hash() == two.state_hash()
    two.post("USDT", (("a", 1), ("b", -1)), cause="x")
    assert one.state_hash() != two.state_hash()
