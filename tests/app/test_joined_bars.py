"""Runs whose symbols share no stored timeframe, or ask for a longer one: bars are joined from shorter candles, and it is said."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, join_columns, slice_columns
from backtester.data.resample import coarser_columns
from backtester.data.sources.sample import sample_columns
from backtester.domain.timeframe import MINUTE_MS

START_MS = 1_746_057_600_000
END_MS = START_MS + 2 * 1440 * MINUTE_MS
SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Often(Strategy):
    """Buys and sells in turn, every few candles."""

    def on_start(self) -> None:
        self.count = 0

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
        self.count += 1
        if self.count % 7:
            return []
        side = Side.BUY if self.ctx.position(candle.symbol) == 0 else Side.SELL
        return [MarketOrderIntent(symbol=candle.symbol, side=side, qty=Decimal("0.01"))]


def minutes(symbol: str) -> CandleColumns:
    columns = join_columns(*sample_columns(symbol, seed=3, start_ms=START_MS, end_ms=END_MS))
    kept = [index for index in range(len(columns.start_ms)) if not 301 <= index < 333]  # from within a bar to within another
    return CandleColumns(*(column[kept] for column in columns))


def fives(symbol: str) -> CandleColumns:
    return join_columns(*coarser_columns([minutes(symbol)], symbol, length_ms=5 * MINUTE_MS, bars_ms=MINUTE_MS, end_ms=END_MS))


def run(**keys):
    return backtester.run(Often, symbols=SYMBOLS, exchange="binance", market="linear", **keys)


@pytest.fixture
def expected(tmp_path: Path):
    frames = {symbol: fives(symbol)._asdict() for symbol in SYMBOLS}
    return run(data=frames, output=tmp_path / "expected")


def test_bars_joined_by_the_run_trade_as_bars_that_are_stored(expected, tmp_path):
    catalog = Catalog(tmp_path / "data")
    catalog.write("binance", "linear", "BTCUSDT", "1m", minutes("BTCUSDT"))
    catalog.write("binance", "linear", "ETHUSDT", "5m", fives("ETHUSDT"))
    result = run(data=tmp_path / "data", output=tmp_path / "runs")
    assert expected.counts["fills"] > 50
    assert result.fills.equals(expected.fills) and result.equity.equals(expected.equity)
    assert result.counts == expected.counts
    assert any("BTCUSDT: bars of 5m are joined from stored candles of 1m" in one.rule for one in result.manifest.assumptions)


def test_frames_of_different_lengths_run_on_the_longer(expected, tmp_path):
    frames = {"BTCUSDT": minutes("BTCUSDT")._asdict(), "ETHUSDT": fives("ETHUSDT")._asdict()}
    assert run(data=frames, output=tmp_path / "runs").fills.equals(expected.fills)


def test_a_longer_execution_timeframe_may_be_asked_for(expected, tmp_path):
    catalog = Catalog(tmp_path / "data")
    for symbol in SYMBOLS:
        catalog.write("binance", "linear", symbol, "1m", minutes(symbol))
    result = run(data=tmp_path / "data", output=tmp_path / "runs", settings={"run.execution_timeframe": "5m"})
    assert result.fills.equals(expected.fills)


def test_a_joined_bar_is_what_was_traded_in_it_and_nothing_later():
    columns = minutes("BTCUSDT")
    cut = slice_columns(columns, 0, 1_000)
    whole, short = (list(coarser_columns([part], "B", length_ms=300_000, bars_ms=60_000, end_ms=END_MS)) for part in (columns, cut))
    longer, shorter = join_columns(*whole), join_columns(*short)
    known = len(shorter.start_ms) - 1  # the last may have been cut
    for a, b in zip(longer, shorter, strict=True):
        assert np.array_equal(a[:known], b[:known])
    rows = (columns.start_ms >= START_MS + 3_000_000) & (columns.start_ms < START_MS + 3_300_000)
    at = int(longer.start_ms.searchsorted(START_MS + 3_000_000))
    assert longer.high[at] == columns.high[rows].max() and longer.low[at] == columns.low[rows].min()
    assert longer.open[at] == columns.open[rows][0] and longer.close[at] == columns.close[rows][-1]
    assert longer.volume[at] == pytest.approx(columns.volume[rows].sum(), rel=1e-15)


def test_the_sample_market_has_longer_bars_too(tmp_path):
    result = backtester.run(
        Often, symbols=["BTCUSDT"], output=tmp_path / "runs", settings={"run.execution_timeframe": "15m", "data.sample_days": "3"}
    )
    assert result.counts["candles"] == 3 * 96
