from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from backtester.config.run_config import RunConfig, SimSection
from backtester.data.columns import CandleColumns
from backtester.metrics.probabilistic_sharpe import minimum_track_record, probabilistic_sharpe
from backtester.report.csv_files import FILL_COLUMNS, FILLS_NAME, TRADE_COLUMNS, TRADES_NAME
from backtester.report.equity import EQUITY_COLUMNS, EQUITY_NAME
from backtester.trust.plausibility import plausibility_findings

MINUTE_MS, DAY_MS = 60_000, 86_400_000
METRICS = {"sharpe": None, "probabilistic_sharpe": None, "daily_returns": 90, "skew": 0.0, "kurtosis": 3.0, "trades": 100}


def text(header: str, rows: list[dict[str, object]]) -> str:
    names = header.split(",")
    return "\n".join([header, *(",".join(str(row.get(name, "")) for name in names) for row in rows)]) + "\n"


def names_of(*, fills=(), trades=(), daily=(), volume=10.0, metrics=None, sim=None, ambiguous=(0, "0"), profit=0.0):
    """Findings by name of a run on ten bars from 100 to 110, the first of which starts at time 0."""
    equity = [{"time_ms": day * DAY_MS, "equity": value} for day, value in enumerate(daily)]
    files = {
        FILLS_NAME: text(FILL_COLUMNS, [{"symbol": "A", "bar_fill": "false", **row} for row in fills]),
        TRADES_NAME: text(TRADE_COLUMNS, [{"symbol": "A", "exit_time_ms": 0, "is_open": "false", **row} for row in trades]),
        EQUITY_NAME: text(EQUITY_COLUMNS, equity),
    }
    ref = SimpleNamespace(key="A", exchange="binance", market="linear")
    result = SimpleNamespace(
        file_text=files.__getitem__,
        metrics={**METRICS, **(metrics or {})},
        summary={"start_equity": 1000.0, "end_equity": 1000.0 + profit},
        manifest=SimpleNamespace(
            ambiguous_bars=ambiguous[0], ambiguous_quote=ambiguous[1], resolved_by_candles=1, resolved_by_trades=0
        ),
        resolved=SimpleNamespace(start_ms=0, end_ms=10 * MINUTE_MS, refs=[ref], config=RunConfig(sim=SimSection(**(sim or {})))),
    )
    bars = CandleColumns(np.arange(10) * MINUTE_MS, *(np.full(10, value) for value in (105.0, 110.0, 100.0, 105.0, volume)))
    market = SimpleNamespace(read=lambda symbol, start_ms, end_ms: iter([bars]))
    return {one.name: one for one in plausibility_findings(result, market, execution_ms=MINUTE_MS)}


def fill(price, *, side="buy", qty=0.5, time_ms=MINUTE_MS + 125, bar_fill="false"):
    return {"price": price, "side": side, "qty": qty, "time_ms": time_ms, "bar_fill": bar_fill}


def test_an_ordinary_run_has_nothing_odd():
    trades = [{"net_pnl": value} for value in (4, -3, 4, -2, 3, 3)]
    assert names_of(fills=[fill(105), fill(106, side="sell")], trades=trades, daily=[1000, 1003, 1001, 1006], profit=9.0) == {}


@pytest.mark.parametrize(
    ("case", "is_impossible"),
    [
        (fill(99.9), True),
        (fill(100), False),
        (fill(110.2), False),  # worse than the bar: costs
        (fill(110.1, side="sell"), True),
        (fill(99.0, side="sell"), False),
        (fill(99.9, time_ms=2 * MINUTE_MS, bar_fill="true"), True),
        (fill(99.9, time_ms=11 * MINUTE_MS), False),  # no bar there
        (fill(99.9, time_ms=10 * MINUTE_MS, bar_fill="true"), True),  # the last bar ends then
    ],
)
def test_a_fill_better_than_its_bar_is_an_error(case, is_impossible):
    found = names_of(fills=[case])
    assert ("impossible-fill" in found) == is_impossible
    assert all(one.severity == ("error" if name == "impossible-fill" else "warning") for name, one in found.items())


def test_fills_at_the_best_price_of_their_bars_are_odd_when_they_are_many():
    best = [fill(100)] * 5
    assert "fills-at-the-extreme" in names_of(fills=[*best, *[fill(105)] * 19])
    assert "fills-at-the-extreme" not in names_of(fills=[*best, *[fill(105)] * 20])
    assert "fills-at-the-extreme" not in names_of(fills=best[:4])


def test_volume_that_was_not_there():
    assert "trades-without-volume" in names_of(fills=[fill(105)], volume=0.0)
    assert "large-share-of-volume" in names_of(fills=[fill(105, qty=1.01)])
    assert "large-share-of-volume" not in names_of(fills=[fill(105, qty=1)])


def test_profit_that_rests_on_little():
    trades = [{"net_pnl": value} for value in (60, -10, -10, 40, 20)]
    assert "60%" in names_of(trades=trades)["profit-rests-on-one-trade"].evidence
    assert "profit-rests-on-one-trade" not in names_of(trades=trades[:4])
    assert "60%" in names_of(daily=[1000, 1060, 1050, 1060, 1080, 1100])["profit-rests-on-one-day"].evidence
    assert "profit-rests-on-one-day" not in names_of(daily=[1000, 1050, 1060, 1070, 1080, 1100])
    evidence = names_of(ambiguous=(3, "60"), profit=100.0)["profit-rests-on-ambiguous-bars"].evidence
    assert "60%" in evidence and "1 of them resolved" in evidence
    assert "profit-rests-on-ambiguous-bars" not in names_of(ambiguous=(3, "60"), profit=-100.0)


@pytest.mark.parametrize(
    ("sim", "is_low"),
    [({"fee_bps": "0"}, True), ({"fee_bps": "100"}, False), ({}, False), ({"maker_bps": "-1"}, True), ({"taker_bps": "1"}, True)],
)
def test_fees_below_the_table_are_told(sim, is_low):
    assert ("fees-below-the-table" in names_of(sim=sim)) == is_low


def test_a_claim_that_the_sample_cannot_carry():
    found = names_of(metrics={"sharpe": 1.0, "probabilistic_sharpe": 0.69, "trades": 12})
    assert set(found) == {"too-short-for-the-claim", "too-few-trades"}
    needed = minimum_track_record(1 / math.sqrt(365), skew=0.0, kurt=3.0)
    assert f"{math.ceil(needed):,} days" in found["too-short-for-the-claim"].evidence
    assert set(names_of(metrics={"sharpe": 3.5, "probabilistic_sharpe": 0.99})) == {"sharpe-too-good"}
    assert names_of(metrics={"sharpe": -1.0, "probabilistic_sharpe": 0.2, "trades": 2}) == {}


def test_equity_that_rises_in_a_line_is_odd():
    assert "equity-too-smooth" in names_of(daily=[1000 * 1.001**day for day in range(30)])
    wild = [1000 * 1.001**day * (1 + 0.02 * math.sin(day)) for day in range(30)]
    assert "equity-too-smooth" not in names_of(daily=wild)


@pytest.mark.parametrize(("ratio", "skew", "kurt"), [(0.1, 0.0, 3.0), (0.05, -0.7, 8.0), (0.3, 0.4, 4.0)])
def test_the_minimum_track_record_is_where_the_probability_reaches_the_confidence(ratio, skew, kurt):
    needed = minimum_track_record(ratio, skew=skew, kurt=kurt, confidence=0.95)
    assert probabilistic_sharpe(ratio, n=math.ceil(needed), skew=skew, kurt=kurt) >= 0.95
    assert probabilistic_sharpe(ratio, n=math.ceil(needed) - 1, skew=skew, kurt=kurt) < 0.95


def test_without_an_excess_no_record_is_long_enough():
    assert minimum_track_record(0.1, skew=0.0, kurt=3.0, benchmark=0.1) is None
