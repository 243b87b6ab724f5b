"""Runs whose spread goes by stored quotes: what was quoted is paid, what is missing is counted, and `verify` reads the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.app.verify import verify
from backtester.cli.main import main
from backtester.data.batch import Batch, Origin
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.data.kinds import QUOTE_CANDLES, QUOTES, VolumeUnit
from backtester.data.quote_series import QuoteSeries, QuoteSource
from backtester.data.series import series_of
from backtester.domain.timeframe import MINUTE_MS
from backtester.engine.ports import Quote
from tests.support.shared_data import SHARED, needs_shared

START_MS = 1_746_057_600_000
MINUTES = 60
STRATEGY = """
from backtester import MarketOrderIntent, Side, Strategy


class EveryTenth(Strategy):
    def on_start(self):
        self.count = 0

    def on_candle(self, candle):
        self.count += 1
        if self.count % 10:
            return None
        side = Side.BUY if self.ctx.position(candle.symbol) == 0 else Side.SELL
        return MarketOrderIntent(symbol=candle.symbol, side=side, qty="1")
"""
FREE = {"sim.slippage_bps": 0, "sim.spread_bps": 2, "sim.fee_bps": 0}


@pytest.fixture
def strategy(tmp_path: Path) -> str:
    (tmp_path / "tenth.py").write_text(STRATEGY, encoding="utf-8")
    return f"{tmp_path / 'tenth.py'}:EveryTenth"


def stored(path: Path) -> Path:
    """An hour at 1000."""
    starts = START_MS + np.arange(MINUTES, dtype=np.int64) * MINUTE_MS
    price = np.full(MINUTES, 1000.0)
    Catalog(path).write("binance", "linear", "BTCUSDT", "1m", CandleColumns(starts, price, price, price, price, price))
    return path


def put(path: Path, kind: Any, timeframe: str | None, rows: list[dict[str, Any]]) -> None:
    series = series_of(exchange="binance", market="linear", symbol="BTCUSDT", kind=kind.name, timeframe=timeframe)
    table = pa.Table.from_pylist(rows, schema=kind.schema())
    Catalog(path).store(Batch(series, table, Origin("test", "0" * 64), VolumeUnit.BASE, (), {}))


def quote_candle(minute: int, bid: float, ask: float) -> dict[str, Any]:
    sides = {f"{side}_{name}": price for side, price in (("bid", bid), ("ask", ask)) for name in ("open", "high", "low", "close")}
    return {"start_ms": START_MS + minute * MINUTE_MS, **sides}


def run(strategy: str, data: Path, *, output: Path | None = None, **sim: object) -> Any:
    settings = FREE | {"sim.spread": "quotes"} | {f"sim.{key}": value for key, value in sim.items()}
    return backtester.run(
        strategy,
        symbols="BTCUSDT",
        exchange="binance",
        market="linear",
        timeframe="1m",
        data=data,
        output=output,
        settings=settings,
    )


def prices(result: Any) -> list[float]:
    return [float(price) for price in result.fills["price"]]


def test_a_taker_pays_half_of_what_was_quoted_when_it_arrived(strategy: str, tmp_path: Path) -> None:
    data = stored(tmp_path / "data")
    put(data, QUOTE_CANDLES, "1m", [quote_candle(minute, 999.0, 1001.0) for minute in range(30)])
    arrival_us = (START_MS + 20 * MINUTE_MS + 125) * 1000  # of the second order
    ticks = [(arrival_us - 5_000, 998.0, 1002.0), (arrival_us, 997.0, 1003.0), (arrival_us + 1, 990.0, 1010.0)]
    put(
        data,
        QUOTES,
        None,
        [{"time_us": time_us, "bid": bid, "ask": ask, "bid_qty": 1.0, "ask_qty": 1.0} for time_us, bid, ask in ticks],
    )
    result = run(strategy, data)
    assert prices(result) == [1001.0, 997.0, 1001.0, 999.0, 1001.0]
    assert result.manifest.quoted_fills == {"fresh": 3, "stale": 2, "none": 0}
    assert prices(run(strategy, data, spread="model")) == [1000.1, 999.9, 1000.1, 999.9, 1000.1]


def test_without_quotes_the_model_is_paid_counted_and_told(strategy: str, tmp_path: Path) -> None:
    result = run(strategy, stored(tmp_path / "data"))
    assert prices(result) == [1000.1, 999.9, 1000.1, 999.9, 1000.1]
    assert result.manifest.quoted_fills == {"fresh": 0, "stale": 0, "none": 5}
    assert any(one.rule == "BTCUSDT: no quotes are stored, the model says the spread" for one in result.manifest.assumptions)
    model = run(strategy, tmp_path / "data", spread="model")
    assert model.manifest.quoted_fills == {} and model.manifest.quotes_fingerprint == ""


def test_verify_reads_the_quotes_again_and_sees_where_they_were_changed(
    strategy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, ask in (("data", 1001.0), ("other", 1001.5)):
        put(stored(tmp_path / name), QUOTE_CANDLES, "1m", [quote_candle(minute, 999.0, ask) for minute in range(MINUTES)])
    result = run(strategy, tmp_path / "data", output=tmp_path / "runs")
    assert verify(result.path).ok
    report = verify(result.path, data=tmp_path / "other")
    assert not report.ok
    assert any(line.startswith("quotes: what spreads went by is not that of the run") for line in report.lines)
    monkeypatch.chdir(tmp_path)
    words = ["--symbols", "BTCUSDT", "--timeframe", "1m", "--data", "data", "--set", "sim.spread=quotes"]
    assert main(["--strategy", strategy, *words]) == 0
    assert "5 taker fills by the last quote" in capsys.readouterr().out


def test_a_quote_of_a_bar_is_known_at_its_end_and_the_last_one_stays() -> None:
    starts = np.arange(4, dtype=np.int64) * 10
    held = CandleColumns(starts, *(np.array([1.0, 2.0, 3.0, 4.0]) + offset for offset in (0, 1, 0, 1, 0)))
    pieces = [CandleColumns(*(column[first : first + 2] for column in held)) for first in (0, 2)]
    series = QuoteSeries({"A": [QuoteSource(10, lambda start_ms, end_ms: iter(pieces))]}, start_ms=0, end_ms=100)
    answers = [series.quote_at("A", time_ms) for time_ms in (9, 10, 19, 20, 29, 30, 39, 40, 99)]
    known = [
        None,
        *(Quote(end_ms, bid, bid + 1) for end_ms, bid in ((10, 1), (10, 1), (20, 2), (20, 2), (30, 3), (30, 3), (40, 4), (40, 4))),
    ]
    assert answers == known
    assert series.quote_at("B", 50) is None


class BuysOnce(Strategy):
    """One lot every hour."""

    def on_candle(self, candle: Candle) -> MarketOrderIntent | None:
        if candle.end_ms % 3_600_000:
            return None
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.01")


@needs_shared
def test_real_quotes_of_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bybit BTCUSDT perpetual, 2022-12-13: a quote for most minutes of half a day."""
    monkeypatch.chdir(tmp_path)
    for part in ("candles/bybit_linear/BTCUSDT_1m_2022-12-13.parquet", "quotes/bybit_linear/BTCUSDT_bbo1m_2022-12-13.parquet"):
        assert main(["data", "import", str(SHARED / "data" / part), "--data", "cat", "--quiet"]) == 0
    result = backtester.run(
        BuysOnce,
        symbols="BTCUSDT",
        exchange="bybit",
        market="linear",
        data=tmp_path / "cat",
        timeframe="1m",
        settings={"sim.spread": "quotes", "sim.funding": "off"},
    )
    counts = result.manifest.quoted_fills
    assert counts["fresh"] > 5 and counts["fresh"] + counts["stale"] + counts["none"] == result.counts["fills"]
