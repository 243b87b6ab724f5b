from __future__ import annotations

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import HOUR_MS
from backtester.domain.vocabulary import Side
from backtester.metrics import groups, streaks, trades
from backtester.metrics.costs import gross_profit, price_paid_away, share_of_gross_profit
from tests.metrics.samples import START_MS, nets, trade


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=40))
def test_figures_are_those_of_plain_arithmetic(results: list[int]) -> None:
    found = trades.trade_figures([trade(net) for net in results])
    won, lost = [net for net in results if net > 0], [net for net in results if net < 0]
    assert (found.trades, found.net_pnl, found.fees) == (len(results), sum(results), len(results))
    assert found.gross_pnl == sum(results) + len(results)
    assert found.win_rate == len(won) / len(results)
    assert found.profit_factor == (float(Fraction(sum(won), -sum(lost))) if lost else None)
    assert found.expectancy == pytest.approx(statistics.mean(results), abs=1e-12)
    assert found.average_win == (pytest.approx(statistics.mean(won)) if won else None)
    assert found.average_loss == (pytest.approx(statistics.mean(lost)) if lost else None)
    assert (found.largest_win, found.largest_loss) == (max(won, default=None), min(lost, default=None))
    assert found.average_pnl_frac == pytest.approx(statistics.mean(results) / 1000, abs=1e-15)


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=30))
def test_streaks_are_the_longest_words_of_one_letter(signs: list[int]) -> None:
    text = "".join("l.w"[sign + 1] for sign in signs)
    won, lost = text.replace("l", ".").split("."), text.replace("w", ".").split(".")
    assert streaks.longest_winning_streak(signs) == max(map(len, won))
    assert streaks.longest_losing_streak(signs) == max(map(len, lost))


def test_expectancy_is_what_winners_bring_less_what_losers_take() -> None:
    found = trades.trade_figures([trade(30), trade(-10), trade(-20), trade(40)])
    assert found.expectancy == 0.5 * 35 - 0.5 * 15 == 10


def test_a_result_in_r_is_size_independent() -> None:
    small, large = trade(20, stop_away=0.01), trade(200, entry_value=10_000 * MONEY_ONE, stop_away=0.01)
    assert small.r_multiple == large.r_multiple == 2.0
    assert trades.r_multiples([small, trade(5), trade(5, stop_away=-0.01), large]) == [2.0, 2.0]


def test_quality_can_be_capped_as_its_author_did() -> None:
    results = [1.0, -0.5] * 100
    assert trades.system_quality(results) == pytest.approx(trades.system_quality(results, count_max=100) * 2**0.5)  # type: ignore[operator]  # a number


def test_one_unit_in_every_trade_adds_up() -> None:
    assert trades.fixed_nominal_curve([trade(100), trade(-50), trade(25)]) == pytest.approx([0.1, 0.05, 0.075])
    assert trades.fixed_nominal_curve([]) == []


def test_holding_times_are_hours() -> None:
    held = [trade(1, hours=1), trade(1, hours=2), trade(1, hours=9)]
    assert (trades.average_holding_hours(held), trades.median_holding_hours(held)) == (4.0, 2.0)


def test_groups_are_told_apart_and_symbols_ranked() -> None:
    sample = [
        trade(10, symbol="BBB", side=Side.SELL, close_reason="TP"),
        trade(50, symbol="AAA", entry_time_ms=START_MS + 30 * 24 * HOUR_MS + 23 * HOUR_MS),
        trade(-70, symbol="CCC", entry_time_ms=START_MS + 5 * HOUR_MS, close_reason="SL"),
        trade(10, symbol="ABB"),
    ]
    assert [(name, one.net_pnl) for name, one in groups.by_symbol(sample).items()] == [
        ("AAA", 50),
        ("ABB", 10),
        ("BBB", 10),
        ("CCC", -70),
    ]
    assert {name: one.trades for name, one in groups.by_side(sample).items()} == {"buy": 3, "sell": 1}
    assert {name: one.net_pnl for name, one in groups.by_month(sample).items()} == {"2025-01": -50, "2025-02": 50}
    assert {name: one.trades for name, one in groups.by_hour(sample).items()} == {"00": 2, "05": 1, "23": 1}
    assert {name: one.trades for name, one in groups.by_close_reason(sample).items()} == {"SIGNAL": 2, "SL": 1, "TP": 1}
    assert groups.net_by_symbol(sample) == {"BBB": 10, "AAA": 50, "CCC": -70, "ABB": 10}


@pytest.mark.parametrize("kind", [groups.by_symbol, groups.by_side, groups.by_month, groups.by_hour, groups.by_close_reason])
@given(results=st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 2000), st.sampled_from("AB")), max_size=20))
def test_every_trade_is_in_one_group(kind, results) -> None:
    sample = [
        trade(net, entry_time_ms=START_MS + hour * HOUR_MS, symbol=symbol, close_reason=symbol) for net, hour, symbol in results
    ]
    found = kind(sample)
    assert sum(one.trades for one in found.values()) == len(sample)
    assert sum(one.net_pnl for one in found.values()) == sum(net for net, _, _ in results)


def test_a_symbol_that_is_unlike_the_others_is_named() -> None:
    usual = {"A": 1.0, "B": 2.0, "C": 3.0, "D": 2.5}
    assert groups.outlier_symbols(usual | {"E": 90.0}) == ["E"]
    assert groups.outlier_symbols(usual | {"E": -90.0, "F": 90.0}) == ["E", "F"]
    assert groups.outlier_symbols(usual | {"E": 3.5}) == []
    assert groups.outlier_symbols({"A": 0.0, "B": 0.0, "C": 0.0, "D": 0.0, "E": 1.0}) == ["E"]
    assert groups.outlier_symbols({"A": 1.0, "B": 900.0}) == [], "two symbols have no usual"


def test_the_value_at_midnight_closes_the_month_before() -> None:
    day = 24 * HOUR_MS
    points = [(START_MS + 12 * HOUR_MS, 100), (START_MS + 31 * day, 110), (START_MS + 32 * day, 121), (START_MS + 32 * day, 121)]
    assert groups.monthly_returns(points) == pytest.approx({"2025-01": 0.1, "2025-02": 0.1})
    assert groups.monthly_returns(points[:2]) == pytest.approx({"2025-01": 0.1})
    assert groups.monthly_returns([*points[:2], (points[1][0], 99)]) == pytest.approx({"2025-01": -0.01})
    assert groups.monthly_returns([]) == {}
    assert groups.monthly_returns([(START_MS, 0), (START_MS + day, 5)]) == {"2025-01": None}


@given(st.lists(st.integers(50, 150), min_size=2, max_size=120))
def test_months_compound_to_the_whole(values: list[int]) -> None:
    points = [(START_MS + day * 24 * HOUR_MS, value) for day, value in enumerate(values)]
    product = 1.0
    for value in groups.monthly_returns(points).values():
        assert value is not None
        product *= 1 + value
    assert product == pytest.approx(values[-1] / values[0])


def test_costs_against_what_was_earned_before_them() -> None:
    assert gross_profit(nets([5, -3, 10])) == 15 * MONEY_ONE
    assert share_of_gross_profit(3, gross_profit=12) == 0.25
    assert price_paid_away(signed_size=2, price=101, reference=100) == 2
    assert price_paid_away(signed_size=-2, price=101, reference=100) == -2
