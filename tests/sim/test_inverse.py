"""Scenarios on inverse contracts: sizes in dollars, all money in the coin (golden cases B, C02, D11, D14)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backtester.domain.orders import LiquidationOrder
from backtester.domain.settlement import FundingPaid, Settlement
from backtester.domain.tiers import LeverageTier
from backtester.domain.vocabulary import Market
from tests.sim.small_run import SmallRun, expect, ms, small_run, spec

COIN = "BTCUSD"
TIERS = (LeverageTier(floor=Decimal(0), maintenance_frac=Decimal("0.005"), leverage_max=Decimal(100)),)


def inverse_run(bars: str, orders: Any, *, contract_size: str = "1", tick: str = "0.1", **facts: Any) -> SmallRun:
    """A run on contracts of one dollar with a wallet in BTC."""
    one = spec(
        COIN,
        market=Market.INVERSE,
        tick_size=Decimal(tick),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        contract_size=Decimal(contract_size),
        settle="BTC",
        leverage_tiers=TIERS,
    )
    text = "\n".join(line.replace(" a ", f" a:{COIN} ").replace(" b ", f" b:{COIN} ") for line in orders.splitlines())
    run = small_run({COIN: bars}, text, specs=[one], **({"cash": "10", "snapshot_every": "1m"} | facts))
    run.engine.account.check()
    return run


RISE = """
    00:00  8000  8000  8000  8000 1000000
    00:01  8000  8000  8000  8000 1000000
    00:02  8000 12500  8000 12500 1000000
    00:03 12500 12500 12500 12500 1000000
"""


def test_a_long_gains_the_coins_that_its_contracts_lose() -> None:
    """Golden B03 and B05: 10,000 at 8,000, closed at 12,500; taker 5.5 bps of the coins at each end."""
    run = inverse_run(RISE, "00:01 a buy 10000 \n 00:03 b sell 10000", fee_bps=("2", "5.5"))
    assert run.told() == expect("""
        00:01 a buy 10000 @ 8000 taker
        00:03 b sell 10000 @ 12500 taker
    """)
    assert [fill.fee for fill in run.fills] == [Decimal("0.0006875"), Decimal("0.00044")]
    assert {fill.fee_asset for fill in run.fills} == {"BTC"}
    last = run.snapshots[-1]
    assert last.realised_pnl == Decimal("0.45")
    assert last.cash == last.equity == Decimal(10) + Decimal("0.45") - Decimal("0.0011275")


def test_a_short_loses_what_a_long_gains() -> None:
    run = inverse_run(RISE, "00:01 a sell 10000 \n 00:03 b buy 10000")
    assert run.snapshots[-1].equity == Decimal("9.55")


def test_the_average_entry_is_harmonic() -> None:
    """Golden B01: 1,000 at 5,000 and 2,000 at 6,000 are held at 5,625."""
    bars = """
        00:00 5000 5000 5000 5000 1000000
        00:01 5000 5000 5000 5000 1000000
        00:02 6000 6000 6000 6000 1000000
        00:03 6000 6000 6000 6000 1000000
    """
    run = inverse_run(bars, "00:01 a buy 1000 \n 00:02 b buy 2000")
    view = run.snapshots[-1].positions[0]
    assert (view.qty, view.avg_entry) == (3000, 5625)
    assert run.snapshots[-1].exposure == Decimal("0.5")  # 3,000 at 6,000


def test_unrealised_profit_is_that_of_the_mark_rounded_down() -> None:
    """Golden B02."""
    bars = """
        00:00 5000 5000 5000 5000 1000000
        00:01 5000 5500 5000 5500 1000000
    """
    assert inverse_run(bars, "00:01 a buy 1000").snapshots[-1].unrealised_pnl == Decimal("0.0181818181818181")
    assert inverse_run(bars, "00:01 a sell 1000").snapshots[-1].unrealised_pnl == Decimal("-0.0181818181818182")


def test_a_contract_of_a_hundred_dollars_counts_a_hundredfold() -> None:
    run = inverse_run(RISE, "00:01 a buy 100 \n 00:03 b sell 100", contract_size="100")
    assert run.snapshots[-1].realised_pnl == Decimal("0.45")


def test_funding_is_paid_in_coins_on_the_size_over_the_mark() -> None:
    """Golden C02 (rule): -(size / mark) x rate."""
    settlement = Settlement(ms("00:02"), COIN, Decimal("0.0001"), 10_000 * 10**8)
    run = inverse_run(RISE, "00:01 a buy 10000", settlements=[settlement])
    (paid,) = run.messages(FundingPaid)
    assert paid.amount == Decimal("-0.0001")
    assert run.snapshots[-1].cash == Decimal("9.9999")


def test_an_entry_needs_its_coins_and_a_market_sale_those_of_a_lower_price() -> None:
    assert inverse_run(RISE, "00:01 a buy 10000", cash="1.25").told() == ["00:01 a buy 10000 @ 8000 taker"]
    assert inverse_run(RISE, "00:01 a buy 10001", cash="1.25").told() == ["00:01 a refused INSUFFICIENT"]
    assert inverse_run(RISE, "00:01 a sell 10000", cash="1.25").told() == ["00:01 a sell 10000 @ 8000 taker"]
    assert inverse_run(RISE, "00:01 a sell 10000", cash="1.25", spread_bps=2).told() == ["00:01 a refused INSUFFICIENT"]


def test_an_order_on_margin_costs_margin_and_the_fees_at_entry_and_at_bankruptcy() -> None:
    """Golden D11: 10,000 at 2,000 with leverage 25 costs 0.20561; the fee in steps of 1e-8, against the trader."""
    bars = "00:00 2000 2000 2000 2000 100000000 \n 00:01 2000 2000 2000 2000 100000000"
    facts = {"account": {"leverage": 25}, "fee_bps": ("2", "5.5")}
    assert inverse_run(bars, "00:01 a buy 10000", cash="0.20561", **facts).told() == ["00:01 a buy 10000 @ 2000 taker"]
    assert inverse_run(bars, "00:01 a buy 10000", cash="0.20560", **facts).told() == ["00:01 a refused INSUFFICIENT"]


FALL = """
    00:00 8000 8000 8000 8000 1000000
    00:01 8000 8000 8000 8000 1000000
    00:02 8000 8000 {low} {low} 1000000
    00:03 {low} {low} {low} {low} 1000000
"""


@pytest.mark.parametrize(("side", "away"), [("buy", -1), ("sell", 1)])
def test_a_position_is_liquidated_at_the_price_that_was_shown_and_not_one_tick_before(side: str, away: int) -> None:
    facts: dict[str, Any] = {"account": {"leverage": 10, "margin": "isolated"}, "fee_bps": ("2", "7.5"), "cash": "0.2"}
    calm = inverse_run(FALL.format(low=8000), f"00:01 a {side} 10000", **facts)
    shown = calm.snapshots[-1].positions[0].liquidation_price
    assert shown is not None
    before = shown - away * Decimal("0.1")
    for price, count in ((before, 0), (shown, 1)):
        bars = FALL.format(low=price) if away < 0 else RISE.replace("12500", str(price))
        run = inverse_run(bars, f"00:01 a {side} 10000", **facts)
        assert len(run.messages(LiquidationOrder)) == count, price
    assert run.snapshots[-1].realised_pnl == pytest.approx(
        Decimal("-0.125"), abs=Decimal("0.00002")
    )  # the margin of 1.25 / 10, to a tick


def test_a_cross_long_is_liquidated_and_the_account_ends_at_nothing() -> None:
    facts: dict[str, Any] = {"account": {"leverage": 10, "margin": "cross"}, "fee_bps": ("2", "7.5"), "cash": "0.5"}
    run = inverse_run(FALL.format(low=5700), "00:01 a buy 10000", tick="0.5", **facts)
    (order,) = run.messages(LiquidationOrder)
    assert order.liquidation_price is not None
    assert 5718 < order.liquidation_price < 5800  # golden D14 has 5739.5 with maintenance at the entry; here it is at the mark
    assert Decimal(0) <= run.snapshots[-1].equity < Decimal("0.0002")


def test_an_unleveraged_long_is_bankrupt_when_the_price_has_halved() -> None:
    run = inverse_run(FALL.format(low=3999), "00:01 a buy 10000", cash="1.25")
    assert run.reason == "bankrupt"
    assert inverse_run(FALL.format(low=4001), "00:01 a buy 10000", cash="1.25").reason != "bankrupt"


trades = st.lists(st.tuples(st.integers(-9_000, 9_000).filter(bool), st.integers(1_000, 20_000)), min_size=1, max_size=8)


@hypothesis_settings(max_examples=40, deadline=None)
@given(trades, st.sampled_from(["1", "100", "0.01"]))
def test_equity_is_the_exact_sum_of_coin_flows_less_at_most_two_units_a_fill(
    sequence: list[tuple[int, int]], contract_size: str
) -> None:
    minute = "\n".join(f"00:{at:02d} {price} {price} {price} {price} 1" for at, (_, price) in enumerate([(0, 1000), *sequence]))
    orders = "\n".join(
        f"00:{at:02d} o{at}:{COIN} {'buy' if signed > 0 else 'sell'} {abs(signed)}"
        for at, (signed, _) in enumerate(sequence, start=1)
    )
    run = inverse_run(minute, orders, contract_size=contract_size, cash="1000000")
    contracts, coins = 0, Fraction(0)
    for signed, price in sequence:
        contracts += signed
        coins += signed * Fraction(contract_size) / price
    exact = Fraction(1_000_000) + coins - contracts * Fraction(contract_size) / sequence[-1][1]
    missing = exact - Fraction(run.snapshots[-1].equity)
    assert 0 <= missing <= Fraction(2 * len(sequence) + 1, 10**16)
