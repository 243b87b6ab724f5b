from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.costs import fee_e8
from backtester.domain.money import MONEY_ONE, money_from_decimal
from backtester.domain.position import Booked, book_fill, unrealised

fills = st.lists(
    st.tuples(st.integers(-(10**6), 10**6).filter(bool), st.integers(1, 10**22)),
    min_size=1,
    max_size=30,
)


def booked(trades: list[tuple[str, str]], *, lot: str) -> list[Booked]:
    """Positions after each (signed quantity, price)."""
    lots, cost, found = 0, 0, []
    for qty, price in trades:
        after = book_fill(
            lots=lots,
            cost=cost,
            signed_lots=int(Decimal(qty) / Decimal(lot)),
            lot_value=money_from_decimal(Decimal(price) * Decimal(lot)),
        )
        lots, cost = after.lots, after.cost
        found.append(after)
    return found


def average(position: Booked, *, lot: str) -> Fraction:
    return Fraction(position.cost, position.lots) / MONEY_ONE / Fraction(lot)


def test_the_average_entry_is_weighted_by_quantity() -> None:
    """A05."""
    position = booked([("0.5", "5000"), ("0.3", "6000")], lot="0.1")[-1]
    assert average(position, lot="0.1") == 5375


def test_a_closed_trade_realises_exit_value_less_entry_value() -> None:
    """A03: 3 bought for 3584.9255, sold for 3541.795, fee 6 bps on each side."""
    bought = booked([("2", "1194"), ("1", "1196.9255")], lot="1")
    assert bought[-1].cost == money_from_decimal(Decimal("3584.9255"))
    sold = booked([("2", "1194"), ("1", "1196.9255"), ("-1", "1180"), ("-2", "1180.8975")], lot="1")
    assert (sold[-1].lots, sold[-1].cost) == (0, 0)
    gross = Fraction(sum(position.realised for position in sold), MONEY_ONE)
    assert gross == Fraction("-43.1305")
    fees = [fee_e8(money_from_decimal(Decimal(value)), Decimal(6)) for value in ("3584.9255", "3541.795")]
    assert sum(fees) == 427_603_230
    assert gross - Fraction(sum(fees), 10**8) == Fraction("-47.4065323")


def test_a_fill_through_zero_closes_then_opens_at_its_own_price() -> None:
    """A06: buy 1 at 30000, sell 1.5 at 31000, buy 0.5 at 30500."""
    opened, flipped, closed = booked([("1", "30000"), ("-1.5", "31000"), ("0.5", "30500")], lot="0.5")
    assert opened.realised == 0
    assert flipped.lots == -1
    assert Fraction(flipped.realised, MONEY_ONE) == 1000
    assert average(flipped, lot="0.5") == 31000
    assert closed == Booked(lots=0, cost=0, realised=250 * MONEY_ONE)
    fees = [Decimal("16.5"), Decimal("17.05") + Decimal("8.525"), Decimal("8.3875")]
    values = ("30000", "46500", "15250")
    assert [fee_e8(money_from_decimal(Decimal(value)), Decimal("5.5")) for value in values] == [int(fee * 10**8) for fee in fees]
    assert 1000 + 250 - sum(fees) == Decimal("1199.5375")


def test_what_is_open_is_worth_its_mark_less_its_cost() -> None:
    long, short = booked([("2", "100")], lot="1")[-1], booked([("-2", "100")], lot="1")[-1]
    mark = 103 * MONEY_ONE
    assert unrealised(lots=long.lots, cost=long.cost, mark_value=mark) == 6 * MONEY_ONE
    assert unrealised(lots=short.lots, cost=short.cost, mark_value=mark) == -6 * MONEY_ONE
    assert unrealised(lots=0, cost=0, mark_value=mark) == 0


@given(fills)
def test_value_is_conserved_at_every_fill(trades: list[tuple[int, int]]) -> None:
    """Cash paid for contracts plus what they cost is what was realised: nothing appears, nothing is lost."""
    lots, cost = 0, 0
    for signed_lots, lot_value in trades:
        after = book_fill(lots=lots, cost=cost, signed_lots=signed_lots, lot_value=lot_value)
        assert -signed_lots * lot_value + (after.cost - cost) == after.realised
        assert after.lots == lots + signed_lots
        lots, cost = after.lots, after.cost


@given(fills)
def test_profit_is_that_of_exact_fractions_less_at_most_a_unit_a_fill(trades: list[tuple[int, int]]) -> None:
    lots, cost = 0, 0
    exact_lots, exact_cost, exact_realised = 0, Fraction(0), Fraction(0)
    realised = 0
    for count, (signed_lots, lot_value) in enumerate(trades, start=1):
        after = book_fill(lots=lots, cost=cost, signed_lots=signed_lots, lot_value=lot_value)
        lots, cost, realised = after.lots, after.cost, realised + after.realised
        closing = min(abs(signed_lots), abs(exact_lots)) if exact_lots * signed_lots < 0 else 0
        way = 1 if signed_lots > 0 else -1
        if closing:
            entry = exact_cost / exact_lots
            exact_realised += -way * closing * (lot_value - entry)
            exact_cost += way * closing * entry
        exact_cost += (signed_lots - way * closing) * lot_value
        exact_lots += signed_lots
        if exact_lots == 0:
            exact_cost = Fraction(0)
        assert exact_realised - count <= realised <= exact_realised + count
        assert abs(cost - exact_cost) <= count


@given(fills)
def test_a_flat_position_costs_nothing_and_a_cost_has_the_sign_of_its_position(trades: list[tuple[int, int]]) -> None:
    lots, cost = 0, 0
    for signed_lots, lot_value in trades:
        booked = book_fill(lots=lots, cost=cost, signed_lots=signed_lots, lot_value=lot_value)
        lots, cost = booked.lots, booked.cost
        assert cost * lots >= 0
        assert lots or not cost


@given(
    lots=st.integers(1, 10**6), lot_value=st.integers(1, 10**22), closed=st.integers(1, 10**6), exit_value=st.integers(1, 10**22)
)
def test_a_reducing_fill_leaves_the_average_entry(lots: int, lot_value: int, closed: int, exit_value: int) -> None:
    closed = min(lots, closed)
    for sign in (1, -1):
        after = book_fill(lots=sign * lots, cost=sign * lots * lot_value, signed_lots=-sign * closed, lot_value=exit_value)
        assert after.cost == after.lots * lot_value
        assert after.realised == sign * closed * (exit_value - lot_value)
