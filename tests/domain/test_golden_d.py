"""Worked examples D: margin, tiers and liquidation."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backtester.domain.errors import DomainError
from backtester.domain.linear import pnl_quote
from backtester.domain.liquidation import (
    Liquidation,
    Reach,
    bankruptcy_price,
    cross_bankruptcy_price,
    cross_wallet,
    earlier_tick_price,
    entry_based_price,
    gap_loss,
    inverse_cross_price_entry_based,
    inverse_extra_margin,
    isolated_liquidation,
    isolated_liquidation_cost,
    isolated_wallet,
    liquidation,
)
from backtester.domain.margin import account_rates, affords, cross_margins, initial_margin, isolated_margins, order_cost
from backtester.domain.tiers import TierTable, next_deduction
from backtester.domain.vocabulary import Market, Side
from tests.domain.golden_match import decimals, matches
from tests.domain.hostile_decimals import unchanged_by_hostility

LINEAR, INVERSE = Market.LINEAR, Market.INVERSE
HALF_PERCENT = TierTable.flat(Decimal("0.005"))
FIVE_TIERS = TierTable(
    floors=decimals("0", "1000", "2000", "3000", "4000"), maintenance_fracs=decimals("0.02", "0.025", "0.03", "0.035", "0.04")
)
BTCUSDT = TierTable(
    floors=decimals(
        *("0", "50000", "600000", "3000000", "12000000", "70000000"),
        *("100000000", "230000000", "480000000", "600000000", "800000000", "1200000000"),
    ),
    maintenance_fracs=decimals("0.004", "0.005", "0.0065", "0.01", "0.02", "0.025", "0.05", "0.1", "0.125", "0.15", "0.25", "0.5"),
)
D01 = {"market": LINEAR, "signed_qty": Decimal(1), "entry": Decimal(20000), "leverage": Decimal(50)}
D10 = {"market": LINEAR, "side": Side.BUY, "qty": Decimal(1), "price": Decimal(50000), "leverage": Decimal(10)}
TAKER = Decimal("0.00055")


def test_d01_the_older_rule_takes_maintenance_at_the_entry() -> None:
    assert initial_margin(value=Decimal(20000), leverage=Decimal(50)) == 400
    assert HALF_PERCENT.maintenance(Decimal(20000)) == 100
    assert unchanged_by_hostility(lambda: entry_based_price(**D01, tiers=HALF_PERCENT)) == 19700
    assert unchanged_by_hostility(lambda: bankruptcy_price(**D01)) == 19600


def test_d02_margin_added_to_a_short_moves_its_price_up() -> None:
    short = {**D01, "signed_qty": Decimal(-1)}
    assert entry_based_price(**short, tiers=HALF_PERCENT) == 20300
    assert entry_based_price(**short, tiers=HALF_PERCENT, extra=Decimal(3000)) == 23300


def test_d03_slices_and_deductions_say_the_same() -> None:
    assert [tier.deduction for tier in FIVE_TIERS.tiers] == list(decimals("0", "5", "15", "30", "50"))
    assert FIVE_TIERS.maintenance_by_slices(Decimal(3500)) == Decimal("92.5")
    assert unchanged_by_hostility(lambda: FIVE_TIERS.maintenance(Decimal(3500))) == Decimal("92.5")
    assert initial_margin(value=Decimal(3500), leverage=Decimal(10)) == 350


def test_d04_the_tier_is_that_of_the_value_at_the_liquidation_price() -> None:
    position = {"market": LINEAR, "signed_qty": Decimal(100), "entry": Decimal(35), "leverage": Decimal(10)}
    found = unchanged_by_hostility(lambda: isolated_liquidation(**position, tiers=FIVE_TIERS))
    assert matches(found.price, "32.33160621761658031088082902")
    assert matches(found.value, "3233.160621761658031088082902")
    assert (found.tier.maintenance_frac, found.tier.deduction) == decimals("0.035", "30")
    assert bankruptcy_price(**position) == Decimal("31.5")


def test_d05_deductions_follow_from_floors_and_rates() -> None:
    expected = ["0", "50", "950", "11450", "131450", "481450", "2981450", "14481450"]
    expected += ["26481450", "41481450", "121481450", "421481450"]
    assert [tier.deduction for tier in BTCUSDT.tiers] == list(decimals(*expected))


def test_d06_the_same_recursion_holds_in_coins() -> None:
    found = next_deduction(
        floor=Decimal(50),
        maintenance_frac=Decimal("0.05"),
        maintenance_frac_before=Decimal("0.025"),
        deduction_before=Decimal("0.56"),
    )
    assert found == Decimal("1.81")


def test_d08_the_tier_of_the_entry_would_be_wrong() -> None:
    position = {"market": LINEAR, "signed_qty": Decimal("10.5"), "entry": Decimal(60000)}
    assert isolated_wallet(**position, leverage=Decimal(10)) == 63000
    found = liquidation(**position, wallet=Decimal(63000), tiers=BTCUSDT)
    assert matches(found.price, "54266.57094998803541517109356")
    assert matches(found.value, "569798.9949748743718592964824")
    assert (found.tier.maintenance_frac, found.tier.deduction) == decimals("0.005", "50")
    entry_tier = BTCUSDT.at(Decimal(630000))
    assert (entry_tier.maintenance_frac, entry_tier.deduction) == decimals("0.0065", "950")
    with_entry_tier = (Fraction(630000) - 63000 - 950) / (Fraction("10.5") * (1 - Fraction("0.0065")))
    assert abs(with_entry_tier - Fraction("54262.22829343111175018573106")) < Fraction(1, 10**12)


@pytest.mark.parametrize(
    ("order", "margin", "open_fee", "close_fee", "total"),
    [
        (D10, "5000", "27.5", "24.75", "5052.25"),  # D10
        ({**D10, "side": Side.SELL}, "5000", "27.5", "30.25", "5057.75"),
        (  # D11
            {"market": INVERSE, "side": Side.BUY, "qty": Decimal(10000), "price": Decimal(2000), "leverage": Decimal(25)},
            *("0.2", "0.00275", "0.00286", "0.20561"),
        ),
    ],
)
def test_d10_d11_an_order_costs_margin_and_both_fees(order, margin: str, open_fee: str, close_fee: str, total: str) -> None:
    cost = unchanged_by_hostility(lambda: order_cost(**order, taker_frac=TAKER))
    assert (cost.initial_margin, cost.open_fee, cost.close_fee, cost.total) == decimals(margin, open_fee, close_fee, total)


def test_d14_an_inverse_cross_position_is_liquidated_at_the_earlier_tick() -> None:
    bankrupt = cross_bankruptcy_price(
        market=INVERSE, signed_qty=Decimal(10000), entry=Decimal(8000), wallet=Decimal("0.5"), taker_frac=Decimal("0.00075")
    )
    assert matches(bankrupt, "5718.571428571428571428571429")
    price = unchanged_by_hostility(
        lambda: inverse_cross_price_entry_based(
            signed_qty_quote=Decimal(10000),
            entry=Decimal(8000),
            wallet_base=Decimal("0.5"),
            tiers=HALF_PERCENT,
            taker_frac=Decimal("0.00075"),
        )
    )
    assert matches(price, "5739.083528002315418410622968")
    assert earlier_tick_price(price, tick_size=Decimal("0.5"), signed_qty=Decimal(10000)) == Decimal("5739.5")
    assert earlier_tick_price(price, tick_size=Decimal("0.5"), signed_qty=Decimal(-10000)) == 5739


def test_d15_an_isolated_liquidation_takes_margin_and_both_fees() -> None:
    cost = unchanged_by_hostility(lambda: isolated_liquidation_cost(**D01, taker_frac=TAKER))
    assert cost.bankruptcy_price == 19600
    assert (cost.realised, cost.open_fee, cost.close_fee, cost.total_loss) == decimals("-400", "11", "10.78", "421.78")
    assert pnl_quote(signed_qty=Decimal(1), entry=Decimal(20000), exit_price=cost.bankruptcy_price) == cost.realised


def test_d16_an_order_is_refused_when_a_cent_is_missing() -> None:
    cost = order_cost(**D10, taker_frac=TAKER).total
    assert affords(available=Decimal("5052.25"), cost=cost)
    assert not affords(available=Decimal("5052.24"), cost=cost)


def test_d18_an_account_has_margin_rates() -> None:
    margins = cross_margins(
        market=LINEAR,
        signed_qty=Decimal(1),
        mark=Decimal(49000),
        leverage=Decimal(10),
        taker_frac=TAKER,
        tiers=HALF_PERCENT,
    )
    assert (margins.initial, margins.maintenance) == decimals("4924.255", "269.255")
    account = {"initial": margins.initial, "maintenance": margins.maintenance}
    rates = account_rates(wallet=Decimal(20000), unrealised=Decimal(-1000), **account)
    assert rates.margin_balance == 19000
    assert matches(rates.maintenance_rate, "0.01417131578947368421052631579")
    assert not rates.is_liquidated
    with_loss = account_rates(
        wallet=Decimal(20000), unrealised=Decimal(-1000), **account, haircut=Decimal(1000), order_loss=Decimal(-500)
    )
    assert Fraction(with_loss.maintenance_rate) == pytest.approx(Fraction("269.255") / 17500)
    assert account_rates(wallet=Decimal("1269.255"), unrealised=Decimal(-1000), **account).is_liquidated
    under_water = account_rates(wallet=Decimal(900), unrealised=Decimal(-1000), **account)
    assert (under_water.initial_rate, under_water.maintenance_rate, under_water.is_liquidated) == (None, None, True)
    empty = account_rates(wallet=Decimal(0), unrealised=Decimal(0), initial=Decimal(0), maintenance=Decimal(0))
    assert not empty.is_liquidated


def test_an_isolated_position_keeps_its_margin_at_the_entry_and_owes_at_the_mark() -> None:
    position = {"market": LINEAR, "entry": Decimal(50000), "mark": Decimal(49000), "leverage": Decimal(10)}
    rest = {"taker_frac": TAKER, "tiers": HALF_PERCENT}
    long = isolated_margins(signed_qty=Decimal(1), **position, **rest)
    assert (long.initial, long.maintenance, long.close_fee) == decimals("5024.75", "269.75", "24.75")
    short = isolated_margins(signed_qty=Decimal(-1), **position, **rest)
    assert (short.initial, short.maintenance, short.close_fee) == decimals("5030.25", "275.25", "30.25")
    inverse = isolated_margins(
        market=INVERSE, signed_qty=Decimal(10000), entry=Decimal(2000), mark=Decimal(2000), leverage=Decimal(25), **rest
    )
    assert (inverse.initial, inverse.maintenance, inverse.close_fee) == decimals("0.20286", "0.02786", "0.00286")


@pytest.mark.parametrize(
    ("qty", "formula"),
    [
        ("10000", Fraction(10000) * Fraction("1.005") / (Fraction(5, 4) + Fraction(1, 8) + Fraction("0.1") / Fraction("1.00055"))),
        ("-10000", Fraction(10000) * Fraction("0.995") / (Fraction(5, 4) - Fraction(1, 8) - Fraction("0.1") / Fraction("0.99945"))),
    ],
)
def test_an_inverse_position_is_liquidated_where_its_formula_says(qty: str, formula: Fraction) -> None:
    signed = Decimal(qty)
    extra = inverse_extra_margin(extra_base=Decimal("0.1"), signed_qty_quote=signed, taker_frac=TAKER)
    found = isolated_liquidation(
        market=INVERSE, signed_qty=signed, entry=Decimal(8000), leverage=Decimal(10), tiers=HALF_PERCENT, extra=extra
    )
    assert abs(Fraction(found.price) - formula) < Fraction(1, 10**40)


@pytest.mark.parametrize(("qty", "coins"), [("10000", "1.36875"), ("-10000", "1.13125")])
def test_the_older_rule_for_inverse_positions_moves_the_coin_value_by_what_may_be_lost(qty: str, coins: str) -> None:
    """qty / (1.25 +/- (0.125 - 0.00625)): value, initial and maintenance margin at the entry."""
    found = entry_based_price(
        market=INVERSE, signed_qty=Decimal(qty), entry=Decimal(8000), leverage=Decimal(10), tiers=HALF_PERCENT
    )
    assert abs(Fraction(found) - Fraction(10000) / Fraction(coins)) < Fraction(1, 10**40)


def test_a_bankrupt_inverse_position_has_moved_by_its_leverage() -> None:
    position = {"market": INVERSE, "entry": Decimal(8000), "leverage": Decimal(4)}
    assert bankruptcy_price(signed_qty=Decimal(1), **position) == 6400  # entry x L / (L + 1)
    assert matches(bankruptcy_price(signed_qty=Decimal(-1), **position), "10666.66666666666666666666667")  # L / (L - 1)


def test_a_position_that_is_paid_in_full_is_never_liquidated() -> None:
    for market, qty in ((LINEAR, 1), (INVERSE, -1)):
        position = {"market": market, "signed_qty": Decimal(qty), "entry": Decimal(100), "leverage": Decimal(1)}
        assert isolated_liquidation(**position, tiers=HALF_PERCENT) == Liquidation(Reach.NEVER)
        with pytest.raises(DomainError, match="no price loses that much"):
            bankruptcy_price(**position)
    owing = {"market": LINEAR, "signed_qty": Decimal(-1), "entry": Decimal(100), "wallet": Decimal(-100)}
    assert liquidation(**owing, tiers=HALF_PERCENT) == Liquidation(Reach.ALWAYS)


def test_a_gap_beyond_bankruptcy_is_told_and_not_charged() -> None:
    arguments = {"market": LINEAR, "bankruptcy": Decimal(19600)}
    assert gap_loss(signed_qty=Decimal(2), market_price=Decimal(19000), **arguments) == 1200
    assert gap_loss(signed_qty=Decimal(2), market_price=Decimal(19700), **arguments) == 0
    assert gap_loss(signed_qty=Decimal(-2), market_price=Decimal(19700), **arguments) == 200
    assert gap_loss(market=INVERSE, signed_qty=Decimal(1000), bankruptcy=Decimal(5000), market_price=Decimal(4000)) == Decimal(
        "0.05"
    )


def test_a_cross_position_can_lose_what_the_others_leave() -> None:
    wallet = cross_wallet(wallet=Decimal(1000), others_maintenance=Decimal(50), others_unrealised=Decimal(-150))
    assert wallet == 800
    found = liquidation(market=LINEAR, signed_qty=Decimal(1), entry=Decimal(10000), wallet=wallet, tiers=HALF_PERCENT)
    assert Fraction(found.price) == pytest.approx(Fraction(9200) / Fraction("0.995"))
    linear = {"market": LINEAR, "entry": Decimal(10000), "wallet": Decimal(800), "taker_frac": Decimal("0.08")}
    assert cross_bankruptcy_price(signed_qty=Decimal(1), **linear) == 10000
    assert cross_bankruptcy_price(signed_qty=Decimal(-1), **linear) == 10000


@st.composite
def tables(draw: st.DrawFn) -> TierTable:
    count = draw(st.integers(1, 6))
    floors, rates = [Decimal(0)], [draw(st.integers(1, 200))]
    for _ in range(count - 1):
        floors.append(floors[-1] + draw(st.integers(1, 10**6)))
        rates.append(rates[-1] + draw(st.integers(0, 100)))
    return TierTable(floors=floors, maintenance_fracs=[Decimal(rate) / 1000 for rate in rates])


values = st.decimals(min_value=0, max_value=10**7, places=4)
quantities = st.decimals(min_value=-10_000, max_value=10_000, places=3).filter(bool)
prices = st.decimals(min_value=Decimal("0.01"), max_value=10**5, places=2)
leverages = st.decimals(min_value=1, max_value=125, places=1)


@given(table=tables(), value=values)
def test_for_any_table_the_slices_equal_the_deduction_form(table: TierTable, value: Decimal) -> None:
    assert table.maintenance(value) == table.maintenance_by_slices(value)
    money = int(Fraction(value) * 10**16)
    exact = Fraction(table.maintenance(value)) * 10**16
    assert 0 <= table.maintenance_money(money) - exact < 1


@given(table=tables(), first=values, second=values)
def test_more_value_never_needs_less_margin(table: TierTable, first: Decimal, second: Decimal) -> None:
    low, high = sorted((first, second))
    assert 0 <= table.maintenance(low) <= table.maintenance(high)


@given(market=st.sampled_from((LINEAR, INVERSE)), qty=quantities, entry=prices, leverage=leverages, table=tables(), extra=values)
def test_at_the_liquidation_price_equity_is_maintenance_margin(
    market: Market, qty: Decimal, entry: Decimal, leverage: Decimal, table: TierTable, extra: Decimal
) -> None:
    wallet = isolated_wallet(market=market, signed_qty=qty, entry=entry, leverage=leverage, extra=extra)
    found = liquidation(market=market, signed_qty=qty, entry=entry, wallet=wallet, tiers=table)
    assume(found.reach is Reach.AT_PRICE)
    price, opened, signed = Fraction(found.price), Fraction(entry), Fraction(qty)
    profit = signed * (price - opened) if market is LINEAR else signed * (1 / opened - 1 / price)
    value = abs(signed) * price if market is LINEAR else abs(signed) / price
    owed = table.maintenance_fraction(value)
    assert abs(Fraction(wallet) + profit - owed) <= Fraction(1, 10**30) * (1 + value)
    assert table.at(found.value) == found.tier


@given(market=st.sampled_from((LINEAR, INVERSE)), qty=quantities, entry=prices, leverage=leverages)
def test_at_the_bankruptcy_price_the_margin_is_lost(market: Market, qty: Decimal, entry: Decimal, leverage: Decimal) -> None:
    assume(leverage > 1)
    bankrupt = Fraction(bankruptcy_price(market=market, signed_qty=qty, entry=entry, leverage=leverage))
    opened, signed = Fraction(entry), Fraction(qty)
    lost = signed * (bankrupt - opened) if market is LINEAR else signed * (1 / opened - 1 / bankrupt)
    margin = Fraction(isolated_wallet(market=market, signed_qty=qty, entry=entry, leverage=leverage))
    assert abs(lost + margin) <= Fraction(1, 10**40) * (1 + margin)
    rate = HALF_PERCENT
    liquidated = isolated_liquidation(market=market, signed_qty=qty, entry=entry, leverage=leverage, tiers=rate)
    assert liquidated.price > bankrupt if qty > 0 else liquidated.price < bankrupt


@pytest.mark.parametrize(
    ("floors", "rates", "words"),
    [
        ([], [], "at least one"),
        (["0"], ["0.1", "0.2"], "as many"),
        (["1"], ["0.1"], "start at 0"),
        (["0", "0"], ["0.1", "0.2"], "floors must rise"),
        (["0", "1"], ["0.2", "0.1"], "rates must not fall"),
        (["0"], ["1"], "below 1"),
        (["0"], ["0"], "above 0"),
    ],
)
def test_a_table_that_is_none_is_refused(floors: list[str], rates: list[str], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        TierTable(floors=decimals(*floors), maintenance_fracs=decimals(*rates))


def test_higher_tiers_allow_less_leverage() -> None:
    table = TierTable(floors=decimals("0", "1000"), maintenance_fracs=decimals("0.01", "0.05"), leverages_max=decimals("50", "10"))
    assert table.allows_leverage(value=Decimal(1000), leverage=Decimal(50))
    assert not table.allows_leverage(value=Decimal("1000.01"), leverage=Decimal(50))
    assert table.leverage_max(Decimal(5000)) == 10
    assert HALF_PERCENT.allows_leverage(value=Decimal(5), leverage=Decimal(1000))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DomainError, match="leverage must be 1 or more"):
        initial_margin(value=Decimal(1), leverage=Decimal("0.5"))
    with pytest.raises(DomainError, match="not of spot"):
        order_cost(**{**D10, "market": Market.SPOT}, taker_frac=TAKER)
    with pytest.raises(DomainError, match="order_loss"):
        account_rates(wallet=Decimal(1), unrealised=Decimal(0), initial=Decimal(0), maintenance=Decimal(0), order_loss=Decimal(1))
    with pytest.raises(DomainError, match="taker_frac must be below 1"):
        isolated_liquidation_cost(**D01, taker_frac=Decimal(1))
    with pytest.raises(DomainError, match="no price loses that much"):
        cross_bankruptcy_price(market=LINEAR, signed_qty=Decimal(1), entry=Decimal(1), wallet=Decimal(2), taker_frac=Decimal(0))
