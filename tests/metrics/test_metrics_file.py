"""What is watched for metrics.json, against the slow way."""

from __future__ import annotations

import io
import json
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.audit.journal import MemoryJournal
from backtester.domain.message import Message
from backtester.domain.money import MONEY_ONE
from backtester.domain.orders import Fill, OrderAttached, SanitizedOrder
from backtester.domain.run_events import RunStarted
from backtester.domain.timeframe import HOUR_MS
from backtester.domain.vocabulary import OrderType, Side, TimeInForce
from backtester.engine.ports import Tick
from backtester.report.equity import EquityCurve, write_equity
from backtester.report.fill_book import FillBook
from backtester.report.metrics_file import EquityRows, MarketWatch
from backtester.report.results import MemoryFiles, Results, write_results
from backtester.report.waiting_orders import WaitingOrders
from tests.report.market import MINUTE, SYMBOLS, ListFeed, bar, fill, naive, spec
from tests.report.naive import naive_state

START = 1000 * MONEY_ONE
SPECS = {symbol: spec(symbol) for symbol in SYMBOLS}


def steps_of(draw: st.DrawFn, *, steps: int = 60) -> list[Tick]:
    """Ticks two hours apart or less, some bars missing, a signal at each."""
    ticks: list[Tick] = []
    now_ms = 0
    for _ in range(steps):
        now_ms += draw(st.sampled_from((20, 40, 60, 120))) * MINUTE
        bars = [bar(symbol, now_ms, draw(st.integers(900, 1100)) / 10) for symbol in SYMBOLS if not ticks or draw(st.booleans())]
        if bars:
            ticks.append((now_ms, bars, bars))
    return ticks


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Fill], list[Tick]]:
    ticks = steps_of(draw)
    times = sorted(draw(st.lists(st.integers(0, ticks[-1][0]), max_size=12)))
    symbol, lots, price = st.sampled_from(SYMBOLS), st.integers(-9, 9).filter(bool), st.integers(900, 1100)
    return [fill(time_ms, draw(symbol), draw(lots), draw(price), fee_e8=50) for time_ms in times], ticks


def watched(
    fills: list[Fill], ticks: list[Tick], *, end_ms: int | None = None, start_ms: int = 0
) -> tuple[MarketWatch, EquityCurve]:
    book = FillBook(fills)
    watch = MarketWatch(
        ListFeed(ticks), book=book, specs=SPECS, waiting=WaitingOrders(), starting_cash=START, start_ms=start_ms, end_ms=end_ms
    )
    curve = write_equity(io.StringIO(), feed=watch, book=book, specs=SPECS, starting_cash=START, start_ms=start_ms, end_ms=end_ms)
    watch.finish(curve)
    return watch, curve


@given(runs())
def test_marks_are_what_the_slow_way_finds_at_full_hours(run: tuple[list[Fill], list[Tick]]) -> None:
    fills, ticks = run
    watch, curve = watched(fills, ticks)
    expected = []
    for hour_ms in range(0, ticks[-1][0] + 1, HOUR_MS):
        seen = [tick for tick in ticks if tick[0] <= hour_ms]
        marks = {one.symbol: Fraction(str(one.close)) for _, bars, _ in seen for one in bars}
        at_ms = seen[-1][0] if seen else 0
        state = naive_state(naive(fills), marks, time_ms=at_ms, start=Fraction(1000), spot=False)
        net = sum(
            (
                one.signed * marks[one.symbol]
                for one in naive(fills)
                if one.time_ms < at_ms or (one.time_ms == at_ms and one.at_close)
            ),
            Fraction(0),
        )
        expected.append((state.equity * MONEY_ONE, state.exposure * MONEY_ONE, net * MONEY_ONE))
    assert len(watch.marks) == len(expected)
    for found, wanted in zip(watch.marks, expected, strict=True):
        assert all(abs(one - other) <= 1000 for one, other in zip(found, wanted, strict=True))
    assert [equity for _, equity in curve.daily] == [watch.marks[time_ms // HOUR_MS][0] for time_ms, _ in curve.daily]


@given(runs())
def test_prices_are_taken_at_the_midnights_of_daily_equity(run: tuple[list[Fill], list[Tick]]) -> None:
    watch, curve = watched(*run)
    for symbol, prices in watch.closes().items():
        bars = [one for _, bars, _ in run[1] for one in bars if one.symbol == symbol]
        expected = [
            next((one.close for one in reversed(bars) if one.end_ms <= time_ms), bars[0].open) for time_ms, _ in curve.daily
        ]
        assert prices == expected


def test_nothing_after_the_end_of_a_run_is_marked() -> None:
    ticks: list[Tick] = [(hour * HOUR_MS, [bar("AAAUSDT", hour * HOUR_MS, 100.0 + hour)], []) for hour in range(1, 30)]
    watch, curve = watched([fill(HOUR_MS + 1, "AAAUSDT", 1000, 1000)], ticks, end_ms=5 * HOUR_MS + 1)
    assert curve.end_ms == 5 * HOUR_MS and len(watch.marks) == 6 and len(watch.midnights) == len(curve.daily) == 1
    short, _ = watched([], ticks[:1], start_ms=HOUR_MS // 2, end_ms=HOUR_MS // 2)
    assert len(short.marks) == 1, "a run shorter than an hour is marked once"


def order(order_id: str, kind: OrderType, *, side: Side, trigger: int, time_ms: int, symbol: str = "AAAUSDT") -> SanitizedOrder:
    return SanitizedOrder(
        time_ms=time_ms, order_id=order_id, strategy_id="s", symbol=symbol, side=side, order_type=kind, qty_lots=1, price_ticks=0,
        tif=TimeInForce.GTC, reduce_only=True, budget_e8=0, reason="SL_HIT", trigger_ticks=trigger,
    )  # fmt: skip


def changed(one: Fill, **changes: object) -> Fill:
    return msgspec.structs.replace(one, **changes)


def stop_fill(time_ms: int, lots: int, ticks: int, *, order_id: str, kind: OrderType = OrderType.STOP_MARKET) -> Fill:
    return changed(fill(time_ms, "AAAUSDT", lots, ticks, bar_fill=True, reason="SL_HIT"), order_id=order_id, order_type=kind)


def results_of(messages: list[tuple[str, Message]], *, minutes: int = 6) -> tuple[Results, dict[str, object]]:
    """The results of a journal over bars that open and close at 100."""
    journal = MemoryJournal()
    for seq, (topic, message) in enumerate(messages, start=1):
        journal.append(seq, 0, topic, message)
    ticks: list[Tick] = [(m * MINUTE, [bar("AAAUSDT", m * MINUTE, 100.0)], []) for m in range(1, minutes + 1)]
    files = MemoryFiles()
    results = write_results(
        journal.lines(), open_file=files.whole_file, feed=ListFeed(ticks), specs=SPECS, starting_cash=START, start_ms=0
    )
    return results, json.loads(files.texts["metrics.json"])


def test_slippage_is_against_open_trigger_and_last_close() -> None:
    messages: list[tuple[str, Message]] = [
        ("fills", fill(MINUTE + 125, "AAAUSDT", 1000, 1002)),  # the bar of its arrival opened at 100
        ("orders.attached", OrderAttached(time_ms=MINUTE + 125, order=order("s-1-sl1", OrderType.STOP_MARKET, side=Side.SELL, trigger=990, time_ms=MINUTE + 125))),
        ("fills", stop_fill(2 * MINUTE, -1000, 987, order_id="s-1-sl1")),
        ("fills", fill(3 * MINUTE, "AAAUSDT", 1000, 980, bar_fill=True)),  # a limit got its price
        ("fills", stop_fill(4 * MINUTE, -1000, 970, order_id="s-9", kind=OrderType.TRAILING_STOP)),  # nobody knows
        ("fills", fill(5 * MINUTE, "AAAUSDT", -1000, 1000)),
        ("fills", fill(6 * MINUTE, "AAAUSDT", 1000, 1004, reason="END")),
    ]  # fmt: skip
    found, written = results_of(messages)
    assert written["slippage"] == found.figures.slippage == pytest.approx(0.2 + 0.3 + 0.0 + 0.4)
    assert found.figures.fills_without_reference == 1
    assert found.figures.turnover == pytest.approx(min(100.2 + 98 + 100.4, 98.7 + 97 + 100) / 1000, rel=0.01)


def test_a_fill_that_no_bar_follows_has_no_reference() -> None:
    found, _ = results_of([("fills", fill(6 * MINUTE + 125, "AAAUSDT", 1000, 1002))])
    assert (found.figures.slippage, found.figures.fills_without_reference) == (0.0, 1)


def test_an_arrival_in_a_gap_is_compared_with_the_next_bar_there_is() -> None:
    ticks: list[Tick] = [
        (m * MINUTE, [bar(symbol, m * MINUTE, 100.0 + m)], []) for m, symbol in ((1, "AAAUSDT"), (2, "BBBUSDT"), (7, "AAAUSDT"))
    ]
    watch, _ = watched([fill(MINUTE + 125, "AAAUSDT", 1000, 1075), fill(7 * MINUTE - 1, "AAAUSDT", -1000, 1072)], ticks)
    assert (watch.slippage, watch.without_reference) == (MONEY_ONE * 5 // 10 - MONEY_ONE * 2 // 10, 0)


def test_the_seed_is_that_of_the_journal() -> None:
    started = RunStarted(
        time_ms=0, engine_version="1", seed=99, symbols=(), strategies=(), timeframe="1h", execution_timeframe="1m", settings={}
    )
    found, _ = results_of([("run", started)])
    assert found.tally.waiting.seed == 99
    assert results_of([])[0].tally.waiting.seed == 0


def test_rows_pass_unchanged_and_date_the_deepest_fall() -> None:
    ticks: list[Tick] = []
    for hour, close in enumerate((100.0, 104.0, 90.0, 95.0, 110.0), start=1):
        ticks.append((hour * HOUR_MS, [bar("AAAUSDT", hour * HOUR_MS, close)], [bar("AAAUSDT", hour * HOUR_MS, close)]))
    book = FillBook([fill(1, "AAAUSDT", 1000, 1000)])
    plain, seen = io.StringIO(), io.StringIO()
    rows = EquityRows(seen, start_ms=0, starting_cash=START)
    for file in (plain, rows.as_text()):
        curve = write_equity(file, feed=ListFeed(ticks), book=book, specs=SPECS, starting_cash=START, start_ms=0)
    assert seen.getvalue() == plain.getvalue()
    fall, longest_ms = rows.finish(curve)
    assert fall == (2 * HOUR_MS, 3 * HOUR_MS, 5 * HOUR_MS) and longest_ms == 3 * HOUR_MS


def test_the_file_holds_what_the_result_holds_and_nothing_that_is_no_number() -> None:
    found, written = results_of([("fills", fill(MINUTE + 125, "AAAUSDT", 1000, 1002))])
    assert list(written)[:10] == [
        "total_return",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "max_drawdown",
        "win_rate",
        "exposure",
        "trades",
        "fees",
    ]
    assert written["by_symbol"] == found.figures.by_symbol == {}
    assert {name: value for name, value in written.items() if not isinstance(value, dict | list)} == found.figures.scalars()
    assert set(found.figures.scalars()) < set(found.summary()) and "by_symbol" not in found.summary()
