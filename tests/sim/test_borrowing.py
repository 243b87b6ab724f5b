"""Spot that borrows: what may be sold and bought, what an hour costs, and where it ends (exchange_semantics.md, section 4.6)."""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.domain.borrowing import InterestCharged, charged_interest_e8
from backtester.domain.errors import ConfigError
from backtester.domain.money import money_from_decimal
from backtester.domain.orders import Fill, OrderCanceled
from backtester.domain.run_events import ControlEvent
from backtester.domain.vocabulary import Market
from tests.sim.small_run import A, B, SmallRun, clock_text, expect, flat, small_run, spec

RATES = {"USDT": Decimal("0.0001"), "AAA": Decimal("0.00002")}


def borrowing(
    bars: Any, orders: Any = "", *, leverage: str = "3", rates: dict[str, Decimal] | None = None, cash: str = "10000", **given: Any
) -> SmallRun:
    account = {"borrow": "on", "borrow_rates": rates or RATES, "leverage": Decimal(leverage), **given.pop("account", {})}
    return small_run(bars, orders, market=Market.SPOT, cash=cash, account=account, **given)


def charges(run: SmallRun) -> list[str]:
    return [
        f"{clock_text(one.time_ms)} {one.asset} owed {one.owed.normalize():f} pays {one.amount:f}"
        for one in run.messages(InterestCharged)
    ]


def test_a_coin_that_is_not_held_is_sold_and_bought_back() -> None:
    bars = f"{flat('00:00', 3)}\n{flat('00:03', 3, price=90)}"
    run = borrowing(bars, "00:01 short sell 10\n00:04 back buy 10")
    assert run.told() == expect("""
        00:01 short sell 10 @ 100 taker
        00:04 back buy 10 @ 90 taker
    """)
    books = run.engine.account.books
    assert (books.position(A), books.cash, books.realised) == (
        0,
        money_from_decimal(Decimal(10100)),
        money_from_decimal(Decimal(100)),
    )
    assert run.snapshots[-1].owed == ()


def test_more_than_the_cash_is_bought_and_the_quote_is_owed() -> None:
    run = borrowing(flat("00:00", 3), "00:01 long buy 250")
    assert run.told() == expect("00:01 long buy 250 @ 100 taker")
    last = run.snapshots[-1]
    assert (last.cash, last.equity, [(one.asset, one.amount) for one in last.owed]) == (-15000, 10000, [("USDT", 15000)])


def test_an_hour_costs_five_minutes_past_it_what_is_owed_then_and_the_interest_is_owed_as_well() -> None:
    run = borrowing(flat("00:00", 130), "00:01 long buy 250")
    assert charges(run) == [
        "00:05 USDT owed 15000 pays 1.50000000",
        "01:05 USDT owed 15001.5 pays 1.50015000",
        "02:05 USDT owed 15003.00015 pays 1.50030002",  # 1.500300015 rounded up
    ]
    last = run.snapshots[-1]
    assert last.equity == Decimal(10000) - Decimal("1.5") - Decimal("1.50015") - Decimal("1.50030002")
    assert run.engine.account.books.interest == money_from_decimal(10000 - last.equity)
    assert [one.amount for one in last.owed] == [-last.cash]


def test_25_hours_of_interest_on_coins_to_the_last_digit() -> None:
    rate, owed = Decimal("0.00002"), Decimal(10)
    run = borrowing(flat("00:00", 25 * 60), "00:01 short sell 10")
    found = run.messages(InterestCharged)
    assert len(found) == 25
    for one in found:
        exact = owed * rate
        up = exact.quantize(Decimal("1e-8"), rounding="ROUND_CEILING")
        assert (one.asset, one.symbol, one.owed, one.amount, one.price) == ("AAA", A, owed, up, 100)
        owed += up
    last = run.snapshots[-1]
    assert last.positions[0].qty == -owed == last.balances[0].amount == -last.owed[0].amount
    assert last.equity == 11000 - owed * 100
    run.engine.account.check()


def test_golden_e07_through_a_run_rounded_up() -> None:
    """Golden E07: 1.06333265702840778 x 0.000001216904 = 0.00000129397...; a run holds 8 decimals and rounds against the trader."""
    rules = {"lot_size": Decimal("0.00000001"), "min_qty": Decimal("0.00000001")}
    run = borrowing(
        flat("00:00", 10), "00:01 short sell 1.06333265", rates={"USDT": Decimal(0), "AAA": Decimal("0.000001216904")},
        specs=[spec(market=Market.SPOT, **rules)],
    )  # fmt: skip
    assert charges(run) == ["00:05 AAA owed 1.06333265 pays 0.00000130"]
    assert charged_interest_e8(10633326570284077, Decimal("0.000001216904")) == 130


def test_nothing_is_owed_for_what_was_paid_back_before_the_hour() -> None:
    run = borrowing(flat("00:00", 10), "00:01 short sell 10\n00:04 back buy 10")
    assert charges(run) == []


def test_orders_beyond_the_leverage_are_refused() -> None:
    """Leverage 3 on 10000: 20000 may be borrowed."""
    orders = """
        00:01 much sell 200.001
        00:01 all sell 200
        00:02 more sell 0.001
    """
    assert borrowing(flat("00:00", 4), orders).told() == expect("""
        00:01 much refused INSUFFICIENT
        00:01 all sell 200 @ 100 taker
        00:02 more refused INSUFFICIENT
    """)
    orders = """
        00:01 much buy 300.001
        00:01 all buy 300
        00:02 more buy 0.001
    """
    assert borrowing(flat("00:00", 4), orders).told() == expect("""
        00:01 much refused INSUFFICIENT
        00:01 all buy 300 @ 100 taker
        00:02 more refused INSUFFICIENT
    """)


def test_what_works_counts_beside_a_new_order() -> None:
    orders = """
        00:01 rest sell 150 at 110
        00:02 much sell 60
        00:02 fits sell 30
    """
    assert borrowing(flat("00:00", 4), orders).told() == expect("""
        00:02 much refused INSUFFICIENT
        00:02 fits sell 30 @ 100 taker
        00:04 rest ends END_OF_RUN 150
    """)


def test_a_fill_that_would_borrow_too_much_does_not_happen() -> None:
    """Equity has fallen by the time that the resting order is reached."""
    bars = {
        A: f"{flat('00:00', 3)}\n{flat('00:03', 3, price=60)}",
        B: f"{flat('00:00', 4)}\n00:04 100 120 100 100 1000\n{flat('00:05', 1)}",
    }
    rates = {**RATES, "BBB": Decimal("0.00002")}
    run = borrowing(bars, f"00:01 long buy 100\n00:02 rest:{B} sell 90 at 110", rates=rates, leverage="2")
    assert run.told() == expect("""
        00:01 long buy 100 @ 100 taker
        00:05 rest ends INSUFFICIENT 90
    """)


def test_reducing_is_never_refused_and_one_order_may_go_from_long_to_short() -> None:
    orders = """
        00:01 long buy 300
        00:04 flip sell 310
        00:05 back buy 10 reduce
    """
    bars = f"{flat('00:00', 2)}\n{flat('00:02', 5, price=75)}"
    assert borrowing(bars, orders).told() == expect("""
        00:01 long buy 300 @ 100 taker
        00:04 flip sell 310 @ 75 taker
        00:05 back buy 10 @ 75 taker
    """)


@pytest.mark.parametrize(
    ("order", "price", "fill"),
    [("short sell 200", 140, "risk-1 buy 200 @ 140 taker"), ("long buy 300", 72, "risk-1 sell 300 @ 72 taker")],
)
def test_positions_are_closed_at_the_next_open_when_equity_is_a_tenth_of_what_is_borrowed(
    order: str, price: int, fill: str
) -> None:
    """Short 200 at 100: equity 30000 - 200 p, borrowed 200 p: at 140 it is 2000 of 28000. Long 300: 300 p - 20000 of 20000."""
    bars = f"{flat('00:00', 3)}\n{flat('00:03', 3, price=price)}"
    run = borrowing(bars, f"00:01 {order}\n00:05 again sell 1")
    assert run.told(ControlEvent) == ["00:04 borrow_liquidation"]
    told = run.told()
    assert told[1:] == [f"00:04 {fill}", "00:05 again refused LIQUIDATION"]
    assert run.fills[-1].reason == "LIQUIDATION"
    assert run.snapshots[-1].owed == ()


def test_working_entries_end_with_a_liquidation() -> None:
    bars = f"{flat('00:00', 3)}\n{flat('00:03', 3, price=72)}"
    run = borrowing(bars, "00:01 long buy 299\n00:02 rest buy 1 at 50")
    assert [(one.order_id, clock_text(one.time_ms)) for one in run.messages(OrderCanceled)] == [("rest", "00:04")]


def test_equity_that_is_used_up_ends_the_run() -> None:
    bars = f"{flat('00:00', 3)}\n{flat('00:03', 3, price=160)}"
    assert borrowing(bars, "00:01 short sell 200").reason == "bankrupt"


def test_less_than_a_lot_of_interest_stays_owed_when_the_lots_are_bought_back() -> None:
    run = borrowing(flat("00:00", 10), "00:01 short sell 10\n00:08 back buy 10 reduce")
    assert run.engine.account.books.position(A) == Decimal("-0.0002")
    assert [(one.asset, one.amount) for one in run.snapshots[-1].owed] == [("AAA", Decimal("0.0002"))]


def test_interest_that_comes_to_a_lot_can_be_bought_back_by_a_reduce_only_order() -> None:
    run = borrowing(flat("00:00", 10), "00:01 short sell 100\n00:08 back buy 101 reduce")
    assert run.told() == expect("""
        00:01 short sell 100 @ 100 taker
        00:08 back buy 100.002 @ 100 taker
        00:08 back ends REDUCE_ONLY 0.998
    """)
    assert run.engine.account.books.position(A) == 0


def test_with_borrow_off_nothing_of_it_exists() -> None:
    run = small_run(flat("00:00", 70), "00:01 short sell 1\n00:01 long buy 101", market=Market.SPOT, cash="10000")
    assert run.told() == ["00:01 short refused SHORT_SPOT", "00:01 long refused INSUFFICIENT"]
    assert run.messages(InterestCharged) == [] and run.engine.account.books.borrowing is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rates": {"USDT": Decimal("0.0001")}}, "no rate for AAA"),
        ({"rates": {**RATES, "XYZ": Decimal("0.0001")}}, "names XYZ"),
        ({"leverage": "1"}, "leverage above 1"),
        ({"rates": {**RATES, "AAA": Decimal("-0.1")}}, "borrow_rates.AAA"),
        ({"spot_fee": "received"}, "fees in quote"),
        ({"account": {"borrow": "off"}, "leverage": "1"}, "account.borrow is off"),
    ],
)
def test_what_is_missing_or_wrong_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        borrowing(flat("00:00", 3), **given)


def test_orders_of_every_kind_may_borrow() -> None:
    rises = f"{flat('00:00', 3)}\n00:03 100 112 100 112 1000\n{flat('00:04', 2, price=112)}"
    bars = f"{rises}\n00:06 112 112 80 80 1000\n{flat('00:07', 2, price=80)}"
    orders = """
        00:01 guarded sell 10 tp 90 sl 110
        00:05 value buy $15000
        00:06 falls sell 200 stop 100
    """
    assert borrowing(bars, orders).told() == expect("""
        00:01 guarded sell 10 @ 100 taker
        00:04 guarded-tp1 ends OCO 10
        00:04 guarded-sl1 buy 10 @ 110 taker bar
        00:05 value buy 133.928 @ 112 taker
        00:07 falls sell 200 @ 100 taker bar
    """)


def test_margin_is_asked_for_again_when_a_stop_triggers() -> None:
    bars = f"{flat('00:00', 4)}\n{flat('00:04', 2, price=40)}"
    orders = "00:01 long buy 120\n00:02 falls sell 215 stop 60"
    assert borrowing(bars, orders, leverage="2").told() == expect("""
        00:01 long buy 120 @ 100 taker
        00:05 falls ends INSUFFICIENT 215
    """)


@settings(max_examples=25, deadline=None)
@given(
    moves=st.lists(st.integers(-6, 6), min_size=13, max_size=13),
    sent=st.lists(st.tuples(st.integers(1, 128), st.sampled_from(["buy", "sell"]), st.integers(1, 250)), max_size=12),
    leverage=st.sampled_from(["1.5", "3"]),
)
def test_the_ledger_of_each_asset_is_the_fold_of_its_events(
    moves: list[int], sent: list[tuple[int, str, int]], leverage: str
) -> None:
    prices = list(accumulate(moves, lambda price, move: max(50, price + move), initial=100))
    bars = "\n".join(flat(f"{minute // 60:02d}:{minute % 60:02d}", 10, price=prices[minute // 10]) for minute in range(0, 130, 10))
    lines = [f"{m // 60:02d}:{m % 60:02d} o{n} {side} {qty}" for n, (m, side, qty) in enumerate(sorted(sent))]
    run = borrowing(bars, "\n".join(lines), leverage=leverage, fee_bps=("10", "10"))
    folded = {"USDT": Decimal(10000), "AAA": Decimal(0)}
    for message in run.messages(Fill, InterestCharged):
        if isinstance(message, InterestCharged):
            assert message.owed == -folded[message.asset]
            folded[message.asset] -= message.amount
            continue
        folded["AAA"] += message.side.sign * message.qty
        folded["USDT"] -= message.side.sign * message.qty * message.price + message.fee
    account = run.engine.account
    account.check()
    for asset, amount in folded.items():
        assert account.ledger.balance("wallet", asset) == money_from_decimal(amount)
        charged = sum(one.amount for one in run.messages(InterestCharged) if one.asset == asset)
        own = account.ledger.balance("interest", asset)
        assert own == money_from_decimal(Decimal(charged)) if asset == "AAA" else own == account.books.interest


@pytest.mark.parametrize(
    ("second", "expected"), [("buy 10 at 94", "more ends INSUFFICIENT 10"), ("buy 5 at 94", "more buy 5 @ 94 maker bar")]
)
def test_fills_of_one_bar_are_covered_together(second: str, expected: str) -> None:
    """After the first: cash 50, 10 coins at 80. The second would owe 890 at an equity of 710, half of it owes 420 at 780."""
    bars = f"{flat('00:00', 3)}\n00:03 100 100 80 80 1000\n{flat('00:04', 2, price=80)}"
    run = borrowing(bars, f"00:01 first buy 10 at 95\n00:01 more {second}", leverage="2", cash="1000")
    assert run.told()[:2] == [f"00:04 {line}" for line in ("first buy 10 @ 95 maker bar", expected)]


def test_fills_of_one_bar_in_two_symbols_are_covered_together() -> None:
    bars = {symbol: f"{flat('00:00', 3)}\n00:03 100 100 80 80 1000\n{flat('00:04', 2, price=80)}" for symbol in (A, B)}
    rates = {"USDT": Decimal(0), "AAA": Decimal(0), "BBB": Decimal(0)}
    run = borrowing(bars, f"00:01 first:{A} buy 10 at 95\n00:01 more:{B} buy 10 at 94", leverage="2", cash="1000", rates=rates)
    assert run.told()[:2] == ["00:04 first buy 10 @ 95 maker bar", "00:04 more ends INSUFFICIENT 10"]
