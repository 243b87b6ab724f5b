"""The ledger rebuilt from messages alone is the account's own, posting by posting; what does not add up is named."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from backtester.account.replay import BookedPosting, LedgerReplay
from backtester.domain.account import AccountSnapshot
from backtester.domain.money import format_money, money_from_decimal
from backtester.domain.orders import Fill
from backtester.domain.settlement import FundingPaid, Settlement
from backtester.domain.vocabulary import Market
from tests.sim.small_run import A, SmallRun, clock_text, expect, ms, small_run, spec

BARS = """
    00:00 100 101 99  100 1000
    00:01 100 111 99  110 1000
    00:02 110 111 104 105 1000
    00:03 105 106 104 105 1000
    00:04 105 106 94  95  1000
"""


def rebuilt(run: SmallRun, *, cash: str = "1000000", spot: bool = False) -> tuple[LedgerReplay, list[BookedPosting]]:
    """The replay of a run, every snapshot held against it on the way."""
    replay = LedgerReplay(
        asset="USDT", starting_cash=money_from_decimal(Decimal(cash)), time_ms=ms("00:00"), coins={A: "AAA"} if spot else {}
    )
    postings = list(replay.opening)
    for message in run.messages(Fill, FundingPaid, AccountSnapshot):
        if isinstance(message, AccountSnapshot):
            assert replay.differences(message) == []
        else:
            postings += replay.book(message)
    assert replay.ledger.balances == run.engine.account.ledger.balances
    assert replay.ledger.state_hash() == run.engine.account.ledger.state_hash()
    return replay, postings


def told(postings: list[BookedPosting]) -> list[str]:
    """`time cause why debit < credit amount = wallet` of each posting."""
    return [
        f"{clock_text(one.time_ms)} {one.cause.replace(' ', '_')} {one.why} {one.debit} < {one.credit} "
        f"{number(abs(one.amount))} = {number(one.wallet)}"
        for one in postings
    ]


def number(units: int) -> str:
    return format_money(units).rstrip("0").rstrip(".")


def test_every_posting_of_a_derivative_has_its_cause_and_the_balance_it_led_to() -> None:
    run = small_run(
        BARS,
        "00:01 in buy 2\n00:02 flip sell 3\n00:03 out buy 1 reduce",
        cash="1000",
        fee_bps=("0", "10"),
        settlements=(Settlement(ms("00:02"), A, Decimal("0.001"), 105 * 10**8), Settlement(ms("00:03"), A, Decimal("0.001"), None)),
    )
    _, postings = rebuilt(run, cash="1000")
    assert told(postings) == expect(
        f"""
        00:00 start start wallet < capital 1000 = 1000
        00:01 in-f1 taker fees < wallet 0.2 = 999.8
        00:02 funding_{A}_{ms("00:02")} settlement funding < wallet 0.21 = 999.59
        00:02 flip-f1 taker fees < wallet 0.33 = 999.26
        00:02 flip-f1 SIGNAL wallet < trading 20 = 1019.26
        00:03 funding_{A}_{ms("00:03")} settlement at the last close wallet < funding 0.105 = 1019.365
        00:03 out-f1 taker fees < wallet 0.105 = 1019.26
        00:03 out-f1 SIGNAL wallet < trading 5 = 1024.26
        """
    )


def test_what_spot_holds_stands_in_an_account_at_cost() -> None:
    run = small_run(BARS, "00:01 in buy 2\n00:02 out sell 1", market=Market.SPOT, cash="1000", snapshot_every="1m")
    replay, postings = rebuilt(run, cash="1000", spot=True)
    assert told([row for row in postings if row.asset == "USDT"])[1:] == expect(
        f"""
        00:01 in-f1 SIGNAL inventory:{A} < wallet 200 = 800
        00:02 out-f1 SIGNAL wallet < trading 10 = 810
        00:02 out-f1 SIGNAL wallet < inventory:{A} 100 = 910
        """
    )
    assert told([row for row in postings if row.asset == "AAA"]) == expect(
        """
        00:01 in-f1 SIGNAL wallet < trading 2 = 2
        00:02 out-f1 SIGNAL trading < wallet 1 = 1
        """
    )
    assert number(replay.booked_total()) == "1010"
    assert number(replay.unrealised(run.snapshots[-1])) == "-5"
    assert run.snapshots[-1].equity == 1005


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cash": Decimal(1)}, "cash is 1, by the postings 999.60"),
        ({"fees": Decimal(0)}, "fees is 0, by the postings 0.40"),
        ({"equity": Decimal("1009.7")}, "equity is 1009.7, by the postings 989.60"),
        ({"unrealised_pnl": Decimal(0)}, "unrealised profit is 0, by the postings -10.0"),
        ({"positions": ()}, f"positions are none, by the fills {A} 2.0"),
    ],
)
def test_a_snapshot_that_says_otherwise_is_named(change: dict[str, object], said: str) -> None:
    run = small_run(BARS, "00:01 in buy 2\n", cash="1000", fee_bps=("0", "20"), specs=[spec()])
    replay, _ = rebuilt(run, cash="1000")
    assert any(found.startswith(said) for found in replay.differences(replace(run.snapshots[-1], **change)))
