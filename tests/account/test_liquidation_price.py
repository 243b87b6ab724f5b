"""The liquidation price that a snapshot shows is the price that liquidates, whatever position, mode, tiers and leverage."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from backtester.account.books import Books
from backtester.account.margins import Margins
from backtester.domain.linear import average_entry
from backtester.domain.liquidation import earlier_tick_price, isolated_liquidation
from backtester.domain.margin_terms import MarginMode, MarginTerms
from backtester.domain.money import MONEY_ONE, PRICE_ONE, decimal_from_e8, money_from_decimal
from backtester.domain.tiers import TierTable
from backtester.domain.vocabulary import Market
from tests.sim.small_run import A, B, spec

TABLE = TierTable(
    floors=(Decimal(0), Decimal(1000), Decimal(20_000)),
    maintenance_fracs=(Decimal("0.004"), Decimal("0.01"), Decimal("0.1")),
    leverages_max=(None, None, None),
)
LEVERAGES = st.sampled_from([Decimal(text) for text in ("1", "2", "3.7", "10", "50", "99")])


def margins_of(
    positions: dict[str, tuple[int, int]], *, mode: MarginMode, leverage: Decimal, cash: Decimal, mark: float = 100.0
) -> tuple[Books, Margins]:
    """An account with positions of (signed lots, entry in ticks)."""
    specs = {symbol: spec(symbol) for symbol in (A, B)}
    marks = {A: mark, B: 100.0}
    books = Books(specs=specs, starting_cash=money_from_decimal(cash), quote="USDT", marks=marks)
    for symbol, (lots, ticks) in positions.items():
        books.lots[symbol] = lots
        books.cost[symbol] = lots * ticks * specs[symbol].tick_e8 * specs[symbol].lot_e8
    terms = {symbol: MarginTerms(leverage=leverage, tiers=TABLE, taker_frac=Decimal("0.00055")) for symbol in specs}
    return books, Margins(terms=terms, specs=specs, mode=mode, lots=books.lots, cost=books.cost, marks=marks)


def is_liquidated(margins: Margins, books: Books, prices_e8: dict[str, int]) -> bool:
    if margins.isolated:
        return margins.slack(A, prices_e8[A], margins.wallets(books.cash)[A]) < 0
    return margins.cross_slack(books.cash, prices_e8) < 0


@given(
    lots=st.integers(-300_000, 300_000).filter(bool),
    ticks=st.integers(5, 5000),
    other=st.integers(-50_000, 50_000),
    mode=st.sampled_from(MarginMode),
    leverage=LEVERAGES,
    cash=st.decimals(1, 100_000, places=2),
    off_e8=st.integers(1, 10**7),
)
def test_a_price_liquidates_exactly_when_it_has_reached_the_one_shown(
    lots: int, ticks: int, other: int, mode: MarginMode, leverage: Decimal, cash: Decimal, off_e8: int
) -> None:
    books, margins = margins_of({A: (lots, ticks), B: (other, 1000)}, mode=mode, leverage=leverage, cash=cash)
    shown = margins.liquidation_price_e8(A, cash=books.cash)
    marks_e8 = {symbol: margins.mark_e8(symbol) for symbol in margins.held()}
    if shown is None:
        assert lots < 0 or not is_liquidated(margins, books, marks_e8 | {A: 10**7})
        return
    assume(shown > 0)
    worse = -1 if lots > 0 else 1
    assert is_liquidated(margins, books, marks_e8 | {A: shown})
    assert is_liquidated(margins, books, marks_e8 | {A: shown + worse * min(off_e8, shown - 1)})
    assert not is_liquidated(margins, books, marks_e8 | {A: shown - worse * off_e8})


@given(lots=st.integers(-300_000, 300_000).filter(bool), ticks=st.integers(50, 5000), leverage=LEVERAGES.filter(lambda x: x > 1))
def test_an_isolated_position_is_shown_the_price_of_the_formula(lots: int, ticks: int, leverage: Decimal) -> None:
    books, margins = margins_of({A: (lots, ticks)}, mode=MarginMode.ISOLATED, leverage=leverage, cash=Decimal(10**9))
    entry = average_entry([(decimal_from_e8(abs(lots) * 10**5), Decimal(ticks) / 10)])
    signed_qty = decimal_from_e8(lots * 10**5)
    found = isolated_liquidation(market=Market.LINEAR, signed_qty=signed_qty, entry=entry, leverage=leverage, tiers=TABLE)
    assert found.price is not None
    shown = margins.liquidation_price_e8(A, cash=books.cash)
    assert shown is not None
    expected = earlier_tick_price(found.price, tick_size=Decimal("0.1"), signed_qty=signed_qty)
    # Initial margin is rounded up to a money unit, so a formula price on the very tick may come one tick earlier or later.
    assert abs(shown - int(expected * PRICE_ONE)) <= 10**7
    if (found.price * 10) % 1 != 0:
        assert shown == int(expected * PRICE_ONE)


def test_d04_and_d08_are_shown_in_an_account() -> None:
    five = TierTable(
        floors=tuple(map(Decimal, (0, 1000, 2000, 3000, 4000))),
        maintenance_fracs=tuple(map(Decimal, ("0.02", "0.025", "0.03", "0.035", "0.04"))),
    )
    specs = {A: spec(A, tick_size=Decimal("0.00000001"))}
    books = Books(specs=specs, starting_cash=10**6 * MONEY_ONE, quote="USDT", marks={A: 35.0})
    books.lots[A], books.cost[A] = 100_000, 3500 * MONEY_ONE
    terms = {A: MarginTerms(leverage=Decimal(10), tiers=five, taker_frac=Decimal(0))}
    margins = Margins(terms=terms, specs=specs, mode=MarginMode.ISOLATED, lots=books.lots, cost=books.cost, marks=books.marks)
    assert margins.liquidation_price_e8(A, cash=books.cash) == 3_233_160_622  # 32.331606217616...


def test_free_cash_falls_with_open_losses_in_cross_and_not_in_isolated() -> None:
    for mode, free in ((MarginMode.CROSS, "98.9505"), (MarginMode.ISOLATED, "99.9505")):
        books, margins = margins_of({A: (1000, 1000)}, mode=mode, leverage=Decimal(10), cash=Decimal(110), mark=99.0)
        # 110 - 100 / 10 - fee to close at 90 of 0.0495 (- loss of 1)
        assert margins.free_cash(books.cash) == money_from_decimal(Decimal(free))
