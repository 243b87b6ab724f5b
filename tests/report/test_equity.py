from __future__ import annotations

import csv
import io
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.money import MONEY_ONE
from backtester.domain.orders import Fill
from backtester.domain.timeframe import DAY_MS
from backtester.domain.vocabulary import Market
from backtester.engine.ports import Tick
from backtester.report.equity import EquityCurve, write_equity
from backtester.report.fill_book import FillBook
from tests.report.market import MINUTE, SYMBOLS, ListFeed, bar, fill, fills_of_a_run, naive, spec, ticks_of_a_run
from tests.report.naive import NaiveRow, naive_state

START = 1000 * MONEY_ONE
TOLERANCE = Fraction(100, 10**16)
AMOUNTS = (("equity", "equity"), ("exposure", "exposure"), ("equity_min", "equity_min"), ("equity_max", "equity_max"))


def equity_of(
    fills: list[Fill], ticks: list[Tick], *, market: Market = Market.LINEAR, start_ms: int = 0, end_ms: int | None = None
) -> tuple[list[dict[str, str]], EquityCurve]:
    file = io.StringIO()
    specs = {symbol: spec(symbol, market=market) for symbol in SYMBOLS}
    curve = write_equity(
        file, feed=ListFeed(ticks), book=FillBook(fills), specs=specs, starting_cash=START, start_ms=start_ms, end_ms=end_ms
    )
    return list(csv.DictReader(io.StringIO(file.getvalue()))), curve


def expected_rows(fills: list[Fill], ticks: list[Tick], *, spot: bool) -> tuple[list[NaiveRow], Fraction]:
    marks: dict[str, Fraction] = {}
    rows: list[NaiveRow] = []
    path = [Fraction(1000)]
    since = 1
    for time_ms, bars, signals in ticks:
        marks.update({one.symbol: Fraction(str(one.close)) for one in bars})
        row = naive_state(naive(fills), marks, time_ms=time_ms, start=Fraction(1000), spot=spot)
        path.append(row.equity)
        if signals:
            row.equity_min, row.equity_max = min(path[since:]), max(path[since:])
            rows.append(row)
            since = len(path)
    fall = max(1 - low / high for index, high in enumerate(path) for low in path[index:])
    return rows, fall


@given(st.data(), st.sampled_from((1, 3, 5)))
def test_equity_is_that_of_a_naive_recomputation(data: st.DataObject, signal_every: int) -> None:
    spot = data.draw(st.booleans())
    fills, ticks = data.draw(fills_of_a_run(long_only=spot)), data.draw(ticks_of_a_run(signal_every=signal_every))
    rows, curve = equity_of(fills, ticks, market=Market.SPOT if spot else Market.LINEAR)
    expected, fall = expected_rows(fills, ticks, spot=spot)
    assert [int(row["time_ms"]) for row in rows] == [row.time_ms for row in expected]
    for row, mine in zip(rows, expected, strict=True):
        for column, name in AMOUNTS:
            assert Fraction(row[column]) == getattr(mine, name), (column, row, mine)
        assert (
            abs(Fraction(row["cash"]) - mine.cash) <= TOLERANCE
            and abs(Fraction(row["unrealised_pnl"]) - mine.unrealised) <= TOLERANCE
        )
    assert Fraction(curve.drawdown_peak - curve.drawdown_low, curve.drawdown_peak) == fall
    assert (curve.rows, curve.rows_in_position) == (len(expected), sum(row.exposure > 0 for row in expected))


def test_a_fill_at_the_open_of_the_next_bar_is_not_in_the_row_of_the_close_before_it() -> None:
    ticks: list[Tick] = [
        (minute * MINUTE, [bar("AAAUSDT", minute * MINUTE, 100.0)], [bar("AAAUSDT", minute * MINUTE, 100.0)]) for minute in (1, 2)
    ]
    for extra, exposures in (
        ({}, ["0.00000000", "0.10000000"]),
        ({"bar_fill": True}, ["0.10000000"] * 2),
        ({"reason": "END"}, ["0.10000000"] * 2),
    ):
        rows, _ = equity_of([fill(MINUTE, "AAAUSDT", 1, 1000, **extra)], ticks)
        assert [row["exposure"] for row in rows] == exposures


def test_warm_up_and_what_is_after_the_end_have_no_rows() -> None:
    ticks: list[Tick] = [
        (m * MINUTE, [bar("AAAUSDT", m * MINUTE, 100.0 + m)], [bar("AAAUSDT", m * MINUTE, 100.0 + m)]) for m in range(1, 9)
    ]
    rows, curve = equity_of([], ticks, start_ms=2 * MINUTE, end_ms=5 * MINUTE)
    assert [int(row["time_ms"]) // MINUTE for row in rows] == [3, 4, 5]
    assert (curve.start_ms, curve.end_ms, curve.last_closes) == (2 * MINUTE, 5 * MINUTE, {"AAAUSDT": 105.0})


def test_minimum_and_maximum_see_the_execution_bars_between_two_rows() -> None:
    closes = (100.0, 90.0, 120.0, 100.0)
    ticks: list[Tick] = [(m * MINUTE, [bar("AAAUSDT", m * MINUTE, close)], []) for m, close in enumerate(closes, start=1)]
    ticks[0] = (MINUTE, ticks[0][1], ticks[0][1])
    ticks[3] = (4 * MINUTE, ticks[3][1], ticks[3][1])
    rows, curve = equity_of([fill(MINUTE + 1, "AAAUSDT", 1000, 1000)], ticks)
    assert [(row["equity_min"], row["equity"], row["equity_max"]) for row in rows] == [
        ("1000.00000000",) * 3,
        ("990.00000000", "1000.00000000", "1020.00000000"),
    ]
    assert (curve.drawdown_peak, curve.drawdown_low) == (1020 * MONEY_ONE, 1000 * MONEY_ONE)


def test_daily_equity_is_carried_to_every_utc_midnight_from_the_first_to_the_last() -> None:
    def tick(time_ms: int, close: float) -> Tick:
        return (time_ms, [bar("AAAUSDT", time_ms, close)], [])

    half_day = DAY_MS // 2
    ticks = [tick(half_day + MINUTE, 100.0), tick(DAY_MS - MINUTE, 101.0), tick(DAY_MS + MINUTE, 102.0), tick(4 * DAY_MS, 103.0)]
    ticks.append(tick(4 * DAY_MS + half_day, 104.0))
    _, curve = equity_of([fill(half_day + MINUTE + 1, "AAAUSDT", 1000, 1000)], ticks, start_ms=half_day)
    assert [(time_ms // DAY_MS, equity // MONEY_ONE) for time_ms, equity in curve.daily] == [
        (1, 1001),
        (2, 1002),
        (3, 1002),
        (4, 1003),
    ]
    _, curve = equity_of([], ticks, start_ms=0)
    assert [time_ms // DAY_MS for time_ms, _ in curve.daily] == [0, 1, 2, 3, 4]


def test_without_ticks_there_is_a_header_and_a_flat_curve() -> None:
    rows, curve = equity_of([], [])
    assert rows == [] and curve.end_equity == curve.start_equity == START
    assert curve.drawdown_peak == curve.drawdown_low


@pytest.mark.parametrize("close", [0.00001234, 102739.3, 0.1])
def test_closes_are_valued_exactly(close: float) -> None:
    ticks: list[Tick] = [(2 * MINUTE, [bar("AAAUSDT", 2 * MINUTE, close)], [bar("AAAUSDT", 2 * MINUTE, close)])]
    ((row,), _) = equity_of([fill(MINUTE, "AAAUSDT", 123_457, 1)], ticks)
    assert Fraction(row["exposure"]) == Fraction(repr(close)) * Fraction("123.457")
